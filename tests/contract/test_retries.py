"""Retry from failure: what the plan says, what the new run is told, and what is refused."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.ids import uuid7
from orchestrator.wire import ResultRef
from tests.contract.journals import Journal
from tests.contract.test_triggers import SCHEMA, UNKNOWN, error
from tests.contract.worlds import World


def ref(key: str, **more: Any) -> ResultRef:
    return ResultRef(url=f"s3://bucket/{key}", key=key, **more)


def begun(world: World, *, parameters: dict[str, Any] | None = None, **deployment: Any) -> Journal:
    """The journal of a run that an agent executes."""
    world.deploy(**deployment)
    world.trigger(parameters=parameters or {})
    (claim,) = world.agent().claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1))
    return journal


def fail(journal: Journal) -> None:
    journal.send(journal.state("FAILED", message="It broke.", run_count=1))


def plan(world: World, run: Any, **query: Any) -> dict[str, Any]:
    told = world.api.get(f"/flow-runs/{run}/retry", **query)
    assert told.status_code == 200, told.content
    return told.json()


def retried(world: World, run: Any, **body: Any) -> dict[str, Any]:
    told = world.api.post(f"/flow-runs/{run}/retry", body)
    assert told.status_code == 201, told.content
    return told.json()


def claimed(world: World, id: str) -> dict[str, Any]:
    return {claim["run"]: claim for claim in world.agent(name="next").claim()}[id]


def sums(told: dict[str, Any]) -> tuple[int, int, int]:
    return told["reused"], told["runs"], told["waits"]


def test_a_retry_replays_the_first_run_of_its_chain(world: World) -> None:
    """2.10, 1.16: its claim says under which run values were stored."""
    journal = begun(world)
    fail(journal)
    second = retried(world, journal.root)
    claim = claimed(world, second["id"])
    assert (second["retry_of"], second["replays_from"], second["origin"]) == (str(journal.root),) * 2 + ("retry",)
    assert (claim["replay_root"], claim["again"]) == (str(journal.root), {})

    again = Journal.of_claim(world, claim)
    again.send(again.state("RUNNING", run_count=1), again.state("FAILED", run_count=1))
    third = retried(world, again.root)
    assert (third["retry_of"], third["replays_from"]) == (second["id"], second["id"])
    assert claimed(world, third["id"])["replay_root"] == str(journal.root)


def test_the_whole_run_again_replays_nothing(world: World) -> None:
    """2.10: without the former run's values."""
    journal = begun(world)
    fail(journal)
    new = retried(world, journal.root, from_failure=False)
    assert (new["retry_of"], new["replays_from"], new["replay_root"]) == (str(journal.root), None, None)
    claim = claimed(world, new["id"])
    assert claim.get("replay_root") is None


def test_parameters_go_over_those_of_the_run(world: World) -> None:
    """2.10: edited in the retry, and checked as any run's are."""
    journal = begun(world, parameters={"day": "monday", "n": 3}, parameter_schema=SCHEMA)
    fail(journal)
    assert retried(world, journal.root, parameters={"n": 4})["parameters"] == {"day": "monday", "n": 4}
    told = error(world.api.post(f"/flow-runs/{journal.root}/retry", {"parameters": {"n": 0}}), 400)
    assert list(told["fields"]) == ["parameters.n"]


def test_asked_twice_with_a_key_one_run_is_made(world: World) -> None:
    """2.10: a lost answer costs nothing."""
    journal = begun(world)
    fail(journal)
    first = retried(world, journal.root, idempotency_key="once")
    second = world.api.post(f"/flow-runs/{journal.root}/retry", {"idempotency_key": "once"})
    assert (second.status_code, second.json()["id"]) == (200, first["id"])


