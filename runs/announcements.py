"""What this process hears from the others: one Redis subscriber per event loop, for sockets and for all who wait.

Redis is only a messenger here. While it is away, pages poll and agents come back after their wait; on return everybody
is told to look again, since something may have been missed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import redis.asyncio
from channels.layers import get_channel_layer
from django.conf import settings
from redis.exceptions import RedisError

from runs.listeners import Listeners

logger = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds between two attempts to connect
LIVE, WAKE, SLOTS, BELL = "live:", "wake", "slots", "bell"
CONNECTIONS = 16  # to Redis, the subscriber's own among them
TURN_SECONDS = 20.0


class Announcements:
    """Listens while somebody is interested; hands live messages to groups and wake-ups to those who wait."""

    def __init__(self) -> None:
        # Who finds all connections in use waits for one: a thousand agents may ask in the same moment.
        self.client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool.from_url(
                settings.REDIS_URL,
                max_connections=CONNECTIONS,
                timeout=TURN_SECONDS,
                socket_timeout=None,
                socket_connect_timeout=5,
                decode_responses=True,
            )
        )
        self.wake: Callable[[str | None], None] = lambda pool: None
        self.slots = Listeners(self.listen)  # by the logs of processes
        self.over = Listeners(self.listen)  # by runs that are to end
        self.bell = Listeners(self.listen)  # by the roots of runs
        self._task: asyncio.Task | None = None

    def listen(self) -> None:
        """Start listening, if nobody has yet. Call it from the loop."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self.client.pubsub() as subscriber:
                    await subscriber.psubscribe(f"{LIVE}*", WAKE, SLOTS, BELL)
                    pause = FIRST_PAUSE
                    async for message in subscriber.listen():
                        await self._hand_on(message)
            except (RedisError, OSError) as error:
                logger.warning("announcements: Redis is away (%s); again in %.1f s", error, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _hand_on(self, message: dict[str, Any]) -> None:
        if message["type"] == "psubscribe":  # From here on nothing is missed; what came before may have been.
            for hear in (self.wake, self.slots.hear, self.over.hear, self.bell.hear):
                hear(None)
        if message["type"] != "pmessage":
            return
        if hear := {WAKE: self.wake, SLOTS: self.slots.hear, BELL: self.bell.hear}.get(message["channel"]):
            hear(message["data"])
            return
        layer = get_channel_layer()
        for told in json.loads(message["data"]):
            if told.get("over"):
                self.over.hear(told["run"])
            for group in groups_of(told):
                await layer.group_send(group, {"type": "live.changed", "group": group, "told": told})


def groups_of(told: dict[str, Any]) -> list[str]:
    """The groups that a message concerns: all sockets of an organization; or the workspace's lists, the run, and the
    root whose page shows it too."""
    if told.get("what") == "rights":
        return [f"rights.{told['organization']}"]
    workspace = told["w"]
    if "run" not in told:
        return [f"{workspace}.{told['what']}"]
    of_run = [f"{workspace}.run.{id}" for id in sorted({told["run"], told["root"]})]
    groups = [*of_run, f"{workspace}.runs"] if told.get("state") else []
    groups += [f"{group}.tasks" for group in of_run] if told.get("tasks") else []
    groups += [f"{group}.artifacts" for group in of_run] if told.get("artifacts") else []
    groups += [f"{workspace}.artifacts"] if told.get("artifacts") else []
    groups += [f"{group}.log" for group in of_run] if told.get("lines") else []
    return groups


_of_loop: dict[int, tuple[asyncio.AbstractEventLoop, Announcements]] = {}


def announcements() -> Announcements:
    """The one of this event loop."""
    loop = asyncio.get_running_loop()
    known = _of_loop.get(id(loop))
    if known is None or known[0] is not loop:
        known = _of_loop[id(loop)] = (loop, Announcements())
    return known[1]
