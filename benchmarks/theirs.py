"""Prefect as its documentation has it: a server on PostgreSQL, a process worker, its defaults; analytics off."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psycopg

from benchmarks import prefect_environment
from benchmarks.database import Database, Queries
from benchmarks.processes import Service, end_rest, family, free_environment
from benchmarks.site import Site, temporary_directory
from benchmarks.sizes import Sizes
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.postgres import Postgres

POOL = "benchmark"
DATABASE = "prefect"
START_SECONDS = 180
STOP_SECONDS = 30
TRIES = 30
BUSY = {429, 503}
FAST_POLL = {"PREFECT_WORKER_QUERY_SECONDS": "0.5"}
QUERIES = Queries(
    recorded="SELECT count(*) FROM task_run WHERE flow_run_id = %s AND state_type = 'COMPLETED'",
    ended="SELECT state_type, extract(epoch FROM end_time) FROM flow_run WHERE id = %s",
)


class Theirs(Site):
    """The server, once it runs."""

    title = "Prefect"
    product = "prefect"
    python = prefect_environment.PYTHON
    polls = ("default", "fast")

    def __init__(self, sizes: Sizes, directory: Path) -> None:
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
    def running(self) -> Iterator["Theirs"]:
        with (
            self._postgres() as postgres,
            self._server(postgres) as self._service,
            closing(Database(_address(postgres), QUERIES)) as self.database,
            httpx.Client(base_url=self.environment["PREFECT_API_URL"], timeout=60) as self._api,
        ):
            self._api.post("/work_pools/", json={"name": POOL, "type": "process"}).raise_for_status()
            yield self

    def pids(self) -> list[int]:
        return [self._postgres_pid, self._service.pid]

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        """A busy server is asked again, as its own client does."""
        for _ in range(TRIES):
            answer = self._api.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": parameters})
            if answer.status_code not in BUSY:
                break
            time.sleep(0.2)
        return str(answer.raise_for_status().json()["id"])

    @contextmanager
    def executor(self, poll: str) -> Iterator[None]:
        command = [self.python, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
        environment = {**self.environment, **(FAST_POLL if poll == "fast" else {})}
        log = self.directory / f"worker-{poll}.log"
        with Service(command, log=log, environment=environment, directory=self.directory) as worker:
            worker.wait_until(lambda: worker.wrote("started!"), START_SECONDS)
            yield

    @contextmanager
    def _postgres(self) -> Iterator[Postgres]:
        """The same PostgreSQL with the same settings as ours, fsync included."""
        data_dir = self.directory / "data"
        data_directory.prepare(data_dir)
        postgres = Postgres(data_dir, ports.any_free(), durable=True)
        postgres.initialize()
        child = postgres.child()
        with (self.directory / "postgres.log").open("w") as log:
            child.start(Console(log))
            assert child.process is not None
            self._postgres_pid = child.process.pid
            try:
                _make_database(postgres)
                yield postgres
            finally:
                below = family(child.process.pid)
                child.ask_to_stop()
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(STOP_SECONDS)
                end_rest(below)

    @contextmanager
    def _server(self, postgres: Postgres) -> Iterator[Service]:
        port = ports.any_free()
        self.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        address = _address(postgres).replace("postgresql://", "postgresql+asyncpg://", 1)
        environment = {**self.environment, "PREFECT_SERVER_DATABASE_CONNECTION_URL": address}
        command = [self.python, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        log = self.directory / "server.log"
        with Service(command, log=log, environment=environment, directory=self.directory) as service:
            service.wait_until(lambda: _answers(f"{self.environment['PREFECT_API_URL']}/health"), START_SECONDS)
            yield service


def _make_database(postgres: Postgres) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not postgres.ready():
        if time.monotonic() > deadline:
            raise TimeoutError("PostgreSQL didn't start.")
        time.sleep(0.05)
    with psycopg.connect(postgres.admin_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")


def _address(postgres: Postgres) -> str:
    return postgres.admin_url.removesuffix("/postgres") + f"/{DATABASE}"


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def site(sizes: Sizes) -> Iterator[Theirs]:
    """It, not started yet; its virtual environment is made first."""
    prefect_environment.make()
    with temporary_directory() as directory:
        yield Theirs(sizes, directory)
