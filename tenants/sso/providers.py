"""An organization's provider: how it is connected, what newcomers get, and whether its log-in is demanded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils.timezone import now

from tenants import audit, encryption, rights
from tenants.billing.subscriptions import demand
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import Organization, OrganizationRole, Workspace
from tenants.permissions import Actor, require
from tenants.roles.offered import check
from tenants.scope import tenant_scope
from tenants.sso import domains, oidc
from tenants.sso.models import SsoKind, SsoProvider

SECRET_PLACE = "sso_provider/client_secret"
# Nobody owns an organization because a provider says so.
NEWCOMER_ROLES = [role for role in OrganizationRole if role != OrganizationRole.OWNER]


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a provider. For SAML `issuer` is its entity id; an empty secret keeps the stored one."""

    kind: str
    issuer: str
    client_id: str = ""
    client_secret: str = ""
    sign_in_url: str = ""
    certificates: str = ""


def find_provider(organization_id: UUID) -> SsoProvider | None:
    """The organization's provider. Opens a scope of its own, for doors at which no tenant is known yet."""
    with tenant_scope(organization_id):
        return SsoProvider.objects.filter(organization__deleted_at=None).select_related("organization").first()


def client_of(provider: SsoProvider) -> oidc.Client:
    """How we are known to an OIDC provider. The secret is opened for this one log-in."""
    with tenant_scope(provider.organization_id):
        secret = encryption.unseal(provider.organization_id, bytes(provider.client_secret), SECRET_PLACE).decode()
    return oidc.Client(provider.issuer, provider.client_id, secret, address("sso-callback", provider.organization_id))


def address(name: str, organization_id: UUID) -> str:
    """The public address of one of our doors, to be told to a provider."""
    return settings.PUBLIC_URL + reverse(name, args=[organization_id])


@transaction.atomic
def connect(*, connection: Connection, by: Actor) -> SsoProvider:
    """Store a connection that was tried. A changed one has to be tested again.

    Raises:
        Invalid: Something is missing; beside its field.
        LimitReached: It would be the first one, and the plan has no log-in of this kind.
    """
    require(by, "sso.edit")
    known = _locked(by)
    if known is None:
        demand(by.organization_id, "sso")
    provider = known or SsoProvider(organization_id=by.organization_id)
    _check(connection, provider)
    changed = [
        name
        for name in ("kind", "issuer", "client_id", "sign_in_url", "certificates")
        if getattr(provider, name) != getattr(connection, name)
    ]
    for name in changed:
        setattr(provider, name, getattr(connection, name))
    if connection.client_secret:
        provider.client_secret = encryption.seal(by.organization_id, connection.client_secret.encode(), SECRET_PLACE)
        changed.append("client_secret")
    if changed:
        provider.tested_at, provider.updated_at = None, now()
        provider.save()
        audit.record(by, "sso.updated", provider, details={"changed": changed})
    return provider


def _check(connection: Connection, provider: SsoProvider) -> None:
    wanted = {"issuer": connection.issuer}
    if connection.kind == SsoKind.OIDC:
        wanted["client_id"] = connection.client_id
        wanted["client_secret"] = connection.client_secret or provider.client_secret
    else:
        wanted |= {"sign_in_url": connection.sign_in_url, "certificates": connection.certificates}
    bounds = {"issuer": 500, "client_id": 255, "client_secret": 1_000, "sign_in_url": 500, "certificates": 20_000}
    wrong = {name: "Is needed." for name, value in wanted.items() if not value}
    wrong |= {
        name: f"{most:,} characters at most." for name, most in bounds.items() if len(getattr(connection, name)) > most
    }
    if wrong:
        raise Invalid("The provider can't be saved so.", fields=wrong)


@transaction.atomic
def admit(*, role: str, workspaces: Mapping[str, str], trusts_addresses: bool, by: Actor) -> None:
    """Say what newcomers get: a role in the organization, and roles in some of its workspaces.

    Raises:
        Invalid: There is no such role or workspace.
    """
    provider = _own(by)
    known = {str(id) for id in Workspace.objects.filter(deleted_at=None).values_list("id", flat=True)}
    if role not in NEWCOMER_ROLES or not set(workspaces) <= known:
        raise Invalid("There is no such role or workspace.", fields={"role": "Choose one of the list."})
    check(workspaces.values())
    provider.newcomer_role, provider.newcomer_workspaces = role, dict(workspaces)
    provider.trusts_addresses = trusts_addresses
    provider.save(update_fields=["newcomer_role", "newcomer_workspaces", "trusts_addresses"])
    details = {"role": role, "workspaces": dict(workspaces), "trusts_addresses": trusts_addresses}
    audit.record(by, "sso.newcomers_updated", provider, details=details)


@transaction.atomic
def note_test(*, by: Actor) -> None:
    """A test log-in came through."""
    provider = _own(by)
    provider.tested_at = now()
    provider.save(update_fields=["tested_at"])
    audit.record(by, "sso.tested", provider)


@transaction.atomic
def switch(*, enabled: bool, required: bool, by: Actor) -> None:
    """Open the provider's log-in to people, and demand it of them or not.

    Raises:
        Conflict: No domain is verified, or a demand would lock people out: the connection was not tested.
        LimitReached: It would open or demand what the plan has not. What is open already stays so.
    """
    provider = _own(by)
    if enabled and not domains.verified_names():
        raise Conflict("Nobody could log in: verify a domain first.")
    if required and not (enabled and provider.tested_at):
        raise Conflict("Test the log-in first: nobody but owners could enter if it fails.")
    before = (provider.enabled, Organization.objects.get(id=by.organization_id).requires_sso)
    if before == (enabled, required):
        return
    if (enabled, required) > before:
        demand(by.organization_id, "sso")
    provider.enabled = enabled
    provider.save(update_fields=["enabled"])
    Organization.objects.filter(id=by.organization_id).update(requires_sso=required)
    audit.record(by, "sso.switched", provider, details={"enabled": enabled, "required": required})
    rights.changed()


def _own(by: Actor) -> SsoProvider:
    require(by, "sso.edit")
    provider = _locked(by)
    if provider is None:
        raise NotFound("There is no provider yet.")
    return provider


def _locked(by: Actor) -> SsoProvider | None:
    """The organization is locked, so that a first provider is made once."""
    Organization.objects.select_for_update(no_key=True).get(id=by.organization_id)
    return SsoProvider.objects.first()
