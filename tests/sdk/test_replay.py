"""1.24: `orchestrator replay`, and `orchestrator flow-run retry` (2.10) beside it: runs whose program was broken."""

from __future__ import annotations

import json
import pdb  # noqa: T100 - what the command ends in
import traceback
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator import journal, testing
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.result_storage import storage_of

FLOWS = """
import os
from orchestrator import flow, task

def did(what):
    with open(os.environ["STEPS"], "a") as file:
        file.write(what + "\\\\n")

@task(persist_result=True)
def load(day):
    did("load")
    return f"rows of {day}"

@task
def report(rows, cut):
    did("report")
    return rows[:10 // cut]

@flow
def nightly(day: str = "monday", cut: int = 1):
    return report(load(day), cut)
"""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server with a deployment whose run has failed: in `report`, after `load` was stored."""
    monkeypatch.setenv("STEPS", str(tmp_path / "steps"))
    (tmp_path / "flows.py").write_text(FLOWS.replace("\\\\n", "\\n"))
    source = {"type": "path", "path": str(tmp_path)}
    with testing.server() as server:
        with Client(server.api) as client:
            client.post("/deployments", {"flow": "nightly", "name": "prod", "entrypoint": "flows.py:nightly",
                                         "source": source, "parameter_schema": {"type": "object"}})  # fmt: skip
        yield server


@pytest.fixture
def failed(served):
    run = served.trigger("nightly/prod", {"cut": 0})
    served.work()
    assert run.state_type == "FAILED"
    return run


def taken(tmp_path) -> list[str]:
    """What was really executed since it was asked the last time."""
    steps = tmp_path / "steps"
    done = steps.read_text().split() if steps.exists() else []
    steps.unlink(missing_ok=True)
    return done


def command(*arguments: str, **more: Any) -> Any:
    return CliRunner().invoke(cli, list(arguments), **more)


def test_it_stops_in_the_debugger_where_the_run_failed(served, failed, tmp_path, monkeypatch):
    """1.24: with the values that were stored, and nothing told or stored."""
    assert taken(tmp_path) == ["load", "report"]
    places = []
    monkeypatch.setattr(pdb, "post_mortem", lambda found: places.extend(traceback.walk_tb(found)))
    before = (len(served.memory.store.runs), [each.path for each in storage_of().list()])
    done = command("replay", str(failed.id))

    assert done.exit_code == 1, done.output
    assert "ended Failed. Its calls with a stored value: 1." in done.output
    frame = places[-1][0]
    assert (frame.f_code.co_name, frame.f_locals) == ("report", {"rows": "rows of monday", "cut": 0})
    assert taken(tmp_path) == ["report"]
    assert before == (len(served.memory.store.runs), [each.path for each in storage_of().list()])


def test_a_mended_program_completes_here(failed, tmp_path):
    """1.24: from a file of this machine."""
    taken(tmp_path)
    (tmp_path / "mended").mkdir()
    mended = (tmp_path / "flows.py").read_text().replace("rows[:10 // cut]", "rows.upper()")
    (tmp_path / "mended" / "flows.py").write_text(mended)
    done = command("replay", str(failed.id), "--entrypoint", f"{tmp_path}/mended/flows.py:nightly")

    assert (done.exit_code, "It completed here, with 'ROWS OF MONDAY'" in done.output) == (0, True), done.output
    assert taken(tmp_path) == ["report"]


def test_without_the_debugger_it_ends_with_the_traceback(failed):
    """1.24: as a test in between."""
    done = command("replay", str(failed.id), "--no-debug")
    assert (done.exit_code, "ZeroDivisionError" in done.output, "(Pdb)" in done.output) == (1, True, False)


def test_other_parameters_are_tried_out(failed, tmp_path):
    """1.24: calls whose inputs they change are executed."""
    taken(tmp_path)
    done = command("replay", str(failed.id), "-p", "cut=2", "-p", "day=friday")
    assert (done.exit_code, taken(tmp_path)) == (0, ["load", "report"]), done.output
    assert "It completed here, with 'rows '" in done.output


def test_attached_the_server_hears_of_it(served, failed):
    """1.24: as of any flow that is called by hand."""
    assert command("replay", str(failed.id), "-p", "cut=1", "--attach").exit_code == 0
    assert journal.flush(10)
    (run,) = [run for run in served.memory.store.runs.values() if run.origin == "local"]
    assert next(task.state_name for task in run.tasks.values()) == "Replayed"


def test_what_can_not_be_read_from_here_is_said(served, failed, tmp_path):
    """1.24: then those calls are executed."""
    taken(tmp_path)
    for stored in list(storage_of().list()):
        storage_of().delete(stored.path)
    done = command("replay", str(failed.id), "-p", "cut=1")
    assert "1 of them are files of another machine, such as file:///" in done.output
    assert taken(tmp_path) == ["load", "report"]


def test_what_can_not_be_replayed_says_what_to_do(served, failed, monkeypatch):
    """1.24: a flow without a deployment, a secret that was masked."""
    failed.parameters = {"cut": 0, "day": "********"}
    masked = command("replay", str(failed.id))
    assert "Give it again: -p day=value" in str(masked.exception)
    failed.deployment = None
    by_hand = command("replay", str(failed.id), "-p", "day=monday")
    assert "--entrypoint path/to/file.py:flow" in str(by_hand.exception)
    assert "not 'flows'" in str(command("replay", str(failed.id), "-p", "day=x", "--entrypoint", "flows").exception)


# ── flow-run retry ───────────────────────────────────────────────────────────────────────────────


def test_a_retry_replays_what_was_stored(served, failed, tmp_path):
    """2.10, 1.16: by the command line, with edited parameters."""
    taken(tmp_path)
    done = command("flow-run", "retry", str(failed.id), "-p", "cut=1", "-o", "json")
    new = json.loads(done.output)
    assert new["retry_of"] == str(failed.id)
    served.work()
    served.assert_completed(new["id"])
    assert taken(tmp_path) == ["report"]

    command("flow-run", "retry", new["id"], "--again", "load")
    served.work()
    assert taken(tmp_path) == ["load", "report"]
    command("flow-run", "retry", new["id"], "--whole")
    served.work()
    assert taken(tmp_path) == ["load", "report"]


def test_the_plan_is_shown_before(failed):
    """2.10: what is reused, what runs, and why."""
    lines = [line.split() for line in command("flow-run", "retry", str(failed.id), "--plan").output.splitlines()]
    assert ["load", "1", "0", "0", "1", "stored"] in lines
    assert ["report", "0", "1", "0", "1", "failed"] in lines
    assert ["all", "1", "1", "0"] in lines
    told = json.loads(command("flow-run", "retry", str(failed.id), "--plan", "--again", "load", "-o", "json").output)
    assert (told["again"], told["reused"], told["runs"]) == (["load"], 0, 2)
