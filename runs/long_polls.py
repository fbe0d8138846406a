"""What all addresses share at which processes wait: who asks, for how long, and how a refusal is answered.

They are served on the event loop, so that no thread waits with them; what they wait for are words of Redis
(`announcements.py`). The database is touched for keys and rows that were not seen lately.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from django.db import DatabaseError
from redis.exceptions import RedisError

from orchestrator.chance import chance
from orchestrator.wire import encode
from runs.usage.api_calls import calls
from tenants.authentication import actor_of
from tenants.errors import Invalid, Problem, Unauthorized, error_body
from tenants.permissions import Actor, require

WAIT_SECONDS = 45.0  # Proxies commonly give up after 60.
SPREAD = 0.1  # of it: those who began to wait together don't come back together
COUNT = re.compile(r"-?[0-9]{1,18}")

Scope = dict[str, Any]
Answer = Callable[[Scope], Awaitable[Any]]


async def serve(scope: Scope, send: Any, answer: Answer, *, method: str = "GET") -> None:
    """Send what `answer` gives for a request, or why it is refused."""
    status, told = await _answered(scope, answer, method)
    head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": encode(told)})


async def _answered(scope: Scope, answer: Answer, method: str) -> tuple[int, Any]:
    if scope["method"] != method:
        return 405, error_body("method_not_allowed", f"Ask by {method}.")
    try:
        return 200, await answer(scope)
    except Problem as problem:
        return problem.status, error_body(problem.code, problem.message, problem.fields)
    except (RedisError, OSError, DatabaseError):
        return 503, error_body("unavailable", "The server is short of a store. Try again in some seconds.")


def caller(scope: Scope, verb: str) -> Actor:
    """Who asks, by the key of the request; counted. Call it from a thread.

    Raises:
        Problem: The key is unknown, or may not do this.
    """
    secret = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1").partition(" ")[2]
    actor = actor_of(secret)
    if actor is None:
        raise Unauthorized("This key is unknown, expired or revoked.")
    calls.count(actor)
    require(actor, verb)
    return actor


def query_of(scope: Scope) -> dict[str, str]:
    """What stands in the address after the question mark."""
    return {name: texts[0] for name, texts in parse_qs(scope["query_string"].decode("latin-1")).items()}


def id_and_count(scope: Scope) -> tuple[str, int]:
    """The two that an address `…/{id}/wait?since=n` names.

    Raises:
        Invalid: `since` is not a number.
    """
    since = query_of(scope).get("since", "-1")
    if not COUNT.fullmatch(since):
        raise Invalid("since is a whole number.", fields={"since": "A whole number."})
    return scope["path"].rstrip("/").split("/")[-2], int(since)


def wait_seconds() -> float:
    """How long this one waits, if nothing comes."""
    return WAIT_SECONDS * chance.uniform(1 - SPREAD, 1)
