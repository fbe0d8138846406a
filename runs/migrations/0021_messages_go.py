"""Messages between runs go when the rows of their run do."""

import datetime

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0020_waiting_for_people")]
    operations = [
        migrations.AddField(
            model_name="runmessage",
            name="keep_until",
            # Of those that are there already nobody has noted it: they stay for a year.
            field=models.DateField(default=datetime.date(2027, 12, 31)),
            preserve_default=False,
        ),
        migrations.AddIndex(model_name="runmessage", index=models.Index(fields=["keep_until"], name="run_message_age")),
    ]
