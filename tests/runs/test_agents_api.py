"""2.5: What agents ask over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.timezone import now

from orchestrator.ids import uuid7
from runs.models import Agent, AgentLogLine, Lease, WorkPool, WorkQueue
from tenants.models import Organization
from tenants.owned import TenantOwned
from tests.cast import Api, Company
from tests.runs.test_flow_runs_api import error
from tests.runs.work import deploy, in_seconds, run_row, start, trigger

pytestmark = pytest.mark.django_db

FACTS = {
    "pool": "default",
    "name": "box-1",
    "slots": 3,
    "version": "1.0",
    "host": "box",
    "python": "3.11.9",
    "queues": [],
}


def registered(api: Api, **more: Any) -> dict:
    response = api.post("/agents", {**FACTS, **more})
    assert response.status_code == 200, response.content
    return response.json()


# ── pools ────────────────────────────────────────────────────────────────────────────────────────


def test_a_pool_comes_with_its_default_queue(acme: Company, api: Api) -> None:
    made = api.post("/work-pools", {"name": "gpu"})
    assert made.status_code == 201
    assert [pool["name"] for pool in api.get("/work-pools").json()["items"]] == ["default", "gpu"]
    with acme.scope():
        assert WorkQueue.objects.get(pool_id=made.json()["id"]).name == "default"


@pytest.mark.parametrize("name", ["", "   ", "default", "x" * 201])
def test_names_that_a_pool_can_not_have(acme: Company, api: Api, name: str) -> None:
    assert list(error(api.post("/work-pools", {"name": name}), 400)["fields"]) == ["name"]
    with acme.scope():
        assert WorkPool.objects.count() == 1


def test_an_agents_key_makes_no_pools(agent_api: Api) -> None:
    assert error(agent_api.post("/work-pools", {"name": "gpu"}), 403)["code"] == "forbidden"
    assert agent_api.get("/work-pools").status_code == 200


# ── register ─────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_that_comes_back_keeps_its_id_and_its_leases(acme: Company, agent_api: Api) -> None:
    first = registered(agent_api)
    trigger(acme, deploy(acme))
    agent_api.post(f"/agents/{first['id']}/claim", {"slots": 1})
    second = registered(agent_api, slots=7, queues=["default"])

    assert first["id"] == second["id"]
    assert first | {"id": ""} == {
        "id": "", "name": "box-1", "pool": "default", "pool_type": "process", "lease_seconds": 60,
        "heartbeat_seconds": 15, "wait_seconds": 45.0, "unknown_queues": [],
    }  # fmt: skip
    with acme.scope():
        agent = Agent.objects.get()
        assert (agent.slots, agent.queues, agent.workspace_id) == (7, ["default"], acme.workspace.id)
        assert Lease.objects.get().agent_id == agent.id


def test_two_names_are_two_agents(agent_api: Api) -> None:
    assert registered(agent_api)["id"] != registered(agent_api, name="box-2")["id"]


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"slots": 0}, 400),
        ({"slots": 1_001}, 400),
        ({"slots": 2**70}, 400),
        ({"slots": "3"}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 201}, 400),
        ({"queues": ["q"] * 101}, 400),
        ({"queues": "default"}, 400),
        ({"pool": "nobody"}, 404),
        ({"pool": "a\x00b"}, 400),
    ],
)
def test_facts_that_can_not_be_taken(agent_api: Api, facts: dict, status: int) -> None:
    error(agent_api.post("/agents", {**FACTS, **facts}), status)


def test_facts_are_cleaned_and_cut(acme: Company, agent_api: Api) -> None:
    registered(agent_api, name=" a\x00b ", host="h" * 900, version="v" * 900, python="p" * 900, queues=["q\x00" * 300])
    with acme.scope():
        agent = Agent.objects.get()
        assert (agent.name, len(agent.host), len(agent.version), len(agent.python)) == ("a\ufffdb", 255, 40, 20)
        assert len(agent.queues[0]) == 200


@pytest.mark.parametrize("role", ["viewer", "runner"])
def test_people_who_only_look_or_run_are_no_agents(acme: Company, role: str) -> None:
    own = Api(acme.key(role, role))
    assert error(own.post("/agents", FACTS), 403)["code"] == "forbidden"
    for what in ("claim", "heartbeat", "ended"):
        error(own.post(f"/agents/{uuid7()}/{what}"), 403)


# ── claim ────────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_tells_all_that_a_process_needs(acme: Company, agent_api: Api) -> None:
    id = registered(agent_api)["id"]
    trigger(acme, deploy(acme), parameters={"day": "monday"})
    (run,) = agent_api.post(f"/agents/{id}/claim", {"slots": 5}).json()["runs"]

    assert set(run) == {
        "run", "attempt", "run_count", "token", "name", "flow", "deployment", "deployment_id", "entrypoint", "source",
        "parameters", "tags", "lease_seconds", "flow_version", "process", "job_variables", "job_configuration",
        "scheduled_at", "again", "call", "replay_root", "suspensions", "secrets",
    }  # fmt: skip
    assert (run["entrypoint"], run["source"]) == ("flows.py:etl", {"type": "path", "path": "/flows"})
    assert Api(run["token"]).get("/me").json()["kind"] == "run"


def test_the_agents_own_answer_is_not_kept_by_anybody(acme: Company, agent_api: Api) -> None:
    """The token is told once: only its hash is stored."""
    id = registered(agent_api)["id"]
    trigger(acme, deploy(acme))
    (run,) = agent_api.post(f"/agents/{id}/claim", {"slots": 5}).json()["runs"]
    secret = run["token"]
    from django.apps import apps

    with acme.scope():
        for model in apps.get_models():
            if issubclass(model, TenantOwned | Organization):
                assert not any(secret in str(values) for values in model.objects.values_list())


@pytest.mark.parametrize("body", [{"slots": "all"}, {"slots": None}, {"slots": 1.5}])
def test_slots_are_a_number(agent_api: Api, body: dict) -> None:
    error(agent_api.post(f"/agents/{registered(agent_api)['id']}/claim", body), 400)


@pytest.mark.parametrize("slots", [0, -3, 2**70])
def test_odd_numbers_of_slots(acme: Company, agent_api: Api, slots: int) -> None:
    trigger(acme, deploy(acme))
    runs = agent_api.post(f"/agents/{registered(agent_api)['id']}/claim", {"slots": slots}).json()["runs"]
    assert len(runs) == (slots > 0)


@pytest.mark.parametrize("what", ["claim", "heartbeat", "ended"])
def test_an_unknown_agent(acme: Company, agent_api: Api, eve_api: Api, what: str) -> None:
    foreign = registered(eve_api)["id"]
    body = {"run": str(uuid7()), "attempt": 1}
    answers = [error(agent_api.post(f"/agents/{id}/{what}", body), 404) for id in (foreign, uuid7())]
    assert answers[0] == answers[1]


# ── heartbeat, ended ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def held(acme: Company, agent_api: Api) -> tuple[str, dict]:
    """An agent's id, and the run that it holds."""
    id = registered(agent_api)["id"]
    trigger(acme, deploy(acme))
    return id, agent_api.post(f"/agents/{id}/claim", {"slots": 5}).json()["runs"][0]


