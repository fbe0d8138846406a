"""Ask a provider for JSON or XML: through the guard against private addresses, bounded in size and time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx

from tenants import outbound
from tenants.errors import Problem

SECONDS = 5.0
MAX_BYTES = 1 << 20
_until: ContextVar[float] = ContextVar("fetching_until", default=float("inf"))


class Unreachable(Problem):
    """The provider gave no answer that can be used."""

    status, code = 502, "provider"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let all that is fetched inside take no longer than this together."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def fetch_json(url: str, *, method: str = "GET", **options: Any) -> dict[str, Any]:
    """A JSON object from a provider.

    Raises:
        Unreachable: It gave none; the message says what was met instead.
    """
    try:
        found = json.loads(fetch(url, method=method, **options))
    except (ValueError, RecursionError) as error:
        raise Unreachable(f"{url} answers with something else than JSON.") from error
    if not isinstance(found, dict):
        raise Unreachable(f"{url} answers with something else than a JSON object.")
    return found


def fetch(url: str, *, method: str = "GET", **options: Any) -> bytes:
    """The body of a provider's answer. Redirects are not followed: an issuer says itself where it is."""
    outbound.check_url(url)
    left = min(SECONDS, _until.get() - time.monotonic())
    if left <= 0:
        raise Unreachable(f"{url} was not asked: what was asked before took too long.")
    plain = {"Accept-Encoding": "identity"}  # What is packed could unpack to anything.
    client = httpx.Client(timeout=left / 2, follow_redirects=False, trust_env=False, headers=plain)
    try:
        with outbound.guarded(seconds=left), client, client.stream(method, url, **options) as response:
            return _body(response, url)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise Unreachable(f"{url} can't be reached: {str(error) or type(error).__name__}.") from error


def _body(response: httpx.Response, url: str) -> bytes:
    if response.status_code != 200:
        raise Unreachable(f"{url} answers with status {response.status_code}.")
    body = b""
    for part in response.iter_raw():
        body += part
        if len(body) > MAX_BYTES:
            raise Unreachable(f"{url} answers with more than {MAX_BYTES >> 20} MiB.")
    return body
