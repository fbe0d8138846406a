"""Requests that tenants ask for reach public addresses only, whatever name, redirect or spelling leads elsewhere."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import httpx
import pytest
import requests
import urllib3

from tenants import outbound
from tenants.errors import Invalid

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "ff02::1", "100::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]


@pytest.fixture(autouse=True)
def _public_only(settings: Any) -> None:
    settings.OUTBOUND_PRIVATE = False


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what names resolve to: each look-up takes the next answer, the last one stays. Numbers resolve as ever."""
    told: dict[str, list[str]] = {}
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        answers = told.get(host)
        if answers is None:
            return resolve(host, port, *rest, **more)
        return resolve(answers.pop(0) if len(answers) > 1 else answers[0], port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lambda host, *answers: told.update({host: list(answers)})


class Server:
    """An HTTP server on loopback that counts what reaches it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.slowly = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                while outer.slowly:
                    self.wfile.write(b"drip")
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield found
    found.slowly = False
    found.http.shutdown()
    found.http.server_close()
    thread.join(10)


def get_by_httpx(url: str) -> Any:
    return httpx.get(url, follow_redirects=True, timeout=5, trust_env=False)


def get_by_requests(url: str) -> Any:
    return requests.get(url, timeout=5)


def get_by_urllib3(url: str) -> Any:
    with urllib3.PoolManager() as pool:
        return pool.request("GET", url, retries=False, timeout=5)


CLIENTS = [get_by_httpx, get_by_requests, get_by_urllib3]


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_known(text: str) -> None:
    assert not outbound.is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_known(text: str) -> None:
    assert outbound.is_public(ipaddress.ip_address(text))


# ── the check of a form ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/", "http://127.0.0.1:5432/", "https://[::1]/", "http://[::ffff:10.0.0.1]/",
        "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://0/",
        "http://10.0.0.1@127.0.0.1/", "http://me:pw@169.254.169.254/latest/meta-data/",
    ],
)  # fmt: skip
def test_urls_to_private_addresses_are_refused_however_they_are_written(url: str) -> None:
    with pytest.raises(Invalid, match="own network"):
        outbound.check_url(url)


@pytest.mark.parametrize(
    "url", ["", "no url", "ftp://8.8.8.8/", "file:///etc/passwd", "http://", "http://[::1", "//x/"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        outbound.check_url(url)
    assert refused.value.fields


def test_a_name_with_one_private_address_is_refused(names: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    names("mixed.example", "8.8.8.8")
    outbound.check_url("https://mixed.example/hook")
    monkeypatch.setattr(outbound, "_resolve", lambda *_: [ipaddress.ip_address(t) for t in ("8.8.8.8", "10.0.0.1")])
    with pytest.raises(Invalid, match="own network"):
        outbound.check_url("https://mixed.example/hook")


@pytest.mark.parametrize("found", [[ipaddress.ip_address("8.8.8.8")], socket.gaierror("Name or service not known")])
def test_who_asks_after_an_answer_asks_anew(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []

    class Answer(Future):
        def _told(self) -> None:
            left.append(("once.example", 443) in outbound._asked)

        def set_result(self, result: Any) -> None:
            self._told()
            super().set_result(result)

        def set_exception(self, exception: BaseException | None) -> None:
            self._told()
            super().set_exception(exception)

    def resolve(*_: Any) -> Any:
        if isinstance(found, OSError):
            raise found
        return found

    monkeypatch.setattr(outbound, "Future", Answer)
    monkeypatch.setattr(outbound, "_resolve", resolve)
    with suppress(outbound.UnknownHost):
        outbound.check_url("https://once.example/hook")
    assert left == [False]


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> Any:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(outbound, "_resolve", unknown)
    with pytest.raises(Invalid, match="can't be found"):
        outbound.check_url("https://nowhere.example/")


def test_a_name_server_that_is_stuck_is_in_nobody_elses_way(monkeypatch: pytest.MonkeyPatch) -> None:
    over, stuck = threading.Event(), []

    def resolve(host: str, port: int) -> Any:
        if host.endswith("slow.example"):
            stuck.append(host)
            over.wait(30)
        return [ipaddress.ip_address("8.8.8.8")]

    monkeypatch.setattr(outbound, "_resolve", resolve)
    monkeypatch.setattr(outbound, "RESOLVE_SECONDS", 0.05)
    try:
        for number in range(10):
            with pytest.raises(Invalid, match="can't be found"):
                outbound.check_host(f"n{number}.slow.example", 443)
        assert len(stuck) == outbound.MOST_OF_A_DOMAIN
        monkeypatch.setattr(outbound, "RESOLVE_SECONDS", 5)
        outbound.check_host("quick.example.org", 443)
    finally:
        over.set()


def test_an_installation_may_allow_its_own_network(settings: Any) -> None:
    settings.OUTBOUND_PRIVATE = True
    outbound.check_url("http://127.0.0.1:9/")


# ── at the moment of connecting ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("get", CLIENTS)
def test_nothing_private_is_connected_to(server: Server, get: Callable) -> None:
    with outbound.guarded(), pytest.raises((httpx.HTTPError, requests.RequestException, urllib3.exceptions.HTTPError)):
        get(server.url)
    assert server.asked == []
    assert get(server.url).status_code if get is not get_by_urllib3 else get(server.url).status == 200


@pytest.mark.parametrize("get", CLIENTS)
def test_a_name_that_resolves_otherwise_the_second_time_is_of_no_use(
    server: Server, names: Callable, get: Callable
) -> None:
    names("rebound.example", "8.8.8.8", "127.0.0.1")
    url = f"http://rebound.example:{server.port}/"
    outbound.check_url(url)
    with outbound.guarded(), pytest.raises((httpx.HTTPError, requests.RequestException, urllib3.exceptions.HTTPError)):
        get(url)
    assert server.asked == []


def test_a_redirect_to_a_private_address_is_not_followed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first server is public, as far as the guard can see."""
    inside = Server()
    first = http.server.HTTPServer(("127.0.0.2", 0), _redirect_to(inside.url))
    thread = threading.Thread(target=first.handle_request)
    thread.start()
    is_public = outbound.is_public
    monkeypatch.setattr(outbound, "is_public", lambda a: str(a) == "127.0.0.2" or is_public(a))
    with outbound.guarded(), pytest.raises(httpx.HTTPError):
        get_by_httpx(f"http://127.0.0.2:{first.server_address[1]}/")
    thread.join(10)
    first.server_close()
    inside.http.server_close()
    assert inside.asked == []


def _redirect_to(url: str) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    return Handler


def test_names_given_to_a_socket_are_checked_too(server: Server) -> None:
    for host in ("localhost", "2130706433"):
        with outbound.guarded(), socket.socket() as plain, pytest.raises(outbound.Refused):
            plain.connect((host, server.port))
        with outbound.guarded(), socket.socket() as plain, pytest.raises(outbound.Refused):
            plain.connect_ex((host, server.port))


def test_datagrams_and_local_sockets_are_refused() -> None:
    with outbound.guarded():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            with pytest.raises(outbound.Refused):
                datagrams.sendto(b"x", ("127.0.0.1", 514))
            with pytest.raises(outbound.Refused):
                datagrams.sendmsg([b"x"], [], 0, ("127.0.0.1", 514))
        with socket.socket(socket.AF_UNIX) as local, pytest.raises(outbound.Refused):
            local.connect("/var/run/docker.sock")


def test_other_threads_go_on_meanwhile(server: Server) -> None:
    """The worker beside us speaks to its database and its Redis, which are private addresses."""
    seen: list[int] = []
    with outbound.guarded():
        thread = threading.Thread(target=lambda: seen.append(get_by_httpx(server.url).status_code))
        thread.start()
        thread.join(10)
    assert seen == [200]


@pytest.mark.parametrize("get", CLIENTS)
def test_an_answer_that_never_ends_is_cut(server: Server, settings: Any, get: Callable) -> None:
    settings.OUTBOUND_PRIVATE = True
    server.slowly = True
    try:
        with outbound.guarded(seconds=0.3):
            get(server.url)  # An end without a length is one that some clients take for the answer's.
    except (httpx.HTTPError, requests.RequestException, urllib3.exceptions.HTTPError):
        pass
    with outbound.guarded(seconds=30) as _, socket.socket() as plain:
        outbound._guard.get().cut()
        with pytest.raises(outbound.Refused, match="time"):
            plain.connect(("127.0.0.1", server.port))


# ── what is told ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https://u:p@host.example:8443/path/token?key=1#x is down", "https://host.example:8443/… is down"),
        ("see slack://TokenA/TokenB/TokenC/#general", "see slack://…"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_texts_lose_what_is_secret_in_urls(text: str, told: str) -> None:
    assert outbound.without_secrets(text) == told
