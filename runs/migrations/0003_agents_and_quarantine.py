"""Agents tell their load and their own log, deployments their kind of process, quarantine its workspace."""

import django.db.models.deletion
from django.db import migrations, models

import orchestrator.ids
from tenants.database import CompositeForeignKey, TenantTable

# The owner is bound by row-level security as well, so the wall is open to it for this one statement.
WORKSPACE_OF_QUARANTINE = [
    "ALTER TABLE journal_quarantine NO FORCE ROW LEVEL SECURITY",
    "UPDATE journal_quarantine q SET workspace_id = r.workspace_id FROM flow_run r"
    " WHERE r.organization_id = q.organization_id AND r.id = q.root_id",
    "DELETE FROM journal_quarantine WHERE workspace_id IS NULL",
    "ALTER TABLE journal_quarantine FORCE ROW LEVEL SECURITY",
    # Else what waits to be checked at the commit would forbid to change the table once more.
    "SET CONSTRAINTS ALL IMMEDIATE",
]


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0002_wall"),
        ("tenants", "0002_wall"),
    ]

    operations = [
        migrations.CreateModel(
            name="AgentLogLine",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("line_no", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                ("level", models.SmallIntegerField()),
                ("message", models.TextField()),
            ],
            options={
                "db_table": "agent_log_line",
            },
        ),
        migrations.AddField(
            model_name="agent",
            name="load",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="deployment",
            name="job_variables",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="deployment",
            name="process",
            field=models.CharField(default="warm", max_length=10),
        ),
        migrations.AddField(
            model_name="journalquarantine",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="tenants.workspace",
            ),
        ),
        migrations.RunSQL(WORKSPACE_OF_QUARANTINE),
        migrations.AlterField(
            model_name="journalquarantine",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="tenants.workspace",
            ),
        ),
        CompositeForeignKey("journalquarantine", "workspace", on_delete="CASCADE"),
        migrations.AddIndex(
            model_name="journalquarantine",
            index=models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="quarantine_list"),
        ),
        migrations.AddField(
            model_name="agentlogline",
            name="agent",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="log_lines",
                to="runs.agent",
            ),
        ),
        migrations.AddField(
            model_name="agentlogline",
            name="organization",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="tenants.organization",
            ),
        ),
        migrations.AddConstraint(
            model_name="agentlogline",
            constraint=models.UniqueConstraint(fields=("organization", "agent", "line_no"), name="agent_log_line_no"),
        ),
        TenantTable("agentlogline"),
        CompositeForeignKey("agentlogline", "agent", on_delete="CASCADE"),
    ]
