"""The index of what the cache holds."""

import django.db.models.deletion
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [("runs", "0014_results")]

    operations = [
        migrations.CreateModel(
            name="CacheEntry",
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
                ("key", models.CharField(db_collation="C", max_length=300)),
                ("task", models.CharField(max_length=500)),
                ("url", models.CharField(max_length=2000)),
                ("serializer", models.CharField(blank=True, max_length=100)),
                ("size", models.BigIntegerField(null=True)),
                ("run_id", models.UUIDField(null=True)),
                ("task_id", models.UUIDField(null=True)),
                ("made_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(null=True)),
                ("invalidated_at", models.DateTimeField(null=True)),
                ("hits", models.BigIntegerField(default=0)),
                ("used_at", models.DateTimeField(null=True)),
                ("used_by", models.JSONField(default=list)),
            ],
            options={
                "db_table": "cache_entry",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "workspace", "key"), name="cache_entry_key")
                ],
                "indexes": [
                    models.Index(fields=["organization", "workspace", "-made_at", "-id"], name="cache_entry_list"),
                    models.Index(
                        fields=["organization", "workspace", "task", "-made_at", "-id"], name="cache_entry_by_task"
                    ),
                    models.Index(
                        fields=["expires_at"],
                        name="cache_entry_age",
                        condition=models.Q(("expires_at__isnull", False)),
                    ),
                    models.Index(fields=["made_at"], name="cache_entry_made"),
                ],
            },
        ),
        TenantTable("cacheentry"),
        CompositeForeignKey("cacheentry", "workspace", on_delete="CASCADE"),
    ]  # fmt: skip
