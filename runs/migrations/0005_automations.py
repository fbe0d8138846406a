"""Automations, what fired, and since when an agent is gone."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_wide_workspaces"), ("tenants", "0006_outbox")]

    operations = [
        migrations.CreateModel(
            name="Automation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=200)),
                ("enabled", models.BooleanField(default=True)),
                ("trigger", models.JSONField()),
                ("action", models.JSONField()),
                ("most_per_minute", models.PositiveSmallIntegerField(default=5)),
                (
                    "events",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), size=None),
                ),
                ("name_like", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_by", models.CharField(blank=True, max_length=254)),
            ],
            options={
                "db_table": "automation",
            },
        ),
        migrations.CreateModel(
            name="Firing",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("event_id", models.UUIDField()),
                ("event", models.CharField(max_length=500)),
                ("run_id", models.UUIDField(null=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("cause", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "automation_firing",
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("firings", models.PositiveIntegerField(default=0)),
                ("is_test", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tries", models.JSONField(default=list)),
                ("sent_at", models.DateTimeField(null=True)),
                ("failed", models.BooleanField(default=False)),
            ],
            options={
                "db_table": "automation_notification",
            },
        ),
        migrations.AddField(
            model_name="agent",
            name="gone_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name="agent",
            index=models.Index(condition=models.Q(("gone_at", None)), fields=["last_seen_at"], name="agent_there"),
        ),
        migrations.AddIndex(
            model_name="agent",
            index=models.Index(
                condition=models.Q(("gone_at__isnull", False)), fields=["last_seen_at"], name="agent_away"
            ),
        ),
        migrations.AddField(
            model_name="automation",
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
            model_name="automation",
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
            model_name="firing",
            name="automation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="fired",
                to="runs.automation",
            ),
        ),
        migrations.AddField(
            model_name="firing",
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
            model_name="firing",
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
            model_name="notification",
            name="automation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="notifications",
                to="runs.automation",
            ),
        ),
        migrations.AddField(
            model_name="notification",
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
            model_name="notification",
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
            model_name="firing",
            name="notification",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="told",
                to="runs.notification",
            ),
        ),
        migrations.AddIndex(
            model_name="automation",
            index=models.Index(
                condition=models.Q(("enabled", True)), fields=["organization", "workspace"], name="automation_enabled"
            ),
        ),
        migrations.AddConstraint(
            model_name="automation",
            constraint=models.UniqueConstraint(fields=("organization", "workspace", "name"), name="automation_name"),
        ),
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(fields=["organization", "automation", "-created_at"], name="notification_list"),
        ),
        migrations.AddIndex(
            model_name="firing",
            index=models.Index(fields=["organization", "automation", "-at", "-id"], name="automation_firing_list"),
        ),
        migrations.AddIndex(
            model_name="firing",
            index=models.Index(fields=["organization", "notification", "at"], name="automation_firing_told"),
        ),
        migrations.AddIndex(
            model_name="firing",
            index=models.Index(
                condition=models.Q(("notification", None)),
                fields=["organization", "automation", "at"],
                name="automation_firing_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="firing",
            index=models.Index(fields=["at"], name="automation_firing_age"),
        ),
        migrations.AddConstraint(
            model_name="firing",
            constraint=models.UniqueConstraint(
                fields=("organization", "automation", "event_id"), name="automation_firing_once"
            ),
        ),
        TenantTable("automation"),
        TenantTable("notification"),
        TenantTable("firing"),
        CompositeForeignKey("automation", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("notification", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("notification", "automation", on_delete="CASCADE"),
        CompositeForeignKey("firing", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("firing", "automation", on_delete="CASCADE"),
        CompositeForeignKey("firing", "notification", on_delete="SET NULL"),
    ]
