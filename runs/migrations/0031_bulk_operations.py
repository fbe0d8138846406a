"""What is done to many runs at once, as it goes on."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

OPEN = Q(("state__in", ["waiting", "running"]))


class Migration(migrations.Migration):
    dependencies = [("runs", "0030_runs_of_a_parent")]
    operations = [
        migrations.CreateModel(
            name="BulkOperation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="+",
                        to="tenants.organization",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+", to="tenants.workspace",
                    ),
                ),
                ("kind", models.CharField(choices=[("cancel", "Cancel"), ("retry", "Retry")], max_length=10)),
                ("filter", models.JSONField()),
                ("deployment_id", models.UUIDField(null=True)),
                ("from_failure", models.BooleanField(default=True)),
                ("before", models.DateTimeField()),
                ("count", models.PositiveIntegerField()),
                ("left_out", models.JSONField(default=dict)),
                ("created_by", models.CharField(max_length=254)),
                ("user_id", models.UUIDField(null=True)),
                ("key_id", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("begins_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("message", models.TextField(blank=True)),
                ("done", models.PositiveIntegerField(default=0)),
                ("refused", models.JSONField(default=dict)),
                ("reached_at", models.DateTimeField(null=True)),
                ("reached_id", models.UUIDField(null=True)),
                ("leased_until", models.DateTimeField(null=True)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                "db_table": "bulk_operation",
                "indexes": [
                    models.Index(
                        fields=["organization", "workspace", "-created_at", "-id"], name="bulk_operation_list"
                    ),
                    models.Index(condition=OPEN, fields=["begins_at"], name="bulk_operation_due"),
                    models.Index(condition=OPEN, fields=["organization"], name="bulk_operation_open"),
                    models.Index(
                        condition=Q(("ended_at__isnull", False)), fields=["ended_at"], name="bulk_operation_age"
                    ),
                ],
            },
        ),
        TenantTable("bulkoperation"),
        CompositeForeignKey("bulkoperation", "workspace", on_delete="CASCADE"),
    ]  # fmt: skip
