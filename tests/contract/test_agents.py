"""2.5: Agents: claims, leases, heartbeats, ends; and what happens to runs whose holder falls silent (design §4, §7)."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.agent_messages import ClaimedRun
from orchestrator.ids import uuid7
from tests.contract.journals import Journal
from tests.contract.worlds import FACTS, HandAgent, World

Held = tuple[HandAgent, dict[str, Any]]


def held_run(world: World, **deployment: Any) -> Held:
    """An agent, and a run of a new deployment that it has claimed."""
    world.deploy(**deployment)
    world.trigger()
    agent = world.agent()
    (claim,) = agent.claim()
    return agent, claim


def begin(world: World, claim: dict[str, Any]) -> Journal:
    """The process of a claimed run reaches user code."""
    journal = Journal.of_claim(world, claim)
    answer = journal.send(journal.state("RUNNING", run_count=claim["run_count"] + 1))
    assert answer["rejected"] == []
    return journal


# ── register, wait ───────────────────────────────────────────────────────────────────────────────


def test_an_agent_that_comes_back_keeps_its_id_and_its_leases(world: World) -> None:
    first, claim = held_run(world)
    second = world.agent()
    assert second.id == first.id
    assert second.beat(claim)["lost"] == []
    assert world.agent(name="box-2").id != first.id


def test_an_agent_is_told_its_times(world: World) -> None:
    told = world.as_role("agent").post("/agents", FACTS).json()
    assert {"lease_seconds": told["lease_seconds"], "heartbeat_seconds": told["heartbeat_seconds"]} == {
        "lease_seconds": 60,
        "heartbeat_seconds": 15,
    }
    assert told["wait_seconds"] > 0


def test_2_5_an_agent_is_told_which_of_its_queues_its_pool_has_not(world: World) -> None:
    """It may come before they are made; what is served has a queue from its first run on."""
    facts = {**FACTS, "queues": ["default", "gpu", "serve load"]}
    register = world.as_role("agent").post
    assert register("/agents", facts).json()["unknown_queues"] == ["gpu"]
    assert world.api.post("/work-pools/default/queues", {"name": "gpu"}).status_code == 201
    assert register("/agents", facts).json()["unknown_queues"] == []
    assert register("/agents", FACTS).json()["unknown_queues"] == []


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"slots": 0}, 400),
        ({"slots": "3"}, 400),
        ({"name": " "}, 400),
        ({"queues": "default"}, 400),
        ({"pool": "x"}, 404),
    ],
)
def test_facts_that_can_not_be_taken(world: World, facts: dict[str, Any], status: int) -> None:
    assert world.as_role("agent").post("/agents", {**FACTS, **facts}).status_code == status


def test_waiting_ends_when_there_may_be_work(world: World) -> None:
    agent = world.agent()
    status, told = world.wait(agent.id)
    assert (status, told["due"]) == (200, True)  # Who has never asked is told to look.
    assert world.wait(agent.id, told["since"]) == (200, {"since": told["since"], "due": False})
    world.deploy()
    world.trigger()
    status, after = world.wait(agent.id, told["since"])
    assert after["due"]
    assert after["since"] > told["since"]


@pytest.mark.parametrize("waits", [True, False])
def test_a_slot_that_is_free_again_wakes_who_waits_for_it(world: World, waits: bool) -> None:
    agent, claim = held_run(world, concurrency_limit=1)
    if waits:
        world.trigger()
    since = world.wait(agent.id)[1]["since"]
    journal = begin(world, claim)
    journal.send(journal.state("COMPLETED", run_count=1))
    assert world.wait(agent.id, since)[1]["due"] is waits


def test_who_may_not_wait(world: World) -> None:
    agent = world.agent()
    assert world.wait(str(uuid7()))[0] == 404
    assert world.wait(agent.id, key=world.as_role("viewer").key)[0] == 403
    assert world.wait(agent.id, key="orc_nonsense")[0] == 401


# ── claim ────────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_tells_all_that_a_process_needs(world: World) -> None:
    settings = {"process": "fresh", "job_variables": {"env": {"LEVEL": "debug"}, "memory_mib": 256}}
    world.deploy(parameters={"day": "monday"}, tags=["nightly"], version="7", **settings)
    world.trigger(parameters={"n": 3}, name="mine")
    (claim,) = world.agent().claim()

    assert set(claim) == set(ClaimedRun.__struct_fields__)
    told = {name: claim[name] for name in ("attempt", "run_count", "name", "flow", "deployment", "entrypoint")}
    assert list(told.values()) == [1, 0, "mine", "etl", "nightly", "flows.py:etl"]
    assert (claim["parameters"], claim["tags"]) == ({"day": "monday", "n": 3}, ["nightly"])
    assert (claim["flow_version"], claim["lease_seconds"]) == ("7", 60)
    assert {name: claim[name] for name in settings} == settings
    assert world.state(claim["run"]) == ("PENDING", "Pending")
    assert world.is_held(claim["run"])
    assert world.with_key(claim["token"]).get("/me").json()["kind"] == "run"


def test_the_higher_priority_goes_first_then_the_older_one(world: World) -> None:
    world.deploy()
    low, first, second, high = (world.trigger(priority=priority) for priority in (-1, 0, 0, 5))
    agent = world.agent()
    assert [claim["run"] for claim in agent.claim(2)] == [high, first]
    assert [claim["run"] for claim in agent.claim()] == [second, low]
    assert agent.claim() == []


@pytest.mark.parametrize(("slots", "taken"), [(0, 0), (-3, 0), (2, 2), (2**70, 3)])
def test_as_many_are_claimed_as_there_are_slots(world: World, slots: int, taken: int) -> None:
    world.deploy()
    for _ in range(3):
        world.trigger()
    assert len(world.agent().claim(slots)) == taken


def test_what_is_not_due_is_not_claimed(world: World) -> None:
    from datetime import UTC, datetime, timedelta

    from orchestrator import clock

    at = datetime.fromtimestamp(clock.now() / 1e6, UTC) + timedelta(seconds=100)
    world.deploy()
    run = world.trigger(scheduled_at=at.isoformat())
    agent = world.agent()
    assert agent.claim() == []
    world.pass_time(101)
    assert [claim["run"] for claim in agent.claim()] == [run]


def test_a_pool_serves_its_own_runs(world: World) -> None:
    assert world.api.post("/work-pools", {"name": "gpu"}).status_code == 201
    world.deploy(work_pool="gpu")
    world.trigger()
    assert world.agent().claim() == []
    assert len(world.agent(pool="gpu").claim()) == 1


def test_a_deployments_limit_is_kept(world: World) -> None:
    world.deploy(concurrency_limit=2)
    for _ in range(4):
        world.trigger()
    agent = world.agent()
    claims = agent.claim()
    assert (len(claims), agent.claim()) == (2, [])
    journal = begin(world, claims[0])
    journal.send(journal.state("COMPLETED", run_count=1))
    assert len(agent.claim()) == 1


def test_a_pickled_flow_waits_for_its_python(world: World) -> None:
    world.deploy(python="3.12")
    world.trigger()
    assert world.agent(python="3.11.9").claim() == []
    assert len(world.agent(name="newer", python="3.12.1").claim()) == 1


@pytest.mark.parametrize("what", ["claim", "heartbeat", "ended"])
def test_an_unknown_agent(world: World, what: str) -> None:
    response = world.as_role("agent").post(f"/agents/{uuid7()}/{what}", {"run": str(uuid7()), "attempt": 1})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


# ── a life ───────────────────────────────────────────────────────────────────────────────────────


def test_the_life_of_a_triggered_run(world: World) -> None:
    _, claim = held_run(world)
    journal = begin(world, claim)
    journal.send(journal.task(), journal.log("at work"))
    answer = journal.send(journal.state("COMPLETED", run_count=1, duration=5))

    assert answer["signals"] == [{"run": claim["run"], "signal": "over"}]
    assert world.history(claim["run"]) == ["Scheduled", "Pending", "Running", "Completed"]
    assert not world.is_held(claim["run"])
    told = world.run(claim["run"])
    assert (told["attempt"], told["run_count"], told["tasks"]) == (1, 1, {"COMPLETED": 1})


def test_a_run_is_handed_back_for_a_retry_and_claimed_again(world: World) -> None:
    from orchestrator import clock

    agent, claim = held_run(world, retries=1)
    journal = begin(world, claim)
    at = clock.now() + 100_000_000
    journal.send(journal.state("SCHEDULED", name="AwaitingRetry", at=at, run_count=1, message="ValueError: no"))
    assert world.state(claim["run"]) == ("SCHEDULED", "AwaitingRetry")
    assert not world.is_held(claim["run"])
    assert agent.claim() == []
    world.pass_time(101)
    (again,) = agent.claim()
    assert (again["run"], again["attempt"], again["run_count"]) == (claim["run"], 2, 1)
    assert again["token"] != claim["token"]


def test_a_runs_token_opens_its_own_run_only(world: World) -> None:
    world.deploy()
    for _ in range(2):
        world.trigger()
    mine, other = world.agent().claim()
    foreign = Journal(world.with_key(mine["token"]), root=Journal.of_claim(world, other).root, token=other["token"])
    answer = foreign.send(foreign.state("RUNNING", run_count=1))
    assert answer["rejected"] == [{"stream": foreign.stream, "seq": 0, "code": "unknown_run"}]
    own = Journal(world.with_key(mine["token"]))
    assert own.send(own.begin())["rejected"][0]["code"] == "unknown_run"  # It begins no local runs either.
    assert world.state(other["run"]) == ("PENDING", "Pending")


def test_a_runs_token_dies_with_its_lease_but_for_the_journal(world: World) -> None:
    _, claim = held_run(world)
    own = world.with_key(claim["token"])
    journal = begin(world, claim)
    assert own.get("/variables").status_code == 200
    assert own.post("/deployments", {}).status_code == 403
    journal.send(journal.state("COMPLETED", run_count=1))
    world.pass_time(10)
    assert own.get("/variables").status_code == 403
    assert journal.send(journal.log("last words"))["rejected"] == []
    assert world.lines(claim["run"]) == ["last words"]


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────


def test_a_heartbeat_renews(world: World) -> None:
    agent, claim = held_run(world)
    begin(world, claim)
    for _ in range(4):
        world.pass_time(45)
        assert agent.beat(claim)["lost"] == []
    assert world.history(claim["run"]) == ["Scheduled", "Pending", "Running"]


def test_what_an_agent_does_not_hold_is_lost(world: World) -> None:
    agent, claim = held_run(world)
    other = {"run": str(uuid7()), "attempt": 1}
    older = {"run": claim["run"], "attempt": 0}
    far = {"run": claim["run"], "attempt": 2**40}
    assert agent.beat(claim, other, older, far)["lost"] == [other, older, far]
    assert world.agent(name="box-2").beat(claim)["lost"] == [{"run": claim["run"], "attempt": 1}]


def test_a_heartbeat_says_who_would_be_replaced(world: World) -> None:
    world.deploy(retries=1)
    world.deploy("once")
    agent = world.agent()
    retried, single, pending = world.trigger(), world.trigger("etl/once"), world.trigger("etl/once")
    claims = {claim["run"]: claim for claim in agent.claim()}
    for run in (retried, single):
        begin(world, claims[run])
    assert set(agent.beat(*claims.values())["replaceable"]) == {retried, pending}


def test_an_agent_tells_its_load_and_its_log(world: World) -> None:
    agent = world.agent()
    body = {"leases": [], "load": {"cpu": 0.5, "memory": 1 << 20}, "log": [{"t": 1, "level": 20, "message": "hi"}]}
    response = agent.api.post(f"/agents/{agent.id}/heartbeat", body)
    assert (response.status_code, response.json()) == (200, {"lost": [], "signals": [], "replaceable": []})


@pytest.mark.parametrize("body", [{"leases": [{}]}, {"leases": [{"run": "x", "attempt": 1}]}, {"leases": None}])
def test_heartbeats_that_are_none(world: World, body: dict[str, Any]) -> None:
    agent = world.agent()
    assert agent.api.post(f"/agents/{agent.id}/heartbeat", body).status_code == 400
