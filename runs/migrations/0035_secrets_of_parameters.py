"""Where the parameters of a run name the block of a secret."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0034_deleted_runs")]
    operations = [migrations.AddField("flowrun", "secrets", models.JSONField(null=True))]
