"""Messages leave by one thread, which no fault of Redis, of a message, or of a fork ends."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
import redis as redis_package

from runs import messenger as subject
from runs.messenger import Messenger, client


@pytest.fixture
def messenger(valkey: Any) -> Messenger:
    return Messenger()


def test_messages_are_sent_in_order_and_together(messenger: Messenger, valkey: Any) -> None:
    for number in range(3_000):
        messenger.send(lambda redis, number=number: redis.rpush("said", number))
    assert messenger.flush()
    assert [int(said) for said in valkey.lrange("said", 0, -1)] == list(range(3_000))


def test_a_message_that_fails_costs_its_neighbours_only_once(messenger: Messenger, valkey: Any) -> None:
    messenger.send(lambda redis: 1 / 0)
    assert messenger.flush()
    messenger.send(lambda redis: redis.set("said", 1))
    assert messenger.flush()
    assert valkey.get("said") == b"1"


def test_while_redis_is_away_nobody_waits_and_nothing_piles_up(
    messenger: Messenger, valkey: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = redis_package.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=1)
    monkeypatch.setattr(subject, "client", lambda: away)
    for _ in range(3):
        messenger.send(lambda redis: redis.set("said", 1))
        assert messenger.flush()
    monkeypatch.setattr(subject, "client", client)
    messenger.send(lambda redis: redis.set("said", 2))
    assert messenger.flush()
    assert valkey.get("said") == b"2"
    assert caplog.text.count("Redis is away") == 1


def test_the_oldest_are_lost_when_too_many_wait(messenger: Messenger, valkey: Any) -> None:
    holding, go = threading.Event(), threading.Event()

    def hold(redis: Any) -> None:
        holding.set()
        go.wait(10)

    messenger.send(hold)
    assert holding.wait(10)
    for number in range(subject.WAITING + 10):
        messenger.send(lambda redis, number=number: redis.rpush("said", number))
    go.set()
    assert messenger.flush()
    assert int(valkey.lindex("said", 0)) == 10


def test_a_forked_process_has_a_thread_of_its_own(messenger: Messenger, valkey: Any) -> None:
    messenger.send(lambda redis: redis.set("parent", 1))
    assert messenger.flush()
    child = os.fork()
    if child == 0:
        client.cache_clear()
        messenger.send(lambda redis: redis.set("child", 1))
        os._exit(0 if messenger.flush() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert valkey.get("child") == b"1"
