"""The server's own application: what must follow every migration."""

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

ADMIN_LOG = "django_admin_log"


class ServerConfig(AppConfig):
    name = "orchestrator.server"
    label = "server"

    def ready(self) -> None:
        from orchestrator.server import checks  # noqa: F401 - registers them

        post_migrate.connect(after_migrate, sender=apps.get_app_config("runs"))


def after_migrate(using: str, **details: Any) -> None:
    """Let `app` and `system` use the tables, and make the partitions of the coming week.

    Third-party tables come and go with upgrades, so rights are given to whatever is there. They are given on parents
    only: partitions stay closed to direct access.
    """
    from datetime import UTC, datetime

    from django.db import connections

    from runs import partitions

    with connections[using].cursor() as cursor:
        tables = _parents(cursor)
        for table in tables:
            cursor.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{table}" TO app, system')
        if ADMIN_LOG in tables:  # Of all tenants in one table, without a wall: the audit trails have it instead.
            cursor.execute(f"REVOKE INSERT, UPDATE ON {ADMIN_LOG} FROM app, system")
        cursor.execute("REVOKE UPDATE, DELETE ON audit_entry FROM app")  # It is added to and read, and nothing else.
        cursor.execute("REVOKE SELECT, UPDATE, DELETE ON staff_entry FROM app")  # Read by the staff's own connection.
        cursor.execute("REVOKE UPDATE, DELETE ON staff_entry FROM system")
        cursor.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app, system")
        partitions.ensure(cursor, datetime.now(UTC).date())


def _parents(cursor: Any) -> list[str]:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition AND relname <> 'django_migrations'"
    )
    return [name for (name,) in cursor.fetchall()]
