"""Which execution of a flow a task run belongs to, and what each execution has counted."""

import django.contrib.postgres.fields
from django.db import migrations, models

# What is there was counted before: its days have been sealed by nothing yet, and nothing asks for them.
EXECUTION = "ALTER TABLE task_run ADD COLUMN execution smallint NOT NULL DEFAULT 1"

# Asked by the partition tick, which owns the tables but belongs to no tenant: is anything not rolled up yet?
USAGE_IS_ROLLED_UP = [
    "CREATE POLICY look_up ON usage_delta FOR SELECT TO CURRENT_USER USING (true)",
    """
    CREATE FUNCTION usage_is_rolled_up(days smallint, first date, beyond date) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT NOT EXISTS (SELECT 1 FROM usage_delta u WHERE u.retention = $1 AND u.bucket >= $2 AND u.bucket < $3)
    $$
    """,
]


class Migration(migrations.Migration):
    dependencies = [("runs", "0005_automations"), ("tenants", "0007_billing")]

    operations = [
        migrations.AddField(model_name="flowrun", name="called_in", field=models.SmallIntegerField(default=0)),
        migrations.AddField(
            model_name="flowrun",
            name="counted",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), null=True, size=None),
        ),
        migrations.AddField(
            model_name="schedule",
            name="refusal",
            field=models.TextField(blank=True, default=""),
            preserve_default=False,
        ),
        migrations.RunSQL([EXECUTION, *USAGE_IS_ROLLED_UP]),
    ]
