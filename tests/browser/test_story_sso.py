"""A company sets up its own log-in, a newcomer comes by it, and then it is demanded."""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from orchestrator.server.embedded import ports
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor
from tests.browser.conftest import TIMEOUT
from tests.cast import PASSWORD, Company

PEOPLE = [
    {"sub": "nina", "email": "nina@acme.example", "email_verified": True, "name": "Nina Newcomer"},
    {"sub": "mallory", "email": "mallory@globex.example", "email_verified": True},
]


class Dns(socketserver.ThreadingUDPServer):
    """A name server that knows TXT records."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Question)
        self.records: dict[str, str] = {}


class _Question(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        from dns import flags, message, rrset

        asked = message.from_wire(self.request[0])
        answer = message.make_response(asked)
        answer.flags |= flags.RA
        name = asked.question[0].name.to_text()
        if text := self.server.records.get(name.rstrip(".")):
            answer.answer.append(rrset.from_text(name, 60, "IN", "TXT", json.dumps(text)))
        self.request[1].sendto(answer.to_wire(), self.client_address)


@pytest.fixture(autouse=True)
def dns(monkeypatch: Any) -> Iterator[Dns]:
    """The name server that the web server asks: begun before it."""
    with Dns() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("DNS_SERVER", f"127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()
        thread.join(10)


@pytest.fixture
def issuer() -> Iterator[str]:
    """A provider, in a process of its own: its libraries warn at import."""
    port = ports.any_free()
    people = [part for person in PEOPLE for part in ("--user-claims", json.dumps(person))]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", *people]
    supervisor = Supervisor(Console(sys.stderr))
    supervisor.add(Child("provider", command, lambda: {**os.environ, "NO_COLOR": "1"}))
    supervisor.wait_until(lambda: ports.accepts("127.0.0.1", port), "The provider", 60)
    yield f"http://127.0.0.1:{port}"
    supervisor.stop_all()


@pytest.fixture
def tab(chromium: Any, served: str) -> Iterator[Any]:
    """New browsers, each with a session of its own."""
    contexts = []

    def fresh() -> Any:
        contexts.append(chromium.new_context(base_url=served, viewport={"width": 1440, "height": 900}))
        contexts[-1].set_default_timeout(TIMEOUT)
        return contexts[-1].new_page()

    yield fresh
    for context in contexts:
        context.close()


def sign_in(page: Any, email: str, path: str = "/") -> None:
    page.goto(f"/login/?next={path}")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def set_up(page: Any, dns: Dns, issuer: str) -> None:
    page.get_by_label("Domain", exact=True).fill("acme.example")
    page.get_by_role("button", name="Add domain").click()
    name, value = page.locator("#domains-title ~ * code, section:has(#domains-title) code").all_text_contents()[:2]
    page.get_by_role("button", name="Check acme.example").click()
    expect(page.get_by_text("does not name the value").first).to_be_visible()
    dns.records[name] = value
    page.get_by_role("button", name="Check acme.example").click()
    expect(page.get_by_text("acme.example is verified").first).to_be_visible()

    page.get_by_label("Issuer").fill(issuer)
    page.get_by_label("Client ID").fill("orchestrator")
    page.get_by_label("Client secret").fill("s3cret")
    page.get_by_role("button", name="Save provider", exact=True).click()
    expect(page.get_by_text("Not tested since its last change")).to_be_visible()
    page.get_by_label("Role in the workspace Main").select_option("viewer")
    page.get_by_role("button", name="Save roles").click()


def try_it(page: Any) -> None:
    page.get_by_role("link", name="Test the log-in").click()
    page.get_by_role("button", name="nina").click()
    expect(page.get_by_text("nina@acme.example would be let in").first).to_be_visible()


def choose(page: Any, mode: str) -> None:
    page.get_by_label(mode).check()
    page.locator("section:has(#switch-title)").get_by_role("button", name="Save").click()


def come(page: Any, email: str, who: str) -> None:
    page.goto("/login/")
    page.get_by_role("link", name="Log in with your company's account").click()
    page.get_by_label("Work e-mail").fill(email)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name=who).click()


@pytest.mark.django_db(transaction=True)
def test_the_story(acme: Company, vera: Any, dns: Dns, issuer: str, tab: Any) -> None:
    owner = tab()
    sign_in(owner, "alice@acme.example", "/o/acme/sso")
    set_up(owner, dns, issuer)
    expect(owner.get_by_label("Demanded")).to_be_disabled()
    try_it(owner)
    choose(owner, "On:")

    newcomer = tab()
    come(newcomer, "nina@acme.example", "nina")
    expect(newcomer).to_have_url(f"{newcomer.url.split('/o/')[0]}/o/acme/main/")
    expect(newcomer.get_by_role("heading", level=1)).to_be_visible()
    stranger = tab()
    come(stranger, "nina@acme.example", "mallory")
    expect(stranger.get_by_text("is of no domain that this organization has verified")).to_be_visible()

    choose(owner, "Demanded")
    expect(owner.get_by_text("Acme asks for its own log-in")).to_be_visible()
    assert newcomer.reload().status == 200
    member = tab()
    sign_in(member, vera.email, "/o/acme/main/")
    member.wait_for_url(f"{issuer}/**")

    owner.get_by_role("button", name="Break the glass").click()
    owner.goto("/o/acme/audit")
    expect(owner.get_by_text("sso.break_glass")).to_be_visible()
