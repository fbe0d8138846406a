"""The embedded stores as one thing: start them, make the roles, write `stack.json` for everybody else."""

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.server import database_roles
from orchestrator.server.embedded import StackError, orphans, ports
from orchestrator.server.embedded.data_directory import read_stack, write_stack
from orchestrator.server.embedded.postgres import Postgres
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.valkey import Valkey

DATABASE = "orchestrator"
DATABASE_URL_NAMES = tuple(database_roles.URL_NAMES.values())
ADDRESS_NAMES = (*DATABASE_URL_NAMES, "REDIS_URL", "SECRET_KEY", "MASTER_KEYS", "PUBLIC_URL")
RECOVERY_SECONDS = 120
AGENT_FILE = "agent.json"


def new_master_key() -> str:
    """A master key for secrets at rest, as MASTER_KEYS holds it: named by its day and four random signs."""
    name = f"{datetime.now(UTC):%Y-%m-%d}-{secrets.token_hex(2)}"
    return f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}"


@dataclass
class Stack:
    """What one data directory runs, and the addresses it has so far."""

    data_dir: Path
    supervisor: Supervisor
    addresses: dict[str, str]
    """Begins with what the environment gives; what is missing is started."""
    durable: bool = True
    postgres: Postgres | None = None

    def start_stores(self, *, may_create_databases: bool = False) -> None:
        """Start the stores that nobody gave us, and wait for them."""
        self._check_given_urls()
        orphans.end_orphans(self.data_dir)
        former = read_stack(self.data_dir)
        self.addresses.setdefault("SECRET_KEY", former.get("SECRET_KEY") or secrets.token_urlsafe(50))
        self.addresses.setdefault("MASTER_KEYS", former.get("MASTER_KEYS") or new_master_key())
        if "DATABASE_URL" not in self.addresses:
            self.postgres = self._start_postgres(former)
        valkey = self._start_valkey(former) if "REDIS_URL" not in self.addresses else None
        if self.postgres:
            self.supervisor.wait_until(self.postgres.ready, "PostgreSQL", RECOVERY_SECONDS)
            self._make_roles(self.postgres, former, may_create_databases)
        if valkey:
            self.supervisor.wait_until(valkey.ready, "Valkey", RECOVERY_SECONDS)

    def publish(self, public_url: str) -> None:
        """Tell every other command of this data directory where everything is."""
        self.addresses["PUBLIC_URL"] = public_url
        write_stack(self.data_dir, {**self.addresses, "pid": os.getpid()})

    def _start_postgres(self, former: Mapping[str, Any]) -> Postgres:
        port = ports.any_free(preferred=_port(former.get("DATABASE_URL")))
        postgres = Postgres(self.data_dir, port, durable=self.durable)
        postgres.initialize()
        self.supervisor.add(postgres.child())
        return postgres

    def _start_valkey(self, former: Mapping[str, Any]) -> Valkey:
        url = former.get("REDIS_URL")
        password = (url and urlsplit(url).password) or secrets.token_hex(24)
        valkey = Valkey(self.data_dir, ports.any_free(preferred=_port(url)), password, durable=self.durable)
        self.supervisor.add(valkey.child())
        self.addresses["REDIS_URL"] = valkey.url()
        return valkey

    def _make_roles(self, postgres: Postgres, former: Mapping[str, Any], may_create_databases: bool) -> None:
        passwords = {login: _password(former.get(name)) for login, name in database_roles.URL_NAMES.items()}
        prepared = database_roles.prepare(
            admin_url=postgres.admin_url,
            database=DATABASE,
            passwords={login: password for login, password in passwords.items() if password},
            new_passwords=True,
            may_create_databases=may_create_databases,
        )
        self.addresses.update(prepared.urls)

    def _check_given_urls(self) -> None:
        missing = [name for name in DATABASE_URL_NAMES if name not in self.addresses]
        if missing and len(missing) < len(DATABASE_URL_NAMES):
            raise StackError(
                f"A database of your own needs all of {', '.join(DATABASE_URL_NAMES)}; {', '.join(missing)} missing. "
                "`manage.py db init --admin-url URL` makes the roles and prints all three."
            )


def child_environment(data_dir: Path, *, login: str) -> Callable[[], Mapping[str, str]]:
    """The variables of a server process: everything of ours, and which login it takes."""
    return lambda: {
        **os.environ,
        "ORCHESTRATOR_DATA_DIR": str(data_dir),
        "ORCHESTRATOR_DATABASE_LOGIN": login,
        "DJANGO_SETTINGS_MODULE": "orchestrator.server.settings",
        "PYTHONUNBUFFERED": "1",
        orphans.MARK: str(data_dir),
    }


def agent_environment(data_dir: Path) -> dict[str, str] | None:
    """The variables of the default pool's agent, once `manage.py bootstrap` has left a key for it in `agent.json`.

    The agent runs its users' code, so nothing that opens the stores is handed on. It asks the address of this start:
    the one in its file is as old as the key.
    """
    try:
        agent = json.loads((data_dir / AGENT_FILE).read_text(encoding="utf-8"))
        api_url, api_key = agent["api_url"], agent["api_key"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None
    if public_url := read_stack(data_dir).get("PUBLIC_URL"):
        api_url = f"{public_url}/api/v1"
    named = {"ORCHESTRATOR_API_URL": api_url, "ORCHESTRATOR_API_KEY": api_key}
    secret = {*ADDRESS_NAMES, "ORCHESTRATOR_DATA_DIR", "ORCHESTRATOR_DATABASE_LOGIN", "DJANGO_SETTINGS_MODULE"}
    secret |= {f"{name}_FILE" for name in secret}
    rest = {name: value for name, value in os.environ.items() if name not in secret}
    return {**rest, **named, "PYTHONUNBUFFERED": "1", orphans.MARK: str(data_dir)}


def _port(url: str | None) -> int | None:
    return urlsplit(url).port if url else None


def _password(url: str | None) -> str | None:
    return urlsplit(url).password if url else None
