"""Secrets at rest: bound to their organization and place, under keys that can change while everything serves."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from tenants import encryption
from tenants.encryption import CannotUnseal, seal, seal_for_installation, unseal, unseal_for_installation
from tenants.models import OrganizationKey
from tests.cast import Company

pytestmark = pytest.mark.django_db


def key(name: str, byte: int) -> str:
    return f"{name}:{base64.b64encode(bytes([byte]) * 32).decode()}"


def test_what_was_sealed_comes_back_and_shows_nothing(acme: Company) -> None:
    with acme.scope():
        sealed = seal(acme.organization.id, b"sesame open", "block/1")
        assert unseal(acme.organization.id, sealed, "block/1") == b"sesame open"
        assert b"sesame" not in sealed
        assert sealed != seal(acme.organization.id, b"sesame open", "block/1")


def test_it_opens_in_its_own_place_only(acme: Company, globex: Company) -> None:
    with acme.scope():
        sealed = seal(acme.organization.id, b"sesame", "block/1")
        for other in ("block/2", "", "sso/1"):
            with pytest.raises(CannotUnseal):
                unseal(acme.organization.id, sealed, other)
        with pytest.raises(CannotUnseal):
            unseal(acme.organization.id, sealed[:-1] + bytes([sealed[-1] ^ 1]), "block/1")
    with globex.scope():
        seal(globex.organization.id, b"x", "block/1")  # Gives Globex a key of the same number.
        with pytest.raises(CannotUnseal):
            unseal(globex.organization.id, sealed, "block/1")


def test_an_organizations_key_is_out_of_anothers_reach(acme: Company, globex: Company) -> None:
    with acme.scope():
        sealed = seal(acme.organization.id, b"sesame", "block/1")
    encryption.forget_keys()
    with globex.scope(), pytest.raises(CannotUnseal):
        unseal(acme.organization.id, sealed, "block/1")


@pytest.mark.parametrize("junk", [b"", b"\x01", b"\x02" + bytes(60), b"\x01" + bytes(60)])
def test_junk_is_refused(acme: Company, junk: bytes) -> None:
    with acme.scope(), pytest.raises(CannotUnseal):
        unseal(acme.organization.id, junk, "block/1")


def test_keys_are_rotated_while_old_values_stay_readable(acme: Company, settings: Any) -> None:
    settings.MASTER_KEYS = key("old", 1)
    with acme.scope():
        first = seal(acme.organization.id, b"sesame", "block/1")
    settings.MASTER_KEYS = f"{key('new', 2)},{key('old', 1)}"
    call_command("rotate_keys", "--data-keys")
    settings.MASTER_KEYS = key("new", 2)
    encryption.forget_keys()
    with acme.scope():
        assert unseal(acme.organization.id, first, "block/1") == b"sesame"
        assert not encryption.is_current(acme.organization.id, first)
        assert encryption.is_current(acme.organization.id, seal(acme.organization.id, b"x", "block/1"))
        assert set(OrganizationKey.objects.values_list("master", "number")) == {("new", 1), ("new", 2)}


def test_a_master_key_that_is_gone_is_named(acme: Company, settings: Any) -> None:
    settings.MASTER_KEYS = key("old", 1)
    with acme.scope():
        sealed = seal(acme.organization.id, b"sesame", "block/1")
        settings.MASTER_KEYS = key("new", 2)
        encryption.forget_keys()
        with pytest.raises(CannotUnseal, match="'old' is not among MASTER_KEYS"):
            unseal(acme.organization.id, sealed, "block/1")


def test_what_belongs_to_no_tenant_is_sealed_too(settings: Any) -> None:
    settings.MASTER_KEYS = key("old", 1)
    sealed = seal_for_installation(b"totp seed", "person/1")
    settings.MASTER_KEYS = f"{key('new', 2)},{key('old', 1)}"
    assert unseal_for_installation(sealed, "person/1") == b"totp seed"
    with pytest.raises(CannotUnseal):
        unseal_for_installation(sealed, "person/2")
    settings.MASTER_KEYS = key("new", 2)
    with pytest.raises(CannotUnseal):
        unseal_for_installation(sealed, "person/1")


@pytest.mark.parametrize(
    "text", ["", "  ", "nameless", "a:####", key("", 1), "short:" + base64.b64encode(b"x").decode()]
)
def test_master_keys_that_are_none_are_refused(settings: Any, text: str) -> None:
    settings.MASTER_KEYS = text
    with pytest.raises(ImproperlyConfigured, match="new_key"):
        encryption.master_keys()


def test_new_key_prints_one_that_works(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("new_key")
    settings.MASTER_KEYS = capsys.readouterr().out.strip()
    assert unseal_for_installation(seal_for_installation(b"x", "p"), "p") == b"x"
