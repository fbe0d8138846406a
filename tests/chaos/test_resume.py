"""1.16: a flow of 200 steps, killed again and again at random, ends COMPLETED; each side effect is accounted for."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.results import get_result_store
from tests import alone
from tests.chaos.conftest import PATIENCE, Platform, wait_for

pytestmark = pytest.mark.chaos

flows = alone.load(Path(__file__).with_name("durable_flows.py"))
STEPS = 200
KILLS = int(os.environ.get("RESUME_KILLS", "2"))
SECONDS = 0.005 if KILLS < 10 else 0.02  # before and after a step's side effect: there must be time for all kills
SEED = int(os.environ.get("RESUME_SEED", "7"))


class Effects:
    """What the steps have really done, line by line: a word, the attempt, a number."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, word: str) -> list[tuple[int, int]]:
        told = self.path.read_text().splitlines() if self.path.exists() else []
        split = [line.split() for line in told]
        return [(int(attempt), int(number)) for what, attempt, number in split if what == word]

    def process(self, attempt: int) -> int | None:
        """The process of an attempt, once its flow has begun."""
        return dict(self.lines("began")).get(attempt)


def stored(directory: Path, run: str) -> set[int]:
    """The steps whose values are there, seen from outside."""
    store = get_result_store(directory)
    found = [store.read(each.path) for each in store.storage.list(f"runs/{run}")]
    return {value for value, header in found if header.of in ("step", "async_step")}


def test_200_steps_survive_kills_at_random(platform: Platform, tmp_path: Path) -> None:
    effects, chance = Effects(tmp_path / "effects"), random.Random(SEED)
    tmp_path.chmod(0o777)
    deployment = platform.deploy(flows.durable, name="durable", crash_retries=KILLS)
    run = platform.trigger(deployment, effects=str(effects.path), seconds=SECONDS)
    safe: dict[int, set[int]] = {}  # by attempt: what was stored when it had been killed
    for attempt in range(1, KILLS + 1):
        kill_within(effects, attempt, more=chance.randrange(STEPS // (KILLS + 1)))
        safe[attempt] = stored(platform.home / "results", run)
    ended = platform.wait_until_ended(run)

    assert (ended["state"]["type"], ended["attempt"]) == ("COMPLETED", KILLS + 1)
    check_accounts(effects, safe)
    assert stored(platform.home / "results", run) == set(range(STEPS))
    replayed = [task for task in platform.tasks(run) if task["state"]["name"] == "Replayed"]
    assert replayed
    assert all(task["result"]["key"].startswith(f"runs/{run}/") for task in replayed)
    platform.check_invariants()


def kill_within(effects: Effects, attempt: int, more: int) -> None:
    """Kill -9 the process of an attempt once it has done so many steps."""
    process = wait_for(f"attempt {attempt}", lambda: effects.process(attempt))
    before = len(effects.lines("did"))
    deadline = time.monotonic() + PATIENCE
    while len(effects.lines("did")) < before + more:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)


def check_accounts(effects: Effects, safe: dict[int, set[int]]) -> None:
    """Every step was done. What was done twice had been killed between its side effect and its store."""
    done = effects.lines("did")
    times = Counter(number for _, number in done)
    assert set(times) == set(range(STEPS))
    for attempt, number in done:
        assert not any(number in kept for former, kept in safe.items() if former < attempt), (attempt, number)
    returned = effects.lines("returned")
    for attempt, number in done:
        assert not any(number == each and former < attempt for former, each in returned), (attempt, number)
    assert sum(times.values()) - STEPS <= len(safe) * flows.WORKERS
