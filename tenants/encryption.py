"""Secrets at rest: sealed by a data key of their organization, which a master key of the installation wraps.

AES-256-GCM throughout (NIST SP 800-38D) with random nonces of 96 bits. A sealed value is bound to its place (which row
and column it belongs to) and to its organization, so that one that was copied elsewhere can't be opened there.

Master keys come from MASTER_KEYS (tenants/master_keys.py), newest first. The first one wraps what is new; the others
still open what they wrapped. `manage.py rotate_keys` wraps all data keys again by the first. Opened data keys are
remembered in this process for KEY_SECONDS: for as long a key service may be away.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from threading import Lock
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from tenants.master_keys import (
    KEY_BYTES,
    NONCE_BYTES,
    CannotUnseal,
    LocalKey,
    decrypt,
    encrypt,
    master_keys,
    named,
    newest,
)
from tenants.models import OrganizationKey

__all__ = ["CannotUnseal", "master_keys"]
REMEMBERED = 2_000  # data keys
_FORM = b"\x01"
_ENVELOPE = b"\x02"  # Sealed for the installation by a key that is wrapped within the value.
_INSTALLATION = b"orchestrator installation secrets"


def seal(organization_id: UUID, plain: bytes, place: str) -> bytes:
    """Encrypt a secret of an organization, inside its scope. `place` names the row and column that will hold it."""
    number, key = _newest_key(organization_id)
    return _FORM + number.to_bytes(4, "big") + encrypt(key, plain, _bound(organization_id, place))


def unseal(organization_id: UUID, sealed: bytes, place: str) -> bytes:
    """Decrypt what `seal` made for the same organization and place.

    Raises:
        CannotUnseal: It was made for another place or altered, or its key is gone.
    """
    if sealed[:1] != _FORM or len(sealed) < 5 + NONCE_BYTES + 16:
        raise CannotUnseal("This is no sealed value.")
    key = _key_of(organization_id, int.from_bytes(sealed[1:5], "big"))
    return decrypt(key, sealed[5:], _bound(organization_id, place))


def is_current(organization_id: UUID, sealed: bytes) -> bool:
    """Say whether a value was sealed by the organization's newest data key."""
    return int.from_bytes(sealed[1:5], "big") == _newest_key(organization_id)[0]


def seal_for_installation(plain: bytes, place: str) -> bytes:
    """Encrypt what belongs to no tenant, a person's second factor for example."""
    name, master = newest()
    label = bytes([len(name)]) + name.encode()
    if isinstance(master, LocalKey):
        return _FORM + label + encrypt(master.derived(_INSTALLATION), plain, place.encode())
    key, wrapped = _own_key(name)
    return _ENVELOPE + label + len(wrapped).to_bytes(2, "big") + wrapped + encrypt(key, plain, place.encode())


def unseal_for_installation(sealed: bytes, place: str) -> bytes:
    """Decrypt what `seal_for_installation` made.

    Raises:
        CannotUnseal: It was made for another place or altered, or its master key is gone.
        Unavailable: The service that holds the master key is away.
    """
    if sealed[:1] not in (_FORM, _ENVELOPE) or len(sealed) < 4:
        raise CannotUnseal("This is no sealed value.")
    end = 2 + sealed[1]
    name = sealed[2:end].decode("ascii", "replace")
    master = named(name)
    if sealed[:1] == _ENVELOPE:
        begin = end + 2
        end = begin + int.from_bytes(sealed[end:begin], "big")
        return decrypt(_unwrapped(name, sealed[begin:end], _INSTALLATION), sealed[end:], place.encode())
    if not isinstance(master, LocalKey):
        raise CannotUnseal(f"The master key {name!r} is another one now.")
    return decrypt(master.derived(_INSTALLATION), sealed[end:], place.encode())


@lru_cache(maxsize=4)
def _own_key(master: str) -> tuple[bytes, bytes]:
    """A key of this process for what belongs to no tenant, and as the master key wraps it."""
    key = os.urandom(KEY_BYTES)
    return key, named(master).wrap(key, _INSTALLATION)


def add_data_key(organization_id: UUID) -> int:
    """Give an organization a new data key, which seals from now on; answer its number. Call it inside the scope."""
    last = OrganizationKey.objects.order_by("-number").values_list("number", flat=True).first() or 0
    name, master = newest()
    wrapped = master.wrap(os.urandom(KEY_BYTES), _wrapping(organization_id, last + 1))
    OrganizationKey.objects.create(organization_id=organization_id, number=last + 1, master=name, wrapped=wrapped)
    return last + 1


def wrap_again(organization_id: UUID) -> int:
    """Wrap an organization's data keys by the newest master key, and by its newest version; answer how many were not.

    Call it inside the scope.
    """
    name, master = newest()
    done = 0
    for row in OrganizationKey.objects.select_for_update():
        if row.master == name and master.is_newest(bytes(row.wrapped)):
            continue
        bound = _wrapping(organization_id, row.number)
        row.wrapped = master.wrap(_unwrapped(row.master, bytes(row.wrapped), bound), bound)
        row.master = name
        row.save(update_fields=["wrapped", "master"])
        done += 1
    return done


def _newest_key(organization_id: UUID) -> tuple[int, bytes]:
    row = OrganizationKey.objects.filter(organization_id=organization_id).order_by("-number").first()
    if row is None:
        try:
            with transaction.atomic():
                add_data_key(organization_id)
        except IntegrityError:  # Somebody else was first, in this moment.
            pass
        row = OrganizationKey.objects.filter(organization_id=organization_id).latest("number")
    return row.number, _unwrapped(row.master, bytes(row.wrapped), _wrapping(organization_id, row.number))


def _key_of(organization_id: UUID, number: int) -> bytes:
    row = OrganizationKey.objects.filter(organization_id=organization_id, number=number).first()
    if row is None:
        raise CannotUnseal("The organization has no such data key.")
    return _unwrapped(row.master, bytes(row.wrapped), _wrapping(organization_id, number))


_opened: dict[tuple[str, bytes, bytes], tuple[bytes, float]] = {}
_lock = Lock()


def _unwrapped(master: str, wrapped: bytes, bound: bytes) -> bytes:
    """A key as its master key opens it, remembered for a while."""
    known = _opened.get((master, wrapped, bound))
    if known is not None and time.monotonic() < known[1]:
        return known[0]
    key = named(master).unwrap(wrapped, bound)
    with _lock:
        if len(_opened) >= REMEMBERED:
            _opened.clear()
        _opened[master, wrapped, bound] = key, time.monotonic() + settings.KEY_SECONDS
    return key


def forget_keys() -> None:
    """Open every key anew."""
    with _lock:
        _opened.clear()
    _own_key.cache_clear()


def _bound(organization_id: UUID, place: str) -> bytes:
    return organization_id.bytes + place.encode()


def _wrapping(organization_id: UUID, number: int) -> bytes:
    return b"data key " + organization_id.bytes + number.to_bytes(4, "big")
