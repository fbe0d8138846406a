"""What the servers' logs say: exceptions that the faults explain, and others."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

# What a lost store, a cut connection or a dead neighbour looks like from inside.
EXPLAINED = re.compile(
    r"OperationalError|InterfaceError|AdminShutdown|CrashShutdown|CannotConnectNow|QueryCanceled|IdleInTransaction"
    r"|ConnectionError|ConnectionRefused|ConnectionReset|ConnectionAborted|BrokenPipe|TimeoutError|timed out"
    r"|BusyLoading|ResponseError: LOADING|Connection closed by server|ConnectionClosed|ReadOnlyError|Unreachable"
    r"|IncompleteRead|could not be reached|socket\.gaierror|EOFError|RunTerminated|RunCancelled|RunSuperseded"
    r"|KeyboardInterrupt|CancelledError|ClientDisconnected|No space left on device|server closed the connection"
    r"|reset by peer|celery.redirected|WorkerShutdown|closed shelf|I/O operation on closed file"
)
NEVER = re.compile(
    r"deadlock detected|DeadlockDetected|IntegrityError|UniqueViolation|ForeignKeyViolation|TransitionRefused"
    r"|NoTenantScope|could not serialize|out of shared memory|too many clients|PANIC"
)
TRACEBACK = "Traceback (most recent call last):"
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


class Digest:
    """Exceptions by their last line, and how often they came."""

    def __init__(self, folder: Path) -> None:
        self.explained: Counter[str] = Counter()
        self.unexplained: Counter[str] = Counter()
        self.forbidden: Counter[str] = Counter()
        for path in sorted(folder.glob("*.log")):
            if not path.name.startswith("agent"):  # What flows print there is their own affair.
                self._read(path)

    def _read(self, path: Path) -> None:
        inside, last = False, ""
        for line in path.read_text(errors="replace").splitlines():
            if NEVER.search(line):
                self.forbidden[f"{path.stem}: {line.strip()[:200]}"] += 1
            text = line.partition("│ ")[2] or line
            if text.startswith(CHAINED):
                last = ""  # Only the last one of a chain came through.
            elif TRACEBACK in text:
                self._sort(path, last)
                inside, last = True, ""
            elif inside and text and not text.startswith((" ", "\t")):
                inside, last = False, text
        self._sort(path, last)

    def _sort(self, path: Path, text: str) -> None:
        if not text:
            return
        kind = re.sub(r"\d+", "N", text)[:160]
        (self.explained if EXPLAINED.search(text) else self.unexplained)[f"{path.stem.rstrip('-12')}: {kind}"] += 1
