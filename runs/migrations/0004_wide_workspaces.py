"""What the dashboard and the pages of agents read stays quick with a million runs."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_agents_and_quarantine")]

    operations = [
        migrations.RemoveIndex(model_name="flowrun", name="flow_run_list"),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                fields=["organization", "workspace", "-created_at", "-id"],
                include=["state_type", "origin"],
                name="flow_run_list",
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("agent__isnull", False)),
                fields=["organization", "agent", "-created_at"],
                name="attempt_of_agent",
            ),
        ),
    ]
