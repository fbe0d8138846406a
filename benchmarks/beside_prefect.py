"""The smaller benchmarks, which are begun by their modules: ours and Prefect's in one run, and a table of both."""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, ours, prefect, report
from benchmarks.rows import Row
from benchmarks.site import Site
from benchmarks.sizes import OURS, OURS_QUICK, PREFECT, PREFECT_QUICK
from benchmarks.stores import Given

Suite = Callable[[Site], dict[str, float]]


@dataclass(frozen=True)
class Benchmark:
    """One of them: what its table is called, the module that begins it, where its table is kept, and the rows."""

    title: str
    module: str
    results: Path
    rows: Sequence[Row]

    def run(self, options: argparse.Namespace, suites: Mapping[str, Suite]) -> int:
        """Measure both, print the table; the exit code is 1 when something could not be measured."""
        begun = {ours.site: OURS_QUICK if options.quick else OURS}
        if not options.no_prefect:
            begun[prefect.site] = PREFECT_QUICK if options.quick else PREFECT
        load_before, figures, whole = machine.load(), dict[str, dict[str, float]](), True
        for begin, sizes in begun.items():
            with begin(sizes, Given("", "")) as site, site.running():
                figures[site.title] = told = {}
                for name in (name for name in suites if name not in site.lacks):
                    whole &= _measure(site, name, suites[name], told)
        lines = report.without_celery(report.table(figures, self.rows))
        print(f"\n{report.markdown(lines)}\n", flush=True)
        if options.write:
            report.write_beside_prefect(self.title, self.module, lines, load_before, self.results)
        return 0 if whole else 1

    def parser(self, description: str | None) -> argparse.ArgumentParser:
        """The options that all of them have."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}", description=description)
        parser.add_argument("--no-prefect", action="store_true", help="leave Prefect out")
        parser.add_argument("--quick", action="store_true", help="small numbers, to see that everything works")
        parser.add_argument("--write", action="store_true", help=f"keep the table (in benchmarks/{self.results.name})")
        return parser


def _measure(site: Site, name: str, measure: Suite, figures: dict[str, float]) -> bool:
    """Whether it could be measured; what fails is told, and the rest goes on."""
    try:
        found = measure(site)
    except Exception:
        traceback.print_exc()
        print(f"{name} of {site.title} could not be measured.", file=sys.stderr, flush=True)
        return False
    figures |= found
    print(site.title, *(f"{figure} {value:.4g}" for figure, value in found.items()), sep="  ", flush=True)
    return True
