"""The smaller benchmarks, which are begun by their modules: ours and Prefect's in one run, and a table of both."""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import ours, prefect, report
from benchmarks.kept import Kept
from benchmarks.rows import Row
from benchmarks.site import Site
from benchmarks.sizes import OURS, OURS_QUICK, PREFECT, PREFECT_QUICK, Sizes
from benchmarks.stores import Given

Suite = Callable[[Site], dict[str, float]]
Begin = Callable[[Sizes, Given], AbstractContextManager[Site]]


@dataclass(frozen=True)
class Benchmark:
    """One of them: what its table is called, the module that begins it, where its table is kept, and the rows."""

    title: str
    module: str
    results: Path
    rows: Sequence[Row]

    def run(self, options: argparse.Namespace, suites: Mapping[str, Suite]) -> int:
        """Measure, print the table; the exit code is 1 when something could not be measured."""
        kept, whole = Kept(self.results.stem, on_disk=options.write), True
        for begin, sizes in _products(options).items():
            with begin(sizes, Given("", "")) as site, site.running():
                for name in (name for name in suites if name not in site.lacks):
                    whole &= _measure(site, name, suites[name], kept)
        lines = report.without_celery(report.table(kept.figures(), self.rows))
        print(f"\n{report.markdown(lines)}\n", flush=True)
        if options.write:
            report.write_beside_prefect(self.title, self.module, lines, kept.origins(), self.results)
        return 0 if whole else 1

    def parser(self, description: str | None) -> argparse.ArgumentParser:
        """The options that all of them have."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}", description=description)
        parser.add_argument("--no-prefect", action="store_true", help="leave Prefect out")
        parser.add_argument("--no-ours", action="store_true", help="measure Prefect alone")
        parser.add_argument("--quick", action="store_true", help="small numbers, to see that everything works")
        kept = f"keep the table (in benchmarks/{self.results.name}); what isn't measured now is taken from before"
        parser.add_argument("--write", action="store_true", help=kept)
        return parser


def _products(options: argparse.Namespace) -> dict[Begin, Sizes]:
    """What begins each that is asked for, and how much of it is measured."""
    products: dict[Begin, Sizes] = {}
    if not options.no_ours:
        products[ours.site] = OURS_QUICK if options.quick else OURS
    if not options.no_prefect:
        products[prefect.site] = PREFECT_QUICK if options.quick else PREFECT
    return products


def _measure(site: Site, name: str, measure: Suite, kept: Kept) -> bool:
    """Whether it could be measured; what fails is told, and the rest goes on."""
    try:
        found = measure(site)
    except Exception:
        traceback.print_exc()
        print(f"{name} of {site.title} could not be measured.", file=sys.stderr, flush=True)
        return False
    kept.put(site.title, name, found)
    print(site.title, *(f"{figure} {value:.4g}" for figure, value in found.items()), sep="  ", flush=True)
    return True
