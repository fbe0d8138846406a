"""5.2: a master key that stays in a key service, spoken with as Vault's transit engine is."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from orchestrator.server.checks import master_keys as check
from tenants import encryption, master_keys, vault
from tenants.encryption import CannotUnseal, seal, seal_for_installation, unseal, unseal_for_installation
from tenants.errors import Unavailable
from tenants.models import OrganizationKey
from tests.cast import Api, Company
from tests.tenants.test_encryption import key

pytestmark = pytest.mark.django_db
TOKEN = "hvs.CAESIJ"


class Vault(ThreadingHTTPServer):
    """One key of a transit engine with its versions: POST /v1/transit/{encrypt,decrypt}/orchestrator."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.versions = {1: os.urandom(32)}
        self.asked: list[str] = []
        self.seen: list[bytes] = []
        self.token, self.sealed = TOKEN, False

    @property
    def address(self) -> str:
        return f"vault+http://127.0.0.1:{self.server_port}/transit/orchestrator"

    def rotate(self) -> None:
        self.versions[max(self.versions) + 1] = os.urandom(32)

    def answer(self, what: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if what == "encrypt":
            version, nonce = max(self.versions), os.urandom(12)
            packed = nonce + AESGCM(self.versions[version]).encrypt(nonce, base64.b64decode(body["plaintext"]), None)
            return 200, {"data": {"ciphertext": f"vault:v{version}:{base64.b64encode(packed).decode()}"}}
        _, version, packed = body["ciphertext"].split(":")
        if int(version[1:]) not in self.versions:
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        try:
            raw = base64.b64decode(packed)
            plain = AESGCM(self.versions[int(version[1:])]).decrypt(raw[:12], raw[12:], None)
        except InvalidTag:
            return 400, {"errors": ["invalid ciphertext: unable to decrypt"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


class _Answers(BaseHTTPRequestHandler):
    server: Vault
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(data)
        _, v1, mount, what, name = self.path.split("/")
        if self.headers["X-Vault-Token"] != self.server.token:
            status, body = 403, {"errors": ["permission denied"]}
        elif self.server.sealed:
            status, body = 503, {"errors": ["Vault is sealed"]}
        elif (v1, mount, name) != ("v1", "transit", "orchestrator"):
            status, body = 404, {"errors": []}
        else:
            self.server.asked.append(what)
            status, body = self.server.answer(what, json.loads(data))
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def service(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """A Vault whose key is the installation's only master key."""
    running, clients, client = Vault(), list[Any](), vault.httpx.Client
    monkeypatch.setattr(vault.httpx, "Client", lambda **options: clients.append(client(**options)) or clients[-1])
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    settings.MASTER_KEYS, settings.VAULT_TOKEN = f"prod:{running.address}", TOKEN
    _anew()
    yield running
    for each in clients:
        each.close()
    running.shutdown()
    running.server_close()
    thread.join()
    _anew()


def _anew() -> None:
    """As a process that has just begun."""
    encryption.forget_keys()
    master_keys._parsed.cache_clear()


def sealed_by(acme: Company, text: bytes = b"sesame") -> bytes:
    with acme.scope():
        return seal(acme.organization.id, text, "block/1")


def opened(acme: Company, sealed: bytes) -> bytes:
    with acme.scope():
        return unseal(acme.organization.id, sealed, "block/1")


def test_data_keys_are_wrapped_there_and_secrets_never_go(acme: Company, service: Vault) -> None:
    sealed = sealed_by(acme)
    _anew()
    assert opened(acme, sealed) == b"sesame"
    with acme.scope():
        row = OrganizationKey.objects.get()
    assert (row.master, bytes(row.wrapped)[:9]) == ("prod", b"vault:v1:")
    assert base64.b64encode(b"sesame")[:6] not in b"".join(service.seen)


def test_what_was_opened_is_remembered_for_a_while(
    acme: Company, service: Vault, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5.2: bounded by time, so that a key which was withdrawn there opens nothing here soon after."""
    sealed, at = sealed_by(acme), [0.0]
    monkeypatch.setattr(encryption.time, "monotonic", lambda: at[0])
    encryption.forget_keys()
    service.asked.clear()
    for _ in range(3):
        opened(acme, sealed)
    assert service.asked == ["decrypt"]
    service.token = "another"
    at[0] = settings.KEY_SECONDS - 1
    assert opened(acme, sealed) == b"sesame"
    at[0] = settings.KEY_SECONDS + 1
    with pytest.raises(Unavailable, match="403 permission denied"):
        opened(acme, sealed)


def test_while_it_is_away_the_answer_says_so(acme: Company, api: Api, service: Vault) -> None:
    assert api.put("/blocks/secret/crm", {"data": {"value": "sesame open"}}).status_code == 201
    _anew()
    service.sealed = True
    answer = api.post("/blocks/secret/crm/value")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert "503 Vault is sealed" in answer.json()["error"]["message"]
    service.sealed = False
    _anew()
    assert api.post("/blocks/secret/crm/value").json()["data"] == {"value": "sesame open"}


def test_one_that_hangs_is_not_asked_by_everybody(service: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    at = [100.0]
    monkeypatch.setattr(vault.time, "monotonic", lambda: at[0])
    _, master = master_keys.newest()
    service.sealed = True
    with pytest.raises(Unavailable):
        master.wrap(b"x", b"y")
    service.sealed = False
    with pytest.raises(Unavailable, match="some seconds ago"):
        master.wrap(b"x", b"y")
    at[0] += vault.PAUSE
    assert master.unwrap(master.wrap(b"x", b"y"), b"y") == b"x"


def test_both_keys_rotate_while_everything_serves(acme: Company, service: Vault) -> None:
    first = sealed_by(acme)
    service.rotate()
    call_command("rotate_keys", "--data-keys")
    assert opened(acme, first) == b"sesame"
    with acme.scope():
        rows = OrganizationKey.objects.order_by("number").values_list("number", "wrapped")
        assert [(number, bytes(wrapped)[:9]) for number, wrapped in rows] == [(1, b"vault:v2:"), (2, b"vault:v2:")]
    del service.versions[1]  # Retired there.
    _anew()
    assert opened(acme, first) == b"sesame"
    before = len(service.asked)
    call_command("rotate_keys")
    assert "decrypt" not in service.asked[before:]  # Nothing is left to do.


def test_from_a_key_in_the_environment_to_vault_and_back(acme: Company, service: Vault, settings: Any) -> None:
    there = settings.MASTER_KEYS
    settings.MASTER_KEYS = key("old", 1)
    sealed = sealed_by(acme)
    for keys, only in ((f"{there},{key('old', 1)}", there), (f"{key('new', 2)},{there}", key("new", 2))):
        settings.MASTER_KEYS = keys
        call_command("rotate_keys")
        settings.MASTER_KEYS = only
        _anew()
        assert opened(acme, sealed) == b"sesame"


def test_a_wrapped_key_opens_in_its_own_place_only(service: Vault) -> None:
    _, master = master_keys.newest()
    wrapped = master.wrap(b"a key", b"acme")
    with pytest.raises(CannotUnseal, match="belongs elsewhere"):
        master.unwrap(wrapped, b"globex")
    for junk in (b"", b"x", wrapped[:9] + b"AAAA" + wrapped[13:], b"vault:v9:AAAA"):
        with pytest.raises(CannotUnseal):
            master.unwrap(junk, b"acme")


def test_what_belongs_to_no_tenant_is_sealed_too(service: Vault, settings: Any) -> None:
    sealed = seal_for_installation(b"totp seed", "person/1")
    _anew()
    assert unseal_for_installation(sealed, "person/1") == b"totp seed"
    with pytest.raises(CannotUnseal):
        unseal_for_installation(sealed, "person/2")
    settings.MASTER_KEYS = f"{key('new', 2)},{settings.MASTER_KEYS}"
    assert unseal_for_installation(sealed, "person/1") == b"totp seed"
    settings.MASTER_KEYS = key("prod", 2)
    _anew()
    with pytest.raises(CannotUnseal):
        unseal_for_installation(sealed, "person/1")


def test_a_token_in_a_file_may_change(service: Vault, settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("hvs.first\n")
    settings.VAULT_TOKEN_FILE, service.token = str(file), "hvs.first"
    _, master = master_keys.newest()
    master.wrap(b"x", b"y")
    file.write_text("hvs.second\n")
    service.token = "hvs.second"
    master.wrap(b"x", b"y")


def test_the_check_says_whether_it_can_be_asked(service: Vault) -> None:
    assert check(None) == []
    service.token = "another"
    [problem] = check(None)
    assert (problem.id, "403 permission denied" in problem.msg) == ("orchestrator.E007", True)


@pytest.mark.parametrize(
    "address", ["vault://", "vault://host", "vault://host/transit", "vault://me:pw@host/transit/key", "vault:///a/b"]
)
def test_addresses_that_are_none(settings: Any, address: str) -> None:
    settings.MASTER_KEYS = f"prod:{address}"
    with pytest.raises(ImproperlyConfigured, match="vault://host:port/mount/key"):
        encryption.master_keys()