def test_a_heartbeat(acme: Company, agent_api: Api, held: tuple[str, dict]) -> None:
    id, run = held
    lost = {"run": str(uuid7()), "attempt": 1}
    with acme.scope():
        Lease.objects.update(expires_at=in_seconds(3))
    own = {"run": run["run"], "attempt": 1}
    answer = agent_api.post(f"/agents/{id}/heartbeat", {"leases": [own, own, lost], "running": 2}).json()

    assert answer == {"lost": [lost], "signals": [], "replaceable": [run["run"]]}
    with acme.scope():
        assert Lease.objects.get().expires_at > in_seconds(50)
        assert Agent.objects.get().last_seen_at > in_seconds(-10)


def test_an_agent_tells_its_load_and_its_own_log(acme: Company, agent_api: Api, held: tuple[str, dict]) -> None:
    id, _ = held
    load = {"cpu": 1.5, "memory": 1 << 30, "templates": 2, "spares": 1}
    lines = [{"t": 1_750_000_000_000_000, "level": 30, "message": "a\x00b"}, {"t": 2**62, "message": "no time"}]
    for _ in range(2):
        answer = agent_api.post(f"/agents/{id}/heartbeat", {"leases": [], "load": load, "log": lines})
        assert answer.status_code == 200
    with acme.scope():
        assert Agent.objects.get().load == load
        kept = AgentLogLine.objects.order_by("line_no").values_list("line_no", "at__year", "level", "message")
        this_year = now().year
        one, two = (2025, 30, "a\ufffdb"), (this_year, 20, "no time")
        assert list(kept) == [(1, *one), (2, *two), (3, *one), (4, *two)]


