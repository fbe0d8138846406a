"""Where values were stored, as runs and task runs tell it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import MAX_STORED, ResultRef
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


# ── values that the server keeps ─────────────────────────────────────────────────────────────────


def claimed(world: World) -> tuple[dict[str, Any], Any]:
    """A run that an agent has taken, and the API by its token."""
    world.deploy()
    world.trigger()
    (claim,) = world.agent().claim()
    return claim, world.with_key(claim["token"])


def test_a_value_is_kept_under_its_key(world: World) -> None:
    """1.14: the server stores small values, and gives back the very bytes."""
    made = world.api.put("/results/reports/2026 ä.json", b"\x80\x05one")
    again = world.api.put("/results/reports/2026 ä.json", b"\x80\x05two!")
    found = world.api.get("/results/reports/2026 ä.json")

    assert (made.status_code, again.status_code) == (201, 200)
    assert again.json() == {"key": "reports/2026 ä.json", "size": 6}
    assert (found.status_code, found.content) == (200, b"\x80\x05two!")
    assert world.api.delete("/results/reports/2026 ä.json").status_code == 204
    gone = world.api.get("/results/reports/2026 ä.json")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
    assert world.api.delete("/results/reports/2026 ä.json").status_code == 404


@pytest.mark.parametrize("key", ["a/../b", "a//b", "/a", "x" * 501, "a\x01b"])
def test_what_is_no_key_is_refused(world: World, key: str) -> None:
    """1.14: keys are bounded, and no client may read them as another one."""
    told = world.api.put(f"/results/{key}", b"x")
    assert (told.status_code, list(told.json()["error"]["fields"])) == (400, ["key"])


def test_large_values_are_refused_with_a_way_out(world: World) -> None:
    """1.14: the server is for small values."""
    assert world.api.put("/results/x", b"x" * MAX_STORED).status_code == 201
    told = world.api.put("/results/x", b"x" * (MAX_STORED + 1))
    assert (told.status_code, told.json()["error"]["code"]) == (413, "too_large")
    assert "result_storage" in told.json()["error"]["message"]


def test_a_run_stores_its_own_values_and_no_others(world: World) -> None:
    """1.14: nobody else chooses what a run will unpickle."""
    claim, own = claimed(world)
    assert own.put(f"/results/runs/{claim['run']}/abc", b"x").status_code == 201
    assert own.get(f"/results/runs/{claim['run']}/abc").content == b"x"
    assert own.put("/results/cache/abc", b"x").status_code == 201
    other = uuid7()
    assert world.api.put(f"/results/runs/{other}/abc", b"x").status_code == 201
    assert own.put(f"/results/runs/{other}/abc", b"y").status_code == 403
    assert own.delete(f"/results/runs/{other}/abc").status_code == 403
    assert own.get(f"/results/runs/{other}/abc").content == b"x"


def test_who_only_looks_at_runs_loads_no_values(world: World) -> None:
    """1.14: a value is more than a run's page shows."""
    assert world.api.put("/results/x", b"x").status_code == 201
    for role, allowed in (("viewer", 403), ("runner", 403), ("agent", 200), ("developer", 200)):
        assert world.as_role(role).get("/results/x").status_code == allowed, role
