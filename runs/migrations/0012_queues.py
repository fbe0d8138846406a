"""Work queues say what they are for."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0011_hooks")]

    operations = [
        migrations.AddField(
            model_name="workqueue",
            name="description",
            field=models.TextField(blank=True, default="", db_default=""),
        ),
    ]