def test_what_can_not_be_retried_says_why(world: World) -> None:
    """2.10: a run that goes on, one that was called by hand or by another, and one that is not there."""
    journal, part = begun(world), uuid7()
    assert error(world.api.post(f"/flow-runs/{journal.root}/retry", {}), 409)["message"].startswith("The run has not")
    assert plan(world, journal.root)["why_not"] == "The run has not ended (Running)."
    journal.send(journal.subflow(part), journal.state("COMPLETED", run=part))
    assert "Retry that one" in error(world.api.post(f"/flow-runs/{part}/retry", {}), 409)["message"]
    local = Journal(world.api)
    local.send(local.begin(), local.state("FAILED", run_count=1))
    told = error(world.api.post(f"/flow-runs/{local.root}/retry", {}), 409)["message"]
    assert f'orchestrator.results.replaying("{local.root}")' in told
    assert world.api.post(f"/flow-runs/{UNKNOWN}/retry", {}).status_code == 404


def test_the_plan_says_of_each_task_what_becomes_of_it_and_why(world: World) -> None:
    """2.10: what is reused, what runs, and why."""
    journal = begun(world)
    past, future = clock.now() - 1, clock.now() + 10**12
    journal.send(
        journal.task(task="load", result=ref("a")),
        journal.task(task="load", result=ref("b", expires=future)),
        journal.task(task="load", result=ref("c", expires=past)),
        journal.task(task="report"),
        journal.task("FAILED", task="load"),
        journal.task("RUNNING", task="load", ended=None),
        journal.task("PENDING", task="send", started=None, ended=None),
    )
    fail(journal)
    told = plan(world, journal.root)

    assert (told["why_not"], sums(told)) == (None, (2, 4, 1))
    assert told["reasons"] == {"stored": 2, "expired": 1, "unstored": 1, "failed": 1, "unfinished": 1, "begun": 1}
    lines = {line["task"]: (sums(line), line["reasons"]) for line in told["tasks"]}
    assert lines["load"] == ((2, 3, 0), {"stored": 2, "expired": 1, "failed": 1, "unfinished": 1})
    assert (lines["report"], lines["send"]) == (((0, 1, 0), {"unstored": 1}), ((0, 0, 1), {"begun": 1}))


def test_the_plan_is_there_call_by_call(world: World) -> None:
    """2.10: paged, in the order of their making."""
    journal = begun(world)
    journal.send(*(journal.task(task="load", result=ref(str(n))) for n in range(120)), journal.task(task="send"))
    fail(journal)
    path = f"/flow-runs/{journal.root}/retry/calls"
    first = world.api.get(path).json()
    second = world.api.get(path, cursor=first["next"]).json()
    assert (len(first["items"]), len(second["items"]), second["next"]) == (100, 21, None)
    ids = [UUID(call["id"]) for call in [*first["items"], *second["items"]]]
    assert ids == sorted(set(ids))
    (only,) = world.api.get(path, group="runs").json()["items"]
    assert (only["task"], only["kind"], only["reason"]) == ("send", "task", "unstored")
    assert len(world.api.get(path, task="send").json()["items"]) == 1
    assert error(world.api.get(path, group="none"), 400)["fields"]
    assert error(world.api.get(path, cursor="x"), 400)["fields"]


def test_what_a_reused_call_has_called_is_not_called(world: World) -> None:
    """2.10: within a task or subflow whose value is stored nothing runs, stored or not."""
    journal, part, outer = begun(world), uuid7(), uuid7()
    journal.send(
        journal.subflow(part),
        journal.task(run=part, task="inner"),
        journal.task(id=outer, task="outer", result=ref("o")),
        journal.task(task="inner", parent_task=outer),
        journal.state("COMPLETED", run=part, result=ref("p")),
    )
    fail(journal)
    told = plan(world, journal.root)
    assert told["reasons"] == {"stored": 2, "within": 2}
    assert {line["task"]: line["kind"] for line in told["tasks"]} == {
        "part": "subflow",
        "outer": "task",
        "inner": "task",
    }


def test_what_an_earlier_attempt_has_stored_is_reused_too(world: World) -> None:
    """2.10: though the last one did not come to it."""
    world.deploy(retries=1)
    world.trigger()
    agent = world.agent()
    (claim,) = agent.claim()
    first = Journal.of_claim(world, claim)
    first.send(first.state("RUNNING", run_count=1), first.task(task="a", result=ref("a")))
    first.send(first.task(task="b", result=ref("b")), first.task("RUNNING", task="c", ended=None))
    agent.tell_end(claim, reason="killed")
    world.pass_time(60)
    (claim,) = agent.claim()
    second = Journal.of_claim(world, claim)
    second.send(second.state("RUNNING", run_count=2), second.task(task="a", name="Replayed", result=ref("a")))
    second.send(second.state("FAILED", run_count=2))

    told = plan(world, first.root)
    assert told["reasons"] == {"stored": 2}
    assert sorted(line["task"] for line in told["tasks"]) == ["a", "b"]


