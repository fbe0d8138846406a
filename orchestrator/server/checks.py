"""Configuration that can't work, found before it serves: `manage.py check --database default`.

E001 PostgreSQL is older than 16.
E002 A partition of the tall tables is missing for tomorrow.
E003 SECRET_KEY is not set though the database is given from outside.
E004 All processes together may open more connections than PostgreSQL takes.
E005 MASTER_KEYS is missing or holds no keys: secrets could not be sealed.
E006 Usage that was booked differs from a recount of the rows.
E007 The service that holds a master key can't be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection

from orchestrator.server import environment
from runs import partitions
from tenants import encryption
from tenants.errors import Unavailable
from tenants.master_keys import MasterKey

OLDEST_POSTGRES = 16
LOOP_THREADS = 1  # What the event loop asks of the database goes through one thread.
TICKS_CONNECTIONS = 2  # Its own, and the owner's while partitions are made.
SPARE = 4  # Commands of people, migrations, health.


@register(Tags.database)
def database(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> list[CheckMessage]:
    """The server's version, and the partitions of tomorrow once the tables are there."""
    if not databases:
        return []
    try:
        return [*_version(), *_partitions(), *_connections(), *_usage()]
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


def connection_budget() -> dict[str, int]:
    """How many connections each kind of process may hold at once: one for each thread that asks the database."""
    each_web = int(environment.number("PAGE_THREADS", 6) + environment.number("API_THREADS", 8)) + LOOP_THREADS
    return {
        "web": int(environment.number("WEB_PROCESSES", 1)) * each_web,
        "work": int(environment.number("WORK_PROCESSES", 1) * environment.number("WORK_THREADS", 4)),
        "ticks": int(environment.number("TICKS_PROCESSES", 1)) * TICKS_CONNECTIONS,
        "commands": SPARE,
    }


def _connections() -> list[CheckMessage]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        )
        (offered,) = cursor.fetchone()
    wanted = connection_budget()
    if sum(wanted.values()) <= offered:
        return []
    told = ", ".join(f"{name} {number}" for name, number in wanted.items())
    hint = "Raise max_connections, lower PAGE_THREADS or API_THREADS, or put a pooler in session mode between."
    message = f"{sum(wanted.values())} connections may be wanted ({told}); PostgreSQL offers {offered}."
    return [Error(message, hint=hint, id="orchestrator.E004")]


def _usage() -> list[CheckMessage]:
    with connection.cursor() as cursor:
        if "usage_seal" not in connection.introspection.table_names(cursor):
            return []
        cursor.execute("SELECT usage_mismatches()")
        (number,) = cursor.fetchone()
    if not number:
        return []
    hint = "The log of the `work` process says which. Their partitions are kept; they are compared again each day."
    return [Error(f"The usage of {number} buckets differs from their rows.", hint=hint, id="orchestrator.E006")]


@register(Tags.security)
def secret_key(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Several processes with a key of their own each would not know each other's sessions."""
    if settings.SECRET_KEY_IS_GIVEN or not environment.text("DATABASE_URL"):
        return []
    return [Error("SECRET_KEY is not set.", hint="Set SECRET_KEY or SECRET_KEY_FILE.", id="orchestrator.E003")]


@register(Tags.security)
def master_keys(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Secrets at rest need one. The embedded stack has its own as soon as it was started."""
    if not settings.MASTER_KEYS and not environment.text("DATABASE_URL"):
        return []
    try:
        keys = encryption.master_keys()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="Set MASTER_KEYS or MASTER_KEYS_FILE.", id="orchestrator.E005")]
    return [problem for name, key in keys.items() if key.is_elsewhere for problem in _key_service(name, key)]


def _key_service(name: str, key: MasterKey) -> list[CheckMessage]:
    """Whether it wraps, and opens what it has wrapped."""
    try:
        opens = key.unwrap(key.wrap(b"check", b"check"), b"check") == b"check"
        told = "" if opens else "It opens something else than it wrapped."
    except (Unavailable, encryption.CannotUnseal) as error:
        told = str(error)
    hint = "The key's address in MASTER_KEYS, VAULT_TOKEN, and the token's policy: update on encrypt and decrypt."
    return [Error(f"The master key {name!r} can't be used: {told}", hint=hint, id="orchestrator.E007")] if told else []
