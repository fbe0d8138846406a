"""Where values were stored, as runs and task runs tell it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import ResultRef
from tests.contract.journals import Journal
from tests.contract.worlds import World

REF = ResultRef(
    url="s3://bucket/results/abc", key="abc", serializer="pickle", size=12_000_000, expires=1_900_000_000_000_000
)
TOLD = {
    "url": "s3://bucket/results/abc", "key": "abc", "serializer": "pickle", "size": 12_000_000,
    "expires": 1_900_000_000_000_000,
}  # fmt: skip


def test_a_task_run_says_where_its_value_is(world: World) -> None:
    """1.14: references in the journal."""
    journal, id = Journal(world.api), uuid7()
    journal.send(journal.begin(), journal.task("RUNNING", id=id, ended=None), journal.task())
    journal.send(journal.task(id=id, result=REF))

    assert {str(task["id"]): task["result"] for task in world.tasks(journal.root)}.pop(str(id)) == TOLD
    assert [task["result"] for task in world.tasks(journal.root) if str(task["id"]) != str(id)] == [None]


def test_task_runs_in_great_number_say_it_too(world: World) -> None:
    """1.14: the server copies many rows another way than few."""
    journal = Journal(world.api)
    journal.send(journal.begin(), *(journal.task(result=REF if n % 2 else None) for n in range(120)))
    assert [task["result"] for task in world.tasks(journal.root)].count(TOLD) == 60


def test_a_run_and_its_subflow_say_where_their_values_are(world: World) -> None:
    """1.14: with the final state, and with no other."""
    journal, part = Journal(world.api), uuid7()
    journal.send(journal.begin(), journal.subflow(part))
    assert world.run(journal.root)["result"] is None
    journal.send(journal.state("COMPLETED", run=part, result=REF))
    journal.send(journal.state("COMPLETED", result=ResultRef(url="server:runs/x")))

    assert world.run(part)["result"] == TOLD
    only = {"url": "server:runs/x", "key": "", "serializer": "", "size": None, "expires": None}
    assert world.run(journal.root)["result"] == only


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ({"url": "sftp://ann:geheim@files.example/a"}, {"url": "sftp://ann:********@files.example/a"}),
        (
            {"url": "https://store.example/a?X-Amz-Signature=abc&part=2"},
            {"url": "https://store.example/a?X-Amz-Signature=********&part=2"},
        ),
        ({"url": "file:///tmp/a%20b?x#y"}, {"url": "file:///tmp/a%20b?x#y"}),
        ({"url": "a", "size": -1, "expires": 2**62}, {"size": 0, "expires": None}),
        (
            {"url": "a\x00" + "b" * 3_000, "key": "k" * 600},
            {"url": ("a\ufffd" + "b" * 3_000)[:2_000], "key": "k" * 500},
        ),
    ],
)
def test_addresses_are_kept_without_secrets_and_bounded(world: World, ref: Any, told: dict[str, Any]) -> None:
    """1.14: what may be a secret in an address never reaches a row."""
    journal = Journal(world.api)
    journal.send(journal.begin(), journal.task(result=ResultRef(**ref)))
    (task,) = world.tasks(journal.root)
    assert {name: task["result"][name] for name in told} == told
