"""Slots that live by their run's lease are looked for by themselves."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0021_messages_go")]

    operations = [
        migrations.AddIndex(
            model_name="slot",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", True)),
                fields=["organization", "run_id", "attempt"],
                name="slot_leased",
            ),
        ),
    ]
