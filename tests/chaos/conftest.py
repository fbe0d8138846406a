"""One whole stack for all chaos tests, with leases of 3 s, and what they ask of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from orchestrator import Flow
from orchestrator.config import Api, use_api
from tests import alone
from tests.whole_stack import WholeStack

gated_flows = alone.load(Path(__file__).with_name("gated_flows.py"))
LEASE = 3
PATIENCE = 180  # seconds: far beyond what anything here may take
HELD = ("PENDING", "RUNNING", "PAUSED", "CANCELLING")


def wait_for(what: str, answer: Callable[[], Any]) -> Any:
    """Ask until the answer is true; answers it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if found := answer():
                return found
        except httpx.HTTPError:
            pass  # A web server that was killed a moment ago.
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.05)


@dataclass
class Platform:
    """A running stack, seen through its API, its processes and its rows."""

    whole: WholeStack
    key: str
    folder: Path
    home: Path

    @property
    def api(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=f"{self.whole.url}/api/v1", headers=headers, timeout=60)

    def deploy(self, a_flow: Flow[..., Any] = gated_flows.gated, **options: Any) -> str:
        """Deploy a flow; its id."""
        use_api(Api(f"{self.whole.url}/api/v1", self.key))
        try:
            return str(a_flow.deploy(**options))
        finally:
            use_api(None)

    def trigger(self, deployment: str, gate: Path | None = None, **parameters: Any) -> str:
        with self.api as api:
            asked = {"deployment": deployment, "parameters": {"gate": str(gate)} if gate else parameters}
            return api.post("/flow-runs", json=asked).raise_for_status().json()["id"]

    def run(self, id: str) -> dict[str, Any]:
        with self.api as api:
            return api.get(f"/flow-runs/{id}").raise_for_status().json()

    def log(self, id: str) -> list[dict[str, Any]]:
        with self.api as api:
            return api.get(f"/flow-runs/{id}/logs", params={"limit": 5000}).raise_for_status().json()["items"]

    def tasks(self, id: str) -> list[dict[str, Any]]:
        with self.api as api:
            return api.get(f"/flow-runs/{id}/task-runs", params={"limit": 1000}).raise_for_status().json()["items"]

    def wait_at_gate(self, id: str, attempt: int = 1) -> None:
        """Until the log says that this attempt is at the gate."""
        wait_for(
            "the flow at its gate",
            lambda: any(line["message"] == "at the gate" and line["attempt"] == attempt for line in self.log(id)),
        )

    def wait_until_ended(self, id: str) -> dict[str, Any]:
        """Until the run is final; answers it."""
        final = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        return wait_for("the run's end", lambda: (run := self.run(id))["state"]["type"] in final and run)

    def flow_process(self, id: str, attempt: int = 1) -> psutil.Process:
        """The process that executes the flow: it has written its number into its journal."""
        journal = self.home / "journals" / f"{id}.{attempt}.0.ndjson"
        with journal.open() as file:
            return psutil.Process(json.loads(file.readline())["pid"])

    def rows(self, query: str, *values: Any) -> list[tuple]:
        """Rows of all tenants."""
        with psycopg.connect(self.whole.addresses["DATABASE_WORKER_URL"], connect_timeout=60) as connection:
            connection.execute("SET ROLE system")
            return connection.execute(query, values).fetchall()

    def check_invariants(self) -> None:
        """What must hold whatever died: nothing stuck past its lease, no slot leaked, nothing counted twice."""
        assert (
            self.rows("SELECT run_id FROM lease l JOIN flow_run r ON r.id = l.run_id WHERE r.ended_at IS NOT NULL")
            == []
        )
        stuck = "SELECT r.id FROM flow_run r WHERE r.state_type = ANY(%s) AND r.id = r.root_id"
        unheld = " AND r.state_name <> 'Suspended' AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.run_id = r.id)"
        assert self.rows(stuck + unheld, list(HELD)) == []
        twice = "SELECT run_id, attempt, label FROM task_run GROUP BY 1, 2, 3 HAVING count(*) > 1"
        assert self.rows(twice) == []
        metered, counted, recorded = self.rows(
            "SELECT (SELECT coalesce(sum(task_runs), 0) FROM usage_delta) + (SELECT coalesce(sum(task_runs), 0)"
            " FROM usage_day), (SELECT coalesce(sum((SELECT max(c) FROM unnest(counted) WITH ORDINALITY u (c, n)"
            " WHERE mod(n, 2) = 1)), 0) FROM flow_run WHERE id = root_id), (SELECT count(*) FROM task_run)"
        )[0]
        assert metered == counted <= recorded


@pytest.fixture(scope="package")
def platform(open_directory: Path, tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("home")
    variables = {"LEASE_SECONDS": str(LEASE), "TICK_SECONDS": "0.5", "ORCHESTRATOR_HOME": str(home)}
    with WholeStack(open_directory, **variables).filled(migrated).running() as whole:
        yield Platform(whole, whole.bootstrap()["api_key"], tmp_path_factory.mktemp("gates"), home)


@pytest.fixture
def gate(platform: Platform, request: pytest.FixtureRequest) -> Path:
    return platform.folder / f"{request.node.name}.open"
