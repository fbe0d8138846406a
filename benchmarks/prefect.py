"""Prefect as its documentation has it: a server on PostgreSQL, a process worker, its defaults; analytics off."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks import own_stores, prefect_environment, stores
from benchmarks.database import Database, Queries
from benchmarks.processes import Service, free_environment
from benchmarks.site import Site, temporary_directory
from benchmarks.sizes import Sizes
from orchestrator.server.embedded import ports

POOL = "benchmark"
START_SECONDS = 180
TRIES = 30
BUSY = {429, 503}
FAST_POLL = {"PREFECT_WORKER_QUERY_SECONDS": "0.5"}
QUERIES = Queries(
    recorded="SELECT count(*) FROM task_run WHERE flow_run_id = %s AND state_type = 'COMPLETED'",
    ended="SELECT state_type, extract(epoch FROM end_time) FROM flow_run WHERE id = %s",
    scheduled="""
        SELECT deployment_id, extract(epoch FROM expected_start_time), extract(epoch FROM created) FROM flow_run
        WHERE auto_scheduled AND expected_start_time >= to_timestamp(%s) AND expected_start_time < to_timestamp(%s)""",
    copied={
        "id": "c.id",
        "idempotency_key": "NULL",
        "state_type": "CASE WHEN c.n %% 100 = 0 THEN 'FAILED' ELSE r.state_type END",
        **{
            name: f"r.{name} - c.n * interval '1 s'"
            for name in ("created", "updated", "start_time", "end_time", "expected_start_time", "state_timestamp")
        },
    },
)


class Prefect(Site):
    """The server, once it runs."""

    title = "Prefect"
    product = "prefect"
    imports = "from prefect import flow, task"
    lacks = frozenset({"batches", "agents", "taken"})
    python = prefect_environment.PYTHON
    ways = ("default", "fast")
    swift = "fast"
    pool = POOL

    def __init__(self, sizes: Sizes, directory: Path, given: stores.Given) -> None:
        self._given = given
        self.sizes = sizes
        self.directory = directory
        self.environment = {
            **free_environment(("PREFECT_", "ORCHESTRATOR_", "PYTHON")),
            "PREFECT_HOME": str(directory / "home"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_CLI_PROMPT": "false",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
        }

    @contextmanager
    def running(self) -> Iterator["Prefect"]:
        with (
            self._store() as address,
            self._server(address) as self._service,
            closing(Database(address, QUERIES)) as self.database,
            httpx.Client(base_url=self.environment["PREFECT_API_URL"], timeout=60) as self._api,
        ):
            self._api.post("/work_pools/", json={"name": POOL, "type": "process"}).raise_for_status()
            yield self

    def pids(self) -> list[int]:
        """A PostgreSQL elsewhere costs nothing here."""
        return [self._service.pid, *([self._postgres_pid] if self._postgres_pid else [])]

    def serving(self) -> list[int]:
        return self.pids()

    def idle_pool(self) -> str:
        """No worker runs unless one is asked for."""
        return POOL

    def list_runs(self, count: int, state: str = "") -> int:
        wanted = {"flow_runs": {"state": {"type": {"any_": [state]}}}} if state else {}
        body = {"limit": count, "sort": "START_TIME_DESC", **wanted}
        return len(self._api.post("/flow_runs/filter", json=body).raise_for_status().json())

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        """A busy server is asked again, as its own client does."""
        for _ in range(TRIES):
            answer = self._api.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": parameters})
            if answer.status_code not in BUSY:
                break
            time.sleep(0.2)
        return str(answer.raise_for_status().json()["id"])

    @contextmanager
    def limited(self, limit: int) -> Iterator[str]:
        with self._worker("fast", ["--limit", str(limit)]):
            yield POOL

    @contextmanager
    def executor(self, way: str) -> Iterator[int]:
        with self._worker(way, []) as pid:
            yield pid

    @contextmanager
    def _worker(self, way: str, options: list[str]) -> Iterator[int]:
        command = [self.python, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", *options]
        environment = {**self.environment, **(FAST_POLL if way == "fast" else {})}
        log = self.directory / f"worker-{way}.log"
        with Service(command, log=log, environment=environment, directory=self.directory) as worker:
            worker.wait_until(lambda: worker.wrote("started!"), START_SECONDS)
            yield worker.pid

    @contextmanager
    def _store(self) -> Iterator[str]:
        """The address of an empty database."""
        with (
            nullcontext(given) if (given := self._given.postgres) else own_stores.postgres(self.directory) as admin_url
        ):
            self._postgres_pid = stores.postgres_pid(admin_url)
            with stores.dropped_afterwards(admin_url, stores.database_name(self.product)) as address:
                stores.make_database(admin_url, urlsplit(address).path.strip("/"))
                yield address

    @contextmanager
    def _server(self, address: str) -> Iterator[Service]:
        port = ports.any_free()
        self.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        driver = urlsplit(address)._replace(scheme="postgresql+asyncpg").geturl()
        environment = {**self.environment, "PREFECT_SERVER_DATABASE_CONNECTION_URL": driver}
        command = [self.python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        log = self.directory / "server.log"
        with Service(command, log=log, environment=environment, directory=self.directory) as service:
            service.wait_until(lambda: _answers(f"{self.environment['PREFECT_API_URL']}/health"), START_SECONDS)
            yield service


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def site(sizes: Sizes, given: stores.Given) -> Iterator[Prefect]:
    """It, not started yet; its virtual environment is made first."""
    prefect_environment.make()
    with temporary_directory() as directory:
        yield Prefect(sizes, directory, given)
