"""What each login may become, and that nobody else gets in."""

import json
import os
from contextlib import closing
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command

from orchestrator.server import database_roles
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.postgres import Postgres
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.stack import Stack

URLS = database_roles.URL_NAMES


def become(login: str, role: str) -> str:
    """Log in and change the role; return who one is then."""
    with closing(psycopg.connect(os.environ[URLS[login]], autocommit=True)) as connection:
        connection.execute(f"SET ROLE {role}")
        return connection.execute("SELECT current_user").fetchone()[0]


@pytest.mark.parametrize(("login", "role"), [("web", "app"), ("worker", "app"), ("worker", "system")])
@pytest.mark.django_db
def test_a_login_becomes_what_it_may(login: str, role: str):
    assert become(login, role) == role


@pytest.mark.parametrize(
    ("login", "role"),
    [
        ("web", "system"),
        ("web", "owner"),
        ("web", "worker"),
        ("worker", "owner"),
        ("owner", "app"),
        ("owner", "system"),
    ],
)
@pytest.mark.django_db
def test_a_login_becomes_nothing_else(login: str, role: str):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        become(login, role)


@pytest.mark.parametrize("login", ["web", "worker"])
@pytest.mark.django_db
def test_rights_count_only_after_set_role(login: str):
    with closing(psycopg.connect(os.environ[URLS[login]], autocommit=True)) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM django_session")
        connection.execute("SET ROLE app")
        connection.execute("SELECT count(*) FROM django_session")


@pytest.mark.django_db
def test_a_policy_for_app_binds_app_and_the_owner_too():
    url = os.environ[URLS["owner"]]
    with closing(psycopg.connect(url)) as owner, closing(psycopg.connect(os.environ[URLS["web"]])) as web:
        owner.execute("CREATE TABLE walled (tenant int)")
        owner.execute("INSERT INTO walled VALUES (1), (2)")
        owner.execute("ALTER TABLE walled ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        owner.execute("CREATE POLICY only_one ON walled TO app USING (tenant = 1)")
        owner.execute("GRANT SELECT ON walled TO app")
        assert owner.execute("SELECT count(*) FROM walled").fetchone() == (0,)
        owner.commit()
        try:
            web.execute("SET ROLE app")
            assert web.execute("SELECT tenant FROM walled").fetchall() == [(1,)]
            web.rollback()
        finally:
            owner.execute("DROP TABLE walled")
            owner.commit()


def test_init_may_run_twice_and_then_keeps_passwords(spare: Stack, monkeypatch):
    for name in URLS.values():
        monkeypatch.setenv(name, spare.addresses[name])
    again = init(spare, database="orchestrator")
    assert again == {name: spare.addresses[name] for name in URLS.values()}


def test_init_makes_a_database_that_is_closed_to_others(spare: Stack, monkeypatch):
    for name in URLS.values():
        monkeypatch.setenv(name, spare.addresses[name])
    urls = init(spare, database="second one")
    with closing(psycopg.connect(urls["DATABASE_OWNER_URL"])) as owner:
        owner.execute("CREATE TABLE mine (id int)")
    with closing(psycopg.connect(spare.postgres.admin_url, autocommit=True)) as admin:
        admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    place = urls["DATABASE_URL"].rpartition("@")[2]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"postgresql://stranger:stranger@{place}")


def test_init_does_not_guess_passwords_that_it_was_not_told(spare: Stack, monkeypatch):
    for name in URLS.values():
        monkeypatch.delenv(name, raising=False)
    told = init(spare, database="orchestrator")
    assert told["DATABASE_URL"].startswith("postgresql://web@")
    with closing(psycopg.connect(spare.addresses["DATABASE_URL"])):
        pass
    replaced = init(spare, "--new-passwords", database="orchestrator")
    with closing(psycopg.connect(replaced["DATABASE_URL"])):
        pass


@pytest.mark.parametrize("damage", ["ALTER ROLE web BYPASSRLS", "GRANT owner TO web"])
def test_init_refuses_roles_that_pass_the_walls(spare: Stack, damage: str):
    repair = {"ALTER ROLE web BYPASSRLS": "ALTER ROLE web NOBYPASSRLS", "GRANT owner TO web": "REVOKE owner FROM web"}
    with closing(psycopg.connect(spare.postgres.admin_url, autocommit=True)) as admin:
        admin.execute(damage)
        try:
            with pytest.raises(CommandError, match="web"):
                init(spare, database="orchestrator")
        finally:
            admin.execute(repair[damage])


def init(stack: Stack, *options: str, database: str) -> dict[str, str]:
    output = StringIO()
    arguments = ["init", f"--admin-url={stack.postgres.admin_url}", f"--database={database}", "--json", *options]
    call_command("db", *arguments, stdout=output, stderr=StringIO())
    return json.loads(output.getvalue())


def test_an_administrator_of_a_managed_server_needs_no_superuser(open_directory: Path):
    supervisor = Supervisor(Console())
    data_directory.prepare(open_directory / "managed")
    postgres = Postgres(open_directory / "managed", ports.any_free(), durable=False)
    postgres.initialize()
    supervisor.add(postgres.child())
    try:
        supervisor.wait_until(postgres.ready, "PostgreSQL", 30)
        with closing(psycopg.connect(postgres.admin_url, autocommit=True)) as superuser:
            superuser.execute("CREATE ROLE chief LOGIN CREATEDB CREATEROLE PASSWORD 'chief'")
        admin_url = postgres.admin_url.replace(f"postgres:{postgres.password}", "chief:chief")
        first = database_roles.prepare(admin_url=admin_url, database="orchestrator")
        again = database_roles.prepare(admin_url=admin_url, database="orchestrator", new_passwords=True)
        assert first.urls != again.urls
        with closing(psycopg.connect(again.urls["DATABASE_WORKER_URL"])) as worker:
            worker.execute("SET ROLE system")
    finally:
        supervisor.stop_all()
