"""1.19: the queue of background tasks on the server: its bounds, its pages, and waiting for the end of runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestrator.server.bridge import Bodies
from runs import arguments, background, endings
from runs.announcements import announcements
from runs.messenger import messenger
from tests.cast import Api, Company
from tests.runs import doors
from tests.runs.work import agent

pytestmark = pytest.mark.django_db
QUEUE = "serve mail-background"
TASK = {"entrypoint": "app.py:mail", "queue": QUEUE}


@pytest.fixture(autouse=True)
def fresh(valkey: object, monkeypatch: pytest.MonkeyPatch) -> None:
    background.forget()
    if connection.in_atomic_block:
        monkeypatch.setattr("channels.db.close_old_connections", lambda: None)


def delay(api: Api, count: int = 1, **more: Any) -> Any:
    body = {"deployment": "mail/background", "task": TASK, "calls": [{"parameters": {"n": n}} for n in range(count)]}
    return api.post("/background-runs", {**body, **more})


def ids(response: Any) -> list[str]:
    assert response.status_code == 201, response.content
    return [run["id"] for run in response.json()["runs"]]


def test_an_organization_may_have_so_many_waiting(
    acme: Company, api: Api, eve_api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BACKGROUND_QUEUE = 3
    first, *_ = ids(delay(api, 2))
    refused = delay(api, 2)
    told = refused.json()["error"]
    assert (refused.status_code, told["code"]) == (429, "queue_full")
    assert "2 background tasks" in told["message"]
    assert refused.headers["Retry-After"] == "5"
    ids(delay(eve_api, 3))
    assert api.post(f"/flow-runs/{first}/cancel").status_code == 200
    ids(delay(api, 2))
    assert delay(api).status_code == 429


def test_arguments_are_needed_until_the_rows_of_their_runs_may_go(
    acme: Company, api: Api, eve_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.19: and of other workspaces nothing is known."""
    names = ["a" * 32, "b" * 32]
    ended, _ = ids(delay(api, calls=[{"call": {"arguments": name}} for name in names]))
    api.post(f"/flow-runs/{ended}/cancel")

    def needed(asking: Api) -> list[str]:
        return asking.post("/background-runs/arguments", {"calls": names}).json()["needed"]

    assert (needed(api), needed(eve_api)) == (names, [])
    monkeypatch.setattr("runs.arguments.is_past", lambda place, today: True)
    assert needed(api) == names[1:]


def test_arguments_are_looked_up_by_their_index(acme: Company, api: Api) -> None:
    """1.19: however many runs there are."""
    with acme.scope(), CaptureQueriesContext(connection) as asked:
        arguments.needed(["a" * 32], by=acme.actor("viewer"))
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {asked.captured_queries[0]['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "flow_run_arguments" in plan


def test_the_same_task_for_the_first_time_by_two_is_one_deployment(acme: Company, api: Api) -> None:
    found = {api.get(f"/flow-runs/{id}").json()["deployment"] for id in ids(delay(api)) + ids(delay(api, task=None))}
    assert found == {"mail/background"}
    queues = api.get("/work-pools/default/queues").json()["items"]
    assert [queue["name"] for queue in queues] == ["default", QUEUE]


def test_the_page_of_its_deployment_says_who_serves_it(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    ids(delay(api, 2))
    id = api.get("/deployments/by-name/mail/background").json()["id"]
    page = browse(alice).get(f"{acme.path}deployments/{id}").content.decode()
    assert "with whoever serves it" in page
    assert "2 waiting, and no process serves it" in page
    with acme.scope():
        agent(acme, queues=[QUEUE])
    page = browse(alice).get(f"{acme.path}deployments/{id}").content.decode()
    assert "1 process" in page
    assert "no process serves it" not in page


def test_runs_are_listed_by_where_they_come_from(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    ids(delay(api, 1, calls=[{"name": "queued-one"}]))
    api.post("/deployments", {"flow": "f", "name": "n", "entrypoint": "a:b", "source": {"type": "path", "path": "/x"}})
    api.post("/flow-runs", {"deployment": "f/n", "name": "triggered-one"})
    for query, seen in (("background", "queued-one"), ("api", "triggered-one")):
        page = browse(alice).get(f"{acme.path}runs?origin={query}").content.decode()
        assert [name for name in ("queued-one", "triggered-one") if name in page] == [seen]
    assert "queued-one" in browse(alice).get(f"{acme.path}runs?origin=nonsense").content.decode()


# ── waiting for the end ──────────────────────────────────────────────────────────────────────────


def asked(key: str, body: Any, method: str = "POST") -> Callable[[], Awaitable[tuple[int, dict]]]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def app(scope: dict, receive: Any, send: Any) -> None:
        await Bodies().serve(scope, receive, send, partial(endings.endings_app, scope, send))

    return partial(doors.ask, app, "/api/v1/flow-runs/wait", key, method=method, body=content)


@pytest.mark.django_db(transaction=True)
def test_who_waits_is_told_at_once_when_a_run_has_ended(acme: Company, api: Api) -> None:
    first, second = ids(delay(api, 2))

    async def story() -> tuple[int, dict]:
        waiting = asyncio.create_task(asked(api.key, {"runs": [first, second], "seconds": 40})())
        while not announcements().over.of_name:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            await sync_to_async(lambda: api.post(f"/flow-runs/{second}/cancel"))()
            await sync_to_async(messenger.flush)()
            told = await waiting
        assert not announcements().over.of_name
        return told

    status, told = async_to_sync(story)()
    assert status == 200
    assert [(run["id"], run["state"]["type"]) for run in told["runs"]] == [(second, "CANCELLED")]


def test_runs_of_others_never_end(acme: Company, api: Api, eve_api: Api) -> None:
    (run,) = ids(delay(api))
    api.post(f"/flow-runs/{run}/cancel")
    assert async_to_sync(asked(api.key, {"runs": [run]}))()[1]["runs"]
    assert async_to_sync(asked(eve_api.key, {"runs": [run]}))() == (200, {"runs": [], "unknown": [run]})


@pytest.mark.parametrize(
    ("body", "method", "status"),
    [({"runs": []}, "POST", 400), (b"{", "POST", 400), (b" " * 70_000, "POST", 413), ({"runs": ["x"]}, "POST", 400),
     ({}, "GET", 405)],
)  # fmt: skip
def test_what_can_not_be_waited_for_is_refused(acme: Company, api: Api, body: Any, method: str, status: int) -> None:
    assert async_to_sync(asked(api.key, body, method))()[0] == status
    assert async_to_sync(asked("orc_nonsense", {"runs": []}))()[0] == 401
