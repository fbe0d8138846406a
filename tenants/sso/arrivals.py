"""From what a provider says of somebody to a person and a member: made, found, or refused.

A provider speaks for the verified domains of its organization and for nobody else. Who came once is known by issuer
and subject from then on; an address decides only the first time.
"""

from __future__ import annotations

from uuid import UUID

from allauth.account.models import EmailAddress
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.timezone import now

from tenants import audit
from tenants.billing.subscriptions import demand_seat
from tenants.errors import LimitReached
from tenants.models import Membership, Organization, User, Workspace, WorkspaceMembership
from tenants.permissions import Actor
from tenants.scope import tenant_scope
from tenants.sso import domains, strangers
from tenants.sso.assertions import Assertion
from tenants.sso.flows import Refused
from tenants.sso.models import SsoIdentity, SsoProvider


def arrive(provider: SsoProvider, assertion: Assertion) -> User:
    """The person who logged in, a member of the organization from now on at the latest.

    Raises:
        Refused: The provider does not speak for this address, or the person is barred.
    """
    with transaction.atomic():
        with tenant_scope(provider.organization_id):
            user, is_proved = _arrived(provider, assertion)
        if not is_proved:
            strangers.shut_out(user, by_organization=provider.organization_id)
    return user


def _arrived(provider: SsoProvider, assertion: Assertion) -> tuple[User, bool]:
    """The person, and whether their account is known to be theirs alone."""
    Organization.objects.select_for_update(no_key=True).get(id=provider.organization_id)  # Two tabs make one person.
    identity = _identity(assertion)
    user = _known(identity) if identity else _by_address(provider, assertion)
    _check_account(user)
    is_proved = identity is not None or strangers.is_proved(user)
    if not is_proved and not Membership.objects.filter(user=user).exists():
        strangers.forget_password(user)
    _join(provider, user)
    own = {"issuer": assertion.issuer, "subject": assertion.subject}
    SsoIdentity.objects.update_or_create(
        organization_id=provider.organization_id, **own, defaults={"user": user, "last_login_at": now()}
    )
    return user, is_proved


def _check_account(user: User) -> None:
    if not user.is_active:
        raise Refused("This account is switched off. Ask an owner of the organization.")
    if user.is_staff:
        raise Refused("This account is one of the installation's staff, who sign in with their password.")


def check(provider: SsoProvider, assertion: Assertion) -> None:
    """Say whether the provider would let this person in the first time: what a test log-in shows.

    Raises:
        Refused: It would not.
    """
    with tenant_scope(provider.organization_id):
        _address(provider, assertion)


def _identity(assertion: Assertion) -> SsoIdentity | None:
    if not assertion.subject or len(assertion.subject) > 255:
        raise Refused("Your company's provider names no subject that could be known again.")
    own = SsoIdentity.objects.filter(issuer=assertion.issuer, subject=assertion.subject)
    return own.select_related("user").first()


def _known(identity: SsoIdentity) -> User:
    """The person of an identity. An account whose address moved to another domain is the company's no more."""
    if domains.domain_of(identity.user.email) not in domains.verified_names():
        raise Refused("The address of your account is of no verified domain any more. Ask an owner.")
    return identity.user


def _by_address(provider: SsoProvider, assertion: Assertion) -> User:
    email = _address(provider, assertion)
    user = User.objects.filter(email=email).first()
    if user is None:
        return _newcomer(email, assertion.name)
    if SsoIdentity.objects.filter(issuer=assertion.issuer, user=user).exists():
        raise Refused(f"{email} belongs to another person at your company's provider. Ask an owner to unlink them.")
    return user


def _address(provider: SsoProvider, assertion: Assertion) -> str:
    """The address that the provider vouches for, within the domains that it may speak for."""
    email = assertion.email.strip().lower()
    try:
        validate_email(email)
    except ValidationError as error:
        raise Refused("Your company's provider tells no e-mail address. An owner can add it there.") from error
    if assertion.email_verified is False:
        raise Refused(f"Your company's provider has not verified {email}.")
    if assertion.email_verified is None and not provider.trusts_addresses:
        raise Refused(
            f"Your company's provider does not say whether {email} is verified. An owner can trust it without."
        )
    if domains.domain_of(email) not in domains.verified_names():
        raise Refused(f"{email} is of no domain that this organization has verified.")
    return email


def _newcomer(email: str, name: str) -> User:
    user = User.objects.create_user(email, None, name=name.strip()[:150])
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def _join(provider: SsoProvider, user: User) -> None:
    organization_id = provider.organization_id
    if not Membership.objects.filter(user=user).exists():
        _check_seats(organization_id)
    membership, is_new = Membership.objects.get_or_create(
        organization_id=organization_id, user=user, defaults={"role": provider.newcomer_role}
    )
    if not is_new:
        return
    roles = provider.newcomer_workspaces
    for workspace in Workspace.objects.filter(id__in=list(roles), deleted_at=None):
        WorkspaceMembership.objects.get_or_create(
            organization_id=organization_id, workspace=workspace, user=user, defaults={"role": roles[str(workspace.id)]}
        )
    by = Actor("user", organization_id, None, "", user.email, user_id=user.id, organization_role=membership.role)
    audit.record(by, "person.joined", user, details={"by": "sso", "issuer": provider.issuer, "role": membership.role})


def _check_seats(organization_id: UUID) -> None:
    """Who comes for the first time is told whom to ask, not where the plan is changed."""
    try:
        demand_seat(organization_id)
    except LimitReached as full:
        raise Refused("Your organization has no seat left for you. Ask an owner for a larger plan.") from full
