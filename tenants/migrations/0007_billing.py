"""Usage by day and its proofs, plans, invoices, credits."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids
from tenants.database import TenantTable

TABLES = [
    "usageday", "usageseal", "subscription", "billingaccount", "thresholdtold", "invoice", "credit",
]  # fmt: skip

# What was closed stays as it is; only its payment is noted.
INVOICES_STAY = [
    """
    CREATE FUNCTION invoice_stays() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
    BEGIN
        IF to_jsonb(NEW) - 'paid_at' - 'payment' IS DISTINCT FROM to_jsonb(OLD) - 'paid_at' - 'payment' THEN
            RAISE EXCEPTION 'invoice % is closed', OLD.number USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER invoice_stays BEFORE UPDATE ON invoice FOR EACH ROW EXECUTE FUNCTION invoice_stays()",
]

# The partition tick owns the tables but belongs to no tenant; row-level security binds it, too.
USAGE_IS_SEALED = [
    *(
        f"CREATE POLICY look_up ON {table} FOR SELECT TO CURRENT_USER USING (true)"
        for table in ("usage_day", "usage_seal")
    ),
    """
    CREATE FUNCTION usage_is_sealed(days smallint, first date, beyond date) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT NOT EXISTS (
            SELECT 1 FROM usage_day d
            WHERE d.retention = $1 AND d.bucket >= $2 AND d.bucket < $3 AND NOT EXISTS (
                SELECT 1 FROM usage_seal s
                WHERE s.organization_id = d.organization_id AND s.retention = d.retention AND s.bucket = d.bucket
                AND s.matches
            )
        )
    $$
    """,
    # For the installation's checks, which any login may run.
    """
    CREATE FUNCTION usage_mismatches() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$ SELECT count(*) FROM usage_seal s WHERE NOT s.matches $$
    """,
]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_outbox")]

    operations = [
        migrations.CreateModel(
            name="InvoiceCounter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("last", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "invoice_counter",
            },
        ),
        migrations.CreateModel(
            name="Credit",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("amount", models.DecimalField(decimal_places=2, max_digits=14)),
                ("used", models.DecimalField(decimal_places=2, default=0, max_digits=14)),
                ("reason", models.CharField(max_length=200)),
                ("given_by", models.CharField(blank=True, max_length=254)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
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
                "db_table": "credit",
            },
        ),
        migrations.CreateModel(
            name="BillingAccount",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("company", models.CharField(blank=True, max_length=200)),
                ("address", models.TextField(blank=True, max_length=1000)),
                ("tax_id", models.CharField(blank=True, max_length=60)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("limit", models.BigIntegerField(null=True)),
                (
                    "at_limit",
                    models.CharField(
                        choices=[("stop", "Start no new runs"), ("notify", "Only notify")],
                        default="stop",
                        max_length=10,
                    ),
                ),
                (
                    "under_way",
                    models.CharField(
                        choices=[("finish", "Let them finish"), ("cancel", "Cancel them")],
                        default="finish",
                        max_length=10,
                    ),
                ),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now)),
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
                "db_table": "billing_account",
                "constraints": [models.UniqueConstraint(fields=("organization",), name="billing_account_once")],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("number", models.BigIntegerField()),
                ("month", models.DateField()),
                ("plan", models.CharField(max_length=40)),
                ("issued_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("customer", models.JSONField()),
                ("lines", models.JSONField()),
                ("usage", models.JSONField()),
                ("currency", models.CharField(max_length=3)),
                ("subtotal", models.DecimalField(decimal_places=2, max_digits=14)),
                ("credit", models.DecimalField(decimal_places=2, max_digits=14)),
                ("total", models.DecimalField(decimal_places=2, max_digits=14)),
                ("paid_at", models.DateTimeField(null=True)),
                ("payment", models.CharField(blank=True, max_length=200)),
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
                "db_table": "invoice",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "month"), name="invoice_of_month"),
                    models.UniqueConstraint(fields=("organization", "number"), name="invoice_number"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("plan", models.CharField(max_length=40)),
                ("begins_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("decided_by", models.CharField(blank=True, max_length=254)),
                ("decided_at", models.DateTimeField(default=django.utils.timezone.now)),
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
                "db_table": "subscription",
                "indexes": [models.Index(fields=["organization", "-begins_at"], name="subscription_history")],
            },
        ),
        migrations.CreateModel(
            name="ThresholdTold",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("month", models.DateField()),
                ("percent", models.SmallIntegerField()),
                ("told_at", models.DateTimeField(default=django.utils.timezone.now)),
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
                "db_table": "threshold_told",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "month", "percent"), name="threshold_told_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("day", models.DateField()),
                ("workspace_id", models.UUIDField()),
                ("deployment_id", models.UUIDField(null=True)),
                ("retention", models.SmallIntegerField()),
                ("bucket", models.DateField()),
                ("flow_runs", models.BigIntegerField(default=0)),
                ("task_runs", models.BigIntegerField(default=0)),
                ("log_bytes", models.BigIntegerField(default=0)),
                ("run_time", models.DecimalField(decimal_places=0, default=0, max_digits=30)),
                ("cpu", models.DecimalField(decimal_places=0, default=0, max_digits=30)),
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
                "db_table": "usage_day",
                "indexes": [models.Index(fields=["retention", "bucket", "organization"], name="usage_day_of_bucket")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "day", "workspace_id", "deployment_id", "retention", "bucket"),
                        name="usage_day_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageSeal",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("retention", models.SmallIntegerField()),
                ("bucket", models.DateField()),
                ("matches", models.BooleanField()),
                ("sha256", models.CharField(max_length=64)),
                ("recounted", models.JSONField()),
                ("checked_at", models.DateTimeField(default=django.utils.timezone.now)),
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
                "db_table": "usage_seal",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "retention", "bucket"), name="usage_seal_of_bucket")
                ],
            },
        ),
        *(TenantTable(model) for model in TABLES),
        migrations.RunSQL([*INVOICES_STAY, *USAGE_IS_SEALED]),
    ]
