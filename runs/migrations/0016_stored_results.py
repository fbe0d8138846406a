"""Small values of runs, kept by the server."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [("runs", "0015_cache_entries")]
    operations = [
        migrations.CreateModel(
            name="StoredResult",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.CASCADE,
                        related_name="+", to="tenants.organization",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+", to="tenants.workspace",
                    ),
                ),
                ("key", models.CharField(max_length=500)),
                ("run_id", models.UUIDField(null=True)),
                ("size", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("keep_until", models.DateField()),
            ],
            options={
                "db_table": "stored_result",
                "indexes": [models.Index(fields=["keep_until"], name="stored_result_age")],
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "workspace", "key"), name="stored_result_key")
                ],
            },
        ),
        TenantTable("storedresult"),
        CompositeForeignKey("storedresult", "workspace", on_delete="CASCADE"),
    ]  # fmt: skip
