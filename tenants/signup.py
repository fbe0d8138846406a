"""A new person signs up: with an organization of their own, or into the one that invited them."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import SignupForm
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.forms import SignupForm as ProviderSignupForm
from django import forms
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.shortcuts import redirect

from orchestrator.storable import clean_text
from tenants import invitations, organizations
from tenants.accounts import proved_addresses
from tenants.errors import Invalid, NotFound
from tenants.models import Invitation, User
from tenants.provisioning import slug_of

INVITATION = "invitation"  # the parameter that carries an invitation's token to the form and back


def invited(request: HttpRequest | None) -> Invitation | None:
    """The invitation that somebody signs up by."""
    token = _token(request) if request else ""
    if not token:
        return None
    try:
        return invitations.find(token)[1]
    except NotFound:
        return None


def _token(request: HttpRequest) -> str:
    return request.POST.get(INVITATION) or request.GET.get(INVITATION, "")


class SignUpForm(SignupForm):
    """E-mail, password, a name if they like, and the organization's. An invitation gives address and organization."""

    name = forms.CharField(required=False, max_length=150)
    organization = forms.CharField(max_length=120)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.invitation = invited(context.request)
        if self.invitation:
            del self.fields["organization"]
            self.fields["email"].disabled = True
            self.initial["email"] = self.invitation.email

    def clean_name(self) -> str:
        return clean_text(" ".join(self.cleaned_data["name"].split()))

    def clean_organization(self) -> str:
        try:
            name = organizations.clean_name(self.cleaned_data["organization"])
            slug_of(name)
        except Invalid as problem:
            raise forms.ValidationError((problem.fields or {}).get("name", problem.message)) from problem
        return name

    def save(self, request: HttpRequest) -> User:
        """All of it or nothing. Who sends the form twice at once is let in by the first one."""
        try:
            with transaction.atomic():
                return super().save(request)
        except IntegrityError:
            if User.objects.filter(email=self.cleaned_data["email"]).exists():
                raise ImmediateHttpResponse(redirect("account_login")) from None
            raise

    def custom_signup(self, request: HttpRequest, user: User) -> None:
        super().custom_signup(request, user)
        user.name = self.cleaned_data["name"]
        user.save(update_fields=["name"])
        if self.invitation is None:
            organizations.found(name=self.cleaned_data["organization"], owner=user)
            return
        invitations.accept(token=_token(request), user=user)
        if settings.MAIL_CONFIGURED:  # The link came by mail: who follows it reads that address.
            get_adapter().stash_verified_email(request, user.email)


class SocialSignUpForm(ProviderSignupForm):
    """Which address the account of a provider's person shall have. Where no mail leaves, one that it has verified."""

    def clean_email(self) -> str:
        email = super().clean_email()
        if not settings.MAIL_CONFIGURED and email.lower() not in proved_addresses(self.sociallogin):
            raise forms.ValidationError("Only an address that the provider has verified can be taken here.")
        return email
