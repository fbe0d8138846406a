"""Log-in by a company's own provider: the provider, verified domains, who came by it."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import orchestrator.ids
from tenants.database import TenantTable


def own() -> list:
    """The fields that every table of tenants has."""
    id = models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False)
    organization = models.ForeignKey(
        db_index=False,
        editable=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name="+",
        to="tenants.organization",
    )
    return [("id", id), ("organization", organization)]


OWNER_MAY_LOOK_UP = [
    f"CREATE POLICY look_up ON {table} FOR SELECT TO CURRENT_USER USING (true)"
    for table in ("sso_provider", "sso_domain")
]

# Asked with the domain of an address that somebody types to log in, before a tenant is known.
FIND_SSO = """
    CREATE FUNCTION find_sso(domain text) RETURNS TABLE (organization_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT p.organization_id FROM sso_domain d JOIN sso_provider p USING (organization_id)
        WHERE d.name = $1 AND d.verified_at IS NOT NULL AND p.enabled
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0004_people")]

    operations = [
        migrations.AddField("organization", "requires_sso", models.BooleanField(default=False)),
        migrations.CreateModel(
            name="SsoDomain",
            fields=[
                *own(),
                ("name", models.CharField(max_length=253)),
                ("token", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("verified_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "sso_domain"},
        ),
        migrations.CreateModel(
            name="SsoIdentity",
            fields=[
                *own(),
                ("issuer", models.CharField(max_length=500)),
                ("subject", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_login_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={"db_table": "sso_identity"},
        ),
        migrations.CreateModel(
            name="SsoProvider",
            fields=[
                *own(),
                (
                    "kind",
                    models.CharField(
                        choices=[("oidc", "OpenID Connect"), ("saml", "SAML 2.0")], default="oidc", max_length=10
                    ),
                ),
                ("issuer", models.CharField(max_length=500)),
                ("client_id", models.CharField(blank=True, max_length=255)),
                ("client_secret", models.BinaryField(null=True)),
                ("sign_in_url", models.CharField(blank=True, max_length=500)),
                ("certificates", models.TextField(blank=True)),
                ("trusts_addresses", models.BooleanField(default=False)),
                ("newcomer_role", models.CharField(default="member", max_length=20)),
                ("newcomer_workspaces", models.JSONField(default=dict)),
                ("enabled", models.BooleanField(default=False)),
                ("tested_at", models.DateTimeField(null=True)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={"db_table": "sso_provider"},
        ),
        migrations.AddConstraint(
            "ssodomain", models.UniqueConstraint(fields=["organization", "name"], name="sso_domain_name")
        ),
        migrations.AddConstraint(
            "ssodomain",
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(verified_at__isnull=False), name="sso_domain_verified"
            ),
        ),
        migrations.AddConstraint(
            "ssoidentity",
            models.UniqueConstraint(fields=["organization", "issuer", "subject"], name="sso_identity_subject"),
        ),
        migrations.AddConstraint(
            "ssoidentity",
            models.UniqueConstraint(fields=["organization", "issuer", "user"], name="sso_identity_person"),
        ),
        migrations.AddConstraint(
            "ssoprovider", models.UniqueConstraint(fields=["organization"], name="sso_provider_once")
        ),
        TenantTable("ssodomain"),
        TenantTable("ssoidentity"),
        TenantTable("ssoprovider"),
        migrations.RunSQL([*OWNER_MAY_LOOK_UP, FIND_SSO]),
    ]
