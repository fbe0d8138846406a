"""Which bound somebody was told of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_leaving")]

    operations = [
        migrations.RemoveConstraint(model_name="thresholdtold", name="threshold_told_once"),
        migrations.AddField(
            model_name="thresholdtold", name="whose", field=models.CharField(default="plan", max_length=10)
        ),
        migrations.AddField(model_name="thresholdtold", name="task_runs", field=models.BigIntegerField(default=0)),
        migrations.AddConstraint(
            model_name="thresholdtold",
            constraint=models.UniqueConstraint(
                fields=("organization", "month", "whose", "task_runs", "percent"), name="threshold_told_once"
            ),
        ),
    ]
