"""2.11: runs over a past range and of sets of parameters, on the real server and on the one in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.journals import Journal
from tests.contract.test_triggers import UNKNOWN, error
from tests.contract.worlds import World

SIX = {"since": "2026-05-01T00:00:00Z", "until": "2026-05-01T06:00:00Z"}
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}}


def asked(world: World, status: int = 201, **body: Any) -> dict[str, Any]:
    told = world.api.post("/backfills", {"deployment": "etl/nightly", **body})
    assert told.status_code == status, told.content
    return told.json()


def shown(world: World, id: str) -> dict[str, Any]:
    return world.api.get(f"/backfills/{id}").json()


def execute(world: World, state: str = "COMPLETED") -> list[str]:
    done = []
    for claim in world.agent(slots=10).claim(10):
        journal = Journal.of_claim(world, claim)
        journal.send(journal.state("RUNNING", run_count=1), journal.state(state, run_count=1))
        done.append(claim["run"])
    world.pass_time(1)
    return done


def test_a_past_range_is_looked_at_and_made_a_few_at_a_time(world: World) -> None:
    """2.11: by the schedule's times, with its parameters; the page says what is waited for."""
    world.deploy(schedules=[{"cron": "0 * * * *", "slug": "hourly", "parameters": {"n": 2}}])
    wanted = {"schedule": "hourly", **SIX, "time_parameter": "hour", "at_once": 2}
    seen = asked(world, 200, dry_run=True, **wanted)
    assert (seen["count"], seen["places"], seen["there"], seen["backfill"]) == (6, 6, {}, None)
    assert [place["time"] for place in seen["first"]] == [f"2026-05-01T0{hour}:00:00Z" for hour in range(5)]
    assert [place["ordinal"] for place in seen["last"]] == [5]
    id = asked(world, **wanted)["backfill"]["id"]
    world.pass_time(1)
    told = shown(world, id)
    assert (told["made"], told["left"], told["states"], told["why"]["code"]) == (2, 4, {"SCHEDULED": 2}, "at_once")
    runs = world.api.get("/flow-runs", backfill=id).json()["items"]
    assert [run["parameters"]["hour"][11:16] for run in runs] == ["01:00", "00:00"]
    assert {(run["origin"], run["priority"], run["parameters"]["n"]) for run in runs} == {("backfill", -10, 2)}
    assert sorted(told["why"]["runs"]) == sorted(run["id"] for run in runs)
    for _ in range(3):
        execute(world)
    told = shown(world, id)
    assert (told["state"], told["made"], told["states"]) == ("completed", 6, {"COMPLETED": 6})
    again = asked(world, 409, **wanted)["error"]["message"]
    assert again == "All of its times have a run already. Nothing is left to be made."
    assert asked(world, 200, dry_run=True, **{**wanted, "existing": "all"})["count"] == 6


def test_sets_are_checked_by_row(world: World) -> None:
    world.deploy(parameter_schema=NUMBER)
    sets = [{"n": 1}, {"n": "two"}]
    assert [row["row"] for row in asked(world, 200, sets=sets, dry_run=True)["wrong"]] == [1]
    refused = asked(world, 400, sets=sets)["error"]
    assert (refused["message"][:26], list(refused["fields"])) == ("1 of the 2 sets can't be t", ["sets.1.n"])
    id = asked(world, sets=sets[:1], name="one", tags=["again"])["backfill"]["id"]
    world.pass_time(1)
    [place] = world.api.get(f"/backfills/{id}/places").json()["items"]
    assert (place["outcome"], place["state"], place["parameters"]) == ("made", "SCHEDULED", {"n": 1})


def test_failures_pause_it_and_a_retry_takes_the_place(world: World) -> None:
    world.deploy()
    id = asked(world, sets=[{}] * 3, at_once=1, pause_after_failures=1)["backfill"]["id"]
    world.pass_time(1)
    [failed] = execute(world, "FAILED")
    told = shown(world, id)
    assert (told["state"], told["message"], told["made"]) == ("paused", "Paused: a run failed.", 1)
    retried = world.api.post(f"/flow-runs/{failed}/retry", {}).json()
    assert (retried["backfill"], shown(world, id)["states"]) == (id, {"SCHEDULED": 1})
    assert world.api.post(f"/backfills/{id}/resume").json()["state"] == "running"
    assert world.api.patch(f"/backfills/{id}", {"at_once": 3}).json()["at_once"] == 3
    world.pass_time(1)
    assert shown(world, id)["made"] == 3


def test_it_is_paused_and_cancelled(world: World) -> None:
    world.deploy()
    id = asked(world, sets=[{}] * 3, at_once=1, idempotency_key="once")["backfill"]["id"]
    assert asked(world, 200, sets=[{}], idempotency_key="once")["backfill"]["id"] == id
    assert world.api.post(f"/backfills/{id}/pause").json()["state"] == "paused"
    before = shown(world, id)["made"]  # The server in memory may have been at it.
    execute(world)
    assert shown(world, id)["made"] == before
    world.api.post(f"/backfills/{id}/resume")
    world.pass_time(1)
    assert world.api.post(f"/backfills/{id}/cancel", {"runs": "waiting"}).json()["state"] == "cancelled"
    assert shown(world, id)["states"]["CANCELLED"] == 1
    assert error(world.api.post(f"/backfills/{id}/resume"), 409)["code"] == "conflict"
    assert [each["id"] for each in world.api.get("/backfills", deployment="etl/nightly").json()["items"]] == [id]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "schedule"),
        ({"sets": []}, "sets"),
        ({"sets": [{}], "at_once": 0}, "at_once"),
        ({"times": {"cron": "0 * * * *"}}, "since"),
        ({"times": {"cron": "0 99 * * *"}, **SIX}, "times.cron"),
        ({"times": {"interval": 1}, **SIX}, "since"),
        ({"sets": [{}], "sort": "oldest"}, ""),
    ],
)
def test_what_can_not_be_asked(world: World, body: dict[str, Any], field: str) -> None:
    world.deploy()
    assert list(asked(world, 400, **body)["error"].get("fields", {})) == ([field] if field else [])


def test_who_may_and_what_is_not_there(world: World) -> None:
    world.deploy()
    assert world.as_role("viewer").post("/backfills", {"deployment": "etl/nightly", "sets": [{}]}).status_code == 403
    for path in ("", "/places"):
        assert world.api.get(f"/backfills/{UNKNOWN}{path}").status_code == 404
    assert world.api.post(f"/backfills/{UNKNOWN}/cancel").status_code == 404
    assert asked(world, 404, schedule="none", **SIX)["error"]["code"] == "not_found"
