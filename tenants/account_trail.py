"""What people change of their own account, told in the trail of each of their organizations.

A person belongs to no tenant, and yet it is an organization's matter how its people log in. The password is changed
with its entries (`tenants/accounts.py`); the rest is told by allauth when it is done.
"""

from __future__ import annotations

from typing import Any

from allauth.account.signals import email_added, email_changed, email_removed
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.db import transaction
from django.dispatch import receiver

from tenants import audit
from tenants.models import User
from tenants.permissions import Actor
from tenants.scope import tenant_scope
from tenants.staff import organizations_of

CODES = Authenticator.Type.RECOVERY_CODES


@transaction.atomic
def note(user: User, action: str, **details: Any) -> None:
    """Write down, in the trail of each organization of this person, what they did to their account."""
    for organization_id in organizations_of(user.id):
        with tenant_scope(organization_id):
            by = Actor("user", organization_id, None, "", user.email, user_id=user.id)
            audit.record(by, action, user, name=user.email, details=details)


@transaction.atomic
def rename(*, user: User, name: str) -> None:
    """Give a person the name that they chose."""
    former, user.name = user.name, name
    if former != name:
        user.save(update_fields=["name"])
        note(user, "account.renamed", former=former, name=name)


@receiver(authenticator_added)
def _factor_added(user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == CODES:
        note(user, "account.recovery_codes_made")
    else:
        note(user, "account.second_factor_added", type=authenticator.type)


@receiver(authenticator_removed)
def _factor_removed(user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type != CODES:  # They go with the last factor.
        note(user, "account.second_factor_removed", type=authenticator.type)


@receiver(authenticator_reset)
def _codes_made_anew(user: User, **_: Any) -> None:
    note(user, "account.recovery_codes_made")


@receiver(email_added)
def _email_added(user: User, email_address: Any, **_: Any) -> None:
    note(user, "account.email_added", email=email_address.email)


@receiver(email_changed)
def _email_changed(user: User, from_email_address: Any, to_email_address: Any, **_: Any) -> None:
    former = from_email_address.email if from_email_address else ""
    note(user, "account.email_changed", former=former, email=to_email_address.email)


@receiver(email_removed)
def _email_removed(user: User, email_address: Any, **_: Any) -> None:
    note(user, "account.email_removed", email=email_address.email)


@receiver(social_account_added)
def _provider_added(sociallogin: Any, **_: Any) -> None:
    note(sociallogin.user, "account.provider_added", provider=sociallogin.account.provider)


@receiver(social_account_removed)
def _provider_removed(socialaccount: Any, **_: Any) -> None:
    note(socialaccount.user, "account.provider_removed", provider=socialaccount.provider)
