"""`python -m benchmarks`: measure, print the table, and keep it with `--write`."""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence

from benchmarks import machine, ours, report, theirs
from benchmarks.measure import SUITES
from benchmarks.site import Site
from benchmarks.sizes import OURS, OURS_QUICK, THEIRS, THEIRS_QUICK

SITES = {"Orchestrator": ours.site, "Prefect": theirs.site}


def main() -> int:
    """Measure ours, then Prefect; never both at once. The exit code is 1 when something could not be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load_before = machine.load()
    sizes = {"Orchestrator": OURS_QUICK if options.quick else OURS}
    if options.prefect:
        sizes["Prefect"] = THEIRS_QUICK if options.quick else THEIRS
    figures: dict[str, dict[str, float]] = {"Orchestrator": {}, "Prefect": {}}
    problems: list[str] = []
    for title, size in sizes.items():
        try:
            with SITES[title](size) as site, site.running():
                measure(site, options.only, figures[title], problems)
        except Exception as error:
            problems.append(_problem(f"{title} could not be started or stopped", error))
    lines = report.table(figures["Orchestrator"], figures["Prefect"])
    print(f"\n{report.markdown(lines)}\n", flush=True)
    if options.write:
        report.write(lines, problems, sizes, load_before)
    return 1 if problems else 0


def measure(site: Site, suites: Sequence[str], figures: dict[str, float], problems: list[str]) -> None:
    """Run the suites. What fails is told, and the rest goes on."""
    for name in suites:
        began = time.monotonic()
        try:
            found = SUITES[name](site)
        except Exception as error:
            problems.append(_problem(f"{name} of {site.title} could not be measured", error))
            continue
        figures.update(found)
        print(f"{site.title:12} {name:10} {time.monotonic() - began:6.1f} s  {_told(found)}", flush=True)


def _problem(what: str, error: Exception) -> str:
    """Show where it happened; the short form is for the report."""
    traceback.print_exception(error)
    return f"{what}: {(str(error) or type(error).__name__).splitlines()[0]}"


def _told(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", type=_suites, default=list(SUITES), help=f"some of: {','.join(SUITES)}")
    parser.add_argument("--no-prefect", dest="prefect", action="store_false", help="measure ours only")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that everything works")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/RESULTS.md")
    return parser.parse_args()


def _suites(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SUITES]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(SUITES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
