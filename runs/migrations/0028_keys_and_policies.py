"""Keys of runs with slots of their own, what a deployment does at its limit, limits of whole organizations."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

# What a version holds of a deployment. The owner is bound by row-level security as well, so the wall is open to it for
# this one statement.
KEYS_OF_VERSIONS = [
    "ALTER TABLE deployment_version NO FORCE ROW LEVEL SECURITY",
    """UPDATE deployment_version SET definition = definition || '{"concurrency_key": ""}'""",
    "ALTER TABLE deployment_version FORCE ROW LEVEL SECURITY",
    "SET CONSTRAINTS ALL IMMEDIATE",
]

UNDER_WAY = ["PENDING", "RUNNING", "PAUSED", "CANCELLING"]


class Migration(migrations.Migration):
    dependencies = [("runs", "0027_schedules")]
    operations = [
        migrations.AddField(
            "deployment",
            "on_limit",
            models.CharField(
                choices=[
                    ("ENQUEUE", "Wait for a slot"),
                    ("CANCEL_NEW", "Cancel the new run"),
                    ("CANCEL_OLD", "Cancel the oldest run"),
                ],
                default="ENQUEUE",
                max_length=12,
            ),
        ),
        migrations.AddField("deployment", "concurrency_key", models.CharField(blank=True, max_length=500, default="")),
        migrations.AlterField("deployment", "concurrency_key", models.CharField(blank=True, max_length=500)),
        migrations.RunSQL(KEYS_OF_VERSIONS),
        migrations.AddField("lease", "key", models.CharField(blank=True, default="", db_default="", max_length=200)),
        migrations.AlterField(
            "limit",
            "kind",
            models.CharField(
                choices=[
                    ("organization", "Organization"),
                    ("pool", "Pool"),
                    ("queue", "Queue"),
                    ("deployment", "Deployment"),
                    ("key", "Key"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            "limit",
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
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=[
                    *("organization", "pool", "deployment", "queue", "priority", "concurrency_key", "due_at", "id")
                ],
                condition=Q(state_type="SCHEDULED", pool__isnull=False, deployment__isnull=False),
                name="flow_run_lanes",
            ),
        ),
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["organization", "deployment", "concurrency_key"],
                condition=Q(state_type__in=UNDER_WAY, deployment__isnull=False),
                name="flow_run_under_way",
            ),
        ),
    ]
