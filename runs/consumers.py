"""`/ws/live/`: what changed, for pages that are looked at.

The browser sends `{"workspace": "<organization>/<workspace>", "subscribe": [topic, …]}` and receives
`{"subscribed": [topic, …]}`, then `{"topic", "version"}` for each change. Topics:

    runs                    any run's state, or a new run
    run/<id>                one run's state, or that of a run in its execution
    run/<id>/tasks          its task runs
    run/<id>/log            its log; `lines` is how many there are
    run/<id>/artifacts      its artifacts
    deployments, agents, artifacts, events, assets, backfills
    bulk                    what is done to many runs at once
    agent/<id>              one agent: its load, its own log

When somebody's rights change, all sockets of the organization ask again what they may hear; topics that are no longer
theirs end with `{"ended": [topic, …]}`. To whom runs of some deployments are hidden, a run that they may not see
is `not_found`, and so is one that there isn't.

Messages carry ids and counts only. The page fetches what it shows with its own session, so that every right is asked
where it always is. A page subscribes first and reads what is past then, so nothing falls between.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from runs.announcements import announcements
from runs.hidden import hidden_deployments
from runs.models import FlowRun
from tenants.access import workspace_actor
from tenants.errors import Problem
from tenants.models import Organization
from tenants.permissions import Actor, can
from tenants.scope import tenant_scope
from tenants.sso.sessions import may_enter

MAX_TOPICS = 200
TRUST_SECONDS = 30.0
SLUG = re.compile(r"[-a-zA-Z0-9_]{1,60}")
LISTS = {
    *("runs", "deployments", "agents", "artifacts", "events", "assets", "limits", "inputs", "cache", "automations"),
    *("backfills", "bulk", "webhooks"),
}
PARTS = {"run": {"", "tasks", "log", "artifacts"}, "agent": {""}}


@dataclass(slots=True)
class Place:
    """A workspace as a person hears of it: `hidden` are the deployments whose runs they may not see."""

    actor: Actor
    hidden: list[UUID]
    seen: dict[str, bool] = field(default_factory=dict)  # runs, by id; asked only where something is hidden

    @property
    def organization_id(self) -> str:
        """Whose it is."""
        return str(self.actor.organization_id)


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """One browser tab."""

    async def connect(self) -> None:
        self.topics: dict[str, tuple[str, str]] = {}  # (workspace, topic) by group
        self.asked: dict[str, tuple[float, Place | None]] = {}  # None for no access, by slugs
        self.organizations: set[str] = set()  # of whose rights this socket hears
        if not self.scope["user"].is_authenticated:
            await self.close(code=4401)
            return
        announcements().listen()
        await self.accept()

    async def disconnect(self, code: int) -> None:
        for group in [*getattr(self, "topics", ()), *map(_of_rights, getattr(self, "organizations", ()))]:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **_: Any) -> None:
        """Anything but JSON is passed over."""
        try:
            content = json.loads(text_data or "")
        except (ValueError, RecursionError):
            return
        await self.receive_json(content)

    async def receive_json(self, content: Any, **_: Any) -> None:
        """Subscribe to topics. Those that the person may not see are answered like those that don't exist."""
        wanted = content.get("subscribe") if isinstance(content, dict) else None
        if not isinstance(wanted, list):
            return
        workspace, subscribed, refused = str(content.get("workspace")), [], []
        for topic in [str(topic) for topic in wanted[:MAX_TOPICS]]:
            group = await self._group(workspace, topic)
            if group is None or len(self.topics) >= MAX_TOPICS:
                refused.append(topic)
                continue
            self.topics[group] = (workspace, topic)
            await self.channel_layer.group_add(group, self.channel_name)
            await self._hear_of_rights(workspace)
            subscribed.append(topic)
        await self.send_json({"subscribed": subscribed, **({"not_found": refused} if refused else {})})

    async def live_changed(self, event: dict[str, Any]) -> None:
        """Hand a message on, unless the right to see it is gone."""
        group, told = event["group"], event["told"]
        if told.get("what") == "rights":
            await self._ask_again()
            return
        workspace, topic = self.topics.get(group, ("", ""))
        if topic and await self._group(workspace, topic) == group:
            lines = {"lines": told["lines"]} if told.get("lines") and topic.endswith("/log") else {}
            await self.send_json({"topic": topic, "version": time.time_ns() // 1_000, **lines})

    async def _hear_of_rights(self, workspace: str) -> None:
        """Subscribe to changes of rights in a workspace's organization; then ask once more, for one before that."""
        place = self.asked[workspace][1]
        organization_id = place.organization_id if place else ""
        if organization_id not in self.organizations:
            self.organizations.add(organization_id)
            await self.channel_layer.group_add(_of_rights(organization_id), self.channel_name)
            await self._ask_again()

    async def _ask_again(self) -> None:
        """End the topics that this person may hear no more."""
        self.asked.clear()
        ended = [group for group, wanted in self.topics.items() if await self._group(*wanted) != group]
        for group in ended:
            await self.channel_layer.group_discard(group, self.channel_name)
        if ended:
            await self.send_json({"ended": [self.topics.pop(group)[1] for group in ended]})

    async def _group(self, workspace: str, topic: str) -> str | None:
        """The group of a topic, or None when there is no such thing for this person."""
        kind, _, rest = topic.partition("/")
        id, _, part = rest.partition("/")
        known = topic in LISTS or (_is_uuid(id) and part in PARTS.get(kind, ()))
        place = await self._place(workspace) if known else None
        if place is None or (place.hidden and kind == "run" and not await self._sees(place, id)):
            return None
        return f"{place.actor.workspace_id}.{topic.replace('/', '.')}"

    async def _sees(self, place: Place, id: str) -> bool:
        """Whether there is such a run for this person."""
        if id not in place.seen:
            if len(place.seen) >= MAX_TOPICS:
                place.seen.clear()
            place.seen[id] = await database_sync_to_async(_is_seen)(place, UUID(id))
        return place.seen[id]

    async def _place(self, slugs: str) -> Place | None:
        organization, _, workspace = slugs.partition("/")
        if not (SLUG.fullmatch(organization) and SLUG.fullmatch(workspace)):
            return None
        until, found = self.asked.get(slugs, (0.0, None))
        if until < time.monotonic():
            session = self.scope.get("session", {})
            visible = database_sync_to_async(_visible_workspace)
            found = await visible(self.scope["user"].id, session, organization, workspace)
            if len(self.asked) >= MAX_TOPICS:
                self.asked.clear()
            self.asked[slugs] = (time.monotonic() + TRUST_SECONDS, found)
        return found


def _visible_workspace(user_id: UUID, session: Any, organization: str, workspace: str) -> Place | None:
    try:
        actor = workspace_actor(user_id, organization, workspace)
    except Problem:
        return None
    with tenant_scope(actor.organization_id):
        may = can(actor, "runs.view") and may_enter(session, Organization.objects.get(), user_id)
        return Place(actor, hidden_deployments(actor)) if may else None


def _is_seen(place: Place, id: UUID) -> bool:
    with tenant_scope(place.actor.organization_id):
        own = FlowRun.objects.filter(workspace_id=place.actor.workspace_id, id=id)
        return own.without(place.hidden).exists()


def _of_rights(organization_id: str) -> str:
    """The group that hears of changed rights in an organization."""
    return f"rights.{organization_id}"


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
