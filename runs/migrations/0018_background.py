"""Background tasks: a door of their own for runs, and what their calls say besides parameters."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0017_slots")]
    operations = [
        migrations.AddField("flowrun", "call", models.JSONField(null=True)),
        migrations.AlterField(
            "flowrun",
            "origin",
            models.CharField(
                choices=[
                    ("local", "Local"),
                    ("subflow", "Subflow"),
                    ("api", "Api"),
                    ("form", "Form"),
                    ("schedule", "Schedule"),
                    ("retry", "Retry"),
                    ("background", "Background"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["organization"],
                condition=models.Q(state_type="SCHEDULED", origin="background"),
                name="flow_run_background",
            ),
        ),
    ]
