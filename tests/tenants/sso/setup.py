"""Set companies up with a provider and domains, as their owners would."""

from __future__ import annotations

from typing import Any

from tenants.access import organization_actor
from tenants.models import SsoDomain, SsoIdentity, SsoProvider, User
from tenants.permissions import Actor
from tenants.sso import domains, providers
from tenants.sso.providers import Connection
from tests.cast import Company


def owner_of(company: Company) -> Actor:
    return organization_actor(company.owner.id, company.organization.slug)


def own_domain(company: Company, name: str) -> SsoDomain:
    by = owner_of(company)
    with company.scope():
        domain = domains.claim_domain(name=name, by=by)
        domains.confirm_domain(domain=domain, records=[domains.record_value(domain)], by=by)
    return domain


def connect(company: Company, idp: Any, domain: str = "") -> SsoProvider:
    """Set a company up; its log-in is open when a domain is given."""
    by = owner_of(company)
    with company.scope():
        providers.connect(connection=Connection("oidc", idp.url, "orchestrator", idp.secret), by=by)
    if domain:
        own_domain(company, domain)
        with company.scope():
            providers.switch(enabled=True, required=False, by=by)
    with company.scope():
        return SsoProvider.objects.select_related("organization").get()


def arrive(company: Company, email: str = "nina@acme.example") -> SsoIdentity:
    """Somebody came by the company's provider."""
    user = User.objects.create_user(email, None)
    with company.scope():
        return SsoIdentity.objects.create(
            organization=company.organization, issuer="https://idp.example", subject="u-1", user=user
        )
