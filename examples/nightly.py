"""A night's work that goes on where it was killed: the sums of many files, and a report.

What it shows: stored results. Kill it (Ctrl+C, kill -9, pull the plug) and call it again with the id that it printed:
files that were read are not read again, unless they have changed. An agent does the same by itself.

    python -m examples.nightly measurements
    python -m examples.nightly measurements --resume 01a2079f-8014-7e8b-a10c-1e4de61d372b
"""

from __future__ import annotations

import argparse
import csv
from contextlib import nullcontext
from pathlib import Path

from orchestrator import flow, get_run_logger, runtime, task
from orchestrator.results import replaying


@task(persist_result=False)
def files_of(directory: Path) -> list[tuple[Path, float]]:
    """The files, and when they were written: looked up each time, so that a changed one is another input."""
    return [(path, path.stat().st_mtime) for path in sorted(directory.glob("*.csv"))]


@task(task_run_name="sum of {path.name}")
def sum_of(path: Path, written: float) -> float:
    """The sum of a file's second column."""
    with path.open(newline="") as file:
        return sum(float(row[1]) for row in csv.reader(file))


@task
def report(directory: Path, sums: dict[str, float]) -> Path:
    """Written under a name of its own and then renamed: it can be done twice without harm."""
    target, half = directory / "report.txt", directory / "report.txt.part"
    half.write_text("".join(f"{name} {value:.2f}\n" for name, value in sums.items()))
    return half.replace(target)


@flow(persist_result=True)
def nightly(directory: Path) -> Path:
    """Sum up each file of a directory, and write a report.

    Args:
        directory: With files of two columns, `*.csv`.
    """
    get_run_logger().info("To go on after a crash: --resume %s", runtime.flow_run.id)
    sums = {path.name: sum_of(path, written) for path, written in files_of(directory)}
    return report(directory, sums)


def main() -> None:
    """Read the options, and work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--resume", metavar="RUN", help="the id of the first run of the night")
    options = parser.parse_args()
    with replaying(options.resume) if options.resume else nullcontext():
        print(nightly(options.directory))


if __name__ == "__main__":
    main()