def test_what_is_asked_for_runs_again_with_all_that_depends_on_it(world: World) -> None:
    """2.10: a value that took another one in would be stale."""
    journal, made, part = begun(world), uuid7(), uuid7()
    journal.send(
        journal.task(id=made, task="flows.load", result=ref("l")),
        journal.task(task="flows.report", parents=[made], result=ref("r")),
        journal.task(task="flows.other", result=ref("o")),
        journal.subflow(part),
        journal.state("COMPLETED", run=part, result=ref("p")),
    )
    fail(journal)
    told = plan(world, journal.root, again="load")
    assert told["again"] == ["flows.load", "flows.report", "part"]
    assert told["reasons"] == {"again": 3, "stored": 1}

    new = retried(world, journal.root, again=["load"])
    claim = claimed(world, new["id"])
    assert claim["again"] == {name: [new["id"]] for name in told["again"]}
    next_one = Journal.of_claim(world, claim)
    next_one.send(next_one.state("RUNNING", run_count=1), next_one.state("FAILED", run_count=1))
    third = retried(world, next_one.root)
    assert claimed(world, third["id"])["again"] == {name: [new["id"], third["id"]] for name in told["again"]}


def test_one_call_is_named_by_its_id(world: World) -> None:
    """2.10: then its value alone is left out, and what depends on such calls."""
    journal, one, other = begun(world), uuid7(), uuid7()
    journal.send(
        journal.task(id=one, task="load", result=ref("one")),
        journal.task(id=other, task="load", result=ref("other")),
        journal.task(task="sum", parents=[one, other], result=ref("sum")),
    )
    fail(journal)
    told = plan(world, journal.root, again=str(one))
    assert (told["again"], told["reasons"]) == (["one", "sum"], {"again": 2, "stored": 1})


def test_what_is_no_task_of_the_run_is_refused(world: World) -> None:
    """2.10: a slip of the pen must not reuse what was to run."""
    journal = begun(world)
    journal.send(journal.task(task="load"))
    fail(journal)
    for wrong in ("lod", str(uuid7())):
        assert list(error(world.api.post(f"/flow-runs/{journal.root}/retry", {"again": [wrong]}), 400)["fields"]) == [
            "again"
        ]
    many = [str(n) for n in range(201)]
    assert error(world.api.post(f"/flow-runs/{journal.root}/retry", {"again": many}), 400)["fields"]


def failed_in(world: World, queue: str, **more: Any) -> UUID:
    """A run that was triggered into another queue than that of its deployment."""
    assert world.api.post("/work-pools/default/queues", {"name": queue}).status_code == 201
    world.deploy()
    world.trigger(work_queue=queue, **more)
    (claim,) = world.agent(queues=[queue]).claim()
    journal = Journal.of_claim(world, claim)
    journal.send(journal.state("RUNNING", run_count=1))
    fail(journal)
    return journal.root


def test_2_10_a_retry_waits_in_the_same_queue_with_the_same_priority(world: World) -> None:
    former = failed_in(world, "gpu", priority=10, concurrency_key="acme")
    again = retried(world, former)
    assert (again["priority"], again["concurrency_key"]) == (10, "acme")
    assert world.agent(name="other", queues=["default"]).claim() == []
    assert [claim["run"] for claim in world.agent(name="gpu", queues=["gpu"]).claim()] == [again["id"]]


def test_2_10_where_its_queue_is_no_longer_the_pools_it_is_the_deployments(world: World) -> None:
    former = failed_in(world, "gpu")
    assert world.api.post("/work-pools", {"name": "big"}).status_code == 201
    world.deploy(work_pool="big")
    again = retried(world, former)
    assert [claim["run"] for claim in world.agent(pool="big", queues=["default"]).claim()] == [again["id"]]
