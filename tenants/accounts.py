"""How allauth behaves here."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import render
from django.urls import reverse

from orchestrator.storable import clean_text
from tenants import account_trail, trace
from tenants.access import workspaces_of
from tenants.encryption import seal_for_installation, unseal_for_installation
from tenants.models import User

TOTP_PLACE = "mfa_authenticator"


class AccountAdapter(DefaultAccountAdapter):
    """People sign up by themselves where SIGNUP_OPEN says so, and always by an invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        from tenants.signup import invited  # Its form is made of allauth's, which asks for this adapter when imported.

        return settings.SIGNUP_OPEN or invited(request) is not None

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """A new company begins on the welcome page of its workspace, who was invited where everybody does."""
        for organization, workspace in workspaces_of(request.user.id):
            if organization.created_at >= request.user.date_joined:
                return reverse("welcome", args=[organization.slug, workspace.slug])
        return reverse("home")

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account")

    @transaction.atomic
    def set_password(self, user: User, password: str) -> None:
        """Change it, and tell the trail. Who is not signed in came by the link of a mail."""
        super().set_password(user, password)
        by_mail = self.request is not None and not self.request.user.is_authenticated
        account_trail.note(user, "account.password_reset" if by_mail else "account.password_changed")

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that limits count by, the same that the audit trail notes."""
        return trace.address.get() or super().get_client_ip(request)


class SocialAdapter(DefaultSocialAccountAdapter):
    """People of Google, GitHub and Microsoft: taken in as others are, with the name that they have there."""

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        user = super().populate_user(request, sociallogin, data)
        parts = data.get("name") or f"{data.get('first_name') or ''} {data.get('last_name') or ''}"
        user.name = clean_text(" ".join(parts.split()), 150)
        user.email = user.email.lower()
        return user

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """An invitation is followed by its own form, which holds people to its address; it opens nothing here."""
        if not settings.SIGNUP_OPEN:
            return False
        if not settings.MAIL_CONFIGURED and not proved_addresses(sociallogin):
            raise ImmediateHttpResponse(render(request, "socialaccount/unproved.html", status=403))
        return True

    def is_auto_signup_allowed(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Only with an address that the provider has verified: what else it tells, anybody may have chosen."""
        is_proved = sociallogin.user.email in proved_addresses(sociallogin)
        return is_proved and super().is_auto_signup_allowed(request, sociallogin)

    def can_authenticate_by_email(self, login: Any, email: str) -> bool:
        """Who has an account here connects a provider to it by themselves, signed in."""
        return False


def proved_addresses(sociallogin: Any) -> set[str]:
    """The addresses that the provider says it has verified."""
    return {each.email.lower() for each in sociallogin.email_addresses if each.verified}


class SecondFactorAdapter(DefaultMFAAdapter):
    """Seeds and recovery codes are sealed with the installation's master key."""

    def get_totp_issuer(self) -> str:
        return "Orchestrator"

    def encrypt(self, text: str) -> str:
        return seal_for_installation(text.encode(), TOTP_PLACE).hex()

    def decrypt(self, encrypted_text: str) -> str:
        return unseal_for_installation(bytes.fromhex(encrypted_text), TOTP_PLACE).decode()
