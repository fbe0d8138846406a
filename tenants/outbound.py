"""What leaves this installation because a tenant asked for it: to public addresses only, and not for ever.

An address that a tenant gives must not reach what only this server can reach: other services on the same host, the
database, a cloud's metadata. `check_url` refuses it while a form is filled in; `guarded` looks once more at the very
address that is connected to, so that a name which resolves differently the second time, or a redirect, is of no use.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from tenants.errors import Invalid

RESOLVE_SECONDS = 5.0
SECONDS = 30.0  # for all that happens inside `guarded()`
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
MOST_LOOK_UPS = 64  # of this process at once; a resolver gives up by itself after some seconds
MOST_OF_A_DOMAIN = 8
_asked: dict[tuple[str, int], Future] = {}  # look-ups under way
_domains: dict[tuple[str, int], str] = {}  # theirs: the last two labels
_counting = threading.Lock()


class Refused(OSError):
    """A connection to an address that is not public was asked for."""


class UnknownHost(Invalid):
    """A name has no address, or nobody could say so in time. That may pass."""


def check_url(url: str, *, schemes: tuple[str, ...] = ("https", "http")) -> None:
    """Refuse a URL that is none, or that leads to a private address.

    Raises:
        Invalid: With what to do.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid("This is no URL.", fields={"url": "An address like https://example.com/hook."}) from error
    if parts.scheme not in schemes or not host:
        raise Invalid("This is no URL.", fields={"url": f"An address that begins with {' or '.join(schemes)}://"})
    check_host(host, port or 443)


def check_host(host: str, port: int) -> None:
    """Refuse a host that is unknown, or of which any address is private.

    Raises:
        Invalid: With what to do.
    """
    if settings.OUTBOUND_PRIVATE:
        return
    try:
        addresses = _found(host, port)
    except (OSError, UnicodeError, TookTooLong) as error:
        raise UnknownHost(f"The host {host} can't be found.", fields={"url": "Is the name right?"}) from error
    if not addresses or not all(is_public(address) for address in addresses):
        raise Invalid(
            f"{host} is an address inside this installation's own network, which messages may not be sent to.",
            fields={"url": "Use a public address, or ask for the setting OUTBOUND_PRIVATE."},
        )


def _found(host: str, port: int) -> list[Address]:
    """Ask in a thread of its own, which a slow name server holds and nobody else.

    Who asks for the same name meanwhile waits for the same answer. A domain has few look-ups at once: names below one
    that never answers are not found, all others are.
    """
    name, domain = (host, port), ".".join(host.lower().rstrip(".").split(".")[-2:])
    with _counting:
        answer = _asked.get(name)
        if answer is None:
            of_domain = sum(one == domain for one in _domains.values())
            if of_domain >= MOST_OF_A_DOMAIN or len(_asked) >= MOST_LOOK_UPS:
                raise TookTooLong
            answer, _domains[name] = _asked.setdefault(name, Future()), domain
            threading.Thread(target=_look_up, args=(name, answer), name="resolve", daemon=True).start()
    return answer.result(RESOLVE_SECONDS)


def _look_up(name: tuple[str, int], answer: Future) -> None:
    """Tell whoever waits; who asks once this is told asks anew."""
    try:
        found = _resolve(*name)
    except Exception as error:
        _over(name)
        answer.set_exception(error)
    else:
        _over(name)
        answer.set_result(found)


def _over(name: tuple[str, int]) -> None:
    with _counting:
        del _asked[name], _domains[name]


