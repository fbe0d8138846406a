"""2.11: `orchestrator backfill`, on the server in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator import testing
from orchestrator.cli import backfills
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.parameter_sets import read_sets

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "day": {"type": "string", "format": "date"}}}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A server with a deployment, whose time passes while somebody watches."""
    with testing.time_control() as clock, testing.server(), Client() as client:
        monkeypatch.setattr(backfills.time, "sleep", clock.advance)
        client.post("/deployments", {
            "flow": "etl", "name": "nightly", "entrypoint": "f.py:etl", "source": {"type": "path", "path": "/f"},
            "parameter_schema": SCHEMA, "schedule": {"cron": "0 6 * * *", "timezone": "Europe/Berlin"},
        })  # fmt: skip
        yield client


def command(*words: str, input: str = "", status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ("backfill", *words), input=input)
    assert result.exit_code == status, result.output
    return result


def create(*words: str, **more: object) -> Result:
    return command("create", "etl/nightly", *words, **more)  # type: ignore[arg-type]


def test_a_range_is_shown_asked_for_and_begun(client: Client) -> None:
    """2.11: dates are by the schedule's clock; a no changes nothing."""
    march = ("--schedule", "default", "--from", "2026-03-27", "--to", "2026-03-30", "--time-parameter", "day")
    told = create(*march, input="n\n", status=1).output
    assert "day=2026-03-29" in told
    assert "3 runs to make." in told
    assert list(client.pages("/backfills")) == []
    made = json.loads(create(*march, "--yes", "-o", "json").stdout)
    assert (made["since"], made["count"]) == ("2026-03-26T23:00:00Z", 3)
    assert made["id"] in command("ls", "--deployment", "etl/nightly").stdout


def test_sets_come_from_a_file_and_are_checked(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "sets.csv"
    file.write_text("n,day\n1,2026-05-01\ntwo,2026-05-02\n")
    told = create("--sets", str(file), "--yes", status=1).output
    assert "Row 2: n: 'two' is not of type 'integer'" in told
    seen = json.loads(create("--sets", "-", "--dry-run", "-o", "json", input='{"n": 1}\n{"n": 2}').stdout)
    assert (seen["count"], seen["backfill"]) == (2, None)
    assert "Line 2 is no JSON" in create("--sets", "-", input='{"n": 1}\n{"n', status=1).output


def test_it_is_watched_to_its_pause_and_its_end(client: Client) -> None:
    """2.11: what is not all well exits with 3 and says how to go on."""
    told = create("--sets", "-", "--at-once", "1", "--yes", "-o", "json", input='[{"n": 1}, {"n": 2}]').stdout
    id = json.loads(told)["id"]
    assert command("pause", id).stdout.startswith("Paused: ")
    told = command("watch", id, status=3).stdout
    assert f"Go on: orchestrator backfill resume {id}" in told
    assert command("drip", id, "--at-once", "2", "--per-minute", "0").stdout.endswith("2 at once.\n")
    assert command("resume", id).stdout.startswith("Running: ")
    assert command("cancel", id, "--runs", "all").stdout.startswith("Cancelled: ")
    assert "Cancelled. Cancelled by" in command("watch", id, status=3).stdout
    assert "cancelled" in command("inspect", id).stdout
    command("drip", id, status=2)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[1]", "Item 1 is no object"),
        ("[{", "This is no JSON"),
        ('{"n": 1}\n[2]', "Line 2 is no object"),
        ("n,n\n1,2", "each once"),
        ("n\n1,2", "Line 2 has 2 cells"),
    ],
)
def test_what_are_no_sets(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        read_sets(text, {})


def test_cells_are_as_the_schema_wants_them() -> None:
    schema = {"properties": {"n": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "on": {"type": "boolean"}}}
    told = read_sets('n,on,code\n7,TRUE,007\n,false,"a,b"\n', schema)
    assert told == [{"n": 7, "on": True, "code": "007"}, {"on": False, "code": "a,b"}]
