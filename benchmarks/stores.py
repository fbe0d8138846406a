"""Stores that somebody gave by address, in place of the embedded ones: an empty database for each product, none left.

They belong to the benchmark while it runs. Roles are made in the PostgreSQL server: give one that serves nobody else.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
import psycopg
import redis

LOCAL = {"127.0.0.1", "::1", "localhost"}
TIMEOUT = 10


@dataclass(frozen=True)
class Given:
    """Addresses of stores. What is empty, each product brings itself."""

    postgres: str = ""
    """Of a superuser."""
    redis: str = ""
    """Of a numbered database that holds nothing; for Celery the next two must hold nothing either."""


def database_name(product: str) -> str:
    """A name that no database has yet."""
    return f"benchmark_{product}_{secrets.token_hex(4)}"


def at_database(url: str, name: str) -> str:
    """The same server's address with another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@contextmanager
def dropped_afterwards(admin_url: str, name: str) -> Iterator[str]:
    """The address of a database, which is gone after the block whoever made it."""
    try:
        yield at_database(admin_url, name)
    finally:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=TIMEOUT) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def make_database(admin_url: str, name: str) -> None:
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=TIMEOUT) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')


@contextmanager
def numbered(url: str, beyond: int = 0) -> Iterator[str]:
    """The address of a numbered database of a Redis, some numbers on; it is emptied afterwards.

    Raises:
        RuntimeError: It holds keys, which may be somebody's.
    """
    number = int(urlsplit(url).path.strip("/") or 0) + beyond
    address = at_database(url, str(number))
    with redis.Redis.from_url(address, socket_timeout=TIMEOUT) as client:
        if keys := client.dbsize():
            raise RuntimeError(f"Database {number} of the Redis holds {keys} keys. Give the address of an empty one.")
        try:
            yield address
        finally:
            client.flushdb()


def postgres_pid(url: str) -> int | None:
    """The server's first process; None when it runs elsewhere."""
    with psycopg.connect(url, connect_timeout=TIMEOUT) as connection:
        (mine,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        return psutil.Process(mine).ppid() if _is_here(url, mine, "postgres") else None


def redis_pid(url: str) -> int | None:
    """The server's process; None when it runs elsewhere."""
    with redis.Redis.from_url(url, socket_timeout=TIMEOUT) as client:
        pid = int(client.info("server")["process_id"])
    return pid if _is_here(url, pid, "redis", "valkey") else None


def _is_here(url: str, pid: int, *names: str) -> bool:
    """In a container, a server's number is that of some other process here."""
    if urlsplit(url).hostname not in LOCAL or not psutil.pid_exists(pid):
        return False
    return any(name in psutil.Process(pid).name() for name in names)


def postgres_version(url: str) -> str:
    with psycopg.connect(url, connect_timeout=TIMEOUT) as connection:
        (text,) = connection.execute("SHOW server_version").fetchone()
        (fsync,) = connection.execute("SHOW fsync").fetchone()
    return f"{text}, fsync {fsync}"


def redis_version(url: str) -> str:
    with redis.Redis.from_url(url, socket_timeout=TIMEOUT) as client:
        told = client.info("server")
    return f"Valkey {told['valkey_version']}" if "valkey_version" in told else f"Redis {told['redis_version']}"
