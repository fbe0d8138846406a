"""What deployments were, and which version of it a run was made from."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


def same_tenant(to: str, related_name: str = "+") -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
        related_name=related_name, to=to,
    )  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("runs", "0025_slots_of_leases")]
    operations = [
        migrations.AddField("deployment", "number", models.PositiveIntegerField(default=0)),
        migrations.AddField("deployment", "canary", models.PositiveIntegerField(null=True)),
        migrations.AddField("deployment", "canary_share", models.PositiveSmallIntegerField(default=0)),
        migrations.AddField("flowrun", "deployment_version", models.PositiveIntegerField(null=True)),
        migrations.AddField("flowrun", "commit", models.CharField(blank=True, default="", max_length=64)),
        migrations.CreateModel(
            name="DeploymentVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE,
                        related_name="+", to="tenants.organization",
                    ),
                ),
                ("workspace", same_tenant("tenants.workspace")),
                ("deployment", same_tenant("runs.deployment", "versions")),
                ("number", models.PositiveIntegerField()),
                ("definition", models.JSONField()),
                ("message", models.TextField(blank=True)),
                ("git", models.JSONField(null=True)),
                ("rollback_of", models.PositiveIntegerField(null=True)),
                ("created_by", models.CharField(blank=True, max_length=254)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "deployment_version",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "deployment", "number"), name="deployment_version_number"
                    )
                ],
            },
        ),
        TenantTable("deploymentversion"),
        CompositeForeignKey("deploymentversion", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("deploymentversion", "deployment", on_delete="CASCADE"),
    ]  # fmt: skip
