"""The doors that are served on the event loop, called directly; and coroutines side by side in a loop of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync

from runs import wakeups
from runs.announcements import announcements


async def ask(
    app: Callable[..., Awaitable[Any]], path: str, key: str, query: str = "", method: str = "GET", body: bytes = b""
) -> tuple[int, dict[str, Any]]:
    """Status and answer of one request. Without a key it brings no credentials."""
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"authorization", f"Bearer {key}".encode("latin-1"))] if key else []
    if body:
        headers.append((b"content-length", b"%d" % len(body)))
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers}
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def run(*calls: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> list[Any]:
    """Run coroutines side by side; what they started is ended afterwards."""

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
            wakeups._of_loop.clear()

    return async_to_sync(all_of_them)()
