"""Backfills, their places, and which runs they have made."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0032_debounce"),
    ]

    operations = [
        migrations.CreateModel(
            name="Backfill",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("deployment_name", models.CharField(max_length=701)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("times", models.JSONField(null=True)),
                ("since", models.DateTimeField(null=True)),
                ("until", models.DateTimeField(null=True)),
                ("parameters", models.JSONField(default=dict)),
                ("existing", models.CharField(default="skip", max_length=10)),
                ("order", models.CharField(default="oldest", max_length=10)),
                ("at_once", models.PositiveIntegerField(default=5)),
                ("per_minute", models.PositiveIntegerField(null=True)),
                ("priority", models.SmallIntegerField(default=-10)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200), default=list, size=None
                    ),
                ),
                ("pause_after_failures", models.PositiveSmallIntegerField(null=True)),
                ("idempotency_key", models.CharField(max_length=200, null=True)),
                ("count", models.PositiveIntegerField()),
                ("skipped", models.PositiveIntegerField(default=0)),
                ("made", models.PositiveIntegerField(default=0)),
                ("refused", models.PositiveIntegerField(default=0)),
                ("reached", models.PositiveIntegerField(default=0)),
                ("created_by", models.CharField(max_length=254)),
                ("user_id", models.UUIDField(null=True)),
                ("key_id", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("paused", "Paused"),
                            ("completed", "Completed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("message", models.TextField(blank=True)),
                ("counts_from", models.DateTimeField(default=django.utils.timezone.now)),
                ("paced_to", models.DateTimeField(null=True)),
                ("look_at", models.DateTimeField(null=True)),
                ("leased_until", models.DateTimeField(null=True)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
            ],
            options={
                "db_table": "backfill",
            },
        ),
        migrations.CreateModel(
            name="BackfillPlace",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("ordinal", models.PositiveIntegerField()),
                ("time", models.DateTimeField(null=True)),
                ("parameters", models.JSONField(default=dict)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("made", "Made"),
                            ("skipped", "Skipped"),
                            ("refused", "Refused"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("message", models.TextField(blank=True)),
                ("run_id", models.UUIDField(null=True)),
            ],
            options={
                "db_table": "backfill_place",
            },
        ),
        migrations.AddField(
            model_name="flowrun",
            name="backfill_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AlterField(
            model_name="flowrun",
            name="origin",
            field=models.CharField(
                choices=[
                    ("local", "Local"),
                    ("subflow", "Subflow"),
                    ("api", "Api"),
                    ("form", "Form"),
                    ("schedule", "Schedule"),
                    ("retry", "Retry"),
                    ("background", "Background"),
                    ("backfill", "Backfill"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("backfill_id__isnull", False)),
                fields=["organization", "backfill_id", "-created_at", "-id"],
                name="flow_run_of_backfill",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(
                    ("backfill_id__isnull", False),
                    ("state_type__in", ["CANCELLING", "PAUSED", "PENDING", "RUNNING", "SCHEDULED"]),
                ),
                fields=["organization", "backfill_id"],
                name="flow_run_backfilling",
            ),
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("backfill_id__isnull", False)),
                fields=["organization", "deployment", "-scheduled_at"],
                name="flow_run_backfilled",
            ),
        ),
        migrations.AddField(
            model_name="backfill",
            name="deployment",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="runs.deployment",
            ),
        ),
        migrations.AddField(
            model_name="backfill",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddField(
            model_name="backfill",
            name="schedule",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="runs.schedule",
            ),
        ),
        migrations.AddField(
            model_name="backfill",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="tenants.workspace",
            ),
        ),
        migrations.AddField(
            model_name="backfillplace",
            name="backfill",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="runs.backfill",
            ),
        ),
        migrations.AddField(
            model_name="backfillplace",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddIndex(
            model_name="backfill",
            index=models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="backfill_list"),
        ),
        migrations.AddIndex(
            model_name="backfill",
            index=models.Index(
                condition=models.Q(("deployment__isnull", False)),
                fields=["organization", "deployment", "-created_at", "-id"],
                name="backfill_of_deployment",
            ),
        ),
        migrations.AddIndex(
            model_name="backfill",
            index=models.Index(condition=models.Q(("state", "running")), fields=["look_at"], name="backfill_due"),
        ),
        migrations.AddIndex(
            model_name="backfill",
            index=models.Index(
                condition=models.Q(("state__in", ["running", "paused"])), fields=["organization"], name="backfill_open"
            ),
        ),
        migrations.AddIndex(
            model_name="backfill",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)), fields=["ended_at"], name="backfill_age"
            ),
        ),
        migrations.AddConstraint(
            model_name="backfill",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key__isnull", False)),
                fields=("organization", "workspace", "idempotency_key"),
                name="backfill_idempotency",
            ),
        ),
        migrations.AddIndex(
            model_name="backfillplace",
            index=models.Index(
                condition=models.Q(("run_id__isnull", False)),
                fields=["organization", "run_id"],
                name="backfill_place_of_run",
            ),
        ),
        migrations.AddConstraint(
            model_name="backfillplace",
            constraint=models.UniqueConstraint(
                fields=("organization", "backfill", "ordinal"), name="backfill_place_ordinal"
            ),
        ),
        TenantTable("backfill"),
        TenantTable("backfillplace"),
        CompositeForeignKey("backfill", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("backfill", "deployment", on_delete="SET NULL"),
        CompositeForeignKey("backfill", "schedule", on_delete="SET NULL"),
        CompositeForeignKey("backfillplace", "backfill", on_delete="CASCADE"),
    ]
