"""The installation's master keys, which wrap the data keys of organizations: bytes of our own, or a key elsewhere.

MASTER_KEYS holds them, newest first, separated by commas:

    name:base64                                   32 bytes: AES-256-GCM here
    name:vault://vault.example:8200/transit/key   a key of Vault's transit engine, which never leaves it

`vault+http://` speaks without TLS, for a Vault on the same machine.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
NONCE_BYTES = 12
MAX_NAME = 40


class CannotUnseal(Exception):
    """A sealed value was altered, belongs elsewhere, or its key is gone."""


class MasterKey(Protocol):
    """What wraps keys. `bound` says what is wrapped: what was wrapped for one place opens in no other."""

    is_elsewhere: bool

    def wrap(self, plain: bytes, bound: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """Open what `wrap` made.

        Raises:
            CannotUnseal: It was altered or bound to something else.
            Unavailable: The service that holds the key is away.
        """
        ...

    def is_newest(self, wrapped: bytes) -> bool:
        """Say whether it was wrapped by the newest version of the key."""
        ...


class LocalKey:
    """32 bytes that this process holds."""

    is_elsewhere = False

    def __init__(self, key: bytes) -> None:
        self._key = key

    def wrap(self, plain: bytes, bound: bytes) -> bytes:
        return encrypt(self._key, plain, bound)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        return decrypt(self._key, wrapped, bound)

    def is_newest(self, wrapped: bytes) -> bool:
        return True

    def derived(self, use: bytes) -> bytes:
        """A key of its own for another use (RFC 5869)."""
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=use).derive(self._key)


def encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    """AES-256-GCM with a random nonce in front."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Open what `encrypt` made.

    Raises:
        CannotUnseal: It was altered, or bound to something else.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise CannotUnseal("A sealed value was altered or belongs elsewhere.") from error


def master_keys() -> dict[str, MasterKey]:
    """The installation's master keys by name, newest first.

    Raises:
        ImproperlyConfigured: There is none, or one is neither base64 of 32 bytes nor an address.
    """
    return _parsed(settings.MASTER_KEYS)


def newest() -> tuple[str, MasterKey]:
    """The one that wraps what is new."""
    return next(iter(master_keys().items()))


def named(name: str) -> MasterKey:
    """The one of this name.

    Raises:
        CannotUnseal: There is none.
    """
    try:
        return master_keys()[name]
    except KeyError:
        raise CannotUnseal(f"The master key {name!r} is not among MASTER_KEYS.") from None


@lru_cache(maxsize=4)
def _parsed(text: str) -> dict[str, MasterKey]:
    keys: dict[str, MasterKey] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, key = part.partition(":")
        if not 0 < len(name) <= MAX_NAME or not name.isascii():
            raise ImproperlyConfigured(_WRONG)
        keys[name] = _read(key)
    if not keys:
        raise ImproperlyConfigured("MASTER_KEYS is not set. `manage.py new_key` makes one; keep it outside backups.")
    return keys


_WRONG = (
    "MASTER_KEYS holds name:base64 pairs, each of 32 bytes, or name:vault://host:port/mount/key. `manage.py new_key`"
    " makes one."
)


def _read(text: str) -> MasterKey:
    if text.startswith(("vault://", "vault+http://")):
        from tenants.vault import VaultKey  # Who has none pays for no HTTP library.

        return VaultKey.at(text)
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ImproperlyConfigured(_WRONG)
    return LocalKey(key)
