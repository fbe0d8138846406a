"""Deployments, triggers, schedules."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator import clock
from orchestrator.ids import uuid7
from tests.contract.journals import Journal
from tests.contract.worlds import SOURCE, World

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
    "required": ["day"],
    "additionalProperties": False,
}


UNKNOWN = "0192f0c1-2d3e-4f40-8a5b-6c7d8e9f0a1b"


def now() -> datetime:
    return datetime.fromtimestamp(clock.now() / 1e6, UTC)


def error(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    body = response.json()
    assert list(body) == ["error"]
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "fields"}
    return body["error"]


# ── deployments ──────────────────────────────────────────────────────────────────────────────────


def test_a_deployment_is_made_and_changed(world: World) -> None:
    body = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": SOURCE}
    made = world.api.post("/deployments", {**body, "tags": ["a"], "process": "reuse"})
    changed = world.api.post("/deployments", {**body, "description": "so", "parameters": {"day": "monday"}})

    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.json()["id"] == changed.json()["id"]
    told = world.api.get("/deployments/by-name/etl/nightly").json()
    assert told == world.api.get(f"/deployments/{told['id']}").json()
    wanted = {"tags": [], "process": "warm", "job_variables": {}, "description": "so", "version": "", "schedules": []}
    assert {name: told[name] for name in wanted} == wanted
    assert (told["work_pool"], told["work_queue"], told["parameters"]) == ("default", "default", {"day": "monday"})


def test_both_show_the_same_fields(world: World) -> None:
    """What a client reads of a server, it finds on the other."""
    deployment = world.deploy(schedule={"cron": "0 6 * * *", "timezone": "Europe/Berlin"})
    run = world.run(world.trigger())
    journal = Journal(world.api)
    journal.send(journal.begin(), journal.task(), journal.log())
    line = world.api.get(f"/flow-runs/{journal.root}/logs").json()["items"][0]
    variable = world.api.put("/variables/x", {"value": 1}).json()
    (task,) = world.tasks(journal.root)

    assert sorted(deployment) == [
        "canary", "concurrency_key", "concurrency_limit", "created_at", "debounce", "description", "entrypoint",
        "flow", "id", "job_variables", "key_slots", "name", "number", "on_limit", "parameter_schema", "parameters",
        "process", "python", "schedules", "source", "tags", "updated_at", "url", "version", "work_pool", "work_queue",
    ]  # fmt: skip
    assert sorted(deployment["schedules"][0]) == [
        "active", "catch_up", "catch_up_max", "cron", "day_or", "deployed", "id", "next", "parameters", "paused_at",
        "paused_by", "refusal", "skip_if_late", "slug", "timezone",
    ]  # fmt: skip
    assert sorted(run) == [
        "attempt", "backfill", "caused_by", "commit", "concurrency_key", "created_at", "created_by", "debounce",
        "deployment", "deployment_version", "due_at", "duration", "ended_at", "error", "flow", "id", "job_variables",
        "name", "origin", "parameters", "parent", "priority", "replay_root", "replays_from", "result", "retry_of",
        "root", "run_count", "scheduled_at", "started_at", "state", "tags", "tasks", "url",
    ]  # fmt: skip
    assert sorted(run["state"]) == ["message", "name", "timestamp", "type"]
    assert sorted(task) == [
        "attempt", "duration", "ended_at", "error", "id", "name", "parents", "result", "run_count", "started_at",
        "state", "tags", "task",
    ]  # fmt: skip
    assert sorted(line) == ["attempt", "extra", "level", "line", "logger", "message", "run", "t", "task"]
    assert sorted(variable) == ["name", "tags", "updated_at", "updated_by", "value"]
    assert sorted(world.api.get("/me").json()) == [
        "actor", "kind", "organization", "portal_url", "role", "workspace", "workspace_id",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"flow": ""}, ["flow"]),
        ({"name": "a/b"}, ["name"]),
        ({"entrypoint": ""}, ["entrypoint"]),
        ({"tags": [""]}, ["tags"]),
        ({"retries": -1}, ["retries"]),
        ({"crash_retries": -1}, ["crash_retries"]),
        ({"concurrency_limit": 0}, ["concurrency_limit"]),
        ({"process": "cold"}, ["process"]),
        ({"job_variables": {"env": {"A": 1}}}, ["job_variables.env"]),
        ({"job_variables": {"memory_mib": 1}}, ["job_variables.memory_mib"]),
        ({"source": {}}, ["source"]),
        ({"source": "here"}, ["source"]),
        ({"parameter_schema": {"type": "string"}}, ["parameter_schema"]),
        ({"parameter_schema": {"type": "object", "properties": 3}}, ["parameter_schema"]),
        ({"schedule": {}}, ["schedule"]),
        ({"schedule": {"cron": "61 * * * *"}}, ["schedule.cron"]),
        ({"schedule": {"cron": "* * * * *", "timezone": "Mars"}}, ["schedule.timezone"]),
        ({"schedule": {"interval": 0.5}}, ["schedule.interval"]),
        ({"schedule": {"interval": 60, "anchor": "2026-01-01T00:00:00"}}, ["schedule.anchor"]),
        ({"schedule": {"interval": 60}, "parameter_schema": SCHEMA}, ["parameters.day"]),
    ],
)
def test_deployments_that_can_not_be_taken(world: World, more: dict[str, Any], fields: list[str]) -> None:
    body = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": SOURCE, **more}
    told = error(world.api.post("/deployments", body), 400)
    assert (told["code"], list(told["fields"])) == ("invalid", fields)
    assert world.api.get("/deployments").json()["items"] == []


@pytest.mark.parametrize(
    "more", [{"work_pool": "gpu"}, {"work_queue": "fast"}, {"source": {"type": "bundle", "sha256": "0" * 64}}]
)
def test_what_a_deployment_needs_and_is_not_there(world: World, more: dict[str, Any]) -> None:
    body = {"flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": SOURCE, **more}
    assert error(world.api.post("/deployments", body), 404)["code"] == "not_found"


def test_bundles_are_kept_by_their_hash(world: World) -> None:
    content = b"a bundle"
    address = f"/bundles/{hashlib.sha256(content).hexdigest()}"
    assert error(world.api.get(address), 404)["code"] == "not_found"
    assert [world.api.put(address, content).status_code for _ in range(2)] == [201, 200]
    found = world.api.get(address)
    assert (found.content, found.headers["Content-Type"]) == (content, "application/octet-stream")
    assert list(error(world.api.put(address, b"another"), 400)["fields"]) == ["sha256"]


# ── triggers ─────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_triggered_by_id_or_name(world: World) -> None:
    deployment = world.deploy(tags=["nightly"], parameters={"day": "monday", "n": 1})
    for reference in ("etl/nightly", deployment["id"]):
        run = world.run(world.trigger(reference, parameters={"n": 2}, tags=["mine"], name="so"))
        assert (run["flow"], run["deployment"], run["name"]) == ("etl", "etl/nightly", "so")
        assert (run["parameters"], run["tags"]) == ({"day": "monday", "n": 2}, ["nightly", "mine"])
        assert (run["state"]["type"], run["origin"], run["attempt"], run["run_count"]) == ("SCHEDULED", "api", 0, 0)
        assert world.history(run["id"]) == ["Scheduled"]


def test_a_key_triggers_once(world: World) -> None:
    world.deploy()
    body = {"deployment": "etl/nightly", "idempotency_key": "k"}
    first, second = (world.api.post("/flow-runs", body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert world.trigger(idempotency_key="other") != first.json()["id"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"parameters": {}}, "parameters.day"),
        ({"parameters": {"day": 3}}, "parameters.day"),
        ({"parameters": {"day": "x", "n": 0}}, "parameters.n"),
        ({"parameters": {"day": "x", "surplus": 3}}, "parameters.surplus"),
        ({"parameters": []}, "parameters"),
        ({"scheduled_at": "tomorrow"}, "scheduled_at"),
        ({"scheduled_at": "2026-01-01T00:00:00"}, "scheduled_at"),
        ({"scheduled_at": "9999-12-31T23:59:59-12:00"}, "scheduled_at"),
        ({"priority": 40_000}, "priority"),
        ({"tags": ["x" * 201]}, "tags"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"parent": "nobody"}, "parent"),
        ({"deployment": None}, "deployment"),
    ],
)
def test_triggers_that_can_not_be_taken(world: World, more: dict[str, Any], field: str) -> None:
    world.deploy(parameter_schema=SCHEMA)
    told = error(world.api.post("/flow-runs", {"deployment": "etl/nightly", "parameters": {"day": "x"}, **more}), 400)
    assert (told["code"], list(told["fields"])) == ("invalid", [field])
    assert world.api.get("/flow-runs").json()["items"] == []


def test_a_schema_that_holds_refuses_by_the_same_words(world: World) -> None:
    world.deploy(parameter_schema=SCHEMA)
    told = error(world.api.post("/flow-runs", {"deployment": "etl/nightly", "parameters": {"n": 0, "x": 1}}), 400)
    assert told["fields"] == {
        "parameters.day": "Required.",
        "parameters.n": "0 is less than the minimum of 1",
        "parameters.x": "The flow has no such parameter.",
    }


@pytest.mark.parametrize("deployment", ["etl/nobody", "nobody/nightly", "nonsense", "", "/", "a/b/c", UNKNOWN])
def test_an_unknown_deployment(world: World, deployment: str) -> None:
    world.deploy()
    assert error(world.api.post("/flow-runs", {"deployment": deployment}), 404)["code"] == "not_found"


def test_a_parent_is_a_run_that_is_known(world: World) -> None:
    world.deploy()
    parent = world.trigger()
    child = world.run(world.trigger(parent=parent))
    assert (child["parent"], child["root"]) == (parent, child["id"])
    error(world.api.post("/flow-runs", {"deployment": "etl/nightly", "parent": str(uuid7())}), 404)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"deployment": "\\ud800"}', b"[" * 5_000])
def test_what_is_no_request(world: World, body: bytes) -> None:
    assert error(world.api.post("/flow-runs", body), 400)["code"] == "invalid"


def test_a_body_has_a_bound(world: World) -> None:
    assert error(world.api.post("/flow-runs", b" " * (5 << 20)), 413)["code"] == "too_large"


# ── schedules ────────────────────────────────────────────────────────────────────────────────────


def test_a_schedule_makes_runs_a_minute_ahead(world: World) -> None:
    anchor = now() + timedelta(seconds=100)
    told = world.deploy(schedule={"interval": 3_600, "anchor": anchor.isoformat()})
    (schedule,) = told["schedules"]
    assert (schedule["interval"], schedule["active"], schedule["timezone"]) == (3_600, True, "UTC")
    assert [datetime.fromisoformat(at) - anchor for at in schedule["next"]] == [
        timedelta(hours=number) for number in range(3)
    ]
    world.pass_time(30)
    assert world.api.get("/flow-runs").json()["items"] == []
    world.pass_time(20)
    (run,) = world.api.get("/flow-runs").json()["items"]
    assert (run["origin"], run["state"]["type"]) == ("schedule", "SCHEDULED")
    agent = world.agent()
    assert agent.claim() == []
    world.pass_time(55)
    assert [claim["run"] for claim in agent.claim()] == [run["id"]]


def test_a_paused_schedule_takes_its_runs_back_and_stays_paused(world: World) -> None:
    schedule = {"interval": 3_600, "anchor": (now() + timedelta(seconds=100)).isoformat()}
    made = world.deploy(schedule=schedule)
    world.pass_time(50)
    assert len(world.api.get("/flow-runs").json()["items"]) == 1
    told = world.api.post(f"/deployments/{made['id']}/pause").json()
    assert (told["schedules"][0]["active"], told["schedules"][0]["next"]) == (False, [])
    assert world.api.get("/flow-runs").json()["items"] == []
    assert world.deploy(schedule=schedule)["schedules"][0]["active"] is False
    assert world.deploy(schedule={**schedule, "interval": 60})["schedules"][0]["active"] is False
    told = world.api.post(f"/deployments/{made['id']}/resume").json()
    assert (told["schedules"][0]["active"], len(told["schedules"][0]["next"])) == (True, 3)
    assert world.deploy()["schedules"] == []


def test_what_serve_paused_is_resumed_when_it_is_served_again_and_what_a_person_paused_is_not(world: World) -> None:
    made = world.deploy(schedule={"interval": 3_600})

    def ask(what: str) -> bool:
        return world.api.post(f"/deployments/{made['id']}/{what}").json()["schedules"][0]["active"]

    assert [ask("pause?by=serve"), ask("resume?by=serve")] == [False, True]
    assert [ask("pause"), ask("resume?by=serve"), ask("pause?by=serve"), ask("resume?by=serve")] == [False] * 4
    assert ask("resume") is True


@pytest.mark.parametrize("cron", ["0 6 * * 1-5", "*/7 2 1,15 * *", "30 12 L * *"])
def test_a_cron_follows_the_wall_clock_of_its_zone(world: World, cron: str) -> None:
    schedule = {"cron": cron, "timezone": "Europe/Berlin"}
    (told,) = world.deploy(schedule=schedule)["schedules"]
    from zoneinfo import ZoneInfo

    from cronsim import CronSim

    times = CronSim(cron, now().astimezone(ZoneInfo("Europe/Berlin")))
    assert [datetime.fromisoformat(at) for at in told["next"]] == [next(times) for _ in range(3)]


def test_a_queue_is_one_of_the_deployments_pool(world: World) -> None:
    world.deploy()
    world.trigger(work_queue="default", priority=3)
    told = error(world.api.post("/flow-runs", {"deployment": "etl/nightly", "work_queue": "none"}), 400)
    assert told["fields"] == {"work_queue": "The deployment's pool has no queue 'none'."}


def test_what_is_not_known_is_refused_rather_than_left_out(world: World) -> None:
    """2.7: a run that is told its queue by another name must not run in the default one."""
    world.deploy()
    told = error(world.api.post("/flow-runs", {"deployment": "etl/nightly", "queue": "night"}), 400)
    assert "queue" in told["message"]
    assert world.api.get("/flow-runs").json()["items"] == []
