"""The faults: which there are, how often each is chosen, what it does and how it ends.

Everything is drawn from one seeded generator in one thread, so the same seed makes the same plan; what each fault hits
depends on what runs in that moment.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.installation import AGENTS, SHORT, Installation
from tests.chaos.proxy import Proxy

LEASE = float(SHORT["LEASE_SECONDS"])
Undo = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """`act` does it and answers what it did, and how and when (s) it is undone, if it has to be."""

    name: str
    weight: float
    act: Callable[[Installation, random.Random], tuple[str, Undo | None, float]]


def _kill(*names: str) -> Callable[[Installation, random.Random], tuple[str, Undo | None, float]]:
    def act(installation: Installation, dice: random.Random) -> tuple[str, Undo | None, float]:
        name, pause = dice.choice(names), dice.uniform(0.0, 3.0)
        name = name if name in installation.processes else names[0]
        installation.kill(name, pause)
        return f"kill {name}, start again in {pause:.1f} s", None, 0

    return act


def _stop(*names: str) -> Callable[[Installation, random.Random], tuple[str, Undo | None, float]]:
    def act(installation: Installation, dice: random.Random) -> tuple[str, Undo | None, float]:
        name, pause = dice.choice(names), dice.uniform(0.5, 3.0)
        installation.stop_for(name, pause)
        return f"stop {name}, start again in {pause:.1f} s", None, 0

    return act


def _freeze(*names: str, longest: float = 5.0) -> Callable[[Installation, random.Random], tuple[str, Undo, float]]:
    def act(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
        name, seconds = dice.choice(names), dice.uniform(0.5, longest)
        installation.freeze(name)
        return f"freeze {name} for {seconds:.1f} s", lambda: installation.thaw(name), seconds

    return act


def _kill_flow(installation: Installation, dice: random.Random) -> tuple[str, None, float]:
    where = dice.random()
    found = sorted(installation.flow_processes(), key=lambda process: process.pid)
    if not found:
        return "kill a flow process: there is none", None, 0
    chosen = found[int(where * len(found))]
    with suppress(psutil.Error):
        chosen.kill()
    return f"kill flow process {chosen.pid}", None, 0


def _freeze_flow(installation: Installation, dice: random.Random) -> tuple[str, Undo | None, float]:
    where, seconds = dice.random(), dice.uniform(1.0, LEASE + 4)
    found = sorted(installation.flow_processes(), key=lambda process: process.pid)
    if not found:
        return "freeze a flow process: there is none", None, 0
    chosen = found[int(where * len(found))]

    def thaw() -> None:
        with suppress(psutil.Error):
            chosen.resume()

    with suppress(psutil.Error):
        chosen.suspend()
    return f"freeze flow process {chosen.pid} for {seconds:.1f} s", thaw, seconds


def _freeze_web(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
    """Both web servers, for longer than a lease: everybody who holds one is judged while the ticks go on."""
    seconds = LEASE + dice.uniform(1.0, 5.0)
    for name in ("web-1", "web-2"):
        installation.freeze(name)

    def thaw() -> None:
        for name in ("web-1", "web-2"):
            installation.thaw(name)

    return f"freeze both web servers for {seconds:.1f} s", thaw, seconds


def _stop_server(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
    """All of the server, for longer than a lease and than what counts as an outage."""
    seconds = max(LEASE, 10.0) + dice.uniform(1.0, 4.0)
    names = [name for name in installation.processes if name.startswith(("web", "work", "ticks", "beat"))]
    if dice.random() < 0.5:
        for name in names:
            installation.stop_for(name, seconds)
        return f"stop the server for {seconds:.1f} s", lambda: None, seconds
    for name in names:
        installation.freeze(name)

    def thaw() -> None:
        for name in names:
            installation.thaw(name)

    return f"freeze the server for {seconds:.1f} s", thaw, seconds


def _weather(
    change: str, least: float, most: float, **values: Callable[[random.Random], object]
) -> Callable[[Installation, random.Random], tuple[str, Undo, float]]:
    """A proxy's weather for a while."""

    def act(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
        proxy = installation.proxies[dice.choice(("web", "web", "postgres", "redis"))]
        seconds = dice.uniform(least, most)
        drawn = {name: draw(dice) for name, draw in values.items()}
        installation.network.call(lambda: _change(proxy, drawn))
        undo = lambda: installation.network.call(proxy.clear_up)  # noqa: E731
        told = " ".join(f"{name}={value}" for name, value in drawn.items())
        return f"{change} {proxy.name} for {seconds:.1f} s ({told})", undo, seconds

    return act


def _change(proxy: Proxy, values: dict[str, object]) -> None:
    for name, value in values.items():
        setattr(proxy.weather, name, value)


def _cut(installation: Installation, dice: random.Random) -> tuple[str, None, float]:
    proxy = installation.proxies[dice.choice(("web", "web", "postgres", "redis"))]
    installation.network.call(proxy.cut)
    return f"cut all connections to {proxy.name}", None, 0


def _agent_clock(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
    """Nobody trusts the clock of an agent's machine: it may be hours off, and jump under a run."""
    name, off, seconds = dice.choice(AGENTS), dice.uniform(-7200, 7200), dice.uniform(3.0, 15.0)
    installation.clock(name).write_text(str(off))
    return f"clock of {name} off by {off:.0f} s for {seconds:.1f} s", _right_again(installation, name), seconds


def _server_clock(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
    """Servers' clocks are kept by NTP: a second or two is what is promised to do no harm."""
    name, off, seconds = dice.choice(("web-1", "web-2")), dice.uniform(-2, 2), dice.uniform(3.0, 15.0)
    installation.clock(name).write_text(str(off))
    return f"clock of {name} off by {off:.1f} s for {seconds:.1f} s", _right_again(installation, name), seconds


def _right_again(installation: Installation, name: str) -> Undo:
    return lambda: installation.clock(name).unlink(missing_ok=True)


def _fill_disk(installation: Installation, dice: random.Random) -> tuple[str, Undo, float]:
    name, seconds = dice.choice(AGENTS), dice.uniform(1.0, 6.0)
    flag = installation.full_disk(name)
    flag.touch()
    return f"no room for journals of {name} for {seconds:.1f} s", lambda: flag.unlink(missing_ok=True), seconds


FAULTS = [
    Fault("kill flow process", 8, _kill_flow),
    Fault("freeze flow process", 2, _freeze_flow),
    Fault("kill agent", 4, _kill(*AGENTS)),
    Fault("stop agent", 1.5, _stop(*AGENTS)),
    Fault("freeze agent", 2, _freeze(*AGENTS, longest=LEASE + 5)),
    Fault("kill web", 4, _kill("web-1", "web-2")),
    Fault("stop web", 1.5, _stop("web-1", "web-2")),
    Fault("freeze web", 1.5, _freeze("web-1", "web-2")),
    Fault("kill worker", 2, _kill("ticks", "work-1", "work-2")),
    Fault("freeze ticks", 1, _freeze("ticks", longest=14.0)),
    Fault("kill beat", 1, _kill("beat-1", "beat-2")),
    Fault("kill PostgreSQL", 2, _kill("postgres")),
    Fault("freeze PostgreSQL", 1, _freeze("postgres")),
    Fault("kill Valkey", 2, _kill("valkey")),
    Fault("freeze Valkey", 1, _freeze("valkey")),
    Fault("web away for longer than a lease", 0.7, _freeze_web),
    Fault("server away for longer than a lease", 0.7, _stop_server),
    Fault("cut connections", 5, _cut),
    Fault("refuse connections", 2, _weather("refuse", 0.5, 4.0, refuses=lambda dice: True)),
    Fault("delay", 3, _weather("delay", 2.0, 8.0, delay=lambda dice: round(dice.uniform(0.01, 0.4), 3))),
    Fault("half-open", 2, _weather("half-open", 0.5, 6.0, silent=lambda dice: True)),
    Fault("lose answers", 4, _weather("lose answers", 0.3, 3.0, loses_after=lambda dice: dice.choice((0, 1, 40, 150)))),
    Fault("clock of an agent", 3, _agent_clock),
    Fault("clock of a server", 1, _server_clock),
    Fault("disk full", 2, _fill_disk),
]


class Storm:
    """Draws faults and undoes them, until its time is over; what is still to be undone then, `calm` undoes."""

    def __init__(self, installation: Installation, seed: int, pause: tuple[float, float]) -> None:
        self._installation = installation
        self._dice = random.Random(f"faults {seed}")
        self._pause = pause
        self._undo: list[tuple[float, int, str, Undo]] = []
        self._numbers = itertools.count()
        self.count: Counter[str] = Counter()

    def rage(self, seconds: float) -> None:
        """Do harm for so long."""
        until = time.monotonic() + seconds
        out_of_reach = {"postgres": "PostgreSQL", "valkey": "Valkey"}
        foreign = [store for name, store in out_of_reach.items() if name not in self._installation.processes]
        possible = [fault for fault in FAULTS if not any(store in fault.name for store in foreign)]
        while time.monotonic() < until:
            fault = self._dice.choices(possible, [each.weight for each in possible])[0]
            told, undo, after = fault.act(self._installation, self._dice)
            self.count[fault.name] += 1
            self._installation.log(told)
            if undo is not None:
                heapq.heappush(self._undo, (time.monotonic() + after, next(self._numbers), told, undo))
            self._rest(min(until, time.monotonic() + self._dice.uniform(*self._pause)))

    def calm(self) -> None:
        """Undo everything now."""
        self._undo_until(float("inf"))

    def _rest(self, until: float) -> None:
        while (now := time.monotonic()) < until:
            self._undo_until(now)
            time.sleep(0.05)

    def _undo_until(self, now: float) -> None:
        while self._undo and self._undo[0][0] <= now:
            _, _, told, undo = heapq.heappop(self._undo)
            undo()
            self._installation.log(f"over: {told}")
