"""A deployment has several schedules, each with a slug; recurrence rules; what is made up for, and what is given up."""

from django.db import migrations, models
from django.db.models import Q


def _text(default, **more):
    return models.CharField(default=default, db_default=default, **more)


class Migration(migrations.Migration):
    dependencies = [("runs", "0026_deployment_versions")]
    operations = [
        migrations.AddField("schedule", "slug", _text("default", max_length=100)),
        migrations.AddField("schedule", "deployed", models.BooleanField(default=True, db_default=True)),
        migrations.AddField("schedule", "rrule", models.TextField(blank=True, default="", db_default="")),
        migrations.AddField("schedule", "paused_at", models.DateTimeField(null=True)),
        migrations.AddField(
            "schedule",
            "catch_up",
            _text(
                "skip",
                max_length=10,
                choices=[("skip", "Nothing"), ("latest", "The last one"), ("all", "All of them")],
            ),
        ),
        migrations.AddField("schedule", "catch_up_max", models.PositiveSmallIntegerField(default=100, db_default=100)),
        migrations.AddField("schedule", "skip_if_late", models.FloatField(null=True)),
        migrations.AlterField(
            "schedule",
            "kind",
            models.CharField(
                max_length=10, choices=[("cron", "Cron"), ("interval", "Interval"), ("rrule", "Recurrence rule")]
            ),
        ),
        migrations.AddConstraint(
            "schedule",
            models.UniqueConstraint(fields=["organization", "deployment", "slug"], name="schedule_slug"),
        ),
        migrations.AddIndex(
            "schedule", models.Index(fields=["organization", "workspace", "next_at", "id"], name="schedule_list")
        ),
        migrations.AddField("flowrun", "start_by", models.DateTimeField(null=True)),
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["start_by"],
                condition=Q(state_type="SCHEDULED", start_by__isnull=False),
                name="flow_run_start_by",
            ),
        ),
        migrations.AddIndex(
            "flowrun",
            models.Index(
                fields=["organization", "schedule", "-scheduled_at"],
                condition=Q(schedule__isnull=False),
                name="flow_run_of_schedule",
            ),
        ),
    ]
