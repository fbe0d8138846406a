"""Configuration that can't work, found before it serves: `manage.py check --database default`.

E001 PostgreSQL is older than 16.
E002 A partition of the tall tables is missing for tomorrow.
E003 SECRET_KEY is not set though the database is given from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connection

from orchestrator.server import environment
from runs import partitions

OLDEST_POSTGRES = 16


@register(Tags.database)
def database(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """The server's version, and the partitions of tomorrow once the tables are there."""
    if not databases:
        return []
    try:
        return [*_version(), *_partitions()]
    except DatabaseError as error:
        return [Error(f"The database can't be asked: {error}", id="orchestrator.E001")]


def _version() -> list[CheckMessage]:
    connection.ensure_connection()
    number = connection.connection.info.server_version // 10_000
    if number >= OLDEST_POSTGRES:
        return []
    hint = "Unset DATABASE_URL to use the one that comes with Orchestrator, or upgrade."
    return [Error(f"PostgreSQL {number} is older than {OLDEST_POSTGRES}.", hint=hint, id="orchestrator.E001")]


def _partitions() -> list[CheckMessage]:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    with connection.cursor() as cursor:
        if partitions.TALL_TABLES[0] not in connection.introspection.table_names(cursor):
            return []
        present = set(partitions.existing(cursor))
    missing = [leaf.name for leaf in partitions.wanted(tomorrow) if leaf.start <= tomorrow < leaf.end]
    missing = [name for name in missing if name not in {leaf.name for leaf in present}]
    if not missing:
        return []
    hint = "Is the `ticks` worker running, with DATABASE_OWNER_URL? `manage.py migrate` makes them, too."
    return [Error(f"No partition for tomorrow: {', '.join(missing)}.", hint=hint, id="orchestrator.E002")]


@register(Tags.security)
def secret_key(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Several processes with a key of their own each would not know each other's sessions."""
    if settings.SECRET_KEY_IS_GIVEN or not environment.text("DATABASE_URL"):
        return []
    return [Error("SECRET_KEY is not set.", hint="Set SECRET_KEY or SECRET_KEY_FILE.", id="orchestrator.E003")]
