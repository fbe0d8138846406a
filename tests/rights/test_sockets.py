"""Who may hear what changes: by role, and no longer than the role is theirs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from runs import announcements, live
from tenants import deletion, people
from tenants.access import organization_actor, workspace_actor
from tenants.models import Organization, User, WorkspaceMembership
from tenants.permissions import Actor
from tests.cast import Company
from tests.rights.people import everybody
from tests.runs.test_live import Socket, answer, own_layer, subscribe, talk, tell, topics_of  # noqa: F401

pytestmark = pytest.mark.django_db


def test_each_role_hears_what_it_may_see(acme: Company) -> None:
    topics = topics_of(acme)
    for each in everybody(acme):
        heard = answer(each.user, "acme/main", *topics)
        may = "runs.view" in each.verbs
        assert heard == ({"subscribed": topics} if may else {"subscribed": [], "not_found": topics}), each.name


def demoted(acme: Company, user: User, by: Actor) -> None:
    people.change(user_id=user.id, role="member", parts={}, by=by)


def removed(acme: Company, user: User, by: Actor) -> None:
    people.remove(user_id=user.id, by=by)


def shut(acme: Company, user: User, by: Actor) -> None:
    own = workspace_actor(acme.owner.id, "acme", "main")
    deletion.delete_workspace(workspace=acme.workspace, typed="main", by=own)


def demands_its_own_log_in(acme: Company, user: User, by: Actor) -> None:
    """The session came by a password."""
    from tenants import rights

    Organization.objects.update(requires_sso=True)
    rights.changed()


@pytest.mark.parametrize("change", [demoted, removed, shut, demands_its_own_log_in])
def test_a_right_that_is_taken_away_ends_the_subscription(
    change: Callable, acme: Company, vera: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict] = []
    monkeypatch.setattr(live, "say", said.extend)
    by = organization_actor(acme.owner.id, "acme")

    def happens() -> None:
        with acme.scope():
            change(acme, vera, by)

    async def what(socket: Socket) -> tuple[dict, bool]:
        await socket.connect()
        await subscribe(socket, "acme/main", "runs", "deployments")
        await sync_to_async(happens, thread_sensitive=True)()
        for told in said:
            for group in announcements.groups_of(told):
                await tell(group, told)
        ended = await socket.receive()
        await tell(f"{acme.workspace.id}.runs", {"w": str(acme.workspace.id), "what": "runs"})
        return ended, await socket.receive_nothing(0.1)

    assert talk(vera, what) == ({"ended": ["runs", "deployments"]}, True)


def test_a_change_that_leaves_the_right_ends_nothing(acme: Company, vera: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict] = []
    monkeypatch.setattr(live, "say", said.extend)
    by = organization_actor(acme.owner.id, "acme")

    def happens() -> None:
        with acme.scope():
            people.change(user_id=vera.id, role="member", parts={acme.workspace.id: "runner"}, by=by)
            assert WorkspaceMembership.objects.get(user=vera).role == "runner"

    async def what(socket: Socket) -> dict:
        await socket.connect()
        await subscribe(socket, "acme/main", "runs")
        await sync_to_async(happens, thread_sensitive=True)()
        for told in said:
            for group in announcements.groups_of(told):
                await tell(group, told)
        await tell(f"{acme.workspace.id}.runs", {"w": str(acme.workspace.id), "what": "runs"})
        return await socket.receive()

    assert talk(vera, what)["topic"] == "runs"
    assert [each["what"] for each in said] == ["rights"]


def test_the_word_reaches_other_processes(acme: Company, valkey: Any, transactional_db: None) -> None:
    """By Redis, once the change is committed."""
    from runs.messenger import messenger

    with valkey.pubsub() as subscriber:
        subscriber.psubscribe("live:*")
        assert subscriber.get_message(timeout=5)["type"] == "psubscribe"
        with acme.scope():
            live.rights_changed()
        assert messenger.flush()
        message = subscriber.get_message(timeout=5)
    assert json.loads(message["data"]) == [{"what": "rights", "organization": str(acme.organization.id)}]
