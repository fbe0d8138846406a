"""The stack that tests run on: one PostgreSQL and one Valkey per session, one database of each per xdist worker.

It listens on free ports and lives in a temporary directory, so a running demo beside it is never touched.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from orchestrator.server import database_roles
from orchestrator.server.embedded import StackError, binaries, data_directory
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.stack import DATABASE, DATABASE_URL_NAMES, Stack

PREFIX = "orchestrator-tests-"
TEMPLATE = "migrated"
ADMIN_URL_OF_TEMPLATE = "ORCHESTRATOR_TESTS_TEMPLATE"
KEPT_TABLES = ["django_migrations", "django_content_type", "auth_permission"]


class SessionStack:
    """Started by the one process that pytest was called as; its addresses reach the workers by the environment."""

    def __init__(self) -> None:
        _remove_left_behind()
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        data_directory.prepare(self.directory)
        self._lock = data_directory.lock(self.directory)
        self._lock.__enter__()
        self._log = (self.directory / "stack.log").open("w+")
        self._supervisor = Supervisor(Console(self._log))

    def start(self) -> None:
        stack = Stack(self.directory, self._supervisor, {}, durable=False)
        try:
            stack.start_stores(may_create_databases=True)
        except StackError:
            sys.stderr.write((self.directory / "stack.log").read_text())
            raise
        os.environ.update(stack.addresses)
        with psycopg.connect(stack.postgres.admin_url, autocommit=True) as connection:
            connection.execute("GRANT pg_signal_backend TO owner")
        os.environ[ADMIN_URL_OF_TEMPLATE] = urlsplit(stack.postgres.admin_url)._replace(path=f"/{TEMPLATE}").geturl()
        os.environ["ORCHESTRATOR_DATA_DIR"] = str(self.directory)
        os.environ["ORCHESTRATOR_DATABASE_LOGIN"] = "worker"

    def stop(self) -> None:
        self._supervisor.stop_all()
        self._log.close()
        self._lock.__exit__(None, None, None)
        shutil.rmtree(self.directory, ignore_errors=True)


def take_own_databases(worker: str) -> None:
    """Point this process, and the processes that it will start, at the databases of one xdist worker."""
    number = int(worker.removeprefix("gw")) + 1 if worker.startswith("gw") else 0
    for name in DATABASE_URL_NAMES:
        os.environ[name] = urlsplit(os.environ[name])._replace(path=f"/test_{worker}").geturl()
    os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()


@contextmanager
def own_database() -> Iterator[None]:
    """Make this worker's database from the migrated template, which the first worker makes."""
    name = urlsplit(os.environ["DATABASE_OWNER_URL"]).path.lstrip("/")
    with _owner("postgres") as connection:
        _make_template_once(connection)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        _create(connection, name, TEMPLATE)
        try:
            yield
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def dump_once() -> Path:
    """The migrated template as SQL: to run that takes a tenth of what the migrations take."""
    with _owner("postgres") as connection:
        _make_template_once(connection)
    directory = Path(os.environ["ORCHESTRATOR_DATA_DIR"])
    dump = directory / "migrated.sql"
    with _locked(directory / "dump.lock"):
        if not dump.exists():
            half = dump.with_suffix(".half")
            _run(directory, "pg_dump", "--dbname", os.environ[ADMIN_URL_OF_TEMPLATE], "--file", str(half))
            half.rename(dump)
    return dump


def restore(dump: Path, data_dir: Path, admin_url: str) -> None:
    """Fill the database of another stack, as its migrations would."""
    address = urlsplit(admin_url)._replace(path=f"/{DATABASE}").geturl()
    _run(data_dir, "psql", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", address, "--file", str(dump))


def _run(data_dir: Path, program: str, *arguments: str) -> None:
    command = [binaries.postgres_programs(data_dir) / program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def truncate() -> None:
    """Empty every table that holds something. Threads that a test left behind lose their connections first."""
    name = urlsplit(os.environ["DATABASE_OWNER_URL"]).path.lstrip("/")
    with _owner(name) as connection:
        _end_other_connections(connection)
        filled = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND pg_relation_size(oid) > 0 AND NOT relname = ANY(%s)",
            [KEPT_TABLES],
        ).fetchall()
        if filled:
            tables = sql.SQL(", ").join(sql.Identifier(table) for (table,) in filled)
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(tables))


def _end_other_connections(connection: psycopg.Connection) -> None:
    """A connection that is idle in a transaction would hold up TRUNCATE. Only Django's own one is spared."""
    from django.db import connection as django_connection

    spared = [connection.info.backend_pid]
    if django_connection.connection is not None:
        spared.append(django_connection.connection.info.backend_pid)
    ended = connection.execute(
        "SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = ANY(%s) AND NOT pid = ANY(%s)",
        [["web", "worker"], spared],
    )
    ended.fetchone()


def _make_template_once(connection: psycopg.Connection) -> None:
    with _locked(Path(os.environ["ORCHESTRATOR_DATA_DIR"]) / "template.lock"):
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
            return
        half = f"{TEMPLATE}_half"
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(half)))
        _create(connection, half, "template0")
        _migrate(half)
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        connection.execute(rename.format(sql.Identifier(half), sql.Identifier(TEMPLATE)))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create(connection: psycopg.Connection, name: str, template: str) -> None:
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    database_roles.keep_for_ourselves(connection, name)


def _migrate(database: str) -> None:
    from django.core.management import call_command

    with _django_as_owner(database):
        call_command("migrate", verbosity=0)


@contextmanager
def _django_as_owner(database: str) -> Iterator[None]:
    """Let Django's connection be the owner's for a while, to another database."""
    from django.db import connection

    from orchestrator.server import environment

    before = dict(connection.settings_dict)
    owner = environment.database(_owner_url(database), role=None, statement_timeout=0)
    connection.close()
    connection.settings_dict.update({key: owner[key] for key in ("NAME", "USER", "PASSWORD", "OPTIONS")})
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


def _owner(database: str) -> psycopg.Connection:
    return psycopg.connect(_owner_url(database), autocommit=True, options="-c lock_timeout=10000")


def _owner_url(database: str) -> str:
    return urlsplit(os.environ["DATABASE_OWNER_URL"])._replace(path=f"/{database}").geturl()


def _remove_left_behind() -> None:
    """Remove directories of sessions that were killed: nobody holds their locks."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            with data_directory.lock(directory):
                shutil.rmtree(directory, ignore_errors=True)
        except (StackError, OSError):
            continue
