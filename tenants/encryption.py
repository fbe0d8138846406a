"""Secrets at rest: sealed by a data key of their organization, which a master key of the installation wraps.

AES-256-GCM throughout (NIST SP 800-38D) with random nonces of 96 bits. A sealed value is bound to its place (which row
and column it belongs to) and to its organization, so that one that was copied elsewhere can't be opened there.

Master keys come from MASTER_KEYS: `name:base64` each, newest first. The first one wraps what is new; the others still
open what they wrapped. `manage.py rotate_keys` wraps all data keys again by the first.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction

from tenants.models import OrganizationKey

KEY_BYTES = 32
NONCE_BYTES = 12
_FORM = b"\x01"


class CannotUnseal(Exception):
    """A sealed value was altered, belongs elsewhere, or its key is gone."""


def seal(organization_id: UUID, plain: bytes, place: str) -> bytes:
    """Encrypt a secret of an organization, inside its scope. `place` names the row and column that will hold it."""
    number, key = _newest_key(organization_id)
    return _FORM + number.to_bytes(4, "big") + _encrypt(key, plain, _bound(organization_id, place))


def unseal(organization_id: UUID, sealed: bytes, place: str) -> bytes:
    """Decrypt what `seal` made for the same organization and place.

    Raises:
        CannotUnseal: It was made for another place or altered, or its key is gone.
    """
    if sealed[:1] != _FORM or len(sealed) < 5 + NONCE_BYTES + 16:
        raise CannotUnseal("This is no sealed value.")
    key = _key_of(organization_id, int.from_bytes(sealed[1:5], "big"))
    return _decrypt(key, sealed[5:], _bound(organization_id, place))


def is_current(organization_id: UUID, sealed: bytes) -> bool:
    """Say whether a value was sealed by the organization's newest data key."""
    return int.from_bytes(sealed[1:5], "big") == _newest_key(organization_id)[0]


def seal_for_installation(plain: bytes, place: str) -> bytes:
    """Encrypt what belongs to no tenant, a person's second factor for example."""
    name, master = next(iter(master_keys().items()))
    label = name.encode()
    return _FORM + bytes([len(label)]) + label + _encrypt(_derived(master), plain, place.encode())


def unseal_for_installation(sealed: bytes, place: str) -> bytes:
    """Decrypt what `seal_for_installation` made.

    Raises:
        CannotUnseal: It was made for another place or altered, or its master key is gone.
    """
    if sealed[:1] != _FORM or len(sealed) < 2:
        raise CannotUnseal("This is no sealed value.")
    end = 2 + sealed[1]
    return _decrypt(_derived(_master(sealed[2:end].decode("ascii", "replace"))), sealed[end:], place.encode())


def add_data_key(organization_id: UUID) -> int:
    """Give an organization a new data key, which seals from now on; answer its number. Call it inside the scope."""
    last = OrganizationKey.objects.order_by("-number").values_list("number", flat=True).first() or 0
    name = next(iter(master_keys()))
    wrapped = _encrypt(master_keys()[name], os.urandom(KEY_BYTES), _wrapping(organization_id, last + 1))
    OrganizationKey.objects.create(organization_id=organization_id, number=last + 1, master=name, wrapped=wrapped)
    return last + 1


def wrap_again(organization_id: UUID) -> int:
    """Wrap an organization's data keys by the newest master key; answer how many were not. Call it inside the scope."""
    newest = next(iter(master_keys()))
    old = list(OrganizationKey.objects.exclude(master=newest).select_for_update())
    for row in old:
        plain = _unwrapped(organization_id, row.number, row.master, bytes(row.wrapped))
        row.wrapped = _encrypt(master_keys()[newest], plain, _wrapping(organization_id, row.number))
        row.master = newest
        row.save(update_fields=["wrapped", "master"])
    return len(old)


def master_keys() -> dict[str, bytes]:
    """The installation's master keys by name, newest first.

    Raises:
        ImproperlyConfigured: There is none, or one is no base64 of 32 bytes.
    """
    return _parsed(settings.MASTER_KEYS)


@lru_cache(maxsize=4)
def _parsed(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, encoded = part.partition(":")
        try:
            keys[name] = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            keys[name] = b""
        if not 0 < len(name) <= 40 or not name.isascii() or len(keys[name]) != KEY_BYTES:
            raise ImproperlyConfigured("MASTER_KEYS holds name:base64 pairs, each of 32 bytes. `manage.py new_key`.")
    if not keys:
        raise ImproperlyConfigured("MASTER_KEYS is not set. `manage.py new_key` makes one; keep it outside backups.")
    return keys


def _newest_key(organization_id: UUID) -> tuple[int, bytes]:
    row = OrganizationKey.objects.filter(organization_id=organization_id).order_by("-number").first()
    if row is None:
        try:
            with transaction.atomic():
                add_data_key(organization_id)
        except IntegrityError:  # Somebody else was first, in this moment.
            pass
        row = OrganizationKey.objects.filter(organization_id=organization_id).latest("number")
    return row.number, _unwrapped(organization_id, row.number, row.master, bytes(row.wrapped))


def _key_of(organization_id: UUID, number: int) -> bytes:
    row = OrganizationKey.objects.filter(organization_id=organization_id, number=number).first()
    if row is None:
        raise CannotUnseal("The organization has no such data key.")
    return _unwrapped(organization_id, number, row.master, bytes(row.wrapped))


@lru_cache(maxsize=2_000)
def _unwrapped(organization_id: UUID, number: int, master: str, wrapped: bytes) -> bytes:
    return _decrypt(_master(master), wrapped, _wrapping(organization_id, number))


def _master(name: str) -> bytes:
    try:
        return master_keys()[name]
    except KeyError:
        raise CannotUnseal(f"The master key {name!r} is not among MASTER_KEYS.") from None


@lru_cache(maxsize=4)
def _derived(master: bytes) -> bytes:
    """A key of its own for each use of a master key (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"orchestrator installation secrets").derive(
        master
    )


def _bound(organization_id: UUID, place: str) -> bytes:
    return organization_id.bytes + place.encode()


def _wrapping(organization_id: UUID, number: int) -> bytes:
    return b"data key " + organization_id.bytes + number.to_bytes(4, "big")


def _encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise CannotUnseal("A sealed value was altered or belongs elsewhere.") from error
