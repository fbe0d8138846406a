"""2.10: many runs are cancelled and retried by a filter, on the real server and on the one in memory."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from tests.contract.journals import Journal
from tests.contract.test_triggers import UNKNOWN, error
from tests.contract.worlds import World


def asked(world: World, what: str, filter: dict[str, Any], status: int = 201, **more: Any) -> dict[str, Any]:
    told = world.api.post(f"/flow-runs/{what}", {"filter": filter, **more})
    assert told.status_code == status, told.content
    return told.json()


def shown(world: World, made: dict[str, Any]) -> dict[str, Any]:
    return world.api.get(f"/bulk-operations/{made['operation']['id']}").json()


def failed(world: World) -> str:
    world.trigger()
    (claim,) = world.agent().claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1), journal.state("FAILED", run_count=1))
    return claim["run"]


def test_runs_that_fit_are_cancelled_after_the_time_to_undo_it(world: World) -> None:
    """2.10: what is made later, or is otherwise, is not."""
    world.deploy()
    world.deploy("weekly", flow="report")
    failed(world)
    mine, other = world.trigger(), world.trigger("report/weekly")
    world.pass_time(1)
    seen = asked(world, "cancel", {"flow": "etl"}, 200, dry_run=True)
    assert (seen["count"], seen["operation"], [run["id"] for run in seen["first"]]) == (1, None, [mine])
    assert seen["left_out"] == [{"reason": "ended", "why": "it has ended", "runs": 1}]
    for others in ({"tag": ["gpu"]}, {"deployment_version": 2}, {"since": "2199-01-01T00:00:00Z"}, {"origin": "form"}):
        assert asked(world, "cancel", others, 200, dry_run=True)["count"] == 0
    made = asked(world, "cancel", {"flow": "etl", "state": ["SCHEDULED", "RUNNING"]}, delay=30)
    assert made["operation"]["state"] == "waiting"
    world.pass_time(20)
    later = world.trigger()
    assert world.state(mine)[0] == "SCHEDULED"
    world.pass_time(11)
    assert [world.state(run)[0] for run in (mine, other, later)] == ["CANCELLED", "SCHEDULED", "SCHEDULED"]
    told = shown(world, made)
    assert (told["state"], told["count"], told["done"], told["refused"]) == ("completed", 1, 1, [])
    assert told["ended_at"] is not None
    assert [each["id"] for each in world.api.get("/bulk-operations").json()["items"]] == [told["id"]]


def test_runs_that_have_failed_are_retried_once(world: World) -> None:
    """2.10: from failure, unless the whole of them is asked for."""
    world.deploy()
    run = failed(world)
    world.pass_time(1)
    made = asked(world, "retry", {"state": "FAILED"}, from_failure=False)
    assert (made["count"], made["operation"]["from_failure"]) == (1, False)
    world.pass_time(11)
    assert shown(world, made)["done"] == 1
    [new] = [each for each in world.api.get("/flow-runs").json()["items"] if each["retry_of"]]
    assert (new["retry_of"], new["replays_from"]) == (run, None)
    again = asked(world, "retry", {"state": "FAILED"}, 200, dry_run=True)
    assert (again["count"], [each["reason"] for each in again["left_out"]]) == (0, ["retried"])


def test_runs_are_chosen_by_their_ids(world: World) -> None:
    """2.10: and by what else is asked; without those that others called."""
    world.deploy()
    one, two, _ = (world.trigger() for _ in range(3))
    claim, *_ = world.agent().claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1), journal.subflow(uuid7()))
    world.pass_time(1)
    every = asked(world, "cancel", {"subflows": False}, 200, dry_run=True)
    assert (every["count"], every["left_out"]) == (3, [])
    assert asked(world, "cancel", {"subflows": True}, 200, dry_run=True)["left_out"][0]["reason"] == "called"
    made = asked(world, "cancel", {"id": [one, two, str(UNKNOWN)]})
    assert made["count"] == 2
    world.pass_time(11)
    assert shown(world, made)["done"] == 2


def test_an_operation_is_undone(world: World) -> None:
    """2.10: while its delay lasts, as if nobody had asked."""
    world.deploy()
    run = world.trigger()
    world.pass_time(1)
    made = asked(world, "cancel", {}, delay=30)
    undo = f"/bulk-operations/{made['operation']['id']}/cancel"
    assert world.api.post(undo).json()["state"] == "cancelled"
    world.pass_time(60)
    assert (world.state(run)[0], shown(world, made)["done"]) == ("SCHEDULED", 0)
    assert error(world.api.post(undo), 409)["code"] == "conflict"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "filter"),
        ({"filter": {"state": "DANCING"}}, "filter.state"),
        ({"filter": {"limit": 3}}, "filter"),
        ({"filter": {"stat": "FAILED"}}, "filter.stat"),
        ({"filter": {"flow": "etl", "deployment": ""}}, "filter.deployment"),
        ({"filter": {"state": [","]}}, "filter.state"),
        ({"filter": {"id": ["nobody"]}}, "filter.id"),
        ({"filter": {"id": [str(UNKNOWN)] * 1_001}}, "filter.id"),
        ({"filter": {}, "delay": 4_000}, "delay"),
        ({"filter": {}, "from_failure": True}, ""),
    ],
)
def test_what_can_not_be_asked(world: World, body: dict[str, Any], field: str) -> None:
    told = world.api.post("/flow-runs/cancel", body)
    assert told.status_code == 400, told.content
    assert list(told.json()["error"].get("fields", {})) == ([field] if field else [])


def test_who_may_and_what_is_not_there(world: World) -> None:
    world.deploy()
    assert world.as_role("viewer").post("/flow-runs/cancel", {"filter": {}}).status_code == 403
    assert world.as_role("agent").post("/flow-runs/retry", {"filter": {}}).status_code == 403
    assert world.api.get(f"/bulk-operations/{UNKNOWN}").status_code == 404
    assert world.api.post(f"/bulk-operations/{UNKNOWN}/cancel").status_code == 404
    assert world.api.post("/flow-runs/cancel", {"filter": {"deployment": "no/body"}}).status_code == 404


def test_both_servers_know_the_same_filters() -> None:
    from orchestrator.testing.memory.run_search import WORDS
    from runs.reads.run_search import RunsAsked
    from tenants.declared import PageQuery

    assert set(RunsAsked.__struct_fields__) - set(PageQuery.__struct_fields__) == WORDS
