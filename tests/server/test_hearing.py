"""Workers that hear nothing any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import redis

from orchestrator.server.hearing import DEAF_AFTER, Ear, something_waits


@dataclass
class Worker:
    waiting: bool = True
    heard: int = 0
    busy: bool = False
    now: float = 1000.0

    def ear(self) -> Ear:
        return Ear(lambda: self.waiting, lambda: self.heard, lambda: self.busy, lambda: self.now)


@pytest.mark.parametrize(
    ("meanwhile", "deaf"),
    [({}, True), ({"heard": 1}, False), ({"busy": True}, False), ({"waiting": False}, False)],
    ids=["nothing", "a task", "at work", "nothing to hear"],
)
def test_a_worker_is_deaf_that_hears_nothing_for_a_minute(meanwhile: dict[str, Any], deaf: bool) -> None:
    worker = Worker()
    ear = worker.ear()
    assert not ear.is_deaf()
    worker.now += DEAF_AFTER - 1
    assert not ear.is_deaf()
    for name, value in meanwhile.items():
        setattr(worker, name, value)
    worker.now += 1
    assert ear.is_deaf() is deaf


def test_the_minute_begins_anew_with_what_is_heard() -> None:
    worker = Worker()
    ear = worker.ear()
    ear.is_deaf()
    worker.now, worker.heard = worker.now + DEAF_AFTER, 1
    assert not ear.is_deaf()
    assert not ear.is_deaf()
    worker.now += DEAF_AFTER - 1
    assert not ear.is_deaf()
    worker.now += 1
    assert ear.is_deaf()


def test_what_there_is_to_hear(valkey: redis.Redis) -> None:
    assert something_waits(valkey, ["ticks"])
    assert not something_waits(valkey, ["work"])
    valkey.rpush("work", "a message")
    assert something_waits(valkey, ["work"])
    assert not something_waits(redis.Redis(port=1), ["ticks"])
