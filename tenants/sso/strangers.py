"""Shut out whoever made an account with an address that they never proved, to wait in it for its owner."""

from __future__ import annotations

from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.utils.timezone import now

from tenants import audit, rights
from tenants.models import ApiKey, User
from tenants.permissions import Actor
from tenants.scope import tenant_scope
from tenants.staff import organizations_of


def is_proved(user: User) -> bool:
    """Whether somebody has shown that they read the mail of the account's address."""
    return EmailAddress.objects.filter(user=user, email=user.email, verified=True).exists()


def forget_password(user: User) -> None:
    """Take password and second factor away.

    For accounts of no member only: of a member, an owner let this very account in, and without its password an owner
    could not break the glass when the provider is away.
    """
    user.set_unusable_password()
    user.save(update_fields=["password"])
    Authenticator.objects.filter(user=user).delete()


def shut_out(user: User, *, by_organization: UUID) -> None:
    """Close every other way into an account that a provider has vouched for the first time.

    Log-ins of other providers, other addresses, sessions and personal keys end, a member's too: whose they are, nobody
    knows. Call it outside of any scope, in the transaction of the arrival: keys are in several organizations.
    """
    social, _ = SocialAccount.objects.filter(user=user).delete()
    addresses, _ = EmailAddress.objects.filter(user=user).exclude(email=user.email).delete()
    EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})
    sessions = list(UserSession.objects.filter(user=user))
    for session in sessions:
        session.end()
    details = {"social_log_ins": social, "addresses": addresses, "sessions": len(sessions)}
    for organization_id in {*organizations_of(user.id), by_organization}:
        with tenant_scope(organization_id):
            keys = ApiKey.objects.filter(user=user, revoked_at=None).update(revoked_at=now())
            if keys or organization_id == by_organization:
                told = {"by": "sso", "keys_revoked": keys, **(details if organization_id == by_organization else {})}
                audit.record(_actor(organization_id, user), "person.cleared", user, details=told)
            rights.changed()


def _actor(organization_id: UUID, user: User) -> Actor:
    return Actor("user", organization_id, None, "", user.email, user_id=user.id)
