"""Usage by tag, further meters, and which bound somebody was told of."""

import django.db.models.deletion
from django.db import migrations, models

import orchestrator.ids
from tenants.database import TenantTable


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_leaving")]

    operations = [
        migrations.RemoveConstraint(model_name="thresholdtold", name="threshold_told_once"),
        migrations.AddField(
            model_name="thresholdtold", name="whose", field=models.CharField(default="plan", max_length=10)
        ),
        migrations.AddField(model_name="thresholdtold", name="task_runs", field=models.BigIntegerField(default=0)),
        migrations.AddConstraint(
            model_name="thresholdtold",
            constraint=models.UniqueConstraint(
                fields=("organization", "month", "whose", "task_runs", "percent"), name="threshold_told_once"
            ),
        ),
        migrations.AddField(model_name="usageseal", name="tags_match", field=models.BooleanField(default=True)),
        migrations.CreateModel(
            name="TagDay",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("day", models.DateField()),
                ("workspace_id", models.UUIDField()),
                ("tag", models.CharField(blank=True, max_length=200)),
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
                "db_table": "tag_day",
                "indexes": [
                    models.Index(fields=["organization", "retention", "bucket"], name="tag_day_of_bucket"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "day", "workspace_id", "tag", "retention", "bucket"),
                        name="tag_day_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MeterDay",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("day", models.DateField()),
                (
                    "meter",
                    models.CharField(
                        choices=[("api_calls", "API calls"), ("storage", "Storage"), ("seats", "Seats")], max_length=20
                    ),
                ),
                ("workspace_id", models.UUIDField(null=True)),
                ("kind", models.CharField(blank=True, max_length=20)),
                ("amount", models.BigIntegerField(default=0)),
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
                "db_table": "meter_day",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "day", "meter", "workspace_id", "kind"),
                        name="meter_day_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        TenantTable("tagday"),
        TenantTable("meterday"),
    ]
