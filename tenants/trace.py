"""What the server's log lines are about: the request, or tick, and the run that is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
run_id: ContextVar[str] = ContextVar("run_id", default="")


@contextmanager
def named(what: ContextVar[str], id: object) -> Iterator[None]:
    """Let every line that is written meanwhile carry this id."""
    token = what.set(str(id))
    try:
        yield
    finally:
        what.reset(token)
