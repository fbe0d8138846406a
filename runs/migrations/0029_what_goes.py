"""Questions go with the rows of their run; stored arguments of calls are found by who asks whether they are needed."""

import datetime

from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform


class Migration(migrations.Migration):
    dependencies = [("runs", "0028_keys_and_policies")]
    operations = [
        migrations.AddField(
            model_name="inputrequest",
            name="keep_until",
            # Of those that are there already nobody has noted it: they stay for a year.
            field=models.DateField(default=datetime.date(2027, 12, 31)),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="inputrequest", index=models.Index(fields=["keep_until"], name="input_request_age")
        ),
        migrations.AddIndex(
            model_name="flowrun",
            index=models.Index(
                models.F("organization"),
                KeyTextTransform("arguments", "call"),
                condition=models.Q(("call__has_key", "arguments")),
                name="flow_run_arguments",
            ),
        ),
    ]
