"""Artifacts by key, assets, and the feed of events."""

import datetime

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

# The feed is read by time, by name and time, by resource and time; a run's own events by the run. Each partition gets
# these indexes from its parent.
EVENT_FEED = [
    "ALTER TABLE event ADD COLUMN resource_id text, ADD COLUMN related jsonb",
    "CREATE INDEX event_feed ON event (organization_id, workspace_id, t DESC, id DESC)",
    "CREATE INDEX event_by_name ON event (organization_id, workspace_id, event, t DESC, id DESC)",
    "CREATE INDEX event_by_resource ON event (organization_id, workspace_id, resource_id, t DESC, id DESC)",
    "CREATE INDEX event_of_run ON event (organization_id, run_id, t DESC, id DESC) WHERE run_id IS NOT NULL",
]
TEXTS = django.contrib.postgres.fields.ArrayField


def own() -> list:
    return [
        ("id", models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False)),
        (
            "organization",
            models.ForeignKey(
                db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE, related_name="+",
                to="tenants.organization",
            ),
        ),
        ("workspace", same_tenant("tenants.workspace")),
    ]  # fmt: skip


def same_tenant(to: str, related_name: str = "+") -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
        related_name=related_name, to=to,
    )  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("runs", "0008_access")]
    operations = [
        migrations.AddField(model_name="artifact", name="summary", field=models.JSONField(default=dict)),
        migrations.AddField(
            model_name="artifact", name="updated_at", field=models.DateTimeField(default=django.utils.timezone.now)
        ),
        migrations.AddField(
            model_name="artifact",
            name="keep_until",
            field=models.DateField(default=datetime.date(2027, 12, 31)),
            preserve_default=False,
        ),
        migrations.RemoveIndex(model_name="artifact", name="artifact_of_run"),
        migrations.RemoveIndex(model_name="artifact", name="artifact_by_key"),
        migrations.AddIndex(
            model_name="artifact",
            index=models.Index(fields=["organization", "run_id", "-created_at", "-id"], name="artifact_of_run"),
        ),
        migrations.AddIndex(
            model_name="artifact",
            index=models.Index(
                fields=["organization", "workspace", "key", "-created_at", "-id"], name="artifact_by_key"
            ),
        ),
        migrations.AddIndex(
            model_name="artifact",
            index=models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="artifact_list"),
        ),
        migrations.AddIndex(model_name="artifact", index=models.Index(fields=["keep_until"], name="artifact_age")),
        migrations.CreateModel(
            name="Asset",
            fields=[
                *own(),
                ("key", models.CharField(max_length=512)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("description", models.TextField(blank=True)),
                ("url", models.CharField(blank=True, max_length=2000)),
                ("owners", TEXTS(base_field=models.CharField(max_length=254), default=list, size=None)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "asset",
                "constraints": [models.UniqueConstraint(fields=("organization", "workspace", "key"), name="asset_key")],
            },
        ),
        migrations.CreateModel(
            name="Materialization",
            fields=[
                *own(),
                ("asset", same_tenant("runs.asset", "materializations")),
                ("run_id", models.UUIDField()),
                ("task_id", models.UUIDField(null=True)),
                ("at", models.DateTimeField()),
                ("succeeded", models.BooleanField()),
                ("by", models.CharField(blank=True, max_length=200)),
                ("metadata", models.JSONField(default=dict)),
                ("upstream", TEXTS(base_field=models.CharField(max_length=512), default=list, size=None)),
                ("keep_until", models.DateField()),
            ],
            options={
                "db_table": "asset_materialization",
                "indexes": [
                    models.Index(fields=["organization", "asset", "-at", "-id"], name="materialization_list"),
                    models.Index(fields=["organization", "run_id"], name="materialization_of_run"),
                    models.Index(fields=["keep_until"], name="materialization_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AssetEdge",
            fields=[
                *own(),
                ("upstream", same_tenant("runs.asset", "feeds")),
                ("downstream", same_tenant("runs.asset", "made_of")),
            ],
            options={
                "db_table": "asset_edge",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "downstream", "upstream"), name="asset_edge_once")
                ],
                "indexes": [models.Index(fields=["organization", "upstream"], name="asset_edge_down")],
            },
        ),
        *(TenantTable(model) for model in ("asset", "materialization", "assetedge")),
        *(
            CompositeForeignKey(model, "workspace", on_delete="CASCADE")
            for model in ("asset", "materialization", "assetedge")
        ),
        CompositeForeignKey("materialization", "asset", on_delete="CASCADE"),
        CompositeForeignKey("assetedge", "upstream", on_delete="CASCADE"),
        CompositeForeignKey("assetedge", "downstream", on_delete="CASCADE"),
        migrations.AddField(
            model_name="automation",
            name="events_like",
            field=TEXTS(base_field=models.CharField(max_length=400), default=list, size=None),
        ),
        migrations.AddField(
            model_name="automation",
            name="resources_like",
            field=TEXTS(base_field=models.CharField(max_length=1100), default=list, size=None),
        ),
        migrations.RunSQL(EVENT_FEED),
    ]
