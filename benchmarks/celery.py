"""Celery with a Redis-protocol server as broker and result backend, one prefork worker, its defaults.

It has tasks, chains and groups, and no flows, so it is measured at what it has.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import redis
from celery import Celery as App
from celery import chain

from benchmarks import own_stores, stores
from benchmarks.processes import Service, free_environment
from benchmarks.site import PROGRAMS, Site, temporary_directory
from benchmarks.sizes import Sizes

CONCURRENCY = 2
START_SECONDS = 60
LOOK_EVERY = 0.05
MODULE = "celery_workloads"
RESULT = "celery-task-meta-"
FAILED = {"FAILURE", "REVOKED"}


class Results:
    """What the result backend holds. It is a database of its own: one key for each task that has ended."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=10)

    def close(self) -> None:
        self._client.close()

    def wait_recorded(self, run: str, count: int, timeout: float) -> None:
        """`run` is the number of results that there were before it.

        Raises:
            TimeoutError: With the number that there are.
        """
        deadline = time.monotonic() + timeout
        while (recorded := self._client.dbsize() - int(run)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{recorded} of {count} results were there within {timeout:.0f} s.")
            time.sleep(LOOK_EVERY)

    def wait_completed(self, run: str, timeout: float) -> float:
        """Wait for one task.

        Raises:
            TimeoutError: It hasn't ended in time.
            RuntimeError: It failed.
        """
        deadline = time.monotonic() + timeout
        while not (found := self._client.get(RESULT + run)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"The task {run} has no result after {timeout:.0f} s.")
            time.sleep(LOOK_EVERY)
        result = json.loads(found)
        if result["status"] in FAILED:
            raise RuntimeError(f"The task {run} ended {result['status']}.")
        ended = datetime.fromisoformat(result["date_done"])
        return (ended if ended.tzinfo else ended.replace(tzinfo=UTC)).timestamp()


class Celery(Site):
    """Broker, backend and worker, once they run."""

    title = "Celery"
    product = "celery"
    imports = "from celery import Celery"
    client_program = "celery_client.py"
    lacks = frozenset({"flow", "subflow", "bytes", "batches", "agents"})
    python = Path(sys.executable)
    ways = ("default",)
    swift = "default"
    pool = ""

    def __init__(self, sizes: Sizes, directory: Path, given: stores.Given) -> None:
        self.sizes = sizes
        self.directory = directory
        self._given = given
        self.environment = {
            **free_environment(("CELERY_", "ORCHESTRATOR_", "DJANGO_", "PYTHON")),
            "ORCHESTRATOR_HOME": str(directory / "home"),
        }

    @contextmanager
    def running(self) -> Iterator["Celery"]:
        with ExitStack() as stack:
            url = self._given.redis or stack.enter_context(own_stores.valkey(self.directory))
            broker = stack.enter_context(stores.numbered(url, beyond=1))
            backend = stack.enter_context(stores.numbered(url, beyond=2))
            self._store_pid = stores.redis_pid(url)
            self.environment |= {"BENCHMARK_BROKER": broker, "BENCHMARK_BACKEND": backend}
            self.database = stack.enter_context(closing(Results(backend)))
            self._app = stack.enter_context(closing(App(MODULE, broker=broker, backend=backend, set_as_current=False)))
            self._worker = stack.enter_context(self._working())
            yield self

    def pids(self) -> list[int]:
        return [self._worker.pid, *([self._store_pid] if self._store_pid else [])]

    def executor(self, way: str) -> nullcontext[int]:
        """The worker runs already."""
        return nullcontext(self._worker.pid)

    def trigger(self, deployment: str, parameters: Mapping[str, object]) -> str:
        """Send a task, or a chain of tasks, of which the last one's id counts."""
        if deployment != "fibonaccis":
            return str(self._app.send_task(f"{MODULE}.{deployment}", kwargs=dict(parameters)).id)
        link = self._app.signature(f"{MODULE}.fibonacci_task", args=(parameters["number"],), immutable=True)
        return str(chain([link.clone() for _ in range(int(str(parameters["count"])))], app=self._app).apply_async().id)

    @contextmanager
    def _working(self) -> Iterator[Service]:
        command = [self.python, "-m", "celery", "-A", MODULE, "worker", "-c", str(CONCURRENCY), "-l", "INFO"]
        command += ["--without-gossip", "--without-mingle"]
        log = self.directory / "worker.log"
        with Service(command, log=log, environment=self.environment, directory=PROGRAMS) as worker:
            worker.wait_until(lambda: worker.wrote(" ready."), START_SECONDS)
            yield worker


@contextmanager
def site(sizes: Sizes, given: stores.Given) -> Iterator[Celery]:
    """It, not started yet."""
    with temporary_directory() as directory:
        yield Celery(sizes, directory, given)
