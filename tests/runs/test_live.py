"""`/ws/live/`: who may subscribe to what, and what is handed on."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers
from django.conf import settings

from orchestrator.ids import uuid7
from runs import announcements, consumers
from tests.cast import Company
from tests.contract.journals import Journal
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db


class Socket(ApplicationCommunicator):
    """A browser tab. (The one of channels.testing imports a server that we don't have.)"""

    def __init__(self, user: Any) -> None:
        super().__init__(consumers.LiveConsumer.as_asgi(), {"type": "websocket", "path": "/ws/live/", "user": user})

    async def connect(self) -> tuple[bool, int | None]:
        await self.send_input({"type": "websocket.connect"})
        told = await self.receive_output(5)
        return told["type"] == "websocket.accept", told.get("code")

    async def send(self, **message: Any) -> None:
        await self.send_input({"type": "websocket.receive", **message})

    async def receive(self) -> dict:
        return json.loads((await self.receive_output(5))["text"])


Talk = Callable[[Socket], Awaitable[Any]]


@pytest.fixture(autouse=True)
def own_layer(monkeypatch: pytest.MonkeyPatch, valkey: object) -> None:
    """Each test has an event loop of its own, and so a channel layer and a transaction that nobody closes."""
    channel_layers.backends.clear()
    monkeypatch.setattr("channels.db.close_old_connections", lambda: None)


def talk(user: Any, what: Talk) -> Any:
    """Open a socket as somebody, talk, and end all that was started."""

    async def whole() -> Any:
        socket = Socket(user)
        try:
            return await asyncio.wait_for(what(socket), 20)
        finally:
            await socket.send_input({"type": "websocket.disconnect", "code": 1000})
            await socket.wait(5)
            heard = announcements.announcements()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await heard.client.aclose()
            announcements._of_loop.clear()

    return async_to_sync(whole)()


async def subscribe(socket: Socket, workspace: str, *topics: str) -> dict:
    await socket.send(text=json.dumps({"workspace": workspace, "subscribe": list(topics)}))
    return await socket.receive()


def answer(user: Any, workspace: str, *topics: str) -> dict:
    async def what(socket: Socket) -> dict:
        assert await socket.connect() == (True, None)
        return await subscribe(socket, workspace, *topics)

    return talk(user, what)


def topics_of(company: Company) -> list[str]:
    (id,) = trigger(company, deploy(company))
    return ["runs", "deployments", "agents", f"run/{id}", f"run/{id}/tasks", f"run/{id}/log"]


def test_who_is_not_signed_in_is_turned_away() -> None:
    async def what(socket: Socket) -> tuple:
        return await socket.connect()

    assert talk(SimpleNamespace(is_authenticated=False), what) == (False, 4401)


def test_members_subscribe_to_their_workspace(acme: Company, alice: Any, vera: Any) -> None:
    topics = topics_of(acme)
    for user in (alice, vera):
        assert answer(user, "acme/main", *topics) == {"subscribed": topics}


def test_pages_listen_for_what_they_may_hear(acme: Company, alice: Any) -> None:
    """2.8: the lists that say in their templates what they listen for."""
    templates = Path(settings.BASE_DIR, "templates").rglob("*.html")
    lists = {names for each in templates for names in re.findall(r'data-live="([a-z ]+)"', each.read_text())}
    wanted = set(" ".join(lists).split())
    assert {"runs", "cache", "limits", "bulk"} <= wanted
    assert answer(alice, "acme/main", *sorted(wanted)) == {"subscribed": sorted(wanted)}


def test_for_eve_there_is_nothing(acme: Company, eve: Any) -> None:
    topics = topics_of(acme)
    assert answer(eve, "acme/main", *topics) == answer(eve, "nobody/main", *topics)
    assert answer(eve, "acme/main", *topics) == {"subscribed": [], "not_found": topics}


def test_acmes_run_through_her_own_workspace_says_nothing(acme: Company, globex: Company, eve: Any) -> None:
    """The id is not looked up: she may wait for it, in a group of her own workspace, where it never speaks."""
    journal = Journal(api_of(acme))
    journal.send(journal.begin())

    async def what(socket: Socket) -> bool:
        await socket.connect()
        await subscribe(socket, "globex/main", f"run/{journal.root}", f"run/{journal.root}/log", "runs")
        for group in groups_of(acme, journal):
            await tell(group, {"lines": 5})
        return await socket.receive_nothing(0.1)

    assert talk(eve, what)


def api_of(company: Company) -> Any:
    from tests.cast import Api

    return Api(company.key("developer"))


def groups_of(company: Company, journal: Journal) -> list[str]:
    told = {"w": str(company.workspace.id), "run": str(journal.root), "root": str(journal.root)}
    return list(announcements.groups_of({**told, "state": True, "lines": 1, "tasks": True}))


async def tell(group: str, told: dict) -> None:
    from channels.layers import get_channel_layer

    await get_channel_layer().group_send(group, {"type": "live.changed", "group": group, "told": told})


ODD_TOPICS = ["", "run", "run/", "run/nobody", "run/../x", "people", "runs/x", "run/{0}/secrets", "\x00", "x" * 9_000]


@pytest.mark.parametrize("topic", ODD_TOPICS)
def test_topics_that_are_none(acme: Company, alice: Any, topic: str) -> None:
    name = topic.format(uuid7())
    assert answer(alice, "acme/main", name) == {"subscribed": [], "not_found": [name]}


@pytest.mark.parametrize(
    "workspace", ["", "/", "acme", "acme/", "acme/nothing", "acme/main/x", "a\x00b/main", "é/main"]
)
def test_workspaces_that_are_none(acme: Company, alice: Any, workspace: str) -> None:
    assert answer(alice, workspace, "runs") == {"subscribed": [], "not_found": ["runs"]}


@pytest.mark.parametrize(
    "junk", ["", "{", "[" * 100_000, "null", "[]", '"x"', '{"subscribe": 5}', '{"unsubscribe": []}']
)
def test_junk_is_passed_over(acme: Company, alice: Any, junk: str) -> None:
    async def what(socket: Socket) -> dict:
        await socket.connect()
        await socket.send(text=junk)
        await socket.send(bytes=b"\xff\x00")
        return await subscribe(socket, "acme/main", "runs")

    assert talk(alice, what) == {"subscribed": ["runs"]}


def test_topics_are_bounded(acme: Company, alice: Any) -> None:
    topics = [f"run/{uuid7()}" for _ in range(300)]

    async def what(socket: Socket) -> tuple[dict, dict]:
        await socket.connect()
        first = await subscribe(socket, "acme/main", *topics)
        return first, await subscribe(socket, "acme/main", *topics[200:])

    first, second = talk(alice, what)
    assert len(first["subscribed"]) == consumers.MAX_TOPICS
    assert second["subscribed"] == []


def test_a_right_that_is_gone_is_noticed(acme: Company, bob: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by somebody who has asked for very many workspaces before."""
    from tenants.models import WorkspaceMembership

    monkeypatch.setattr(consumers, "TRUST_SECONDS", 0.0)

    def leave() -> None:
        with acme.scope():
            WorkspaceMembership.objects.filter(user=bob).delete()

    async def what(socket: Socket) -> bool:
        await socket.connect()
        for number in range(consumers.MAX_TOPICS + 5):
            await subscribe(socket, f"made-up-{number}/main", "runs")
        await subscribe(socket, "acme/main", "runs")
        group = f"{acme.workspace.id}.runs"
        await tell(group, {})
        assert (await socket.receive())["topic"] == "runs"
        await sync_to_async(leave)()
        await tell(group, {})
        return await socket.receive_nothing(0.1)

    assert talk(bob, what)


@pytest.mark.django_db(transaction=True)
def test_what_is_committed_reaches_the_page(acme: Company, alice: Any) -> None:
    journal = Journal(api_of(acme))
    journal.send(journal.begin())
    run = f"run/{journal.root}"

    async def what(socket: Socket) -> list[dict]:
        ready = asyncio.Event()
        announcements.announcements().wake = lambda pool: ready.set()
        await socket.connect()
        await asyncio.wait_for(ready.wait(), 5)
        await subscribe(socket, "acme/main", "runs", run, f"{run}/log")
        await sync_to_async(lambda: journal.send(journal.log(), journal.log()))()
        while (log := await socket.receive())["topic"] != f"{run}/log":
            pass  # That the run began may be heard late.
        await sync_to_async(lambda: journal.send(journal.state("COMPLETED", run_count=1)))()
        return [log, *[await socket.receive() for _ in range(2)]]

    log, *ended = talk(alice, what)
    assert log["lines"] == 2
    assert sorted(news["topic"] for news in ended) == sorted([run, "runs"])
    assert all(isinstance(news["version"], int) for news in [log, *ended])


def test_somebody_who_may_log_in_no_more_sees_nothing(acme: Company, alice: Any) -> None:
    alice.is_active = False
    alice.save(update_fields=["is_active"])
    assert answer(alice, "acme/main", "runs") == {"subscribed": [], "not_found": ["runs"]}
