"""Runs are deleted: what is left of them to remove, and what keeps them from coming back."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

ALIVE = ["CANCELLING", "PAUSED", "PENDING", "RUNNING", "SCHEDULED"]
KINDS = [("cancel", "Cancel"), ("retry", "Retry"), ("delete", "Delete"), ("pause", "Pause"), ("resume", "Resume")]


class Migration(migrations.Migration):
    dependencies = [("runs", "0033_backfills")]
    operations = [
        migrations.CreateModel(
            name="DeletedRun",
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
                ("deployment_id", models.UUIDField(null=True)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), default=list, size=None
                    ),
                ),
                ("retention", models.SmallIntegerField()),
                ("bucket", models.DateField()),
                (
                    "run_ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None),
                ),
                ("flow_runs", models.BigIntegerField(default=0)),
                ("task_runs", models.BigIntegerField(default=0)),
                ("log_bytes", models.BigIntegerField(default=0)),
                ("run_time", models.BigIntegerField(default=0)),
                ("cpu", models.BigIntegerField(default=0)),
                ("deleted_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("cleared_at", models.DateTimeField(null=True)),
                ("keep_until", models.DateField()),
            ],
            options={
                "db_table": "deleted_run",
                "indexes": [
                    models.Index(
                        condition=Q(("cleared_at__isnull", True)),
                        fields=["organization", "deleted_at"],
                        name="deleted_run_left",
                    ),
                    models.Index(fields=["organization", "retention", "bucket"], name="deleted_run_of_bucket"),
                    models.Index(fields=["keep_until"], name="deleted_run_age"),
                ],
            },
        ),
        TenantTable("deletedrun"),
        CompositeForeignKey("deletedrun", "workspace", on_delete="CASCADE"),
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["organization", "replay_root"],
                condition=Q(replay_root__isnull=False, state_type__in=ALIVE),
                name="flow_run_replaying",
            ),
        ),
        migrations.AddIndex(
            "storedresult",
            models.Index(
                fields=["organization", "run_id"], condition=Q(run_id__isnull=False), name="stored_result_of_run"
            ),
        ),
        migrations.AddIndex(
            "firing",
            models.Index(
                fields=["organization", "run_id"], condition=Q(run_id__isnull=False), name="automation_firing_of_run"
            ),
        ),
        migrations.AlterField("bulkoperation", "kind", models.CharField(choices=KINDS, max_length=10)),
    ]  # fmt: skip
