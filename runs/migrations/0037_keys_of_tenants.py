"""The rows of another organization's run of the same id, which anybody may choose, are in nobody's way."""

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

KEYS = {"task_run": "run_id, id", "log_line": "root_id, line_no"}


def widen(_: object, editor: BaseDatabaseSchemaEditor) -> None:
    """Replace the primary keys, unless the tables were made with these.

    It locks both tables while their indexes are built anew: on an installation with much in them, choose a quiet hour.
    """
    with editor.connection.cursor() as cursor:
        for table, key in KEYS.items():
            cursor.execute(
                "SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
                " AND a.attnum = ANY(i.indkey) WHERE i.indrelid = %s::regclass AND i.indisprimary"
                " AND a.attname = 'organization_id'",
                [table],
            )
            if not cursor.fetchone()[0]:
                cursor.execute(
                    f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey,"
                    f" ADD PRIMARY KEY ({key}, organization_id, retention, bucket)"
                )


class Migration(migrations.Migration):
    dependencies = [("runs", "0036_webhooks")]
    operations = [migrations.RunPython(widen, migrations.RunPython.noop)]
