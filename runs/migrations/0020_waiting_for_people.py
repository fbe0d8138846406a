"""What runs wait for from people, the answers, and messages between runs."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

TEXTS = django.contrib.postgres.fields.ArrayField
WORKSPACES = ("inputrequest", "runmessage")


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
    ]  # fmt: skip


def same_tenant(to: str, related_name: str = "+") -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING,
        related_name=related_name, to=to,
    )  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("runs", "0019_cache_invalidations"), ("tenants", "0011_staff_trail")]
    operations = [
        migrations.AddField(
            model_name="flowrun", name="suspensions", field=models.PositiveSmallIntegerField(default=0)
        ),
        migrations.CreateModel(
            name="InputRequest",
            fields=[
                *own(),
                ("workspace", same_tenant("tenants.workspace")),
                ("run", same_tenant("runs.flowrun")),
                ("root_id", models.UUIDField()),
                ("attempt", models.PositiveIntegerField()),
                ("key", models.CharField(max_length=200)),
                ("pause", models.CharField(choices=[("pause", "Pause"), ("suspend", "Suspend")], max_length=10)),
                ("title", models.CharField(blank=True, max_length=200)),
                ("description", models.TextField(blank=True)),
                ("schema", models.JSONField(null=True)),
                ("initial", models.JSONField(default=dict)),
                ("quorum", models.PositiveSmallIntegerField(default=0)),
                ("roles", TEXTS(base_field=models.CharField(max_length=100), default=list, size=None)),
                ("teams", TEXTS(base_field=models.CharField(max_length=200), default=list, size=None)),
                (
                    "link",
                    models.CharField(
                        choices=[("login", "Log-in"), ("anyone", "Anyone")], default="login", max_length=10
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("answered", "Answered"),
                            ("rejected", "Rejected"),
                            ("expired", "Expired"),
                            ("over", "Over"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("value", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "input_request",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "root_id", "key"), name="input_request_key")
                ],
                "indexes": [
                    models.Index(
                        condition=Q(("state", "waiting")),
                        fields=["organization", "workspace", "-created_at", "-id"],
                        name="input_request_waiting",
                    ),
                    models.Index(fields=["organization", "run"], name="input_request_of_run"),
                    models.Index(condition=Q(("state", "waiting")), fields=["expires_at"], name="input_request_expiry"),
                ],
            },
        ),
        migrations.CreateModel(
            name="InputAnswer",
            fields=[
                *own(),
                ("request", same_tenant("runs.inputrequest", "answers")),
                ("actor_kind", models.CharField(max_length=10)),
                ("actor_id", models.UUIDField(null=True)),
                ("actor", models.CharField(max_length=254)),
                (
                    "verdict",
                    models.CharField(
                        choices=[("answer", "Answer"), ("approve", "Approve"), ("reject", "Reject")], max_length=10
                    ),
                ),
                ("value", models.JSONField(null=True)),
                ("comment", models.TextField(blank=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "input_answer",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "request", "actor_id"),
                        name="input_answer_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RunMessage",
            fields=[
                *own(),
                ("workspace", same_tenant("tenants.workspace")),
                ("run", same_tenant("runs.flowrun")),
                ("number", models.PositiveIntegerField()),
                ("key", models.CharField(max_length=200)),
                ("sender", models.CharField(blank=True, max_length=254)),
                ("value", models.JSONField(null=True)),
                ("sent_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "run_message",
                "constraints": [
                    models.UniqueConstraint(fields=("organization", "run", "number"), name="run_message_number")
                ],
                "indexes": [models.Index(fields=["organization", "run", "key", "number"], name="run_message_by_key")],
            },
        ),
        *(TenantTable(model) for model in ("inputrequest", "inputanswer", "runmessage")),
        *(CompositeForeignKey(model, "workspace", on_delete="CASCADE") for model in WORKSPACES),
        *(CompositeForeignKey(model, "run", on_delete="CASCADE") for model in WORKSPACES),
        CompositeForeignKey("inputanswer", "request", on_delete="CASCADE"),
    ]
