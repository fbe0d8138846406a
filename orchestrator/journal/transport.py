"""One kept-alive connection to the API, for the journal, and one for slots of limits.

The standard library's client: it loads in a tenth of the time that a full one takes, and a flow's first
milliseconds belong to the user. Proxies and certificates are taken from the environment as everywhere.
"""

from __future__ import annotations

import http.client
import urllib.parse

from orchestrator._version import __version__
from orchestrator.client import api_error
from orchestrator.config import Api
from orchestrator.exceptions import Unreachable
from orchestrator.exchange import exchange_at
from orchestrator.wire import WIRE

TIMEOUT = 30.0


class Transport:
    """Posts bodies to one address. Not for several threads at once."""

    def __init__(self, api: Api, timeout: float = TIMEOUT) -> None:
        self._url = api.url
        self._address = urllib.parse.urlsplit(api.url)
        self._key = api.key
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._path_prefix = self._address.path

    def post(self, path: str, body: bytes, encoding: str, key: str | None = None) -> bytes:
        """Send a body, return the answer's.

        Raises:
            ApiError: The API refused, or could not be reached.
        """
        headers = {"Content-Type": "application/x-ndjson"}
        if encoding:
            headers["Content-Encoding"] = encoding
        return self.request("POST", path, body, headers, key)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None, key: str | None = None
    ) -> bytes:
        """Make a request, return the answer's body. What is asked by the path's query is ASCII.

        Raises:
            ApiError: The API refused, or could not be reached.
        """
        sent = {
            "Authorization": f"Bearer {key or self._key}",
            "Orchestrator-Wire": str(WIRE),
            "User-Agent": f"orchestrator/{__version__}",
            **(headers or {}),
        }
        here = exchange_at(self._url)
        if here is not None:
            plain, _, query = path.partition("?")
            reply = here.request(method, plain, dict(urllib.parse.parse_qsl(query)), sent, body)
            return _accepted(reply.status, reply.body, reply.headers.get("Retry-After"))
        try:
            status, answer, retry_after = self._exchange(method, path, body, sent)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(
                f"{self._address.netloc} could not be reached: {error or type(error).__name__}."
            ) from error
        return _accepted(status, answer, retry_after)

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
        fresh = self._connection is None
        connection = self._connection or self._connect()
        try:
            connection.request(method, self._path_prefix + path, body or None, headers)
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self.close()
            if fresh:
                raise
            # The server closed an idle connection: that says nothing about the server.
            return self._exchange(method, path, body, headers)
        return response.status, response.read(), response.headers.get("Retry-After")

    def _connect(self) -> http.client.HTTPConnection:
        address = self._address
        proxy = _proxy_for(address)
        secure = address.scheme == "https"
        target = proxy or address
        host, port = target.hostname or "", target.port
        if secure:
            import ssl

            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        if proxy is not None and secure:
            connection.set_tunnel(address.hostname or "", address.port or 443)
        elif proxy is not None:
            self._path_prefix = f"{address.scheme}://{address.netloc}{address.path}"
        self._connection = connection
        return connection

    def close(self) -> None:
        """Drop the connection; the next post opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _accepted(status: int, answer: bytes, retry_after: str | None) -> bytes:
    if status >= 300:
        raise api_error(status, answer, retry_after)
    return answer


def _proxy_for(address: urllib.parse.SplitResult) -> urllib.parse.SplitResult | None:
    import os

    if not any(name in os.environ for name in _PROXY_VARIABLES):
        return None
    from urllib.request import getproxies, proxy_bypass

    host = address.hostname or ""
    proxy = getproxies().get(address.scheme)
    if not proxy or proxy_bypass(host):
        return None
    return urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")


_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
