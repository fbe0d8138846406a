"""A master key in HashiCorp Vault's transit engine (or OpenBao's): it wraps and unwraps there and never comes here.

Two routes are asked, `POST /v1/MOUNT/encrypt/KEY` and `…/decrypt/KEY`; the token's policy needs `update` on both and
nothing else. What a data key belongs to is bound to it by a hash within what is encrypted, whatever type the key has.

Calls are few: data keys are remembered for KEY_SECONDS. They are bounded: after a failure nobody asks again for some
seconds, so that a Vault that hangs does not hold a thread for each request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import re
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tenants.errors import Unavailable
from tenants.master_keys import CannotUnseal

logger = logging.getLogger(__name__)
SECONDS = 3.0
PAUSE = 2.0  # seconds after a failure in which nobody asks
_VERSION = re.compile(rb"vault:v([0-9]{1,9}):")
_PATH = re.compile(r"/([A-Za-z0-9_./-]+)/([A-Za-z0-9_.-]+)")


class VaultKey:
    """One key of a transit engine."""

    is_elsewhere = True

    def __init__(self, root: str, mount: str, key: str) -> None:
        self.root, self.mount, self.key = root, mount, key
        self._silent_until = 0.0
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    @classmethod
    def at(cls, address: str) -> VaultKey:
        """The key of `vault://host:port/mount/key`.

        Raises:
            ImproperlyConfigured: It is no such address.
        """
        parts = urlsplit(address)
        path = _PATH.fullmatch(parts.path)
        if not path or not parts.hostname or parts.query or "@" in parts.netloc:
            raise ImproperlyConfigured(f"{address!r:.200} is no address of a key: vault://host:port/mount/key.")
        scheme = "http" if parts.scheme == "vault+http" else "https"
        return cls(f"{scheme}://{parts.netloc}", path[1], path[2])

    def wrap(self, plain: bytes, bound: bytes) -> bytes:
        content = base64.b64encode(_digest(bound) + plain).decode()
        return self._ask("encrypt", {"plaintext": content}, "ciphertext").encode()

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        if not _VERSION.match(wrapped):
            raise CannotUnseal("This was not wrapped by Vault.")
        content = base64.b64decode(
            self._ask("decrypt", {"ciphertext": wrapped.decode("ascii", "replace")}, "plaintext")
        )
        if not hmac.compare_digest(content[:32], _digest(bound)):
            raise CannotUnseal("A wrapped key belongs elsewhere.")
        return content[32:]

    def is_newest(self, wrapped: bytes) -> bool:
        return _version(wrapped) >= _version(self.wrap(b"", b"version"))

    def _ask(self, what: str, body: dict[str, str], wanted: str) -> str:
        if time.monotonic() < self._silent_until:
            raise Unavailable(f"Vault at {self.root} could not be asked some seconds ago. Try again.")
        try:
            answer = self._http().post(f"/v1/{self.mount}/{what}/{self.key}", json=body, headers=_headers())
            if answer.status_code == 400:
                raise CannotUnseal(f"Vault refuses to {what}: {_errors(answer)}")
            answer.raise_for_status()
            return str(answer.json()["data"][wanted])
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError) as error:
            self._silent_until = time.monotonic() + PAUSE
            told = _errors(error.response) if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
            logger.error("Vault at %s can't %s by the key %s/%s: %s", self.root, what, self.mount, self.key, told)
            raise Unavailable(f"The key service (Vault at {self.root}) can't {what} now: {told}") from error

    def _http(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(base_url=self.root, timeout=SECONDS, follow_redirects=False)
            return self._client


def _headers() -> dict[str, str]:
    headers = {"X-Vault-Request": "true", "X-Vault-Token": _token()}
    return headers | ({"X-Vault-Namespace": settings.VAULT_NAMESPACE} if settings.VAULT_NAMESPACE else {})


def _token() -> str:
    """One in a file is renewed by whoever writes it (Vault's agent)."""
    path = settings.VAULT_TOKEN_FILE
    return Path(path).read_text(encoding="utf-8").strip() if path else settings.VAULT_TOKEN


def _errors(answer: httpx.Response) -> str:
    """What Vault says is wrong; it repeats nothing of what it was sent."""
    try:
        said: Any = answer.json().get("errors")
    except (ValueError, AttributeError):
        said = None
    return f"{answer.status_code} {'; '.join(map(str, said))[:300] if isinstance(said, list) else ''}".strip()


def _digest(bound: bytes) -> bytes:
    return hashlib.sha256(bound).digest()


def _version(wrapped: bytes) -> int:
    found = _VERSION.match(wrapped)
    return int(found[1]) if found else 0
