"""2.10: `orchestrator flow-run cancel` and `retry` by a filter, and `orchestrator bulk-operation`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator import testing
from orchestrator.cli import bulk
from orchestrator.cli.root import cli
from orchestrator.client import Client


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A server with a deployment, whose time passes while somebody waits."""
    with testing.time_control() as clock, testing.server(), Client() as client:
        monkeypatch.setattr(bulk.time, "sleep", clock.advance)
        client.post("/deployments", {
            "flow": "etl", "name": "nightly", "entrypoint": "f.py:etl", "source": {"type": "path", "path": "/f"},
        })  # fmt: skip
        yield client


def trigger(client: Client, number: int = 1) -> list[str]:
    return [client.post("/flow-runs", {"deployment": "etl/nightly"})["id"] for _ in range(number)]


def command(*words: str, input: str = "", status: int = 0) -> Result:
    result = CliRunner().invoke(cli, words, input=input)
    assert result.exit_code == status, result.output
    return result


def state(client: Client, run: str) -> str:
    return client.get(f"/flow-runs/{run}")["state"]["type"]


def test_what_fits_is_shown_asked_for_and_cancelled(client: Client) -> None:
    """2.10: a no changes nothing."""
    ids = trigger(client, 12)
    command("flow-run", "cancel", "--flow", "etl", "--deployment", "", "--yes", status=1)
    wanted = ("flow-run", "cancel", "--state", "scheduled", "--deployment", "etl/nightly")
    told = command(*wanted, input="n\n", status=1).output
    assert "12 runs to cancel, 2 of them not shown." in told
    assert "Cancel 12 runs? [y/N]" in told
    assert {state(client, id) for id in ids} == {"SCHEDULED"}
    assert command(*wanted, "--yes", "--delay", "3").stdout.splitlines()[-1] == "12 of 12 runs asked to stop."
    assert {state(client, id) for id in ids} == {"CANCELLED"}
    assert command(*wanted).stdout == "0 runs to cancel.\n"


def test_runs_are_retried_and_those_left_out_are_told_of(client: Client) -> None:
    [run] = trigger(client)
    client.post(f"/flow-runs/{run}/cancel")
    trigger(client)
    told = command("flow-run", "retry", "--all", "--yes", "--whole").stdout
    assert "Left out: 1 run, it has not ended.\n" in told
    assert told.endswith("1 of 1 run retried.\n")
    [new] = [each for each in client.pages("/flow-runs") if each["retry_of"]]
    assert (new["retry_of"], new["replays_from"]) == (run, None)


def test_a_dry_run_changes_nothing_and_json_is_for_programs(client: Client) -> None:
    [run] = trigger(client)
    seen = json.loads(command("flow-run", "cancel", "--flow", "etl", "--dry-run", "-o", "json").stdout)
    assert (seen["count"], seen["operation"], state(client, run)) == (1, None, "SCHEDULED")
    told = json.loads(command("flow-run", "cancel", "--flow", "etl", "--yes", "-o", "json").stdout)
    assert (told["state"], told["done"]) == ("completed", 1)


def test_runs_are_deleted_one_by_one_and_by_a_filter(client: Client) -> None:
    """2.10: it says that this is for good, and asks."""
    one, two, other, alive = trigger(client, 4)
    for run in (one, two, other):
        client.post(f"/flow-runs/{run}/cancel")
    asked = "Delete these 2 runs, with all that was told and made? It can't be undone. [y/N]"
    assert asked in command("flow-run", "delete", one, two, input="n\n", status=1).output
    assert command("flow-run", "delete", one, two, "--yes").stdout == f"{one} is deleted.\n{two} is deleted.\n"
    told = command("flow-run", "delete", "--flow", "etl", "--dry-run").stdout
    assert "1 run to delete.\nLeft out: 1 run, it has not ended.\nDeleted runs can't be restored" in told
    assert command("flow-run", "delete", "--flow", "etl", "--yes").stdout.endswith("1 of 1 run deleted.\n")
    assert [run["id"] for run in client.pages("/flow-runs")] == [alive]
    assert "Cancel it first" in str(command("flow-run", "delete", alive, "--yes", status=1).exception)
    command("flow-run", "delete", status=2)


def test_what_can_not_be_paused_or_resumed_is_told_of(client: Client) -> None:
    trigger(client)
    told = command("flow-run", "pause", "--flow", "etl", "--yes").stdout
    assert told == "0 runs to pause.\nLeft out: 1 run, its code does not run.\n"
    assert "Left out: 1 run, it is not paused." in command("flow-run", "resume", "--all", "--dry-run").stdout
    assert "are for one run" in command("flow-run", "resume", "--all", "--approve", status=2).output


def test_one_is_undone_by_its_id(client: Client) -> None:
    """2.10: it says how, and who looks finds it."""
    [run] = trigger(client)
    told = command("flow-run", "cancel", "--all", "--yes", "--delay", "60", "--no-wait").stdout
    id = told.split()[-1]
    assert f"Undo: orchestrator bulk-operation cancel {id}" in told
    assert id in command("bulk-operation", "ls").stdout
    assert command("bulk-operation", "cancel", id).stdout.startswith("0 of 1 run asked to stop. Cancelled by ")
    assert "cancelled" in command("bulk-operation", "inspect", id).stdout
    assert state(client, run) == "SCHEDULED"


def test_ctrl_c_stops_the_operation(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    [run] = trigger(client)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk.time, "sleep", interrupt)
    told = command("flow-run", "cancel", "--all", "--yes", "--delay", "60", status=3).stdout
    assert "0 of 1 run asked to stop. Cancelled by " in told
    assert state(client, run) == "SCHEDULED"


@pytest.mark.parametrize(
    "words",
    [
        ["cancel"],
        ["cancel", "r1", "--all"],
        ["cancel", "r1", "--dry-run"],
        ["cancel", "--where", "tag"],
        ["retry", "--all", "--param", "n=1"],
        ["retry", "--all", "--watch"],
    ],
)
def test_what_is_not_understood(client: Client, words: list[str]) -> None:
    [run] = trigger(client)
    command("flow-run", *words, status=2)
    assert state(client, run) == "SCHEDULED"


def test_one_run_is_cancelled_as_ever(client: Client) -> None:
    [run] = trigger(client)
    told: dict[str, Any] = json.loads(command("flow-run", "cancel", run, "-o", "json").stdout)
    assert told["state"]["type"] == "CANCELLED"
