"""Where values were stored, of task runs and of flow runs; and the runs that were retried, found by what they retry."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0013_deployment_of_tokens")]

    operations = [
        migrations.AddField(model_name="flowrun", name="result", field=models.JSONField(null=True)),
        migrations.RunSQL("ALTER TABLE task_run ADD COLUMN result jsonb"),
        migrations.AddField(model_name="flowrun", name="replay_root", field=models.UUIDField(null=True)),
        migrations.AddField(model_name="flowrun", name="again", field=models.JSONField(null=True)),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                condition=models.Q(("retry_of__isnull", False)),
                fields=["organization", "retry_of", "-created_at", "-id"],
                name="flow_run_retries",
            ),
        ),
    ]
