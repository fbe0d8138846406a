"""Personal keys, invitations, and slugs that lead to where their owner went."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

ORGANIZATION = models.ForeignKey(
    db_index=False,
    editable=False,
    on_delete=django.db.models.deletion.CASCADE,
    related_name="+",
    to="tenants.organization",
)
PERSON = {"db_index": False, "null": True, "related_name": "+", "to": settings.AUTH_USER_MODEL}
ID = models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False)
ROLES = [("owner", "Owner"), ("admin", "Admin"), ("billing", "Billing"), ("member", "Member")]

# The functions below run as the tables' owner, whom row-level security binds too.
OWNER_MAY_LOOK_UP = [
    f"CREATE POLICY look_up ON {table} FOR SELECT TO CURRENT_USER USING (true)"
    for table in ("invitation", "former_slug", "workspace")
]

FIND_INVITATION = """
    CREATE FUNCTION find_invitation(hash bytea) RETURNS TABLE (organization_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT i.organization_id, i.id FROM invitation i
        WHERE i.hash = $1 AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > now()
    $$
"""

# What has been deleted has no way in, from the moment on in which somebody asked for it.
FIND_API_KEY = """
    CREATE OR REPLACE FUNCTION find_api_key(hash bytea) RETURNS TABLE (organization_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT k.organization_id, k.id FROM api_key k
        JOIN workspace w ON w.organization_id = k.organization_id AND w.id = k.workspace_id
        JOIN organization o ON o.id = k.organization_id
        WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        AND w.deleted_at IS NULL AND o.deleted_at IS NULL
    $$
"""

FORMER_ORGANIZATION = """
    CREATE FUNCTION former_organization(slug text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT f.organization_id FROM former_slug f WHERE f.slug = $1 AND f.workspace_id IS NULL $$
"""

SLUG_TAKEN = """
    CREATE OR REPLACE FUNCTION organization_slug_taken(slug text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT EXISTS (SELECT 1 FROM organization o WHERE o.slug = $1)
            OR EXISTS (SELECT 1 FROM former_slug f WHERE f.slug = $1 AND f.workspace_id IS NULL)
    $$
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_foundation")]

    operations = [
        migrations.AddField("organization", "deleted_at", models.DateTimeField(null=True)),
        migrations.AddField("workspace", "deleted_at", models.DateTimeField(null=True)),
        migrations.AddField("apikey", "user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, **PERSON)),
        migrations.RemoveConstraint("apikey", "api_key_name"),
        migrations.AddConstraint(
            "apikey",
            models.UniqueConstraint(
                condition=models.Q(("revoked_at", None)),
                fields=("organization", "workspace", "user", "name"),
                name="api_key_name",
                nulls_distinct=False,
            ),
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", ID),
                ("email", models.EmailField(max_length=254)),
                ("role", models.CharField(choices=ROLES, default="member", max_length=20)),
                ("workspaces", models.JSONField(default=dict)),
                ("hash", models.BinaryField(max_length=32)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("sent_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("created_by", models.ForeignKey(on_delete=django.db.models.deletion.SET_NULL, **PERSON)),
                ("organization", ORGANIZATION),
            ],
            options={
                "db_table": "invitation",
                "indexes": [models.Index(fields=["organization", "-created_at"], name="invitation_made")],
                "constraints": [
                    models.UniqueConstraint(fields=("hash",), name="invitation_hash"),
                    models.UniqueConstraint(
                        condition=models.Q(("accepted_at", None), ("revoked_at", None)),
                        fields=("organization", "email"),
                        name="invitation_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FormerSlug",
            fields=[
                ("id", ID.clone()),
                ("slug", models.SlugField(max_length=60)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("organization", ORGANIZATION.clone()),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.workspace",
                    ),
                ),
            ],
            options={
                "db_table": "former_slug",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("workspace__isnull", False)),
                        fields=("organization", "slug"),
                        name="former_workspace_slug",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("workspace", None)), fields=("slug",), name="former_organization_slug"
                    ),
                ],
            },
        ),
        TenantTable("invitation"),
        TenantTable("formerslug"),
        CompositeForeignKey("formerslug", "workspace", on_delete="CASCADE"),
        migrations.RunSQL([*OWNER_MAY_LOOK_UP, FIND_INVITATION, FIND_API_KEY, FORMER_ORGANIZATION, SLUG_TAKEN]),
    ]
