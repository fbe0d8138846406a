"""`/ws/live/`: what changed, for pages that are looked at.

The browser sends `{"workspace": "<organization>/<workspace>", "subscribe": [topic, …]}` and receives
`{"subscribed": [topic, …]}`, then `{"topic", "version"}` for each change. Topics:

    runs                    any run's state, or a new run
    run/<id>                one run's state, or that of a run in its execution
    run/<id>/tasks          its task runs
    run/<id>/log            its log; `lines` is how many there are
    run/<id>/artifacts      its artifacts
    deployments, agents, artifacts, events, assets
    agent/<id>              one agent: its load, its own log

When somebody's rights change, all sockets of the organization ask again what they may hear; topics that are no longer
theirs end with `{"ended": [topic, …]}`.

Messages carry ids and counts only. The page fetches what it shows with its own session, so that every right is asked
where it always is. A page subscribes first and reads what is past then, so nothing falls between.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from runs.announcements import announcements
from tenants.access import workspace_actor
from tenants.errors import Problem
from tenants.models import Organization
from tenants.permissions import can
from tenants.scope import tenant_scope
from tenants.sso.sessions import may_enter

MAX_TOPICS = 200
TRUST_SECONDS = 30.0
SLUG = re.compile(r"[-a-zA-Z0-9_]{1,60}")
LISTS = {"runs", "deployments", "agents", "artifacts", "events", "assets"}
PARTS = {"run": {"", "tasks", "log", "artifacts"}, "agent": {""}}

Place = tuple[str, str]
"""The ids of an organization and of one of its workspaces."""


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
        organization_id, _ = self.asked[workspace][1] or ("", "")
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
        return f"{place[1]}.{topic.replace('/', '.')}" if place else None

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
    return (str(actor.organization_id), str(actor.workspace_id)) if may else None


def _of_rights(organization_id: str) -> str:
    """The group that hears of changed rights in an organization."""
    return f"rights.{organization_id}"


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
