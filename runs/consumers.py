"""`/ws/live/`: what changed, for pages that are looked at.

The browser sends `{"subscribe": [topic, …]}` and receives `{"topic", "version", …}`. Topics:

    <organization>/<workspace>/runs            any run's state, or a new run
    <organization>/<workspace>/run/<id>        one run: {"state": true}, {"tasks": true}, {"lines": how many there are}
    <organization>/<workspace>/<list>          deployments, agents, variables

Messages carry ids and counts only. The page fetches what it shows with its own session, so that every right is asked
where it always is. Later versions are larger; a page that was away reads once more after it has subscribed.
"""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from runs.announcements import announcements, groups_of
from tenants.access import workspace_actor
from tenants.errors import Problem
from tenants.permissions import can

MAX_TOPICS = 200
TRUST_SECONDS = 30.0
LISTS = {"runs", "deployments", "agents", "variables"}


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """One browser tab."""

    async def connect(self) -> None:
        self.topics: dict[str, str] = {}  # topic by group
        self.asked: dict[str, tuple[float, str | None]] = {}  # workspace id, or None for no access, by slugs
        if not self.scope["user"].is_authenticated:
            await self.close(code=4401)
            return
        announcements().listen()
        await self.accept()

    async def disconnect(self, code: int) -> None:
        for group in self.topics:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive_json(self, content: Any, **_: Any) -> None:
        """Subscribe to topics. Those that the person may not see are answered like those that don't exist."""
        wanted = content.get("subscribe") if isinstance(content, dict) else None
        if not isinstance(wanted, list):
            return
        for topic in wanted[:MAX_TOPICS]:
            group = await self._group(str(topic))
            if group is None:
                await self.send_json({"topic": topic, "error": "not_found"})
            elif group not in self.topics and len(self.topics) < MAX_TOPICS:
                self.topics[group] = str(topic)
                await self.channel_layer.group_add(group, self.channel_name)
                await self.send_json({"topic": topic, "subscribed": True})

    async def live_changed(self, event: dict[str, Any]) -> None:
        """Hand a message on, unless the right to see it is gone."""
        told = event["told"]
        news = {name: told[name] for name in ("state", "tasks", "lines") if told.get(name)}
        for group, topic in list(self.topics.items()):
            if group in groups_of(told) and await self._group(topic) == group:
                await self.send_json(
                    {"topic": topic, "version": time.time_ns() // 1_000, "id": told.get("run"), **news}
                )

    async def _group(self, topic: str) -> str | None:
        """The group of a topic, or None when there is no such thing for this person."""
        organization, _, rest = topic.partition("/")
        workspace, _, what = rest.partition("/")
        workspace_id = await self._workspace_id(organization, workspace)
        kind, _, id = what.partition("/")
        if workspace_id is None or not (what in LISTS or (kind == "run" and _is_uuid(id))):
            return None
        return f"{workspace_id}.run.{id}" if kind == "run" else f"{workspace_id}.{what}"

    async def _workspace_id(self, organization: str, workspace: str) -> str | None:
        slugs = f"{organization}/{workspace}"
        until, found = self.asked.get(slugs, (0.0, None))
        if until < time.monotonic():
            found = await sync_to_async(_visible_workspace)(self.scope["user"].id, organization, workspace)
            self.asked[slugs] = (time.monotonic() + TRUST_SECONDS, found)
        return found


def _visible_workspace(user_id: UUID, organization: str, workspace: str) -> str | None:
    try:
        actor = workspace_actor(user_id, organization, workspace)
    except Problem:
        return None
    return str(actor.workspace_id) if can(actor, "runs.view") else None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
