"""Organizations and workspaces that leave: what was removed of them, and exports to take along."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


def _id() -> tuple[str, models.Field]:
    return (
        "id",
        models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
    )


def _organization() -> tuple[str, models.Field]:
    return (
        "organization",
        models.ForeignKey(
            db_index=False,
            editable=False,
            on_delete=django.db.models.deletion.CASCADE,
            related_name="+",
            to="tenants.organization",
        ),
    )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_teams")]

    operations = [
        migrations.AddField(model_name="organization", name="purged_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="workspace", name="archived_at", field=models.DateTimeField(null=True)),
        migrations.AddIndex(
            model_name="organization",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False), ("purged_at", None)),
                fields=["deleted_at"],
                name="organization_leaving",
            ),
        ),
        migrations.AddIndex(
            model_name="workspace",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)), fields=["deleted_at"], name="workspace_leaving"
            ),
        ),
        migrations.CreateModel(
            name="Departure",
            fields=[
                _id(),
                ("workspace_id", models.UUIDField(null=True)),
                ("asked_at", models.DateTimeField()),
                ("asked_by", models.UUIDField(null=True)),
                ("begun_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("finished_at", models.DateTimeField(null=True)),
                ("counts", models.JSONField(default=dict)),
                ("audit_number", models.BigIntegerField(null=True)),
                ("audit_hash", models.BinaryField(max_length=32, null=True)),
                _organization(),
            ],
            options={
                "db_table": "departure",
                "indexes": [
                    models.Index(condition=models.Q(("finished_at", None)), fields=["begun_at"], name="departure_open")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "workspace_id"), name="departure_once", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Export",
            fields=[
                _id(),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("asked_by", models.CharField(max_length=254)),
                ("email", models.EmailField(max_length=254)),
                ("claimed_until", models.DateTimeField(null=True)),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                ("ready_at", models.DateTimeField(null=True)),
                ("failed_at", models.DateTimeField(null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("size", models.BigIntegerField(default=0)),
                ("sha256", models.CharField(blank=True, max_length=64)),
                ("counts", models.JSONField(default=dict)),
                _organization(),
            ],
            options={
                "db_table": "export",
                "indexes": [
                    models.Index(
                        condition=models.Q(("failed_at", None), ("ready_at", None)),
                        fields=["asked_at"],
                        name="export_open",
                    ),
                    models.Index(fields=["organization", "-asked_at"], name="export_list"),
                    models.Index(fields=["asked_at"], name="export_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("failed_at", None), ("ready_at", None)),
                        fields=("organization",),
                        name="export_under_way",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ExportChunk",
            fields=[
                _id(),
                ("number", models.PositiveIntegerField()),
                ("content", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="chunks",
                        to="tenants.export",
                    ),
                ),
                _organization(),
            ],
            options={
                "db_table": "export_chunk",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "export", "number"), name="export_chunk_once")
                ],
            },
        ),
        TenantTable("departure"),
        TenantTable("export"),
        TenantTable("exportchunk"),
        CompositeForeignKey("exportchunk", "export", on_delete="CASCADE"),
        # What is zipped can't be packed further; and PostgreSQL need not try.
        migrations.RunSQL("ALTER TABLE export_chunk ALTER COLUMN content SET STORAGE EXTERNAL"),
    ]
