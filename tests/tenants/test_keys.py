"""API keys: their form, their end, and how long a process trusts what it has looked up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenants import authentication
from tenants.authentication import TRUST_SECONDS, actor_of, forget_secrets
from tenants.errors import Invalid
from tenants.keys import KEY_PREFIX, RUN_PREFIX, create_key, digest, has_form, new_secret, revoke_key
from tenants.models import ApiKey
from tests.cast import Api, Company


def moment() -> datetime:
    return datetime.now(UTC)


# ── form ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", [KEY_PREFIX, RUN_PREFIX])
def test_a_secret_has_prefix_randomness_and_checksum(prefix: str) -> None:
    secrets = {new_secret(prefix) for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith(prefix)
        assert len(secret) == len(prefix) + 43 + 6
        assert has_form(secret)
        assert secret.isascii()


def test_every_mistyped_letter_is_noticed() -> None:
    secret = new_secret(KEY_PREFIX)
    for place in range(len(secret)):
        wrong = secret[:place] + ("x" if secret[place] != "x" else "y") + secret[place + 1 :]
        assert not has_form(wrong), place


@pytest.mark.parametrize("text", ["", "orc_", "orc_short", "abc_" + "x" * 49, "orc_" + "x" * 5_000, "\x00", "é" * 50])
def test_what_is_no_secret(text: str) -> None:
    assert not has_form(text)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_only_the_hash_is_stored(acme: Company) -> None:
    with acme.scope():
        key, secret = create_key(workspace=acme.workspace, name="ci", created_by=acme.owner)
        row = ApiKey.objects.get()
        assert bytes(row.hash) == digest(secret)
        assert row.prefix == secret[:10]
        assert secret[10:] not in str(ApiKey.objects.values().get())
        assert (key.role, key.created_by) == ("developer", acme.owner)


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "role", "field"), [("ci", "developer", "name"), ("new", "god", "role")])
def test_keys_that_can_not_be_made(acme: Company, name: str, role: str, field: str) -> None:
    with acme.scope():
        create_key(workspace=acme.workspace, name="ci")
        with pytest.raises(Invalid) as refused:
            create_key(workspace=acme.workspace, name=name, role=role)
    assert list(refused.value.fields) == [field]


# ── who a key is ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_a_key_speaks_for_its_workspace(acme: Company) -> None:
    actor = actor_of(acme.key("ci", "viewer"))
    assert (actor.kind, actor.organization_id, actor.workspace_id) == ("key", acme.organization.id, acme.workspace.id)
    assert (actor.role, actor.label, actor.user_id, actor.run_id) == ("viewer", "ci", None, None)
    assert actor_of(new_secret(KEY_PREFIX)) is None
    assert actor_of(new_secret(RUN_PREFIX)) is None


@pytest.mark.django_db
def test_me_says_whose_a_key_is(acme: Company, api: Api) -> None:
    assert api.get("/me").json() == {
        "organization": "acme", "workspace": "main", "actor": "developer", "kind": "key", "role": "developer",
        "portal_url": "http://127.0.0.1:1/o/acme/main/", "workspace_id": str(acme.workspace.id),
    } | {"portal_url": api.get("/me").json()["portal_url"]}  # fmt: skip
    assert api.get("/me").json()["portal_url"].endswith("/o/acme/main/")


HEADERS = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer a b",
    "Basic {}",
    "bearer x{}",
    "{}",
    "Token {}",
    "Bearer \xe9",
    "Bearer {}x",
]


@pytest.mark.django_db
@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_open_nothing(acme: Company, header: str) -> None:
    from django.test import Client

    value = header.format(acme.key("ci"))
    response = Client(headers={"Authorization": value} if value else {}).get("/api/v1/me")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.django_db
def test_the_scheme_is_read_in_any_case(acme: Company) -> None:
    from django.test import Client

    assert Client(headers={"Authorization": f"bEARER {acme.key('ci')}"}).get("/api/v1/me").status_code == 200


# ── its end ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The clock by which trust runs out: seconds that a test adds."""

    class Clock:
        now = 1_000.0

        def monotonic(self) -> float:
            return self.now

    own = Clock()
    monkeypatch.setattr(authentication, "time", own)
    return own


@pytest.mark.django_db
def test_an_expired_key_opens_nothing(acme: Company) -> None:
    with acme.scope():
        old = create_key(workspace=acme.workspace, name="old", expires_at=moment() - timedelta(seconds=1))[1]
        young = create_key(workspace=acme.workspace, name="young", expires_at=moment() + timedelta(hours=1))[1]
    assert actor_of(old) is None
    assert actor_of(young) is not None


@pytest.mark.django_db
def test_a_revoked_key_is_known_for_five_seconds_at_most(acme: Company, clock: Any) -> None:
    with acme.scope():
        key, secret = create_key(workspace=acme.workspace, name="ci")
    assert actor_of(secret) is not None
    with acme.scope():
        revoke_key(key)
    clock.now += TRUST_SECONDS - 0.1
    assert actor_of(secret) is not None
    clock.now += 0.2
    assert actor_of(secret) is None
    assert TRUST_SECONDS <= 5


@pytest.mark.django_db
def test_what_is_trusted_costs_no_query_and_does_not_live_longer_by_use(
    acme: Company, clock: Any, django_assert_num_queries: Any
) -> None:
    secret = acme.key("ci")
    actor_of(secret)
    with acme.scope():
        ApiKey.objects.update(revoked_at=moment())
    with django_assert_num_queries(0):
        for _ in range(4):
            clock.now += TRUST_SECONDS / 5
            assert actor_of(secret) is not None
    clock.now += TRUST_SECONDS / 4
    assert actor_of(secret) is None


@pytest.mark.django_db
def test_a_revoked_key_stays_revoked_since_the_first_time(acme: Company) -> None:
    with acme.scope():
        key, _ = create_key(workspace=acme.workspace, name="ci")
        revoke_key(key)
        first = ApiKey.objects.get().revoked_at
        revoke_key(key)
        assert ApiKey.objects.get().revoked_at == first


@pytest.mark.django_db
def test_a_flood_of_made_up_secrets_does_not_fill_the_memory(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED", 10)
    for _ in range(50):
        assert actor_of(new_secret(KEY_PREFIX)) is None
    assert len(authentication._known) <= 10


@pytest.mark.django_db
def test_the_last_use_is_noted_once_a_minute(acme: Company, clock: Any) -> None:
    secret = acme.key("ci")

    def last_used() -> datetime | None:
        with acme.scope():
            return ApiKey.objects.get().last_used_at

    assert last_used() is None
    actor_of(secret)
    first = last_used()
    assert first is not None
    forget_secrets()
    actor_of(secret)
    assert last_used() == first
    with acme.scope():
        ApiKey.objects.update(last_used_at=moment() - timedelta(seconds=61))
    forget_secrets()
    actor_of(secret)
    assert last_used() > first
