"""2.12: Why a run waits, by the API, in the same words on both servers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orchestrator.ids import uuid7
from tests.contract.journals import Journal, now
from tests.contract.test_pausing import asks
from tests.contract.worlds import World

QUEUES = "/work-pools/default/queues"


def explained(world: World, id: str) -> dict[str, Any]:
    answer = world.api.get(f"/flow-runs/{id}/explain")
    assert answer.status_code == 200, answer.content
    return answer.json()


def only(world: World, id: str) -> dict[str, Any]:
    (cause,) = explained(world, id)["causes"]
    return cause


def names(cause: dict[str, Any]) -> list[tuple[str, str]]:
    return [(thing["kind"], thing["name"]) for thing in cause["things"]]


def test_without_an_agent(world: World) -> None:
    world.deploy()
    id = world.trigger()
    told = explained(world, id)
    assert (told["run"], told["state"]) == (id, {"type": "SCHEDULED", "name": "Scheduled"})
    assert (told["waits"], told["before"], told["expected_at"]) == (True, 0, None)
    assert told["estimate"] == "Unknown: it starts when this is mended."
    (cause,) = told["causes"]
    assert (cause["code"], cause["text"]) == ("no_agent", "No agent was ever started for the work pool default.")
    assert cause["todo"] == "Start one: orchestrator agent start --pool default"
    assert cause["action"]["label"] == "Look at its agents"
    assert cause["action"]["url"] == cause["things"][0]["url"]
    assert names(cause) == [("work-pool", "default")]


def test_a_run_that_is_not_due_says_what_else_would_hold_it_back(world: World) -> None:
    world.deploy()
    at = datetime.fromtimestamp(now() // 1_000_000 + 600, UTC).isoformat()
    id = world.trigger(scheduled_at=at)
    told = explained(world, id)
    assert [each["code"] for each in told["causes"]] == ["not_due", "no_agent"]
    assert datetime.fromisoformat(told["causes"][0]["until"]) == datetime.fromisoformat(at)
    assert told["before"] is None
    world.agent()
    told = explained(world, id)
    assert [each["code"] for each in told["causes"]] == ["not_due"]
    assert datetime.fromisoformat(told["expected_at"]) == datetime.fromisoformat(at)


def test_who_paused_pool_and_queue(world: World) -> None:
    world.agent()
    world.deploy()
    id = world.trigger()
    assert only(world, id)["code"] == "next_claim"
    world.api.patch("/work-pools/default", {"paused": True})
    world.api.patch(f"{QUEUES}/default", {"paused": True})
    pool, queue = explained(world, id)["causes"]
    assert (pool["code"], queue["code"]) == ("pool_paused", "queue_paused")
    assert pool["text"].startswith("The work pool default is paused by developer")
    assert queue["text"].startswith("The queue default of the work pool default is paused by developer")
    assert pool["since"] is not None
    assert (pool["action"]["label"], queue["action"]["label"]) == ("Resume the pool", "Resume the queue")
    told = world.as_role("viewer").get(f"/flow-runs/{id}/explain").json()
    assert [(each["todo"], each["action"]) for each in told["causes"]] == [
        ("Resume the pool.", None), ("Resume the queue.", None),
    ]  # fmt: skip


def test_agents_that_can_not_take_it(world: World) -> None:
    world.agent(queues=["default"])
    world.api.post(QUEUES, {"name": "gpu"})
    world.deploy("gpu", work_queue="gpu")
    world.deploy("pickled", python="3.12")
    cause = only(world, world.trigger("etl/gpu"))
    assert cause["text"] == "No connected agent of the work pool default takes runs of the queue gpu."
    assert cause["todo"] == "Start one that does: orchestrator agent start --pool default --queue gpu"
    cause = only(world, world.trigger("etl/pickled"))
    assert cause["text"] == "Its code is pickled for Python 3.12; the agents have 3.11."


def test_limits_name_who_holds_them(world: World) -> None:
    world.deploy(concurrency_limit=1)
    first, second = world.trigger(name="first"), world.trigger()
    agent = world.agent(slots=1)
    assert [each["run"] for each in agent.claim(1)] == [first]
    (limit, busy) = explained(world, second)["causes"]
    assert limit["text"] == "The deployment etl/nightly runs 1 run at once, and 1 is under way."
    assert names(limit) == [("deployment", "etl/nightly"), ("flow-run", "first")]
    assert limit["since"] < limit["until"]
    assert busy["text"] == "All 1 slot of the connected agents that could take it are used."
    assert names(busy) == [("agent", "box-1")]


def test_limits_of_pool_queue_and_deployment_at_once(world: World) -> None:
    world.deploy(concurrency_limit=1)
    world.api.patch("/work-pools/default", {"concurrency_limit": 1})
    world.api.patch(f"{QUEUES}/default", {"concurrency_limit": 1})
    _, second = world.trigger(), world.trigger()
    assert len(world.agent().claim()) == 1
    told = explained(world, second)
    assert [each["code"] for each in told["causes"]] == ["pool_limit", "queue_limit", "deployment_limit"]
    assert told["before"] == 0


def test_the_place_in_the_queue(world: World) -> None:
    world.deploy()
    for priority in (3, 0, 7):
        world.trigger(priority=priority)
        world.pass_time(1)
    own = world.trigger(priority=1)
    assert explained(world, own)["before"] == 2


def test_a_claim_that_was_lost_is_given_out_again_later(world: World) -> None:
    world.deploy()
    id = world.trigger()
    agent = world.agent()
    agent.claim()
    told = only(world, id)
    assert told["text"].startswith("The agent box-1 has claimed it")
    assert told["until"] is not None
    world.pass_time(61)
    assert explained(world, id)["causes"][0]["text"].startswith("It was claimed once without reaching the flow")


def test_people_who_are_asked(world: World) -> None:
    world.deploy()
    id = world.trigger()
    (claimed,) = world.agent().claim()
    api = world.with_key(claimed["token"])
    journal = Journal(api, root=claimed["run"], token=claimed["token"], attempt=1)
    journal.send(journal.state("RUNNING", run_count=1))
    assert explained(world, id)["causes"] == []
    journal.send(asks(journal, title="Pay 40 €?", quorum=2, roles=["owner"]), journal.state("PAUSED", run_count=1))
    cause = only(world, id)
    assert cause["text"] == "The role owner is asked: Pay 40 €? (2 approvals wanted)."
    assert cause["action"]["label"] == "Approve or reject"


def test_slots_that_its_code_waits_for(world: World) -> None:
    world.api.put("/limits/database", {"slots": 2})
    world.deploy()
    holder, waiter = world.trigger(name="holder"), world.trigger()
    claims = {each["run"]: each for each in world.agent().claim()}
    for id, label in ((holder, "load-1"), (holder, "load-2"), (waiter, "load-3"), (waiter, "")):
        claimed = claims[id]
        api = world.with_key(claimed["token"])
        journal = Journal(api, root=claimed["run"], token=claimed["token"], attempt=1)
        journal.send(journal.state("RUNNING", run_count=1))
        ask = {"id": str(uuid7()), "names": ["database"], "label": label}
        api.post("/slots", {"session": str(uuid7()), "asks": [ask]})
    assert explained(world, holder)["waits"] is False
    task, code = explained(world, waiter)["causes"]
    assert task["text"].startswith("The task load-3 waits for 1 slot of the limit database: 2 of 2 are held, 0 calls")
    assert code["text"].startswith("Its code waits for 1 slot of the limit database: 2 of 2 are held, 1 call before")
    # Once, however many slots it holds.
    assert names(task) == names(code) == [("limit", "database"), ("flow-run", "holder")]


def test_a_run_that_is_told_to_stop_and_one_that_has_ended(world: World) -> None:
    world.deploy()
    id = world.trigger()
    (claimed,) = world.agent().claim()
    world.api.post(f"/flow-runs/{id}/cancel")
    cause = only(world, id)
    assert cause["text"] == "The agent box-1 was told to stop it, and has not said that it has."
    journal = Journal(world.with_key(claimed["token"]), root=claimed["run"], token=claimed["token"], attempt=1)
    journal.send(journal.state("CANCELLED"))
    assert explained(world, id) == {
        "run": id, "state": {"type": "CANCELLED", "name": "Cancelled"}, "waits": False, "causes": [], "before": None,
        "expected_at": None, "estimate": "",
    }  # fmt: skip


def test_a_run_that_is_unknown(world: World) -> None:
    assert world.api.get(f"/flow-runs/{uuid7()}/explain").status_code == 404
