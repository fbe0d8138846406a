"""2.10: runs are deleted, on the real server and on the one in memory."""

from __future__ import annotations

from typing import Any

from orchestrator.ids import uuid7
from tests.contract.journals import Journal
from tests.contract.test_artifacts import artifact
from tests.contract.test_assets import materialized
from tests.contract.test_bulk import asked, failed, shown
from tests.contract.test_events import event
from tests.contract.test_pausing import asks
from tests.contract.test_triggers import UNKNOWN, error
from tests.contract.worlds import World


def delete(world: World, run: str) -> Any:
    return world.api.delete(f"/flow-runs/{run}")


def cancel(world: World, run: str) -> None:
    assert world.api.post(f"/flow-runs/{run}/cancel").status_code == 200


def paused(world: World, *, schema: Any = None) -> str:
    """A run whose process waits for people: for a word to go on, or for what fits a schema."""
    world.trigger()
    (claim,) = world.agent().claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1))
    journal.send(asks(journal, schema=schema), journal.state("PAUSED"))
    return claim["run"]


def test_a_deleted_run_is_gone_with_all_that_it_made(world: World) -> None:
    """2.10: its subflow too, and what it stored; other runs are as they were."""
    world.deploy()
    other = failed(world)
    world.trigger()
    (claim,) = world.agent().claim()
    journal, child = Journal.of_claim(world, claim), uuid7()
    journal.send(journal.state("RUNNING", run_count=1), journal.subflow(child), journal.task(), journal.log())
    told, made = event(journal), artifact(journal, key="report")
    journal.send(told, made, materialized(journal, "s3://lake/flights"))
    value = f"/results/runs/{journal.root}/value"
    assert journal.api.put(value, b"computed").status_code == 201
    journal.send(journal.state("COMPLETED", run=child, run_count=1), journal.state("COMPLETED"))
    assert delete(world, claim["run"]).status_code == 204
    gone = [f"/flow-runs/{claim['run']}", f"/flow-runs/{child}"]
    assert [world.api.get(path).status_code for path in gone] == [404, 404]
    assert [run["id"] for run in world.api.get("/flow-runs").json()["items"]] == [other]
    world.pass_time(10)
    paths = (value, f"/events/{told.id}", f"/artifacts/{made.id}")
    assert [world.api.get(path).status_code for path in paths] == [404, 404, 404]
    assert (
        world.api.get(f"/assets/{world.api.get('/assets').json()['items'][0]['id']}/materializations").json()["items"]
        == []
    )
    assert delete(world, claim["run"]).status_code == 404


def test_what_can_not_be_deleted(world: World) -> None:
    """2.10: what goes on, what another run called, and what a run that goes on reuses."""
    world.deploy()
    alive = world.trigger()
    assert "Cancel it first" in error(delete(world, alive), 409)["message"]
    cancel(world, alive)
    run = failed(world)
    new = world.api.post(f"/flow-runs/{run}/retry", {}).json()
    assert f"The run {new['name']} goes on" in error(delete(world, run), 409)["message"]
    left_out = asked(world, "delete", {}, 200, dry_run=True)["left_out"]
    assert {each["reason"]: each["runs"] for each in left_out} == {"not_ended": 1, "reused": 1}
    cancel(world, new["id"])
    assert delete(world, run).status_code == 204
    local, child = Journal(world.api), uuid7()
    local.send(local.begin(), local.subflow(child), local.state("COMPLETED", run=child, run_count=1))
    assert "called by another run" in error(delete(world, str(child)), 409)["message"]
    assert delete(world, UNKNOWN).status_code == 404
    for role in ("viewer", "runner", "agent"):
        assert world.as_role(role).delete(f"/flow-runs/{alive}").status_code == 403


def test_late_words_bring_nothing_back(world: World) -> None:
    """2.10: they are acked, with the reason, and the holder is told that it is over."""
    journal = Journal(world.api)
    entries = [journal.begin(), journal.log(), journal.state("COMPLETED")]
    journal.send(*entries)
    assert delete(world, str(journal.root)).status_code == 204
    told = journal.send(*entries)
    assert told["acked"] == {journal.stream: 3}
    assert told["rejected"] == [{"stream": journal.stream, "seq": 0, "code": "deleted"}]
    assert told["signals"] == [{"run": str(journal.root), "signal": "over"}]
    assert world.api.get(f"/flow-runs/{journal.root}").status_code == 404


def test_many_are_deleted_once_the_time_to_undo_it_is_over(world: World) -> None:
    world.deploy()
    runs = [failed(world) for _ in range(2)]
    waiting = world.trigger()
    world.pass_time(1)
    made = asked(world, "delete", {"flow": "etl"}, delay=30)
    assert (made["count"], made["left_out"][0]["reason"]) == (2, "not_ended")
    world.pass_time(20)
    assert world.api.get(f"/flow-runs/{runs[0]}").status_code == 200
    world.pass_time(11)
    told = shown(world, made)
    assert (told["kind"], told["state"], told["done"]) == ("delete", "completed", 2)
    assert [run["id"] for run in world.api.get("/flow-runs").json()["items"]] == [waiting]
    assert world.as_role("runner").post("/flow-runs/delete", {"filter": {}}).status_code == 403


def test_many_are_paused_and_resumed(world: World) -> None:
    """2.10: those whose code runs are asked to wait; those that ask people something are left to them."""
    world.deploy()
    (plain, form) = paused(world), paused(world, schema={"type": "object", "properties": {}})
    world.trigger()
    (claim,) = world.agent().claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1))
    over, waiting = failed(world), world.trigger()
    world.pass_time(1)
    made = asked(world, "pause", {}, delay=0)
    left_out = {each["reason"]: each["runs"] for each in made["left_out"]}
    assert (made["count"], left_out) == (1, {"paused": 2, "not_running": 1, "ended": 1})
    world.pass_time(1)
    assert (world.state(claim["run"])[1], shown(world, made)["done"]) == ("Pausing", 1)
    assert asked(world, "pause", {"state": "RUNNING"}, 200, dry_run=True)["left_out"][0]["reason"] == "pausing"
    made = asked(world, "resume", {}, delay=0)
    left_out = {each["reason"]: each["runs"] for each in made["left_out"]}
    assert (made["count"], left_out) == (1, {"asks": 1, "not_paused": 2, "ended": 1})
    world.pass_time(1)
    assert (shown(world, made)["done"], shown(world, made)["refused"]) == (1, [])
    asked_of = {run: world.api.get(f"/flow-runs/{run}/inputs").json()["items"][0]["state"] for run in (plain, form)}
    assert asked_of == {plain: "answered", form: "waiting"}
    assert world.state(waiting)[0] == "SCHEDULED"
    assert over
    assert world.as_role("viewer").post("/flow-runs/pause", {"filter": {}}).status_code == 403
    assert world.as_role("viewer").post("/flow-runs/resume", {"filter": {}}).status_code == 403
