"""The door at which processes wait for their slots, called directly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync

from runs.announcements import announcements
from runs.slots import waiting


async def ask(key: str, query: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    """Status and answer."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": b""}

    headers = [(b"authorization", f"Bearer {key}".encode("latin-1"))] if key else []
    scope = {"type": "http", "method": method, "path": "/api/v1/slots/wait", "query_string": query.encode()}
    await waiting.wait_app({**scope, "headers": headers}, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def run(*calls: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> list[Any]:
    """Run coroutines side by side in a loop of their own; what they started is ended afterwards."""

    async def all_of_them() -> list[Any]:
        try:
            return await asyncio.wait_for(asyncio.gather(*(call() for call in calls)), seconds)
        finally:
            heard = announcements()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await heard.client.aclose()

    return async_to_sync(all_of_them)()


def heard(key: str, session: UUID, since: str = "0-0") -> tuple[int, dict[str, Any]]:
    """What a process is told that waits with this key."""
    return run(lambda: ask(key, f"session={session}&since={since}"))[0]
