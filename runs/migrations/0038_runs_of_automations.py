"""Automations trigger runs: as whom, which run came of what fired, and what a run began with."""

from django.db import migrations, models

ORIGINS = [
    *(("local", "Local"), ("subflow", "Subflow"), ("api", "Api"), ("form", "Form"), ("schedule", "Schedule")),
    *(("retry", "Retry"), ("background", "Background"), ("backfill", "Backfill"), ("webhook", "Webhook")),
    ("automation", "Automation"),
]


class Migration(migrations.Migration):
    dependencies = [("runs", "0037_keys_of_tenants")]
    operations = [
        migrations.AlterField("flowrun", "origin", models.CharField(choices=ORIGINS, max_length=20)),
        migrations.AddField("flowrun", "caused_by", models.JSONField(null=True)),
        migrations.AddField("automation", "user_id", models.UUIDField(null=True)),
        migrations.AddField("automation", "key_id", models.UUIDField(null=True)),
        migrations.AddField("notification", "run_id", models.UUIDField(null=True)),
    ]
