"""Limits that code names, their slots and those who wait for them."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

# Rows come and go many times a second: what is dead is cleared away before it slows down a look at the queue.
CLEARED_OFTEN = "ALTER TABLE slot SET (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0)"


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
        (
            "workspace",
            models.ForeignKey(
                db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+",
                to="tenants.workspace",
            ),
        ),
    ]  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("runs", "0016_stored_results")]

    operations = [
        migrations.CreateModel(
            name="NamedLimit",
            fields=[
                *own(),
                ("name", models.CharField(max_length=500)),
                ("slots", models.PositiveIntegerField()),
                ("rate", models.FloatField(default=0)),
                ("active", models.BooleanField(default=True)),
                ("reserved_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "named_limit",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "workspace", "name"), name="named_limit_name")
                ],
            },
        ),
        migrations.CreateModel(
            name="Slot",
            fields=[
                *own(),
                ("ask", models.UUIDField()),
                ("kind", models.CharField(choices=[("limit", "Limit"), ("lock", "Lock")], max_length=10)),
                ("name", models.CharField(max_length=500)),
                ("names", models.PositiveSmallIntegerField(default=1)),
                ("occupy", models.PositiveIntegerField(default=1)),
                ("place", models.BigIntegerField()),
                ("session_id", models.UUIDField()),
                ("run_id", models.UUIDField(null=True)),
                ("attempt", models.PositiveIntegerField(null=True)),
                ("leased", models.BooleanField(default=False)),
                ("label", models.CharField(blank=True, max_length=200)),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("held_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "slot",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "ask", "kind", "name"), name="slot_once")
                ],
                "indexes": [
                    models.Index(
                        fields=["organization", "workspace", "kind", "name"], condition=Q(held_at__isnull=False),
                        name="slot_held",
                    ),
                    models.Index(
                        fields=["organization", "workspace", "kind", "name", "place"],
                        condition=Q(held_at__isnull=True), name="slot_queue",
                    ),
                    models.Index(
                        fields=["organization", "workspace", "kind", "name", "ask"],
                        condition=Q(held_at__isnull=True, names__gt=1), name="slot_wide",
                    ),
                    models.Index(fields=["organization", "session_id"], name="slot_of_session"),
                    models.Index(
                        fields=["organization", "run_id"], condition=Q(run_id__isnull=False), name="slot_of_run"
                    ),
                    models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="slot_expiry"),
                ],
            },
        ),
        TenantTable("namedlimit"),
        TenantTable("slot"),
        CompositeForeignKey("namedlimit", "workspace", on_delete="CASCADE"),
        CompositeForeignKey("slot", "workspace", on_delete="CASCADE"),
        migrations.RunSQL([CLEARED_OFTEN]),
    ]  # fmt: skip
