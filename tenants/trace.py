"""What is being worked on: the request or tick and where it came from, and the run. For log lines and the audit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
run_id: ContextVar[str] = ContextVar("run_id", default="")
address: ContextVar[str] = ContextVar("address", default="")


@contextmanager
def named(what: ContextVar[str], value: object) -> Iterator[None]:
    """Let every line that is written meanwhile carry this value."""
    token = what.set(str(value))
    try:
        yield
    finally:
        what.reset(token)


def client_address(remote: str, forwarded: str, hops: int) -> str:
    """The address a request came from, as far as it can be believed.

    Each proxy of ours appends the address that it saw to X-Forwarded-For. With `hops` of them, the entry that many
    places from the end was written by the outermost; whatever stands before it was written by the client.

    >>> client_address("10.0.0.1", "6.6.6.6, 203.0.113.9", 1), client_address("203.0.113.9", "6.6.6.6", 0)
    ('203.0.113.9', '203.0.113.9')
    """
    seen = [part.strip() for part in forwarded.split(",") if part.strip()]
    return (seen[-hops] if hops and len(seen) >= hops else remote)[:45]
