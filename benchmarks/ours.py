"""This platform as a person runs it: `manage.py up` in a data directory of its own, with its agent."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import stores
from benchmarks.database import Database, Queries
from benchmarks.processes import Service, free_environment
from benchmarks.site import CHECKOUT, Site, temporary_directory
from benchmarks.sizes import Sizes
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.postgres import HOST, SUPERUSER
from orchestrator.server.embedded.stack import ADDRESS_NAMES, DATABASE

START_SECONDS = 90
AT_ONCE = 50
"""Runs that the agent may execute at once; its own default is 10."""
WORDS = {"web": "granian", "agent": "orchestrator.cli"}
QUERIES = Queries(
    recorded="""
        SELECT count(*) FROM flow_run f JOIN task_run t
        ON t.run_id = f.id AND t.retention = f.retention AND t.bucket = f.bucket
        WHERE f.id = %s AND t.state_type = 'COMPLETED'""",
    ended="SELECT state_type, extract(epoch FROM ended_at) FROM flow_run WHERE id = %s",
    scheduled="""
        SELECT deployment_id, extract(epoch FROM scheduled_at), extract(epoch FROM created_at) FROM flow_run
        WHERE schedule_id IS NOT NULL AND scheduled_at >= to_timestamp(%s) AND scheduled_at < to_timestamp(%s)""",
    copied={
        "id": "c.id",
        "root_id": "c.id",
        "idempotency_key": "NULL",
        "state_type": "CASE WHEN c.n %% 100 = 0 THEN 'FAILED' ELSE r.state_type END",
        **{name: f"r.{name} - c.n * interval '1 s'" for name in ("created_at", "state_at", "started_at", "ended_at")},
    },
)


class Ours(Site):
    """The stack, once it runs."""

    title = "Orchestrator"
    product = "orchestrator"
    imports = "from orchestrator import flow, task"
    python = Path(sys.executable)
    ways = ("warm", "fresh")
    swift = "warm"
    pool = "default"

    def __init__(self, sizes: Sizes, directory: Path, given: stores.Given) -> None:
        self.sizes = sizes
        self.directory = directory
        self.data_dir = directory / "data"
        self._given = given
        names = ("ORCHESTRATOR_", "DJANGO_", "PYTHON", *ADDRESS_NAMES)
        self.environment = {**free_environment(names), "ORCHESTRATOR_HOME": str(directory / "home")}

    @contextmanager
    def running(self) -> Iterator["Ours"]:
        command = [*self._manage("up"), "--port", str(ports.any_free())]
        with ExitStack() as stack:
            variables = {**self.environment, "ORCHESTRATOR_AGENT_LIMIT": str(AT_ONCE), **self._addresses(stack)}
            self._up = stack.enter_context(
                Service(command, log=self.directory / "up.log", environment=variables, directory=CHECKOUT)
            )
            self._up.wait_until(lambda: self._up.wrote("Orchestrator runs: "), START_SECONDS)
            self._bootstrap()
            self._up.wait_until(lambda: self._up.wrote("works for the pool"), START_SECONDS)
            self.database = stack.enter_context(closing(Database(self.superuser_url(), QUERIES)))
            self.api = stack.enter_context(httpx.Client(base_url=self._api_url, headers=self._headers(), timeout=30))
            yield self

    def pids(self) -> list[int]:
        """A store of our own is below `up`; one that was given is not."""
        given = [self.store_pids()[name] for name in ("postgres", "redis") if getattr(self._given, name)]
        return [self._up.pid, *(pid for pid in given if pid is not None)]

    def serving(self) -> list[int]:
        agent = self.child("agent")
        below = [child.pid for pid in self.pids() for child in psutil.Process(pid).children()]
        return [pid for pid in below if pid != agent]

    @contextmanager
    def limited(self, limit: int) -> Iterator[str]:
        pool = f"of-{limit}"
        self.api.post("/work-pools", json={"name": pool}).raise_for_status()
        command = [sys.executable, "-m", "orchestrator.cli", "agent", "start", "--pool", pool, "--limit", str(limit)]
        log = self.directory / f"{pool}.log"
        with Service(command, log=log, environment=self.environment, directory=self.directory) as agent:
            agent.wait_until(lambda: agent.wrote("works for the pool"), START_SECONDS)
            yield pool

    def idle_pool(self) -> str:
        name = f"nobody-{uuid.uuid4().hex[:8]}"
        self.api.post("/work-pools", json={"name": name}).raise_for_status()
        return name

    def list_runs(self, count: int, state: str = "") -> int:
        words = {"limit": count} | ({"state": state} if state else {})
        return len(self.api.get("/flow-runs", params=words).raise_for_status().json()["items"])

    def store_pids(self) -> dict[str, int | None]:
        """The first processes of the stores, where they run on this machine."""
        redis_url = data_directory.read_stack(self.data_dir)["REDIS_URL"]
        return {"postgres": stores.postgres_pid(self.superuser_url()), "redis": stores.redis_pid(redis_url)}

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        body = {"deployment": deployment, "parameters": parameters}
        return str(self.api.post("/flow-runs", json=body).raise_for_status().json()["id"])

    @contextmanager
    def executor(self, way: str) -> Iterator[int]:
        """The agent runs already; it waits for a wake-up, and deployments say how it comes by processes."""
        yield self.child("agent")

    def child(self, name: str) -> int:
        """The first process of a part of the stack."""
        for child in psutil.Process(self._up.pid).children():
            if any(WORDS[name] in word for word in child.cmdline()):
                return child.pid
        raise LookupError(f"{name} doesn't run.")

    def superuser_url(self) -> str:
        """The database's address as seen by who may see everything."""
        if self._given.postgres:
            return stores.at_database(self._given.postgres, self._database)
        address = data_directory.read_stack(self.data_dir)["DATABASE_URL"].rpartition("@")[2].partition("/")[0]
        assert address.startswith(HOST)
        password = (self.data_dir / "postgres" / "superuser.password").read_text().strip()
        return f"postgresql://{SUPERUSER}:{password}@{address}/{DATABASE}"

    def _addresses(self, stack: ExitStack) -> dict[str, str]:
        """The variables by which `up` uses the stores that were given."""
        addresses = {}
        if self._given.postgres:
            self._database = stores.database_name(self.product)
            stack.enter_context(stores.dropped_afterwards(self._given.postgres, self._database))
            options = ["--admin-url", self._given.postgres, "--database", self._database, "--new-passwords", "--json"]
            addresses |= self._told([*self._manage("db"), "init", *options])
        if self._given.redis:
            addresses["REDIS_URL"] = stack.enter_context(stores.numbered(self._given.redis))
        return addresses

    def _bootstrap(self) -> None:
        names = ["--email", "benchmark@example.com", "--organization", "Benchmark", "--workspace", "Benchmark"]
        told = self._told([*self._manage("bootstrap"), *names, "--json"])
        self._api_url, key = told["api_url"], told["api_key"]
        self.environment |= {"ORCHESTRATOR_API_URL": self._api_url, "ORCHESTRATOR_API_KEY": key}

    def _told(self, command: list[str]) -> Any:
        """What a command says as JSON."""
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            timeout=START_SECONDS,
            check=True,
        )
        return json.loads(done.stdout)

    def _manage(self, command: str) -> list[str]:
        return [sys.executable, "manage.py", command, "--data-dir", str(self.data_dir)]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.environment['ORCHESTRATOR_API_KEY']}"}


@contextmanager
def site(sizes: Sizes, given: stores.Given) -> Iterator[Ours]:
    """It, not started yet."""
    with temporary_directory() as directory:
        yield Ours(sizes, directory, given)
