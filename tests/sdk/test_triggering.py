"""2.7: `run_deployment` and `orchestrator deployment run`, as those who trigger see them."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import flow, runtime, testing
from orchestrator.cli.root import cli
from orchestrator.deployments import run_deployment

SURROUNDINGS: list[dict[str, Any]] = []


@flow
def child() -> None:
    SURROUNDINGS.append(runtime.flow_run.job_variables)


@flow
def breaks() -> None:
    raise ValueError("no such day")


@pytest.fixture
def server():
    SURROUNDINGS.clear()
    with testing.server() as server:
        child.deploy("prod", job_variables={"env": {"LEVEL": "info"}, "memory_mib": 512})
        breaks.deploy("prod")
        yield server


def command(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["deployment", "run", *arguments])


@pytest.mark.parametrize("as_subflow", [True, False])
def test_2_7_a_run_that_triggers_is_the_parent_if_it_is_to_be(server, as_subflow):
    """Either way the new run has a page, a lease and a fate of its own."""
    made = []

    @flow
    def parent() -> None:
        made.append(run_deployment("child/prod", timeout=0, as_subflow=as_subflow))

    parent.deploy("prod")
    caller = server.trigger("parent/prod")
    server.work()
    run = server.run(made[0].id)
    assert run.parent_id == (caller.id if as_subflow else None)
    assert (run.root_id, run.attempt, run.state_type) == (run.id, 1, "COMPLETED")


def test_2_7_run_deployment_changes_job_variables_for_one_run(server):
    changed = run_deployment("child/prod", timeout=0, job_variables={"env": {"LEVEL": "debug"}, "memory_mib": None})
    run_deployment("child/prod", timeout=0)
    server.work()
    assert SURROUNDINGS == [{"env": {"LEVEL": "debug"}}, {"env": {"LEVEL": "info"}, "memory_mib": 512}]
    assert server.run(changed.id).job_variables == {"env": {"LEVEL": "debug"}, "memory_mib": None}


def test_2_7_the_command_line_takes_job_variables(server):
    given = ("--job-variable", "memory_mib=null", "--job-variable", "env.PORT=80", "--env", "LEVEL=debug")
    made = json.loads(command("child/prod", *given, "-o", "json").output)
    assert made["job_variables"] == {"env": {"PORT": "80", "LEVEL": "debug"}, "memory_mib": None}
    checked = command("child/prod", "--job-variable", "memory_mib=1", "--dry-run")
    assert checked.exception.fields == {"job_variables.memory_mib": "MiB, 16 or more."}
    assert command("child/prod", "--job-variable", "LEVEL").exit_code == 2


@pytest.mark.parametrize(
    ("name", "step", "code", "state"),
    [
        ("child/prod", "work", 0, "COMPLETED"),
        ("breaks/prod", "work", 3, "FAILED"),
        ("child/prod", "cancel", 3, "CANCELLED"),
    ],
)
def test_2_7_watch_exits_as_the_run_ends(server, monkeypatch, name, step, code, state):
    """The watcher sleeps between two looks: what happens to the run happens then."""
    steps = {"work": server.work, "cancel": lambda: server.cancel(server.runs()[0])}
    monkeypatch.setattr("orchestrator.cli.watching.time", SimpleNamespace(sleep=lambda seconds: steps[step]()))
    done = command(name, "--watch")
    assert done.exit_code == code, done.output
    assert re.search(rf" ended {state}\b", done.output)
