"""The door at which processes wait for their slots: `GET /api/v1/slots/wait?session=…&since=…`.

One request waits for all that a process has asked for. Served on the event loop: it reads the log of the process in
Redis (`words.py`), and sleeps until a word says that there is something new.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async

from runs import long_polls
from runs.announcements import announcements
from runs.slots.words import GRANTED, LOST, log_of
from tenants.errors import Invalid

BEGINNING = "0-0"
SINCE = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


async def wait_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The door as an ASGI application.

    Answers `{"since": …, "granted": [ids], "lost": [ids]}`: where the log ends now, and what it told since `since`.
    """
    await long_polls.serve(scope, send, _answer)


async def _answer(scope: dict[str, Any]) -> dict[str, Any]:
    actor = await database_sync_to_async(long_polls.caller)(scope, "slots.take")
    assert actor.workspace_id is not None
    session, since = _read(long_polls.query_of(scope))
    lines = await _lines(log_of(actor.workspace_id, session), since)
    told: dict[str, Any] = {"since": lines[-1][0] if lines else since}
    for name, field in (("granted", GRANTED), ("lost", LOST)):
        told[name] = [ask for _, fields in lines if field in fields for ask in fields[field].split(",")]
    return told


async def _lines(log: str, since: str) -> list[tuple[str, dict[str, str]]]:
    """What a log tells since then: at once if there is something, else when a word comes, or nothing in time."""
    heard = announcements()

    async def look() -> list[tuple[str, dict[str, str]]]:
        return await heard.client.xrange(log, f"({since}", "+")

    return await heard.slots.wait(log, look, known=[], seconds=long_polls.wait_seconds())


def _read(query: dict[str, str]) -> tuple[UUID, str]:
    try:
        session = UUID(query.get("session", ""))
    except ValueError as error:
        raise Invalid("session is an id.", fields={"session": "A UUID."}) from error
    since = query.get("since", BEGINNING)
    if not SINCE.fullmatch(since):
        raise Invalid("since is what the last answer said.", fields={"since": f"Like {BEGINNING}."})
    return session, since
