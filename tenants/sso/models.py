"""What an organization says about its log-in: the provider, its domains, and who came by it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned


class SsoKind(models.TextChoices):
    """How we speak with the provider."""

    OIDC = "oidc", "OpenID Connect"
    SAML = "saml", "SAML 2.0"


class SsoProvider(TenantOwned):
    """An organization's provider; one at most. Whether its log-in is demanded says `organization.requires_sso`."""

    kind = models.CharField(max_length=10, choices=SsoKind.choices, default=SsoKind.OIDC)
    issuer = models.CharField(max_length=500)  # OIDC's issuer, SAML's entity id: with the subject, who somebody is.
    client_id = models.CharField(max_length=255, blank=True)
    client_secret = models.BinaryField(null=True)  # Sealed by tenants/encryption.py.
    sign_in_url = models.CharField(max_length=500, blank=True)  # SAML: where a log-in begins.
    certificates = models.TextField(blank=True)  # SAML: what the provider signs with, in PEM; public.
    trusts_addresses = models.BooleanField(default=False)  # OIDC: take addresses without `email_verified`.
    newcomer_role = models.CharField(max_length=20, default="member")
    newcomer_workspaces = models.JSONField(default=dict)  # role by id of workspace
    enabled = models.BooleanField(default=False)
    tested_at = models.DateTimeField(null=True)  # Since the connection was changed last.
    updated_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "sso_provider"
        constraints = [models.UniqueConstraint(fields=["organization"], name="sso_provider_once")]

    def __str__(self) -> str:
        return self.issuer


class SsoDomain(TenantOwned):
    """A domain whose people log in here, once its DNS has named `token`. Verified by one organization only."""

    name = models.CharField(max_length=253)
    token = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=now)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "sso_domain"
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="sso_domain_name"),
            # Whoever meets this one has proved by DNS that the domain is theirs.
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(verified_at__isnull=False), name="sso_domain_verified"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SsoIdentity(TenantOwned):
    """Somebody at the provider is this person, whatever address the provider gives them later."""

    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=now)
    last_login_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "sso_identity"
        constraints = [
            models.UniqueConstraint(fields=["organization", "issuer", "subject"], name="sso_identity_subject"),
            models.UniqueConstraint(fields=["organization", "issuer", "user"], name="sso_identity_person"),
        ]

    def __str__(self) -> str:
        return self.subject
