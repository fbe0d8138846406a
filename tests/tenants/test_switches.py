"""What a plan has beside runs: refused with the way to billing where it has not, and kept where it goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.utils.timezone import now

from tenants.access import organization_actor
from tenants.billing import subscriptions
from tenants.billing.models import Subscription
from tenants.billing.plans import SWITCHES, plans
from tenants.errors import LimitReached
from tenants.models import AuditEntry
from tenants.permissions import Actor
from tenants.sso import providers
from tenants.sso.models import SsoProvider
from tenants.sso.providers import Connection
from tests.cast import Company
from tests.tenants.sso.setup import own_domain

pytestmark = pytest.mark.django_db


@pytest.fixture
def billing(settings: Any) -> None:
    settings.BILLING = True


SSO = Connection("oidc", "https://idp.example", "orchestrator", "s3cret")


def on_plan(company: Company, plan: str) -> Actor:
    """Have a plan begin now, also a smaller one; answers who owns the company."""
    with company.scope():
        Subscription.objects.create(organization=company.organization, plan=plan)
    return organization_actor(company.owner.id, company.organization.slug)


def logs_in(company: Company, by: Actor, *, enabled: bool, required: bool = False) -> None:
    with company.scope():
        SsoProvider.objects.update(tested_at=now())
        providers.switch(enabled=enabled, required=required, by=by)


@pytest.mark.parametrize(
    ("plan", "has"),
    [("free", set()), ("pro", {"sso"}), ("enterprise", {"sso", "audit"})],
    ids=["free", "pro", "enterprise"],
)
def test_a_refusal_of_what_a_plan_has_not_leads_to_billing(
    acme: Company, billing: None, plan: str, has: set[str]
) -> None:
    on_plan(acme, plan)
    for switch in SWITCHES:
        with acme.scope():
            if switch in has:
                subscriptions.demand(acme.organization.id, switch)
                continue
            with pytest.raises(LimitReached, match="/o/acme/billing") as refused:
                subscriptions.demand(acme.organization.id, switch)
        assert f"not in the plan {plans()[plan].name}; it is in" in refused.value.message


def test_without_billing_everything_is_switched_on(acme: Company) -> None:
    by = on_plan(acme, "free")
    with acme.scope():
        providers.connect(connection=SSO, by=by)
        for switch in SWITCHES:
            subscriptions.demand(acme.organization.id, switch)


def test_a_company_log_in_begins_with_a_plan_that_has_it(acme: Company, billing: None) -> None:
    by = on_plan(acme, "free")
    with acme.scope(), pytest.raises(LimitReached):
        providers.connect(connection=SSO, by=by)
    by = on_plan(acme, "pro")
    with acme.scope():
        providers.connect(connection=SSO, by=by)
    own_domain(acme, "acme.example")
    logs_in(acme, by, enabled=True, required=True)
    with acme.scope():
        assert SsoProvider.objects.get().enabled


def test_a_company_log_in_goes_on_after_a_downgrade_until_it_is_closed(acme: Company, billing: None) -> None:
    by = on_plan(acme, "pro")
    with acme.scope():
        providers.connect(connection=SSO, by=by)
    own_domain(acme, "acme.example")
    logs_in(acme, by, enabled=True)
    on_plan(acme, "free")
    with acme.scope():
        providers.connect(connection=replace(SSO, client_secret="another"), by=by)
    with pytest.raises(LimitReached):
        logs_in(acme, by, enabled=True, required=True)
    logs_in(acme, by, enabled=True)
    logs_in(acme, by, enabled=False)
    with pytest.raises(LimitReached):
        logs_in(acme, by, enabled=True)
    with acme.scope():
        assert not SsoProvider.objects.get().enabled


def test_pages_lead_from_what_the_plan_has_not_to_billing(
    acme: Company, billing: None, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.sso.oidc.discover", lambda issuer: None)
    page = browse(alice)
    typed = {"kind": "oidc", "issuer": SSO.issuer, "client_id": SSO.client_id, "client_secret": SSO.client_secret}
    for refused in (page.get("/o/acme/audit/export"), page.post("/o/acme/sso", typed)):
        assert refused.status_code == 402
        assert 'href="/o/acme/billing">Change plan or limit' in refused.content.decode()
    with acme.scope():
        assert not AuditEntry.objects.filter(action="audit.exported").exists()
    assert "Export: change plan" in page.get("/o/acme/audit").content.decode()
    assert "Rows are kept 90 days. Log-in by your own provider. Export of the audit trail." in (
        page.get("/o/acme/billing").content.decode()
    )
    assert "Your plan has no log-in" in page.get("/o/acme/sso").content.decode()
    on_plan(acme, "enterprise")
    assert page.get("/o/acme/audit/export").status_code == 200
    assert "Export: change plan" not in page.get("/o/acme/audit").content.decode()
    assert page.post("/o/acme/sso", typed).status_code == 302
    assert "Your plan has no log-in" not in page.get("/o/acme/sso").content.decode()