def _resolve(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [_address(str(where[0])) for *_, where in found]


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def is_public(address: Address) -> bool:
    """True for an address that anybody in the world could connect to.

    >>> [is_public(ipaddress.ip_address(text)) for text in ("8.8.8.8", "127.0.0.1", "::ffff:10.0.0.1")]
    [True, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or _nat64(address)
        if inside is not None:
            return is_public(inside)
        if address not in _GLOBAL_UNICAST or address.teredo:
            return False
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    return address.is_global and not special


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None


# ── at the moment of connecting ──────────────────────────────────────────────────────────────────


class _Guard:
    """The connections of one block of code, and the moment at which they are all cut."""

    def __init__(self, *, private: bool) -> None:
        self.private, self.over = private, False
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []

    def allowed(self, family: int, address: Any) -> Any:
        """The address to connect to: checked, and a number, so that nobody resolves it again."""
        if self.over:
            raise Refused("The time for sending is over.")
        if self.private:
            return address
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise Refused("Only internet addresses may be connected to.")
        number = self._number(family, *address[:2])
        if not is_public(_address(number)):
            raise Refused(f"{address[0]} is not a public address.")
        return (number, *address[1:])

    def _number(self, family: int, host: str, port: int) -> str:
        try:
            return str(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            return str(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4][0])

    def watch(self, connected: socket.socket) -> None:
        """Remember the connection by a descriptor of our own: TLS takes the socket's away."""
        with self._lock:
            self._open.append(socket.socket(fileno=socket.dup(connected.fileno())))

    def cut(self) -> None:
        """The time is over: whatever waits on one of the connections gets its end."""
        with self._lock:
            self.over = True
            for each in self._open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue

    def close(self) -> None:
        with self._lock:
            self.over = True
            for each in self._open:
                each.close()


_guard: ContextVar[_Guard | None] = ContextVar("outbound_guard", default=None)


@contextmanager
def guarded(*, seconds: float = SECONDS, own: bool = False) -> Iterator[None]:
    """Let what is opened inside reach public addresses only, and cut it after some seconds.

    Counts for this thread, and for threads that are given its context. `own`: the receiver is named by the
    installation's settings (its mail server), so only the time is bounded.
    """
    _install()
    guard = _Guard(private=own or settings.OUTBOUND_PRIVATE)
    token = _guard.set(guard)
    timer = threading.Timer(seconds, guard.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        guard.close()
        _guard.reset(token)


def _install() -> None:
    """Put the guard in front of Python's sockets, once. Outside of `guarded()` it lets everything pass."""
    with _installing:
        if socket.socket.connect is _connect:
            return
        socket.socket.connect = _connect  # type: ignore[method-assign]
        socket.socket.connect_ex = _connect_ex  # type: ignore[method-assign]
        socket.socket.sendto = _sendto  # type: ignore[method-assign]
        socket.socket.sendmsg = _sendmsg  # type: ignore[method-assign]


_installing = threading.Lock()
_plain = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto", "sendmsg")}


def _connect(self: socket.socket, address: Any) -> None:
    guard = _guard.get()
    if guard is None:
        return _plain["connect"](self, address)
    _plain["connect"](self, guard.allowed(self.family, address))
    return guard.watch(self)


def _connect_ex(self: socket.socket, address: Any) -> int:
    guard = _guard.get()
    if guard is None:
        return _plain["connect_ex"](self, address)
    code = _plain["connect_ex"](self, guard.allowed(self.family, address))
    guard.watch(self)
    return code


def _sendto(self: socket.socket, data: Any, *rest: Any) -> int:
    guard = _guard.get()
    if guard is None:
        return _plain["sendto"](self, data, *rest)
    return _plain["sendto"](self, data, *rest[:-1], guard.allowed(self.family, rest[-1]))


def _sendmsg(self: socket.socket, buffers: Any, ancillary: Any = (), flags: int = 0, address: Any = None) -> int:
    guard = _guard.get()
    if guard is None or address is None:
        return _plain["sendmsg"](self, buffers, ancillary, flags, *([] if address is None else [address]))
    return _plain["sendmsg"](self, buffers, ancillary, flags, guard.allowed(self.family, address))


# ── what may be told of it ───────────────────────────────────────────────────────────────────────

_URL = re.compile(r"\b([a-z][a-z0-9+.-]{1,30})://(?:[^\s/@'\"<>]*@)?([^\s/?#'\"<>)]*)[^\s'\"<>)]*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A text in which little is left of URLs: tokens stand in all their parts but scheme and host.

    In the URLs of other services (`slack://token/…`) not even the host is one.

    >>> without_secrets("POST https://me:pw@hooks.slack.com/services/T0/B0/x?y=z refused, slack://T0/B0")
    'POST https://hooks.slack.com/… refused, slack://…'
    """
    return _URL.sub(lambda found: f"{found[1]}://{found[2] + '/' if found[1].lower() in _WEB else ''}…", text)


_WEB = {"http", "https"}
