"""From what a provider says of somebody to a person and a member: made, found, or refused.

A provider speaks for the verified domains of its organization and for nobody else. Who came once is known by issuer
and subject from then on; an address decides only the first time.
"""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.timezone import now

from tenants import audit
from tenants.models import Membership, Organization, User, Workspace, WorkspaceMembership
from tenants.permissions import Actor
from tenants.scope import tenant_scope
from tenants.sso import domains
from tenants.sso.assertions import Assertion
from tenants.sso.flows import Refused
from tenants.sso.models import SsoIdentity, SsoProvider


def arrive(provider: SsoProvider, assertion: Assertion) -> User:
    """The person who logged in, a member of the organization from now on at the latest.

    Raises:
        Refused: The provider does not speak for this address, or the person is barred.
    """
    with tenant_scope(provider.organization_id):
        Organization.objects.select_for_update().get(id=provider.organization_id)  # Two tabs make one person.
        identity = _identity(assertion)
        user = _known(identity) if identity else _by_address(provider, assertion)
        if not user.is_active:
            raise Refused("This account is switched off. Ask an owner of the organization.")
        _join(provider, user)
        own = {"issuer": assertion.issuer, "subject": assertion.subject}
        SsoIdentity.objects.update_or_create(
            organization_id=provider.organization_id, **own, defaults={"user": user, "last_login_at": now()}
        )
    return user


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
    _clear_of_strangers(user)
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


def _clear_of_strangers(user: User) -> None:
    """Shut out whoever made this account with an address that they never proved, to wait in it for its owner.

    A member is no stranger: an owner let this very account in. Changing the password ends all sessions.
    """
    proved = EmailAddress.objects.filter(user=user, email=user.email, verified=True).exists()
    if not proved and not Membership.objects.filter(user=user).exists():
        user.set_unusable_password()
        user.save(update_fields=["password"])
        Authenticator.objects.filter(user=user).delete()
    if not proved:
        EmailAddress.objects.filter(user=user, primary=True).exclude(email=user.email).update(primary=False)
        EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})


def _join(provider: SsoProvider, user: User) -> None:
    organization_id = provider.organization_id
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
