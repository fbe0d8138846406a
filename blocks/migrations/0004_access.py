"""Access to single blocks."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blocks", "0003_blocks"), ("tenants", "0008_teams")]
    operations = [
        migrations.AddField("block", "restricted", models.BooleanField(default=False)),
        migrations.AddField("block", "open_to_runs", models.BooleanField(default=False)),
    ]
