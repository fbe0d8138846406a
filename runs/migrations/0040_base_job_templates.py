"""Base job templates of work pools; those of pools that were there before are those of their type."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0039_job_variables_of_runs")]
    operations = [migrations.AddField("workpool", "base_job_template", models.JSONField(null=True))]
