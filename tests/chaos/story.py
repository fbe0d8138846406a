"""One chaos run from beginning to end."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from pathlib import Path

from tests.chaos.faults import Storm
from tests.chaos.installation import Installation
from tests.chaos.load import Load
from tests.chaos.server_logs import Digest
from tests.chaos.verdict import Verdict, wait_for_quiet

PATIENCE = 120.0  # seconds until everything has to be quiet, after all was healed
WARM_UP = 3.0  # seconds of load without a fault


class Story:
    """Start, load, break, heal, wait, judge, stop."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        postgres_url: str = "",
        redis_url: str = "",
        small: bool = False,
        dump: Path | None = None,
        pause: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.violations: list[str] = []
        self.seconds: dict[str, float] = {}
        self._pause = pause
        self._began = time.monotonic()
        self._writing = threading.Lock()
        self._installation = Installation(folder, postgres_url, redis_url, small, dump, log=self.note)
        self._load = Load(self._installation, seed)
        self._storm = Storm(self._installation, seed, pause)
        self._verdict = Verdict(self._installation, self._load.ledger)
        self._digest: Digest | None = None

    def note(self, text: str) -> None:
        """Write into the log of what was done, with the time since the beginning."""
        with self._writing, (self.folder / "actions.log").open("a") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._began:8.2f}  {text}\n")

    def tell(self, seconds: float) -> list[str]:
        """All of it; the violations. The folder is kept when there are some."""
        try:
            self._timed("start", self._start)
            self._timed("storm", lambda: self._storm.rage(seconds))
            self._timed("heal", self._heal)
            self._timed("quiet", lambda: wait_for_quiet(self._installation, PATIENCE))
            self._timed("judge", self._judge)
        finally:
            self._timed("stop", self._stop)
        return self.violations

    def _timed(self, name: str, work: object) -> None:
        self.note(f"— {name}")
        began = time.monotonic()
        try:
            work()  # type: ignore[operator]
        finally:
            self.seconds[name] = time.monotonic() - began

    def _start(self) -> None:
        self._installation.start()
        self._load.deploy()
        self._load.begin()
        time.sleep(WARM_UP)

    def _heal(self) -> None:
        self._storm.calm()
        self._installation.heal()
        self._load.end()

    def _judge(self) -> None:
        self.violations += self._verdict.judge()

    def _stop(self) -> None:
        left = self._installation.stop()
        self._installation.stop_stores()
        self._digest = Digest(self._installation.logs)
        self.violations += [f"left after the stop: {each}" for each in left]
        self.violations += [f"in the log of {each} ({number} ×)" for each, number in self._digest.forbidden.items()]
        if not self.violations:
            shutil.rmtree(self.folder, ignore_errors=True)

    def report(self) -> str:
        """What happened, in some lines."""
        ledger, digest = self._load.ledger, self._digest or Digest(self._installation.logs)
        sections = {
            "seconds": {name: f"{value:.1f}" for name, value in self.seconds.items()},
            "faults": dict(self._storm.count.most_common()),
            "runs by end": dict(self._verdict.ends.most_common()),
            "asked": {"triggers": len(ledger.asked), "cancels": len(ledger.cancelled), **Counter(ledger.many.values())},
            "notes": dict(self._verdict.notes.most_common(12)),
            "peak MB, descriptors": {
                name: f"{memory >> 20}, {number}" for name, (memory, number) in sorted(self._installation.peak.items())
            },
            "ended by themselves": dict.fromkeys(self._installation.died, ""),
            "unexpected answers": dict(ledger.refusals.most_common(8)),
            "exceptions that faults explain": dict(digest.explained.most_common(12)),
            "other exceptions": dict(digest.unexplained.most_common(12)),
        }
        lines = [line for title, facts in sections.items() if facts for line in _section(title, facts)]
        lines += ["", f"{len(self.violations)} violations" if self.violations else "No violation."]
        lines += [f"  ✗ {violation}" for violation in self.violations[:40]]
        if self.violations:
            lines.append(f"Logs, diaries and actions.log are in {self.folder}; seed {self.seed}")
        return "\n".join(lines)


def _section(title: str, facts: dict[str, object]) -> list[str]:
    return ["", title, *(f"  {name:<44} {value}" for name, value in facts.items())]
