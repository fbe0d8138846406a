"""APIs that live in this process: who asks for their address reaches them without a socket.

`orchestrator.testing.server` puts itself here; everything else is reached by HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from uuid import UUID

SCHEME = "memory://"


class Reply(NamedTuple):
    """What an API answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange(Protocol):
    """An API in this process."""

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Reply:
        """Answer a request. `path` begins behind the API's address."""
        ...

    def deployed(self, id: UUID, flow: Any) -> None:
        """Note which object a deployment of this process was made from."""
        ...

    def delayed(self, flow: str, name: str, task: Any) -> None:
        """Note which object is called by what was queued for a deployment."""
        ...


_by_url: dict[str, Exchange] = {}


def exchange_at(url: str) -> Exchange | None:
    """The API of this address, if it is one of this process.

    Raises:
        Unreachable: It was, and is over.
    """
    found = _by_url.get(url)
    if found is None and url.startswith(SCHEME):
        from orchestrator.exceptions import Unreachable

        raise Unreachable(f"{url} is over: it lives as long as its `with testing.server()`.")
    return found


def is_over(url: str) -> bool:
    """True for the address of an API of this process that is no more, and will not come back."""
    return url.startswith(SCHEME) and url not in _by_url


def open_at(url: str, exchange: Exchange | None) -> None:
    """Let an API be reached at an address; None: no longer."""
    if exchange is None:
        _by_url.pop(url, None)
    else:
        _by_url[url] = exchange
