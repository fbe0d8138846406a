"""Domains whose people log in by an organization's provider: claimed by name, proved by a TXT record.

Verified by one organization of the installation only. A claim alone opens nothing and is in nobody's way.
"""

from __future__ import annotations

import re
import secrets
from uuid import UUID

import idna
from django.db import IntegrityError, connection, transaction
from django.utils.timezone import now

from tenants import audit
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import Organization
from tenants.permissions import Actor, require
from tenants.sso.models import SsoDomain

MOST = 50  # domains of one organization
RECORD = "_orchestrator-challenge"
VALUE = "orchestrator-verification="
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def normal(name: str) -> str:
    """A domain in the one form in which it is stored and compared: lower case, international ones encoded.

    Raises:
        Invalid: It is none.
    """
    try:
        domain = idna.encode(name.strip().rstrip("."), uts46=True).decode().lower()
    except idna.IDNAError:
        domain = ""
    labels = domain.split(".")
    if len(labels) < 2 or len(domain) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise Invalid("This is no domain.", fields={"domain": "A domain like acme.example, without an @."})
    return domain


def domain_of(email: str) -> str:
    """The domain of an address in its normal form; empty for what is no address."""
    local, _, domain = email.strip().rpartition("@")
    try:
        return normal(domain) if local and "@" not in local else ""
    except Invalid:
        return ""


def record_name(domain: SsoDomain) -> str:
    """The name of the TXT record that proves a domain."""
    return f"{RECORD}.{domain.name}"


def record_value(domain: SsoDomain) -> str:
    """What that record says."""
    return VALUE + domain.token


def verified_names() -> frozenset[str]:
    """The organization's verified domains. Call it inside its scope."""
    return frozenset(SsoDomain.objects.filter(verified_at__isnull=False).values_list("name", flat=True))


def organization_of(email: str) -> UUID | None:
    """The organization whose log-in an address belongs to, before a tenant is known."""
    domain = domain_of(email)
    if not domain:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT organization_id FROM find_sso(%s)", [domain])
        row = cursor.fetchone()
    return row[0] if row else None


def find_domain(domain_id: UUID) -> SsoDomain:
    """One of the organization's domains.

    Raises:
        NotFound: It has none of this id.
    """
    found = SsoDomain.objects.filter(id=domain_id).first()
    if found is None:
        raise NotFound("There is no such domain here.")
    return found


@transaction.atomic
def claim_domain(*, name: str, by: Actor) -> SsoDomain:
    """Begin to verify a domain: makes the token that its DNS has to name.

    Raises:
        Invalid: It is no domain, is claimed here already, or there are too many.
    """
    require(by, "sso.edit")
    domain = normal(name)
    Organization.objects.select_for_update(no_key=True).get(id=by.organization_id)
    if SsoDomain.objects.filter(name=domain).exists():
        raise Invalid("This domain is listed already.", fields={"domain": "It is in the list below."})
    if SsoDomain.objects.count() >= MOST:
        raise Invalid("There are too many domains.", fields={"domain": f"An organization has {MOST} at most."})
    made = SsoDomain.objects.create(organization_id=by.organization_id, name=domain, token=secrets.token_urlsafe(24))
    audit.record(by, "domain.added", made)
    return made


@transaction.atomic
def confirm_domain(*, domain: SsoDomain, records: list[str], by: Actor) -> None:
    """Take a domain as verified, if its TXT records name the token.

    Raises:
        Invalid: They don't.
        Conflict: Another organization has verified the domain.
    """
    require(by, "sso.edit")
    if record_value(domain) not in (text.strip() for text in records):
        raise Invalid(
            f"The DNS does not name the value at {record_name(domain)} yet. New records can take an hour to be seen."
        )
    if domain.verified_at is not None:
        return
    try:
        with transaction.atomic():
            SsoDomain.objects.filter(id=domain.id).update(verified_at=now())
    except IntegrityError as error:
        raise Conflict(
            f"{domain.name} is verified by another organization here. Its owners have to remove it there first."
        ) from error
    audit.record(by, "domain.verified", domain)


@transaction.atomic
def remove_domain(*, domain: SsoDomain, by: Actor) -> None:
    """Forget a domain: its people can't log in by the provider any more."""
    require(by, "sso.edit")
    domain.delete()
    audit.record(by, "domain.removed", domain, name=domain.name)
