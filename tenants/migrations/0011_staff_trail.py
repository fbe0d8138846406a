"""The installation's staff have a trail of their own."""

import django.utils.timezone
from django.db import migrations, models

import orchestrator.ids


class Migration(migrations.Migration):
    dependencies = [("tenants", "0010_meters")]

    operations = [
        migrations.CreateModel(
            name="StaffEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(default=orchestrator.ids.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("action", models.CharField(max_length=60)),
                ("actor", models.CharField(max_length=254)),
                ("user_id", models.UUIDField()),
                ("object_type", models.CharField(blank=True, max_length=40)),
                ("object_id", models.UUIDField(null=True)),
                ("object_name", models.CharField(blank=True, max_length=500)),
                ("details", models.JSONField(default=dict)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("request_id", models.CharField(blank=True, max_length=64)),
            ],
            options={"db_table": "staff_entry", "verbose_name_plural": "staff entries"},
        ),
        migrations.AddIndex(
            model_name="staffentry", index=models.Index(fields=["-at", "-id"], name="staff_entry_list")
        ),
    ]
