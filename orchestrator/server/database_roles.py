"""The roles of the database (design §9): who may log in, and what a login may become.

- `owner` logs in, owns the database, migrates. It may write policies for the others without being one of them. It is
  bound by forced row-level security like everybody; SECURITY DEFINER functions read by a policy `TO owner`.
- `web` logs in and may become `app`, nothing else; `worker` logs in and may become `app` or `system`.
- `app` and `system` have no login. Memberships are INHERIT FALSE, SET TRUE: a right counts only after SET ROLE.

Needs PostgreSQL 16 or newer. Everything may run twice.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

OLDEST_VERSION = 16
LOGINS = ("owner", "web", "worker")
GROUPS = ("app", "system")
MEMBERSHIPS = (("app", "web"), ("app", "worker"), ("system", "worker"))
URL_NAMES = {"web": "DATABASE_URL", "worker": "DATABASE_WORKER_URL", "owner": "DATABASE_OWNER_URL"}


class RolesRefused(Exception):
    """The server can't hold our roles. The message says what to change."""


@dataclass(frozen=True)
class Prepared:
    """What a server holds after `prepare`: a URL for each login."""

    urls: dict[str, str]
    unknown_passwords: frozenset[str]
    """Logins that existed before and whose passwords nobody told us: their URLs carry none."""


def prepare(
    *,
    admin_url: str,
    database: str,
    passwords: Mapping[str, str] | None = None,
    new_passwords: bool = False,
    may_create_databases: bool = False,
) -> Prepared:
    """Make the roles and the database, or bring them into order.

    `passwords` holds those that are known by login. An existing login that isn't among them keeps its password, unless
    `new_passwords` asks for fresh ones. `may_create_databases` lets `owner` make databases, which only tests need.
    """
    known = dict(passwords or {})
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as connection:
        _check_version(connection)
        existing = _existing_roles(connection)
        for login in LOGINS:
            if login not in known and (new_passwords or login not in existing):
                known[login] = secrets.token_hex(24)
        _make_roles(connection, existing, known)
        _check_attributes(connection)
        _grant_memberships(connection)
        _allow_databases(connection, may_create_databases)
        _make_database(connection, database)
        keep_for_ourselves(connection, database)
    urls = {URL_NAMES[login]: _url(admin_url, login, known.get(login), database) for login in LOGINS}
    return Prepared(urls=urls, unknown_passwords=frozenset(LOGINS) - frozenset(known))


def keep_for_ourselves(connection: psycopg.Connection, database: str) -> None:
    """Close the database to everybody without a part in it. Ingest stages its rows in temporary tables."""
    _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
    _run(connection, "GRANT CONNECT ON DATABASE {} TO web, worker", database)
    _run(connection, "GRANT TEMPORARY ON DATABASE {} TO app, system", database)


def _make_database(connection: psycopg.Connection, database: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        _become_owner_if_needed(connection)
        _run(connection, "CREATE DATABASE {} OWNER owner TEMPLATE template0 ENCODING 'UTF8'", database)


def _check_version(connection: psycopg.Connection) -> None:
    version = connection.info.server_version // 10_000
    if version < OLDEST_VERSION:
        raise RolesRefused(
            f"The server is PostgreSQL {version}; {OLDEST_VERSION} or newer is needed. Upgrade it first."
        )


def _existing_roles(connection: psycopg.Connection) -> set[str]:
    names = list(LOGINS + GROUPS)
    return {name for (name,) in connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [names])}


def _make_roles(connection: psycopg.Connection, existing: set[str], passwords: Mapping[str, str]) -> None:
    for group in GROUPS:
        if group not in existing:
            _run(connection, "CREATE ROLE {} NOLOGIN", group)
    for login in LOGINS:
        if login not in existing:
            _run(connection, "CREATE ROLE {} LOGIN", login)
        if login in passwords:
            statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(login), sql.Literal(passwords[login])))


def _check_attributes(connection: psycopg.Connection) -> None:
    """Refuse roles of the same names that another application gave rights which would break the walls."""
    rows = connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
        " AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication OR (rolcanlogin AND rolname = ANY(%s)))",
        [list(LOGINS + GROUPS), list(GROUPS)],
    ).fetchall()
    if rows:
        names = ", ".join(sorted(name for (name,) in rows))
        raise RolesRefused(
            f"These roles exist with rights that would pass row-level security: {names}. Drop them first."
        )


def _grant_memberships(connection: psycopg.Connection) -> None:
    for group, member in MEMBERSHIPS:
        _run(connection, "GRANT {} TO {} WITH INHERIT FALSE, SET TRUE, ADMIN FALSE", group, member)
    rows = connection.execute(
        "SELECT member.rolname, role.rolname FROM pg_auth_members"
        " JOIN pg_roles AS role ON role.oid = roleid JOIN pg_roles AS member ON member.oid = member"
        " WHERE member.rolname = ANY(%s)",
        [list(LOGINS + GROUPS)],
    ).fetchall()
    extra = {(role, member) for member, role in rows} - set(MEMBERSHIPS)
    if extra:
        names = ", ".join(f"{member} in {role}" for role, member in sorted(extra))
        raise RolesRefused(f"These memberships break the walls between the roles: {names}. Revoke them first.")


def _allow_databases(connection: psycopg.Connection, allowed: bool) -> None:
    _run(connection, f"ALTER ROLE {{}} {'CREATEDB' if allowed else 'NOCREATEDB'}", "owner")


def _become_owner_if_needed(connection: psycopg.Connection) -> None:
    """An administrator of a managed server is no superuser, and must be able to become whom it gives a database to."""
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row and not row[0]:
        connection.execute("GRANT owner TO CURRENT_USER WITH INHERIT TRUE, SET TRUE")


def _run(connection: psycopg.Connection, statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _url(admin_url: str, login: str, password: str | None, database: str) -> str:
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    user = f"{login}:{quote(password, safe='')}" if password else login
    return urlunsplit((parts.scheme, f"{user}@{place}", f"/{quote(database)}", parts.query, ""))
