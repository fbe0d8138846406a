"""2.6: the schedules of a deployment, on the real server and on the one in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import clock
from tests.contract.worlds import World

SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}
TWO = [{"cron": "0 6 * * *", "slug": "mornings"}, {"interval": 3_600, "slug": "hourly"}]


def now() -> datetime:
    return datetime.fromtimestamp(clock.now() / 1e6, UTC)


def error(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    return response.json()["error"]


def schedules(world: World, deployment: Any) -> dict[str, dict[str, Any]]:
    found = world.api.get(f"/deployments/{deployment['id']}/schedules").json()["items"]
    return {each["slug"]: each for each in found}


def runs(world: World) -> list[dict[str, Any]]:
    return world.api.get("/flow-runs").json()["items"]


def test_several_schedules_each_with_its_own_pause_which_redeploys_keep(world: World) -> None:
    """By their slugs, also when a redeploy changes what was paused."""
    made = world.deploy(schedules=TWO)
    path = f"/deployments/{made['id']}/schedules"
    assert world.api.post(f"{path}/hourly/pause").json()["active"] is False
    world.deploy(schedules=[{"cron": "0 7 * * *", "slug": "mornings"}, {"interval": 60, "slug": "hourly"}])
    found = schedules(world, made)
    assert [(each["active"], each["cron" if slug == "mornings" else "interval"]) for slug, each in found.items()] == [
        (False, 60), (True, "0 7 * * *")
    ]  # fmt: skip
    assert found["hourly"]["paused_by"] != ""
    assert world.api.post(f"{path}/hourly/resume").json()["active"] is True
    world.deploy(schedules=[TWO[0]])
    assert list(schedules(world, made)) == ["mornings"]


def test_schedules_without_slugs_are_known_by_what_they_are(world: World) -> None:
    made = world.deploy(schedules=[{"interval": 60}, {"interval": 90}])
    assert {slug: each["interval"] for slug, each in schedules(world, made).items()} == {"default": 60, "default-2": 90}
    world.api.post(f"/deployments/{made['id']}/schedules/default-2/pause")
    world.deploy(schedules=[{"interval": 90}, {"interval": 120}])
    found = {each["interval"]: (slug, each["active"]) for slug, each in schedules(world, made).items()}
    assert found == {90: ("default-2", False), 120: ("default", True)}


def test_what_a_person_adds_is_left_alone_by_deploys(world: World) -> None:
    made = world.deploy(schedules=[TWO[0]])
    path = f"/deployments/{made['id']}/schedules"
    added = world.api.post(path, {"rrule": "FREQ=WEEKLY;BYDAY=MO", "timezone": "Europe/Berlin"})
    assert (added.status_code, added.json()["slug"], added.json()["deployed"]) == (201, "default", False)
    world.deploy(schedules=[TWO[0]])
    assert list(schedules(world, made)) == ["default", "mornings"]
    changed = world.api.patch(f"{path}/default", {"interval": 7_200}).json()
    assert (changed["interval"], changed["timezone"], "rrule" in changed) == (7_200, "Europe/Berlin", False)
    assert world.api.delete(f"{path}/default").status_code == 204
    assert error(world.api.get(f"{path}/default"), 404)["code"] == "not_found"
    listed = world.api.get("/schedules").json()["items"]
    assert [(each["slug"], each["deployment"]) for each in listed] == [("mornings", "etl/nightly")]


def test_a_change_takes_back_the_runs_that_are_not_due(world: World) -> None:
    made = world.deploy(schedules=[{"interval": 3_600, "anchor": (now() + timedelta(seconds=100)).isoformat()}])
    world.pass_time(50)
    assert len(runs(world)) == 1
    told = world.api.patch(f"/deployments/{made['id']}/schedules/default", {"interval": 86_400 * 300, "anchor": None})
    assert told.status_code == 200, told.content
    assert runs(world) == []


def test_a_schedule_gives_its_runs_parameters(world: World) -> None:
    at = (now() + timedelta(seconds=100)).isoformat()
    schedule = {"interval": 3_600, "anchor": at, "parameters": {"day": "monday"}}
    world.deploy(parameter_schema=SCHEMA, schedules=[schedule])
    world.pass_time(50)
    assert [run["parameters"]["day"] for run in runs(world)] == ["monday"]


def test_a_run_that_nobody_starts_in_time_is_skipped(world: World) -> None:
    at = (now() + timedelta(seconds=100)).isoformat()
    world.deploy(schedules=[{"interval": 86_400, "anchor": at, "skip_if_late": 30}])
    world.pass_time(50)
    [run] = runs(world)
    agent = world.agent()
    world.pass_time(85)
    assert world.history(run["id"])[-1] == "Skipped"
    assert world.api.get(f"/flow-runs/{run['id']}").json()["state"]["type"] == "CANCELLED"
    assert agent.claim() == []


def test_times_are_told_ahead(world: World) -> None:
    asked = {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "after": "2026-10-24T00:00:00Z", "number": 2}
    told = world.api.post("/schedules/preview", asked).json()["items"]
    assert told == [
        {"at": "2026-10-24T04:00:00Z", "local": "2026-10-24T06:00:00+02:00", "zone": "CEST", "clock": ""},
        {"at": "2026-10-25T05:00:00Z", "local": "2026-10-25T06:00:00+01:00", "zone": "CET", "clock": "back by 1 h"},
    ]


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        ({}, ["cron"]),
        ({"cron": "* * * * *", "interval": 60}, ["cron"]),
        ({"cron": "61 * * * *"}, ["cron"]),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, ["rrule"]),
        ({"rrule": "DTSTART;TZID=Asia/Tokyo:20260101T000000\nRRULE:FREQ=DAILY", "timezone": "UTC"}, ["timezone"]),
        ({"interval": 60, "slug": "a/b"}, ["slug"]),
        ({"interval": 60, "slug": "default"}, ["slug"]),
        ({"interval": 60, "catch_up": "some"}, ["catch_up"]),
        ({"interval": 60, "catch_up_max": 0}, ["catch_up_max"]),
        ({"interval": 60, "skip_if_late": 0}, ["skip_if_late"]),
        ({"interval": 60, "parameters": []}, ["parameters"]),
        ({"interval": 60, "timezone": "Mars"}, ["timezone"]),
    ],
)
def test_what_can_not_be_taken_is_said_by_field(world: World, told: dict[str, Any], fields: list[str]) -> None:
    made = world.deploy(schedules=[{"interval": 60}])
    assert list(error(world.api.post(f"/deployments/{made['id']}/schedules", told), 400)["fields"]) == fields


def test_who_only_views_changes_nothing(world: World) -> None:
    made = world.deploy(schedules=[{"interval": 60}])
    path, vera = f"/deployments/{made['id']}/schedules", world.as_role("viewer")
    assert vera.get(path).status_code == 200
    for refused in (
        vera.post(path, {"interval": 60}),
        vera.post(f"{path}/default/pause"),
        vera.delete(f"{path}/default"),
    ):
        assert error(refused, 403)["code"] == "forbidden"
