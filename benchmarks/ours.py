"""This platform as a person runs it: `manage.py up` in a data directory of its own, with its agent."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

import httpx

from benchmarks.database import Database, Queries
from benchmarks.processes import Service, free_environment
from benchmarks.site import CHECKOUT, Site, temporary_directory
from benchmarks.sizes import Sizes
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.postgres import HOST, SUPERUSER
from orchestrator.server.embedded.stack import ADDRESS_NAMES, DATABASE

START_SECONDS = 90
QUERIES = Queries(
    recorded="""
        SELECT count(*) FROM flow_run f JOIN task_run t
        ON t.run_id = f.id AND t.retention = f.retention AND t.bucket = f.bucket
        WHERE f.id = %s AND t.state_type = 'COMPLETED'""",
    ended="SELECT state_type, extract(epoch FROM ended_at) FROM flow_run WHERE id = %s",
)


class Ours(Site):
    """The stack, once it runs."""

    title = "Orchestrator"
    product = "orchestrator"
    python = Path(sys.executable)
    polls = ("default",)

    def __init__(self, sizes: Sizes, directory: Path) -> None:
        self.sizes = sizes
        self.directory = directory
        self.data_dir = directory / "data"
        names = ("ORCHESTRATOR_", "DJANGO_", "PYTHON", *ADDRESS_NAMES)
        self.environment = {**free_environment(names), "ORCHESTRATOR_HOME": str(directory / "home")}

    @contextmanager
    def running(self) -> Iterator["Ours"]:
        command = [*self._manage("up"), "--port", str(ports.any_free())]
        with Service(
            command, log=self.directory / "up.log", environment=self.environment, directory=CHECKOUT
        ) as self._up:
            self._up.wait_until(lambda: self._up.wrote("Orchestrator runs: "), START_SECONDS)
            self._bootstrap()
            self._up.wait_until(lambda: self._up.wrote("works for the pool"), START_SECONDS)
            with (
                closing(Database(self._superuser_url(), QUERIES)) as self.database,
                httpx.Client(base_url=self._api_url, headers=self._headers(), timeout=30) as self._api,
            ):
                yield self

    def pids(self) -> list[int]:
        return [self._up.pid]

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        body = {"deployment": deployment, "parameters": parameters}
        return str(self._api.post("/flow-runs", json=body).raise_for_status().json()["id"])

    def executor(self, poll: str) -> AbstractContextManager[None]:
        """The agent runs already; it waits for a wake-up and has no poll to set."""
        return nullcontext()

    def _bootstrap(self) -> None:
        names = ["--email", "benchmark@example.com", "--organization", "Benchmark", "--workspace", "Benchmark"]
        done = subprocess.run(
            [*self._manage("bootstrap"), *names, "--json"],
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            timeout=START_SECONDS,
            check=True,
        )
        told = json.loads(done.stdout)
        self._api_url, key = told["api_url"], told["api_key"]
        self.environment |= {"ORCHESTRATOR_API_URL": self._api_url, "ORCHESTRATOR_API_KEY": key}

    def _manage(self, command: str) -> list[str]:
        return [sys.executable, "manage.py", command, "--data-dir", str(self.data_dir)]

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.environment['ORCHESTRATOR_API_KEY']}"}

    def _superuser_url(self) -> str:
        address = data_directory.read_stack(self.data_dir)["DATABASE_URL"].rpartition("@")[2].partition("/")[0]
        assert address.startswith(HOST)
        password = (self.data_dir / "postgres" / "superuser.password").read_text().strip()
        return f"postgresql://{SUPERUSER}:{password}@{address}/{DATABASE}"


@contextmanager
def site(sizes: Sizes) -> Iterator[Ours]:
    """It, not started yet."""
    with temporary_directory() as directory:
        yield Ours(sizes, directory)
