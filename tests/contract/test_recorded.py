"""Journals that released versions wrote are taken for ever: from a disk that comes back, from a host left as it was.

`recorded/VERSION-what.ndjson` holds what the SDK of that version sent, batch by batch, with an empty line between two.
A recording is never changed; a new version adds its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.wire import AnyEntry
from tests.contract.worlds import World

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.ndjson"))


def batches(path: Path) -> list[bytes]:
    return [batch for batch in path.read_bytes().split(b"\n\n") if batch.strip()]


def entries(path: Path, kind: str = "") -> list[dict[str, Any]]:
    lines = [json.loads(line) for batch in batches(path) for line in batch.splitlines()]
    told = [line for line in lines if line["kind"] not in ("batch", "stream")]
    return [line for line in told if not kind or line["kind"] == kind]


def test_every_kind_of_entry_is_recorded() -> None:
    kinds = {entry["kind"] for path in RECORDED for entry in entries(path)}
    assert kinds == {kind.__struct_config__.tag for kind in AnyEntry.__args__}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_journal_is_taken_whole(world: World, path: Path) -> None:
    for batch in batches(path):
        response = world.api.post("/journal", batch)
        assert response.status_code == 200, response.content
        answer = response.json()
        assert (answer["rejected"], answer["expected"]) == ([], {})
    states = {entry["run"]: entry["state"] for entry in entries(path, "run.state")}
    assert {run: world.state(run)[0] for run in states} == states
    root = entries(path)[0]["run"]
    assert len(world.lines(root)) == len(entries(path, "log")) + len(entries(path, "dropped"))
    told = {entry["id"]: entry["state"] for entry in entries(path, "task.state")}
    found = {task["id"]: task["state"]["type"] for run in states for task in world.tasks(run)}
    assert found == told
    last = entries(path)[-1]
    assert list(answer["acked"].values()) == [last["seq"]]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_sent_once_more_it_changes_nothing(world: World, path: Path) -> None:
    for batch in [*batches(path), *batches(path)]:
        assert world.api.post("/journal", batch).status_code == 200
    root = entries(path)[0]["run"]
    assert len(world.lines(root)) == len(entries(path, "log")) + len(entries(path, "dropped"))
    assert world.quarantine() == []
