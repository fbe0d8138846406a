"""Addresses at which others trigger runs, and what came there."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

SIGNATURES = [
    ("", "None"),
    ("github", "GitHub (X-Hub-Signature-256)"),
    ("stripe", "Stripe (Stripe-Signature)"),
    ("header", "The secret itself, in a header"),
]
ORIGINS = [
    *(("local", "Local"), ("subflow", "Subflow"), ("api", "Api"), ("form", "Form"), ("schedule", "Schedule")),
    *(("retry", "Retry"), ("background", "Background"), ("backfill", "Backfill"), ("webhook", "Webhook")),
]
# Asked before a tenant is known: it answers ids only, and for who has the token alone.
FIND_WEBHOOK = """
    CREATE FUNCTION find_webhook(hash bytea) RETURNS TABLE (organization_id uuid, id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT w.organization_id, w.id FROM webhook w
        WHERE w.token_hash = $1 OR (w.former_hash = $1 AND w.former_until > now())
    $$
"""
OWNER_MAY_LOOK_UP = "CREATE POLICY look_up ON webhook FOR SELECT TO CURRENT_USER USING (true)"


class Migration(migrations.Migration):
    dependencies = [("runs", "0035_secrets_of_parameters")]
    operations = [
        migrations.AlterField("flowrun", "origin", models.CharField(choices=ORIGINS, max_length=20)),
        migrations.CreateModel(
            name="Webhook",
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
                    "deployment",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+", to="runs.deployment",
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("prefix", models.CharField(max_length=12)),
                ("token_hash", models.BinaryField(max_length=32)),
                ("former_hash", models.BinaryField(max_length=32, null=True)),
                ("former_until", models.DateTimeField(null=True)),
                ("signature", models.CharField(blank=True, choices=SIGNATURES, max_length=10)),
                ("signature_header", models.CharField(blank=True, max_length=100)),
                ("sealed", models.BinaryField(null=True)),
                ("parameters", models.TextField(blank=True)),
                ("parameter", models.CharField(blank=True, max_length=200)),
                ("filter", models.TextField(blank=True)),
                ("idempotency", models.TextField(blank=True)),
                ("debounce", models.FloatField(null=True)),
                ("debounce_key", models.TextField(blank=True)),
                ("paused", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("created_by", models.CharField(blank=True, max_length=254)),
                ("user_id", models.UUIDField(null=True)),
                ("key_id", models.UUIDField(null=True)),
            ],
            options={
                "db_table": "webhook",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "workspace", "name"), name="webhook_name"),
                    models.UniqueConstraint(fields=("token_hash",), name="webhook_token"),
                    models.UniqueConstraint(fields=("former_hash",), name="webhook_former_token"),
                ],
                "indexes": [
                    models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="webhook_list"),
                    models.Index(fields=["organization", "deployment"], name="webhook_of_deployment"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
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
                    "webhook",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="deliveries", to="runs.webhook",
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("status", models.SmallIntegerField()),
                ("outcome", models.CharField(max_length=10)),
                ("run_id", models.UUIDField(null=True)),
                ("error", models.TextField(blank=True)),
                ("body", models.TextField(blank=True)),
                ("keep_until", models.DateField()),
            ],
            options={
                "db_table": "webhook_delivery",
                "indexes": [
                    models.Index(fields=["organization", "webhook", "-at", "-id"], name="webhook_delivery_list"),
                    models.Index(fields=["keep_until"], name="webhook_delivery_age"),
                ],
            },
        ),
        *(TenantTable(model) for model in ("webhook", "webhookdelivery")),
        *(CompositeForeignKey(model, "workspace", on_delete="CASCADE") for model in ("webhook", "webhookdelivery")),
        CompositeForeignKey("webhook", "deployment", on_delete="CASCADE"),
        CompositeForeignKey("webhookdelivery", "webhook", on_delete="CASCADE"),
        migrations.RunSQL([OWNER_MAY_LOOK_UP, FIND_WEBHOOK]),
    ]  # fmt: skip
