"""Triggers that follow each other closely become one run."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [("runs", "0031_bulk_operations")]
    operations = [
        migrations.AddField("flowrun", "debounce_key", models.CharField(max_length=200, null=True)),
        migrations.AddField("flowrun", "debounce_until", models.DateTimeField(null=True)),
        migrations.AddField("flowrun", "debounced", models.PositiveIntegerField(db_default=0, default=0)),
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["organization", "deployment", "debounce_key", "due_at"],
                condition=Q(state_type="SCHEDULED", debounce_key__isnull=False),
                name="flow_run_debounced",
            ),
        ),
        migrations.CreateModel(
            name="FoldedTrigger",
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
                (
                    "run",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+", to="runs.flowrun",
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=200)),
            ],
            options={
                "db_table": "folded_trigger",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "workspace", "idempotency_key"), name="folded_trigger_idempotency"
                    )
                ],
                "indexes": [models.Index(fields=["organization", "run"], name="folded_trigger_of_run")],
            },
        ),
        TenantTable("foldedtrigger"),
        CompositeForeignKey("foldedtrigger", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("foldedtrigger", "run", on_delete="CASCADE"),
    ]  # fmt: skip
