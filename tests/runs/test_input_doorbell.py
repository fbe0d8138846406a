"""1.17: the door at which a paused process waits, `GET /flow-runs/{id}/wait?since=n`, as ASGI has it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from orchestrator.ids import uuid7
from orchestrator.server.asgi import application
from runs import long_polls
from runs.announcements import announcements
from runs.inputs import doorbell
from runs.listeners import Listeners
from runs.messenger import client, messenger
from tests.cast import Api, Company
from tests.runs import doors
from tests.runs.doors import run
from tests.runs.test_inputs import waiting

pytestmark = pytest.mark.django_db
LONG, SHORT = 20.0, 0.05


@pytest.fixture(autouse=True)
def fresh(valkey: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an event loop, and so listeners, of its own. Its transaction is not to be closed."""
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", LONG)
    if connection.in_atomic_block:
        monkeypatch.setattr("channels.db.close_old_connections", lambda: None)


def wait(run_id: object, key: str, since: object = -1) -> Callable[[], Awaitable[tuple[int, dict]]]:
    return partial(doors.ask, application, f"/api/v1/flow-runs/{run_id}/wait", key, f"since={since}")


def test_a_counter_that_has_moved_answers_at_once(acme: Company, api: Api) -> None:
    """1.17: so no word is lost that came while nobody listened."""
    asked = waiting(acme)
    [(status, told)] = run(wait(asked.run_id, api.key))
    assert status == 200
    doorbell._ring(client(), [str(asked.root_id)])
    assert run(wait(asked.run_id, api.key, told["since"])) == [(200, {"since": told["since"] + 1})]


def test_nothing_new_answers_after_a_while(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.17."""
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", SHORT)
    asked = waiting(acme)
    [(_, told)] = run(wait(asked.run_id, api.key))
    assert run(wait(asked.run_id, api.key, told["since"])) == [(200, told)]


@pytest.mark.django_db(transaction=True)
def test_a_process_that_waits_hears_of_an_answer_at_once(acme: Company, api: Api) -> None:
    """1.17: it is woken, long before it would have asked again by itself."""
    asked = waiting(acme)
    assert messenger.flush()
    since = int(client().get(f"{doorbell.COUNTER}{asked.root_id}") or 0)

    async def process() -> tuple[int, dict]:
        while (told := await wait(asked.run_id, api.key, since)()) == (200, {"since": since}):
            pass  # Whoever waits looks again when the subscription begins: something may have been missed.
        return told

    async def answer() -> None:
        bells.append(announcements().bell)
        while not any(event._waiters for events in bells[0].of_name.values() for event in events):
            await asyncio.sleep(0.001)
        told = await sync_to_async(api.post)(f"/flow-runs/{asked.run_id}/resume", {})
        assert told.status_code == 200
        assert await sync_to_async(messenger.flush)()

    bells: list[Listeners] = []
    (status, told), _ = run(process, answer)
    assert (status, told["since"] > since) == (200, True)
    assert not bells[0].of_name


def test_others_wait_for_nothing_here(acme: Company, api: Api, eve_api: Api) -> None:
    """1.17: what is another organization's answers as what does not exist; strangers are sent away."""
    asked = waiting(acme)
    theirs, nobodys, strange, wrong = run(
        wait(asked.run_id, eve_api.key), wait(uuid7(), eve_api.key), wait(asked.run_id, ""),
        wait(asked.run_id, api.key, "soon"),
    )  # fmt: skip
    assert (theirs[0], theirs) == (404, nobodys)
    assert (strange[0], wrong[0]) == (401, 400)


def test_redis_that_is_away_is_said(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.17: the process asks again."""

    async def away(*_: Any) -> int:
        raise ConnectionError

    monkeypatch.setattr(doorbell, "_counter", away)
    [(status, told)] = run(wait(waiting(acme).run_id, api.key))
    assert (status, told["error"]["code"]) == (503, "unavailable")
