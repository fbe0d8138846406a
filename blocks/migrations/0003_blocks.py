"""Block types, blocks, their versions and what refers to what."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable


class Migration(migrations.Migration):
    dependencies = [("blocks", "0002_wall"), ("tenants", "0003_foundation")]

    operations = [
        migrations.CreateModel(
            name="Block",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("type", models.CharField(max_length=100)),
                ("name", models.CharField(max_length=100)),
                ("description", models.TextField(blank=True)),
                ("version", models.PositiveIntegerField(default=0)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_by", models.CharField(blank=True, max_length=254)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.organization",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.workspace",
                    ),
                ),
            ],
            options={
                "db_table": "block",
            },
        ),
        migrations.CreateModel(
            name="BlockReference",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "block",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="references",
                        to="blocks.block",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.organization",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="referred",
                        to="blocks.block",
                    ),
                ),
            ],
            options={
                "db_table": "block_reference",
            },
        ),
        migrations.CreateModel(
            name="BlockType",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("slug", models.CharField(max_length=100)),
                ("name", models.CharField(max_length=100)),
                ("description", models.TextField(blank=True)),
                ("icon", models.CharField(blank=True, max_length=40)),
                ("schema", models.TextField()),
                (
                    "methods",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), default=list, size=None
                    ),
                ),
                ("checksum", models.CharField(blank=True, max_length=100)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_by", models.CharField(blank=True, max_length=254)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.organization",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="tenants.workspace",
                    ),
                ),
            ],
            options={
                "db_table": "block_type",
            },
        ),
        migrations.CreateModel(
            name="BlockVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("number", models.PositiveIntegerField()),
                ("data", models.JSONField()),
                ("secret_places", models.JSONField(default=dict)),
                ("sealed", models.BinaryField(null=True)),
                ("size", models.PositiveIntegerField()),
                ("note", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("created_by", models.CharField(blank=True, max_length=254)),
                (
                    "block",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="versions",
                        to="blocks.block",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.organization",
                    ),
                ),
            ],
            options={
                "db_table": "block_version",
            },
        ),
        migrations.AddConstraint(
            model_name="block",
            constraint=models.UniqueConstraint(fields=("organization", "workspace", "type", "name"), name="block_name"),
        ),
        migrations.AddIndex(
            model_name="blockreference",
            index=models.Index(fields=["organization", "target"], name="block_reference_target"),
        ),
        migrations.AddConstraint(
            model_name="blockreference",
            constraint=models.UniqueConstraint(fields=("organization", "block", "target"), name="block_reference_once"),
        ),
        migrations.AddConstraint(
            model_name="blocktype",
            constraint=models.UniqueConstraint(fields=("organization", "workspace", "slug"), name="block_type_slug"),
        ),
        migrations.AddConstraint(
            model_name="blockversion",
            constraint=models.UniqueConstraint(fields=("organization", "block", "number"), name="block_version_number"),
        ),
        TenantTable("blocktype"),
        TenantTable("block"),
        TenantTable("blockversion"),
        TenantTable("blockreference"),
        CompositeForeignKey("blocktype", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("block", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("blockversion", "block", on_delete="CASCADE"),
        CompositeForeignKey("blockreference", "block", on_delete="CASCADE"),
        CompositeForeignKey("blockreference", "target", on_delete="NO ACTION"),
    ]
