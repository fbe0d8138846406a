"""What the agent keeps warm: for each deployment a process that has imported its code, or some, and a base for all.

The *base* has imported the SDK and is forked into everything else. A *template* has imported a deployment's code with
one thread to its name, and is forked into each run. A *spare* has imported code that left threads behind, serves one
run itself, and is replaced. A *reused* process serves run after run.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.agent import memory
from orchestrator.agent.launchers import Claimed
from orchestrator.agent.log import Log
from orchestrator.agent.process import NewProcess, Output
from orchestrator.agent.settings import Settings
from orchestrator.agent.standby import BORN_WITHIN, Standby
from orchestrator.agent.watch import Watch

IMPORT_WITHIN = 60.0  # seconds that user code may take to be imported before its runs go another way
UNFIT_FOR = 60.0  # seconds after which what could not be kept warm is tried again
LOOK_EVERY = 0.1  # seconds, whether a run that waits for an import is to be started at all
REUSED = 1_000  # runs that one process takes
# These an interpreter, or the C library, reads when it starts: a fork would come too late.
_AT_START = ("PYTHON", "LD_", "DYLD_", "LC_", "LANG", "MALLOC_", "GLIBC_")


@dataclass(slots=True)
class Warm:
    """What is kept for one deployment.

    Attributes:
        loaded: Set when the first import has ended, one way or the other.
        fit: False when it failed.
        idle: Spares, or processes to be reused, that wait for a run.
    """

    name: str
    loaded: threading.Event = field(default_factory=threading.Event)
    fit: bool = True
    template: Standby | None = None
    idle: list[Standby] = field(default_factory=list)
    loading: list[Standby] = field(default_factory=list)
    files: list[tuple[str, int, int]] = field(default_factory=list)
    used: float = field(default_factory=time.monotonic)

    def standbys(self) -> list[Standby]:
        """The processes that stand by, those that run something aside."""
        return [each for each in (self.template, *self.idle) if each is not None]

    def is_stale(self) -> bool:
        """True when its code has changed since it was imported, or its template has died."""
        if self.template is not None and self.template.gone:
            return True
        return any(_changed(*each) for each in self.files)


def _changed(path: str, modified: int, size: int) -> bool:
    try:
        facts = os.stat(path)
    except OSError:
        return True
    return (facts.st_mtime_ns, facts.st_size) != (modified, size)


def key_of(claimed: Claimed, python: str) -> str:
    """What has to be the same for two runs to have one template.

    A bundle's address tells its content, and the directory of what was fetched its commit.
    """
    claim = claimed.claim
    return json.dumps(
        [
            claim["source"],
            claimed.directory,
            claim["entrypoint"],
            claimed.process == "reuse",
            claimed.configuration,
            python,
        ],
        sort_keys=True,
    )


class Templates:
    """All that is kept warm."""

    def __init__(self, url: str, settings: Settings, watch: Watch, log: Log) -> None:
        self._url = url
        self._settings = settings
        self._watch = watch
        self._log = log
        self._lock = threading.Lock()
        self._warm: OrderedDict[str, Warm] = OrderedDict()  # the one used last is the last
        self._base: Standby | None = None
        self._base_failed = 0.0
        self._closed = False
        reading, self._writing = os.pipe()
        self._output = Output("template", reading, settings.output)
        watch.add(reading, self._output.read)

    # The base.

    def base(self) -> Standby | None:
        """The process that is forked into everything else; None where that can't be."""
        with self._lock:
            if self._base is None or self._base.gone:
                if self._closed or time.monotonic() < self._base_failed:
                    return None
                self._base = self._started({}, os.sep)
                if self._base is None:
                    return None
            base = self._base
        if not base.wait_for_answer(BORN_WITHIN) or base.facts.get("threads") != 1:
            self._base_failed = time.monotonic() + UNFIT_FOR
            return None
        return base

    def _started(self, more: dict[str, str], directory: str) -> Standby | None:
        standby = Standby(self._watch)
        try:
            standby.start(self._settings, self._url, more, directory, self._writing)
        except OSError as error:
            self._log.warning(f"no process could be started to stand by: {error}")
            return None
        return standby

    # For a run.

    def execution(self, claimed: Claimed, make: Callable[[], NewProcess]) -> NewProcess | None:
        """Have a warm process execute a run; None when there is none for it."""
        key = key_of(claimed, self._settings.python)
        warm = self._warm_for(key, claimed)
        while not warm.loaded.wait(LOOK_EVERY):
            if claimed.stop.is_set():
                return None
        if warm.template is not None:
            return self._forked(warm.template, make())
        return self._executed_by_idle(key, warm, claimed, make)

    def cold_execution(self, claimed: Claimed, make: Callable[[], NewProcess]) -> NewProcess | None:
        """Fork the base for a run, which imports the code for itself; None when that can't be."""
        base = None if _needs_interpreter(claimed) else self.base()
        return None if base is None else self._forked(base, make())

    @staticmethod
    def _forked(standby: Standby, process: NewProcess) -> NewProcess | None:
        standby.fork(process)
        return process if process.wait_until_born(BORN_WITHIN) else None

    def _executed_by_idle(
        self, key: str, warm: Warm, claimed: Claimed, make: Callable[[], NewProcess]
    ) -> NewProcess | None:
        reuse = claimed.process == "reuse"
        standby = self._take_idle(warm)
        if standby is None and reuse and warm.fit:
            standby = self._loaded(claimed, warm)
        if standby is None:
            return None
        process = make()
        if reuse:
            process.freed = lambda: self._give_back(key, warm, standby)
        else:
            self._in_background(lambda: self._add_spare(key, warm, claimed))
        if not standby.execute(process, again=reuse):
            return None
        return process if process.wait_until_born(BORN_WITHIN) else None

    def _take_idle(self, warm: Warm) -> Standby | None:
        with self._lock:
            while warm.idle:
                standby = warm.idle.pop()
                if not standby.gone:
                    return standby
        return None

    def _give_back(self, key: str, warm: Warm, standby: Standby) -> None:
        standby.running = None
        standby.runs += 1
        with self._lock:
            if self._warm.get(key) is warm and standby.runs < REUSED and not standby.gone:
                warm.idle.append(standby)
                return
        standby.close()

    # Making them.

    def _warm_for(self, key: str, claimed: Claimed) -> Warm:
        with self._lock:
            warm = self._warm.get(key)
            if warm is not None and warm.loaded.is_set() and warm.is_stale():
                self._log.info(f"the code of {warm.name} has changed, or its template is gone: it is imported again")
                self._retire(key)
                warm = None
            new = warm is None
            if warm is None:
                warm = self._warm[key] = Warm(f"{claimed.claim.get('flow')}/{claimed.claim.get('deployment')}")
            self._warm.move_to_end(key)
            warm.used = time.monotonic()
        if new:
            self._in_background(lambda: self._fill(key, warm, claimed))
        return warm

    def _in_background(self, call: Callable[[], None]) -> None:
        threading.Thread(target=call, name="agent-import", daemon=True).start()

    def _fill(self, key: str, warm: Warm, claimed: Claimed) -> None:
        """Import the code for the first time, and see what that makes of the process."""
        try:
            standby = self._loaded(claimed, warm)
            if standby is None:
                warm.fit = False
            elif claimed.process == "reuse":
                warm.idle.append(standby)
            elif standby.facts["threads"] == 1:
                warm.template = standby
            else:
                self._log.info(f"{warm.name} starts threads when it is imported: each run gets a process of its own")
                warm.idle.append(standby)
        finally:
            warm.loaded.set()
        self.tidy()

    def _add_spare(self, key: str, warm: Warm, claimed: Claimed) -> None:
        standby = self._loaded(claimed, warm)
        if standby is None:
            return
        with self._lock:
            if self._warm.get(key) is warm and not self._closed:
                warm.idle.append(standby)
                return
        standby.close()

    def _loaded(self, claimed: Claimed, warm: Warm) -> Standby | None:
        """A new process that has imported the code; None when that failed."""
        began = time.monotonic()
        standby = self._new(claimed)
        if standby is None:
            return None
        warm.loading.append(standby)
        standby.load(claimed, IMPORT_WITHIN)
        answered = standby.wait_for_answer(IMPORT_WITHIN)
        warm.loading.remove(standby)
        if not answered or not standby.facts.get("loaded") or self._closed:
            why = standby.facts.get("failed") or "its import did not end in time, or ended the process"
            self._log.warning(f"{warm.name} is not kept warm: {why}")
            standby.kill()
            return None
        if claimed.claim["source"].get("type") == "path":
            warm.files = [(path, modified, size) for path, modified, size in standby.facts["files"]]
            warm.files += [("", 0, 0)] if standby.facts["changed"] else []
        self._log.debug(f"{warm.name} was imported in {time.monotonic() - began:.3f} s")
        return standby

    def _new(self, claimed: Claimed) -> Standby | None:
        base = None if _needs_interpreter(claimed) else self.base()
        if base is not None:
            standby = Standby(self._watch)
            base.fork(standby, "standby")
            return standby
        if self._closed:
            return None
        alone = self._started(claimed.environment, claimed.directory)
        if alone is not None and not alone.wait_for_answer(BORN_WITHIN):
            alone.kill()
            return None
        return alone

    # Letting go of them.

    def tidy(self) -> None:
        """Keep to the bounds: how many, how long unused, how much memory."""
        now = time.monotonic()
        with self._lock:
            for key, warm in list(self._warm.items()):
                patience = self._settings.template_idle if warm.fit else UNFIT_FOR
                if warm.loaded.is_set() and now - warm.used > patience:
                    self._retire(key)
            while len(self._warm) > max(1, self._settings.templates):
                self._retire(next(iter(self._warm)))
            self._keep_to_memory()

    def _keep_to_memory(self) -> None:
        """Let go of those that were used least lately. The very last one stays: else each of its runs would wait."""
        sizes = {key: sum(memory.own_bytes(s.pid) for s in warm.standbys()) for key, warm in self._warm.items()}
        for key in list(self._warm)[:-1]:
            if sum(sizes.values()) <= self._settings.template_memory << 20:
                return
            self._log.info(f"{self._warm[key].name} is kept warm no longer: templates have used up their memory")
            del sizes[key]
            self._retire(key)

    def _retire(self, key: str) -> None:
        for standby in self._warm.pop(key).standbys():
            standby.retire()

    def counts(self) -> tuple[int, int]:
        """How many templates there are, and how many spares."""
        with self._lock:
            kept = list(self._warm.values())
        return sum(warm.template is not None for warm in kept), sum(len(warm.idle) for warm in kept)

    def groups(self) -> list[int]:
        """The process groups of those that stand by."""
        with self._lock:
            kept = [standby for warm in self._warm.values() for standby in warm.standbys()]
        return [standby.pid for standby in [*kept, self._base] if standby is not None and standby.pid]

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            self._closed = True
            kept = [s for warm in self._warm.values() for s in (*warm.standbys(), *warm.loading)]
            self._warm.clear()
        for standby in kept:
            standby.kill()
        if self._base is not None:
            self._base.close()
        self._watch.remove(self._output.descriptor, self._close_output)

    def _close_output(self) -> None:
        os.close(self._writing)
        self._output.drain()
        os.close(self._output.descriptor)


def _needs_interpreter(claimed: Claimed) -> bool:
    return any(name.startswith(_AT_START) for name in claimed.environment)
