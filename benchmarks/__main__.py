"""`python -m benchmarks`: measure, print the table, and keep it with `--write`."""

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import celery, machine, ours, prefect, report
from benchmarks.measure import SUITES, some_of
from benchmarks.site import Site
from benchmarks.sizes import CELERY, CELERY_QUICK, OURS, OURS_QUICK, PREFECT, PREFECT_QUICK, Sizes
from benchmarks.stores import Given

POSTGRES_HELP = (
    "use this PostgreSQL, as a superuser. It must serve nobody else: our logins' passwords are replaced there"
)
REDIS_HELP = "use this Redis: a numbered database that is empty, as the next two must be for Celery"
SITES = {"Orchestrator": ours.site, "Prefect": prefect.site, "Celery": celery.site}


def main() -> int:
    """Measure ours, then the rivals; never two at once. The exit code is 1 when something could not be measured."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load_before = machine.load()
    given, sizes = Given(options.postgres, options.redis), _sizes(options)
    figures: dict[str, dict[str, float]] = {title: {} for title in sizes}
    problems: list[str] = []
    for title, size in sizes.items():
        try:
            with SITES[title](size, given) as site, site.running():
                measure(site, options.only, figures[title], problems)
        except Exception as error:
            problems.append(_problem(f"{title} could not be started or stopped", error))
    lines = report.table(figures)
    print(f"\n{report.markdown(lines)}\n", flush=True)
    if options.write:
        report.write(lines, problems, sizes, report.facts(given, load_before), options.write)
    return 1 if problems else 0


def measure(site: Site, suites: Sequence[str], figures: dict[str, float], problems: list[str]) -> None:
    """Run the suites. What fails is told, and the rest goes on."""
    for name in (name for name in suites if name not in site.lacks):
        began = time.monotonic()
        try:
            found = SUITES[name](site)
        except Exception as error:
            problems.append(_problem(f"{name} of {site.title} could not be measured", error))
            continue
        figures.update(found)
        print(f"{site.title:12} {name:10} {time.monotonic() - began:6.1f} s  {_told(found)}", flush=True)


def _sizes(options: argparse.Namespace) -> dict[str, Sizes]:
    """How much of which product, in the order of measuring."""
    chosen = {"Orchestrator": options.ours, "Prefect": options.prefect, "Celery": options.celery}
    whole = {"Orchestrator": OURS, "Prefect": PREFECT, "Celery": CELERY}
    quick = {"Orchestrator": OURS_QUICK, "Prefect": PREFECT_QUICK, "Celery": CELERY_QUICK}
    sizes = quick if options.quick else whole
    return {title: size for title, size in sizes.items() if chosen[title]}


def _problem(what: str, error: Exception) -> str:
    """Show where it happened; the short form is for the report: what was tried, and what was said last."""
    traceback.print_exception(error)
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{what}: {lines[0]}" + (f" {lines[-1].strip()}" if len(lines) > 1 else "")


def _told(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", **some_of(SUITES))
    parser.add_argument("--no-ours", dest="ours", action="store_false", help="leave ours out")
    parser.add_argument("--no-prefect", dest="prefect", action="store_false", help="leave Prefect out")
    parser.add_argument("--no-celery", dest="celery", action="store_false", help="leave Celery out")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that everything works")
    parser.add_argument("--postgres", metavar="URL", default="", help=POSTGRES_HELP)
    parser.add_argument("--redis", metavar="URL", default="", help=REDIS_HELP)
    results = report.RESULTS.relative_to(Path.cwd()) if report.RESULTS.is_relative_to(Path.cwd()) else report.RESULTS
    parser.add_argument(
        "--write", type=Path, nargs="?", metavar="FILE", const=report.RESULTS, help=f"keep the table (in {results})"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
