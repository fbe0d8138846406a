"""Data keys, the audit trail, and what a person may see of their own before a tenant is chosen."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import USER, TenantTable

ID = models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False)
ORGANIZATION = models.ForeignKey(
    db_index=False,
    editable=False,
    on_delete=django.db.models.deletion.CASCADE,
    related_name="+",
    to="tenants.organization",
)

# A person's workspaces in one query, whatever number of organizations they belong to.
OWN_PARTS = f"CREATE POLICY own ON workspace_membership FOR SELECT TO app USING (user_id = {USER})"
OWN_WORKSPACES = f"""
    CREATE POLICY own ON workspace FOR SELECT TO app USING (
        (organization_id, id) IN (
            SELECT organization_id, workspace_id FROM workspace_membership WHERE user_id = {USER}
        ) OR organization_id IN (
            SELECT organization_id FROM membership WHERE user_id = {USER} AND role IN ('owner', 'admin')
        )
    )
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_wall")]

    operations = [
        migrations.CreateModel(
            name="OrganizationKey",
            fields=[
                ("id", ID),
                ("number", models.PositiveIntegerField()),
                ("master", models.CharField(max_length=40)),
                ("wrapped", models.BinaryField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("organization", ORGANIZATION),
            ],
            options={"db_table": "organization_key"},
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", ID),
                ("workspace_id", models.UUIDField(null=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("action", models.CharField(max_length=60)),
                ("actor_kind", models.CharField(max_length=10)),
                ("actor", models.CharField(max_length=254)),
                ("user_id", models.UUIDField(null=True)),
                ("object_type", models.CharField(blank=True, max_length=40)),
                ("object_id", models.UUIDField(null=True)),
                ("object_name", models.CharField(blank=True, max_length=500)),
                ("details", models.JSONField(default=dict)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("number", models.BigIntegerField(null=True)),
                ("hash", models.BinaryField(max_length=32, null=True)),
                ("organization", ORGANIZATION),
            ],
            options={"db_table": "audit_entry"},
        ),
        migrations.AddConstraint(
            model_name="organizationkey",
            constraint=models.UniqueConstraint(fields=["organization", "number"], name="organization_key_number"),
        ),
        migrations.AddConstraint(
            model_name="auditentry",
            constraint=models.UniqueConstraint(fields=["organization", "number"], name="audit_entry_number"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["organization", "-at", "-id"], name="audit_entry_list"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["organization", "object_id", "-at"], name="audit_entry_of_object"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["organization", "action", "-at"], name="audit_entry_by_action"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(condition=models.Q(("number", None)), fields=["organization", "at"],
                               name="audit_entry_unsealed"),
        ),
        TenantTable("organizationkey"),
        TenantTable("auditentry"),
        migrations.RunSQL([OWN_PARTS, OWN_WORKSPACES]),
    ]  # fmt: skip
