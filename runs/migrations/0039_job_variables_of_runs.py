"""Job variables of one run, and a deployment's own debounce."""

from django.db import migrations, models

# What a version holds of a deployment. The owner is bound by row-level security as well, so the wall is open to it for
# this one statement.
DEBOUNCE_OF_VERSIONS = [
    "ALTER TABLE deployment_version NO FORCE ROW LEVEL SECURITY",
    """UPDATE deployment_version SET definition = definition || '{"debounce": null}'""",
    "ALTER TABLE deployment_version FORCE ROW LEVEL SECURITY",
    "SET CONSTRAINTS ALL IMMEDIATE",
]


class Migration(migrations.Migration):
    dependencies = [("runs", "0038_runs_of_automations")]
    operations = [
        migrations.AddField("flowrun", "job_variables", models.JSONField(null=True)),
        migrations.AddField("deployment", "debounce", models.FloatField(null=True)),
        migrations.RunSQL(DEBOUNCE_OF_VERSIONS),
    ]
