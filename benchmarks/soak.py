"""`make soak`: a million trivial tasks in one flow. Memory and journal stay bounded, and every task is recorded.

The flow runs attached to a stack of its own. While it runs, the process's memory and the size of its journal on disk
are looked at; afterwards the rows are counted. The exit code is 1 when a bound was broken or a task is missing.
"""

import argparse
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import ours
from benchmarks.clients import Client
from benchmarks.site import client
from benchmarks.sizes import OURS
from benchmarks.stores import Given

TASKS = 1_000_000
MEMORY_MIB = 400
"""More than the process holds after its first second: the journal's buffer, and what Python keeps."""
JOURNAL_MIB = 1_024
"""The bound that the SDK sets itself."""
FLOW_SECONDS = 3_600
DRAIN_SECONDS = 900
MIB = 2**20


@dataclass
class Watch:
    """The most that was seen."""

    memory: int = 0
    journal: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def look(self, pid: int, journals: Path) -> None:
        """Look ten times a second until it is over."""
        process = psutil.Process(pid)
        while not self.over.wait(0.1):
            self.memory = max(self.memory, process.memory_info().rss)
            self.journal = max(self.journal, _size(journals))


def main() -> int:
    """Run it; the exit code."""
    options = _options()
    with ours.site(OURS, Given("", "")) as site, site.running():
        with client(site) as user:
            watch, told = _watched(user, options, site.directory / "home" / "journals")
            began = time.perf_counter()
            site.database.wait_recorded(told["run"], options.tasks, DRAIN_SECONDS)
            drained = time.perf_counter() - began
        left = _size(site.directory / "home" / "journals")
    print(
        f"{options.tasks:,} tasks by {options.mode}: {told['inside']:.1f} s in the flow, all recorded {drained:.1f} s"
        f" after its end; the process grew by {watch.memory / MIB:,.0f} MiB, the journal to"
        f" {watch.journal / MIB:,.0f} MiB, of which {left / MIB:,.0f} MiB are left."
    )
    return 0 if watch.memory < MEMORY_MIB * MIB and watch.journal < JOURNAL_MIB * MIB and left == 0 else 1


def _watched(user: Client, options: argparse.Namespace, journals: Path) -> tuple[Watch, dict]:
    """Run the flow; how much its process and its journal grew, and what it told."""
    user.ask("record", FLOW_SECONDS, mode=options.mode, count=1_000)
    watch, before = Watch(), psutil.Process(user.pid).memory_info().rss
    eye = threading.Thread(target=watch.look, args=(user.pid, journals))
    eye.start()
    try:
        told = user.ask("record", FLOW_SECONDS, mode=options.mode, count=options.tasks)
    finally:
        watch.over.set()
        eye.join()
    watch.memory -= before
    return watch, told


def _size(directory: Path) -> int:
    """Bytes of the files; one that goes meanwhile counts as nothing."""
    total = 0
    for path in directory.glob("*.ndjson"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--mode", choices=["call", "submit", "map"], default="call")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
