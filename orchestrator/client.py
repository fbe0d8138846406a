"""The API, for everything but the journal: one client, one table of errors, time-outs and retries everywhere.

The HTTP library is imported when the first request is made.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

from orchestrator._version import __version__
from orchestrator.chance import chance
from orchestrator.config import Api, require_api
from orchestrator.context import in_event_loop
from orchestrator.exceptions import API_ERRORS, ApiError, RateLimited, Unavailable, Unreachable
from orchestrator.exchange import Reply, exchange_at

TIMEOUT = 30.0
TRIES = 6
SLOWEST = 10.0
PAGE = 200

T = TypeVar("T")


class Client:
    """Asks one API with one key. Good for several threads at once.

    Args:
        api: Where, and as whom; what `orchestrator.config` knows by default.
        timeout: Seconds for one request.

    Raises:
        NotConfigured: No API is known.
    """

    def __init__(self, api: Api | None = None, timeout: float = TIMEOUT) -> None:
        self.api = api or require_api()
        self._timeout = timeout
        self._lock = threading.Lock()
        self._http: Any = None

    def get(self, path: str, **params: Any) -> Any:
        """GET an answer. Tried again when the API is out of reach or busy."""
        return self.request("GET", path, params=params, again=True)

    def post(self, path: str, body: Any = None, *, again: bool = False, timeout: float | None = None) -> Any:
        """POST a JSON body. Tried again only with `again`, for what may happen twice."""
        return self.request("POST", path, body=body, again=again, timeout=timeout)

    def put(self, path: str, body: Any) -> Any:
        """PUT a JSON body, or bytes."""
        return self.request("PUT", path, body=body, again=True)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH a body; the answer's JSON."""
        return self.request("PATCH", path, body=body, again=True)

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self.request("DELETE", path, again=True)

    def pages(self, path: str, limit: int | None = None, **params: Any) -> Iterator[Any]:
        """The items of a list, page by page, `limit` of them at most."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, **params, limit=size, cursor=cursor)
            yield from page["items"][:left]
            left = None if left is None else left - len(page["items"])
            cursor = page.get("next")
            if cursor is None:
                return

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, Any] | None = None,
        again: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Make a request; the answer's JSON, its bytes, or None.

        Raises:
            ApiError: A subclass for each `code` of the API; Unreachable when no answer came.
        """
        for tried in range(1, TRIES + 1):
            try:
                return self._once(method, path, body, params, timeout)
            except (Unreachable, Unavailable, RateLimited) as error:
                if not again or tried == TRIES:
                    raise
                time.sleep(_pause(tried, error))
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: Any, params: dict[str, Any] | None, timeout: float | None) -> Any:
        wanted = {name: value for name, value in (params or {}).items() if value is not None}
        here = exchange_at(self.api.url)
        if here is None:
            answer = self._by_http(method, path, body, wanted, timeout)
        else:
            sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            query = {name: str(value) for name, value in wanted.items()}
            answer = here.request(method, urllib.parse.unquote(path), query, self._headers(), sent)
        if answer.status >= 300:
            raise api_error(answer.status, answer.body, answer.headers.get("Retry-After"))
        return _content(answer)

    def _by_http(self, method: str, path: str, body: Any, query: dict[str, Any], timeout: float | None) -> Reply:
        import httpx

        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        if body is None:
            sent = {}
        try:
            answer = self._client().request(
                method, self.api.url + path, params=query or None, timeout=timeout or self._timeout, **sent
            )
        except httpx.InvalidURL as error:
            raise Unreachable(f"{self.api.url} is no address: {error}.") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.api.url} could not be reached: {error or type(error).__name__}.") from error
        return Reply(answer.status_code, answer.headers, answer.content)

    def _headers(self) -> dict[str, str]:
        from orchestrator.wire import WIRE

        return {
            "Authorization": f"Bearer {self.api.key}",
            "Orchestrator-Wire": str(WIRE),
            "User-Agent": f"orchestrator/{__version__}",
        }

    def _client(self) -> Any:
        with self._lock:
            if self._http is None:
                import httpx

                # Certificates take 20 ms to load.
                secure = not self.api.url.startswith("http://")
                self._http = httpx.Client(headers=self._headers(), timeout=self._timeout, verify=secure)
            return self._http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._http is not None:
                self._http.close()
                self._http = None


_shared: dict[Api, Client] = {}


def shared(api: Api) -> Client:
    """The one of this process for an API, for requests that shall open no connection each. Nobody closes it."""
    return _shared.get(api) or _shared.setdefault(api, Client(api))


os.register_at_fork(after_in_child=_shared.clear)


def _content(answer: Reply) -> Any:
    if answer.headers.get("Content-Type", "").startswith("application/octet-stream"):
        return answer.body
    if not answer.body:
        return None
    try:
        return json.loads(answer.body)
    except ValueError:
        raise ApiError("What answered is not the API. Check ORCHESTRATOR_API_URL: it ends in /api/v1.") from None


def _pause(tried: int, error: ApiError) -> float:
    delay = min(SLOWEST, 0.2 * 2**tried) * (0.5 + chance.random())
    return max(delay, min(error.retry_after or 0.0, 30.0))


def api_error(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The exception for an answer that refuses, by the one table of codes."""
    try:
        told = json.loads(body)["error"]
        code, message, fields = told["code"], told.get("message"), told.get("fields")
    except (ValueError, KeyError, TypeError, AttributeError):
        code, message, fields = None, None, None
    code = code or _CODE_OF.get(status, "unavailable" if status >= 500 else "error")
    kind = API_ERRORS.get(code, ApiError)
    return kind(message, code=code, status=status, fields=fields, retry_after=_seconds(retry_after))


_CODE_OF = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    410: "gone",
    413: "too_large",
    426: "wire_version",
    429: "rate_limited",
    503: "unavailable",
}


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None


def in_context(fn: Callable[..., T], *args: Any, **kwargs: Any) -> Any:
    """Call a blocking function: at once in sync code, as a coroutine to await where an event loop runs."""
    if in_event_loop():
        import asyncio

        return asyncio.to_thread(fn, *args, **kwargs)
    return fn(*args, **kwargs)
