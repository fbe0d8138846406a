"""Access to single deployments and pools."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0007_run_tokens")]
    operations = [
        migrations.AddField("deployment", "restricted", models.BooleanField(default=False)),
        migrations.AddField("deployment", "open_to_runs", models.BooleanField(default=False)),
        migrations.AddField("workpool", "restricted", models.BooleanField(default=False)),
        migrations.AddField("workpool", "open_to_runs", models.BooleanField(default=False)),
        migrations.AddIndex(
            "deployment",
            models.Index(
                fields=["organization", "workspace"],
                condition=models.Q(restricted=True),
                name="deployment_restricted",
            ),
        ),
    ]
