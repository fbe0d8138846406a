"""Point by point what every command of `orchestrator` owes to programs: JSON, no colours, nothing ignored."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from orchestrator import flow, journal, testing
from orchestrator.blocks import Secret
from orchestrator.cli import root
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.logging import get_run_logger

BODY = {"flow": "etl", "name": "prod", "entrypoint": "f.py:etl", "source": {"type": "path", "path": "/flows"}}
PROD = "etl/prod"
# They say nothing, print a value, a file, a shell's program or what a run prints, or go on until somebody stops them.
WITHOUT_JSON = {
    "agent start",
    "completion",
    "replay",
    "variable get",
    "variable set",
    "variable unset",
    "work-pool template",
}


@pytest.fixture
def client() -> Iterator[Client]:
    with testing.server(), Client() as client:
        client.post("/deployments", BODY)
        yield client


def command(*words: str, status: int = 0, **options: Any) -> Result:
    result = CliRunner().invoke(cli, words, **options)
    assert result.exit_code == status, result.output
    return result


def told(*words: str) -> Any:
    return json.loads(command(*words, "-o", "json").stdout)


def leaves(group: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(group, click.Group):
        yield " ".join(words), group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield from leaves(found, (*words, name))


def test_each_command_tells_programs_what_it_has_done() -> None:
    without = {name for name, found in leaves(cli) if not any("--output" in each.opts for each in found.params)}
    assert without == WITHOUT_JSON


def test_2_1_and_2_6_a_deployment_and_its_schedules_from_its_first_day_to_its_last(client: Client) -> None:
    schedule = ("deployment", "schedule")
    made = told(*schedule, "create", PROD, "--cron", "0 9 * * 1-5", "--timezone", "Europe/Oslo", "--slug", "mornings")
    assert (made["slug"], made["timezone"]) == ("mornings", "Europe/Oslo")
    assert told(*schedule, "pause", PROD, "mornings")["active"] is False
    assert "(0 9 * * 1-5) is resumed; next " in command(*schedule, "resume", PROD, "mornings").stdout
    command(*schedule, "delete", PROD, "mornings", status=1, input="n\n")
    assert [each["slug"] for each in told(*schedule, "ls", PROD)] == ["mornings"]
    assert told(*schedule, "delete", PROD, "mornings", "--yes") == {"deleted": ["mornings"]}
    assert told(*schedule, "ls", PROD) == []
    assert told("deployment", "pause", PROD)["name"] == told("deployment", "resume", PROD)["name"] == "prod"
    client.post("/deployments", {**BODY, "parameters": {"n": 2}, "canary": 10})
    assert told("deployment", "canary", PROD, "20")["canary"]["share"] == 20
    assert told("deployment", "promote", PROD)["number"] == 2
    assert told("deployment", "rollback", PROD, "1")["number"] == 3
    assert told("deployment", "limit", PROD, "--slots", "4")["concurrency_limit"] == 4
    id = told("deployment", "inspect", PROD)["id"]
    assert told("deployment", "delete", PROD, "--yes") == {"deleted": [id]}


def test_2_3_and_2_4_pools_queues_and_limits(client: Client) -> None:
    told("work-queue", "create", "gpu", "--limit", "2")
    assert [told("work-queue", verb, "gpu")["paused"] for verb in ("pause", "resume", "inspect")] == [
        True,
        False,
        False,
    ]
    assert "concurrency_limit  2" in command("work-queue", "inspect", "gpu").stdout
    assert told("work-queue", "delete", "gpu", "--yes") == {"deleted": ["gpu"]}
    assert [told("work-pool", verb, "default")["paused"] for verb in ("pause", "resume")] == [True, False]
    told("limit", "set", "warehouse", "3")
    assert told("limit", "reset", "warehouse", "--yes") == {"taken_away": 0}
    assert told("limit", "delete", "warehouse", "--yes") == {"deleted": ["warehouse"]}
    assert told("cache", "invalidate", "--all") == {"invalidated": 0}


def test_2_10_runs_and_what_is_done_to_many(client: Client) -> None:
    asked = {"deployment": PROD, "scheduled_at": "2030-01-01T00:00:00Z"}
    run, other = (client.post("/flow-runs", asked)["id"] for _ in range(2))
    assert told("flow-run", "cancel", run)["state"]["type"] == "CANCELLED"
    command("flow-run", "suspend", run, status=1)
    assert told("flow-run", "inspect", other)["id"] == other
    made = told("flow-run", "cancel", "--all", "--yes", "--delay", "60", "--no-wait")
    assert told("bulk-operation", "cancel", made["id"])["state"] == "cancelled"
    assert client.get(f"/flow-runs/{other}")["state"]["type"] == "SCHEDULED"


def test_blocks(client: Client) -> None:
    Secret(value="hunter22").save("token")
    assert told("block", "rename", "secret/token", "key")["name"] == "key"
    assert told("block", "rollback", "secret/key", "1")["version"] == 2
    assert told("block", "delete", "secret/key", "--yes") == {"deleted": ["secret/key"]}


def test_what_is_kept_on_this_machine(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    (tmp_path / "flows.py").write_text("from orchestrator import flow\n\n@flow\ndef etl() -> None: ...\n")
    made = told("init", str(tmp_path))
    assert (made["deployments"], Path(made["file"]).exists()) == (["flows.py:etl"], True)
    url, key = client.api.url, client.api.key
    kept = told("login", "--url", url, "--key", key, "--profile", "work")
    assert (kept["profile"], Path(kept["file"]).parent, key in json.dumps(kept)) == ("work", tmp_path, False)
    assert told("profile", "rename", "work", "home") == {"name": "home"}
    assert told("profile", "use", "home") == {"active": "home"}
    assert told("config", "set", "exit_seconds", "3") == {"EXIT_SECONDS": "3"}
    assert told("config", "unset", "exit_seconds") == {"EXIT_SECONDS": None}
    assert told("profile", "delete", "home", "--yes") == {"deleted": ["home"]}
    assert told("journal", "ship") == {"sent": 0}
    assert told("result", "delete", "runs/none", "--yes") == {"deleted": 0}


def test_what_would_be_ignored_is_refused(client: Client) -> None:
    run = client.post("/flow-runs", {"deployment": PROD})["id"]
    for option in (["--delay", "5"], ["--no-wait"], ["--dry-run"]):
        assert "are for a filter" in command("flow-run", "cancel", run, *option, status=2).stderr
    assert "Say what to change: --priority" in command("work-queue", "set", "default", status=2).stderr
    dry = ("deployment", "run", PROD, "--dry-run")
    at = command(*dry, "--at", "2030-01-01T00:00:00Z", "--debounce", "0", "--watch", status=2).stderr
    assert "leave out --at, --debounce, --watch." in at
    assert client.get(f"/flow-runs/{run}")["state"]["type"] == "SCHEDULED"


def test_a_log_that_is_followed_is_one_object_a_line(client: Client) -> None:
    @flow
    def speaks() -> Any:
        from orchestrator import runtime

        get_run_logger().log(logging.INFO, "one\ntwo")
        return runtime.flow_run.id

    run = str(speaks())
    assert journal.flush(10)
    lines = [json.loads(line) for line in command("flow-run", "logs", run, "-f", "-o", "json").stdout.splitlines()]
    assert "one\ntwo" in [line["message"] for line in lines]
    assert lines == told("flow-run", "logs", run)
    assert "ended COMPLETED after" in command("flow-run", "watch", run).stdout


@pytest.mark.parametrize(("value", "coloured"), [("1", False), ("", True)])
def test_no_colour_is_none_in_errors_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], client: Client, value: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda stream, color: color is False)
    with pytest.raises(SystemExit, match="1"):
        root.main(["deployment", "inspect", "none/none"])
    error = capsys.readouterr().err
    assert "There is no deployment none/none" in error
    assert ("\x1b[" in error) is coloured
