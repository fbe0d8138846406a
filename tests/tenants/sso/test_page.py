"""The owner's page: domains, provider, newcomers, and the switch; and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tenants.errors import Conflict, Invalid
from tenants.models import AuditEntry, Organization, SsoDomain, SsoIdentity, SsoProvider
from tenants.sso import dns, domains
from tests.cast import Company
from tests.tenants.sso.provider import Idp, leave
from tests.tenants.sso.setup import connect, own_domain, owner_of

pytestmark = pytest.mark.django_db
PAGE = "/o/acme/sso"
TYPED = {"kind": "oidc", "client_id": "orchestrator", "client_secret": "s3cret"}


@pytest.fixture
def records(monkeypatch: Any) -> dict[str, list[str]]:
    """The DNS."""
    known: dict[str, list[str]] = {}
    monkeypatch.setattr(dns, "txt_records", lambda name: known.get(name, []))
    return known


def told(company: Company) -> list[str]:
    with company.scope():
        return list(AuditEntry.objects.order_by("at").values_list("action", flat=True))


def text_of(client: Client, path: str = PAGE) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_an_owner_sets_everything_up(acme: Company, alice: Any, browse: Any, idp: Idp, records: dict) -> None:
    client = browse(alice)
    assert "Add domain" in text_of(client)
    client.post(f"{PAGE}/domains", {"domain": " ACME.example. "})
    with acme.scope():
        domain = SsoDomain.objects.get(name="acme.example")
    assert f"_orchestrator-challenge.{domain.name}" in text_of(client)
    assert domains.record_value(domain) in text_of(client)

    client.post(f"{PAGE}/domains/{domain.id}/check")
    assert "does not name the value" in text_of(client)
    records["_orchestrator-challenge.acme.example"] = ["v=spf1 -all", domains.record_value(domain)]
    client.post(f"{PAGE}/domains/{domain.id}/check")
    assert "acme.example is verified" in text_of(client)

    assert client.post(PAGE, TYPED | {"issuer": idp.url}).status_code == 302
    assert "Not tested" in text_of(client)
    client.post(f"{PAGE}/switch", {"mode": "required"})
    assert "Test the log-in first" in text_of(client)
    client.post(f"{PAGE}/switch", {"mode": "on"})

    asked = leave(client, idp, f"/sso/{acme.organization.id}/test")
    response = client.get(f"/sso/{acme.organization.id}/callback", {"code": "c0de", "state": asked["state"]})
    assert response.headers["Location"] == PAGE
    page = text_of(client)
    assert "nina@acme.example would be let in" in page
    assert "Tested" in page
    with acme.scope():
        assert not SsoIdentity.objects.exists()
    client.post(f"{PAGE}/switch", {"mode": "required"})
    with acme.scope():
        assert Organization.objects.get().requires_sso
    assert told(acme) == [
        "domain.added", "domain.verified", "sso.updated", "sso.switched", "sso.tested", "sso.switched",
    ]  # fmt: skip


def test_a_test_does_not_pass_for_who_would_not_be_let_in(
    acme: Company, alice: Any, bob: Any, browse: Any, idp: Idp
) -> None:
    connect(acme, idp, "acme.example")
    door = f"/sso/{acme.organization.id}"
    idp.said = {"email_verified": False}
    asked = leave(client := browse(alice), idp, f"{door}/test")
    assert client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]}).status_code == 403
    with acme.scope():
        assert SsoProvider.objects.get().tested_at is None
    assert browse(bob).get(f"{door}/test").status_code == 403
    assert Client().get(f"{door}/test").headers["Location"].startswith("/login/")


def test_a_changed_connection_has_to_be_tested_again(acme: Company, alice: Any, browse: Any, idp: Idp) -> None:
    connect(acme, idp, "acme.example")
    with acme.scope():
        SsoProvider.objects.update(tested_at="2026-11-01T00:00:00Z")
    client = browse(alice)
    client.post(PAGE, TYPED | {"issuer": idp.url, "client_secret": ""})
    with acme.scope():
        assert SsoProvider.objects.get().tested_at is not None
    client.post(PAGE, TYPED | {"issuer": idp.url})
    with acme.scope():
        assert SsoProvider.objects.get().tested_at is None


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"issuer": "http://127.0.0.1:9"}, "issuer"),
        ({"issuer": ""}, "issuer"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": "x" * 256}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"kind": "saml", "metadata": "<x/>"}, "metadata"),
        ({"kind": "saml", "metadata": "<!DOCTYPE x [<!ENTITY e 'x'>]><x>&e;</x>"}, "metadata"),
        ({"kind": "saml", "metadata_url": "http://127.0.0.1:9"}, "metadata_url"),
    ],
)
def test_errors_stand_beside_their_fields(
    typed: dict[str, str], field: str, acme: Company, alice: Any, browse: Any, idp: Idp
) -> None:
    response = browse(alice).post(PAGE, TYPED | {"issuer": idp.url} | typed)
    assert response.status_code == 400
    assert f'aria-describedby="{field}-error"' in response.content.decode()
    with acme.scope():
        assert not SsoProvider.objects.exists()


def test_the_secret_is_never_shown(acme: Company, alice: Any, browse: Any, idp: Idp) -> None:
    idp.secret = "s3cret-of-acme"
    connect(acme, idp)
    assert "s3cret-of-acme" not in text_of(browse(alice))
    with acme.scope():
        assert "s3cret-of-acme" not in str(list(AuditEntry.objects.values("details")))


def test_only_owners_come_near(acme: Company, bob: Any, browse: Any, idp: Idp) -> None:
    from tenants.models import Membership
    from tests.cast import person

    connect(acme, idp, "acme.example")
    admin = person("adam@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=admin, role="admin")
        domain = SsoDomain.objects.get()
    for user in (bob, admin):
        client = browse(user)
        assert client.get(PAGE).status_code == 403
        for path in ("", "/newcomers", "/switch", "/domains", f"/domains/{domain.id}/check"):
            assert client.post(PAGE + path, TYPED | {"issuer": idp.url}).status_code == 403
        assert "/o/acme/sso" not in text_of(client, "/o/acme/main/" if user == bob else "/o/acme/audit")


def test_newcomers_are_never_owners(acme: Company, alice: Any, browse: Any, idp: Idp) -> None:
    connect(acme, idp)
    client = browse(alice)
    for typed, told in (
        ({"role": "owner"}, "There is no such role"),
        ({"role": ""}, "There is no such role"),
        ({"role": "member", f"workspace-{acme.workspace.id}": "agent"}, "There is no role"),
    ):
        client.post(f"{PAGE}/newcomers", typed)
        assert told in text_of(client)
    client.post(f"{PAGE}/newcomers", {"role": "billing", f"workspace-{acme.workspace.id}": "viewer"})
    with acme.scope():
        provider = SsoProvider.objects.get()
    assert provider.newcomer_role == "billing"
    assert provider.newcomer_workspaces == {str(acme.workspace.id): "viewer"}


def test_unlinking(acme: Company, alice: Any, browse: Any, idp: Idp) -> None:
    connect(acme, idp, "acme.example")
    door = f"/sso/{acme.organization.id}"
    newcomer = Client()
    asked = leave(newcomer, idp, f"{door}/login")
    newcomer.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]})
    with acme.scope():
        [link] = SsoIdentity.objects.all()
    client = browse(alice)
    assert "nina@acme.example" in text_of(client)
    client.post(f"{PAGE}/links/{link.id}/remove")
    with acme.scope():
        assert not SsoIdentity.objects.exists()
    assert client.post(f"{PAGE}/links/{link.id}/remove").status_code == 404


# ── domains ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["", "acme", "a b.example", "acme..example", "-a.example", "x" * 64 + ".example", "a@b.c"]
)
def test_what_is_no_domain(name: str, acme: Company) -> None:
    with acme.scope(), pytest.raises(Invalid) as refusal:
        domains.claim_domain(name=name, by=owner_of(acme))
    assert set(refusal.value.fields) == {"domain"}


def test_a_domain_is_verified_by_one_organization(acme: Company, globex: Company) -> None:
    """A claim is in nobody's way; who proves it first has it."""
    by = owner_of(globex)
    with globex.scope():
        claimed = domains.claim_domain(name="acme.example", by=by)
    own_domain(acme, "acme.example")
    with globex.scope(), pytest.raises(Conflict, match="another organization"):
        domains.confirm_domain(domain=claimed, records=[domains.record_value(claimed)], by=by)
    with globex.scope():
        assert domains.verified_names() == frozenset()


def test_a_token_proves_its_own_claim_only(acme: Company, globex: Company) -> None:
    with globex.scope():
        theirs = domains.claim_domain(name="acme.example", by=owner_of(globex))
    with acme.scope():
        ours = domains.claim_domain(name="acme.example", by=owner_of(acme))
        with pytest.raises(Invalid, match="does not name"):
            domains.confirm_domain(domain=ours, records=[domains.record_value(theirs)], by=owner_of(acme))


def test_domains_are_bounded(acme: Company, monkeypatch: Any) -> None:
    monkeypatch.setattr(domains, "MOST", 1)
    with acme.scope():
        domains.claim_domain(name="one.example", by=owner_of(acme))
        with pytest.raises(Invalid, match="too many"):
            domains.claim_domain(name="two.example", by=owner_of(acme))
        with pytest.raises(Invalid, match="listed already"):
            domains.claim_domain(name="one.example", by=owner_of(acme))


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("a@Acme.Example", "acme.example"),
        ("a@münchen.example", "xn--mnchen-3ya.example"),
        ("a", ""),
        ("@x.y", ""),
        ("a@b@c.d", ""),
    ],
)
def test_the_domain_of_an_address(email: str, domain: str) -> None:
    assert domains.domain_of(email) == domain