def test_only_the_last_lines_of_an_agent_are_kept(
    acme: Company, agent_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.agents.KEPT_LINES", 5)
    id = registered(agent_api)["id"]
    for first in range(0, 12, 3):
        lines = [{"t": 1_750_000_000_000_000, "message": str(first + n)} for n in range(3)]
        agent_api.post(f"/agents/{id}/heartbeat", {"log": lines})
    with acme.scope():
        kept = AgentLogLine.objects.order_by("line_no").values_list("message", flat=True)
        assert list(kept) == ["7", "8", "9", "10", "11"]


@pytest.mark.parametrize("attempt", [0, -1, 2, 2**31, 2**40, 2**70])
def test_an_attempt_that_never_was_is_lost(agent_api: Api, held: tuple[str, dict], attempt: int) -> None:
    id, run = held
    ref = {"run": run["run"], "attempt": attempt}
    response = agent_api.post(f"/agents/{id}/heartbeat", {"leases": [ref]})
    assert response.status_code == 200
    assert response.json()["lost"] == [ref]
    error(agent_api.post(f"/agents/{id}/ended", {**ref, "reason": "exited"}), 404)


@pytest.mark.parametrize("body", [{"leases": [{}]}, {"leases": [{"run": "x", "attempt": 1}]}, {"leases": None}])
def test_heartbeats_that_are_none(agent_api: Api, body: dict) -> None:
    error(agent_api.post(f"/agents/{registered(agent_api)['id']}/heartbeat", body), 400)


@pytest.mark.parametrize(
    ("body", "state", "message"),
    [
        ({"reason": "never_started", "message": "no memory"}, "SCHEDULED", "no memory"),
        ({"reason": "killed", "exit": -9, "message": ""}, "CRASHED", "The process ended with exit code -9."),
        ({"reason": "exited", "exit": 1, "message": "a\x00b"}, "CRASHED", "a\ufffdb"),
    ],
)
def test_the_end_of_a_process(
    acme: Company, agent_api: Api, held: tuple[str, dict], body: dict, state: str, message: str
) -> None:
    from types import SimpleNamespace
    from uuid import UUID

    id, run = held
    if body["reason"] != "never_started":
        start(SimpleNamespace(run=UUID(run["run"]), token=run["token"], attempt=1, run_count=0))
    own = {"run": run["run"], "attempt": 1}
    for _ in range(2):
        hooks = agent_api.post(f"/agents/{id}/ended", {**own, **body}).json()["hooks"]
        assert (hooks is None) == (state == "SCHEDULED")
    row = run_row(acme, run["run"])
    assert (row.state_type, row.state_message) == (state, message)


def test_a_run_that_nobody_held_has_no_end(acme: Company, agent_api: Api) -> None:
    id = registered(agent_api)["id"]
    (run,) = trigger(acme, deploy(acme))
    error(agent_api.post(f"/agents/{id}/ended", {"run": str(run), "attempt": 0}), 404)
    assert run_row(acme, run).state_type == "SCHEDULED"


def test_an_idle_agent_costs_few_queries(acme: Company, agent_api: Api, django_assert_max_num_queries) -> None:
    id = registered(agent_api)["id"]
    with django_assert_max_num_queries(8):
        agent_api.post(f"/agents/{id}/heartbeat", {"leases": []})
    with django_assert_max_num_queries(8):
        agent_api.post(f"/agents/{id}/claim", {"slots": 1})
