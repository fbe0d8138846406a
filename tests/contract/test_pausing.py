"""1.17: runs that wait for people, in their process or without one; and who lets them go on (design §4, §6)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import InputRequest
from tests.contract.journals import Journal, now
from tests.contract.test_agents import begin, held_run
from tests.contract.worlds import World

HOUR = 3_600_000_000
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer", "minimum": 1}}, "required": ["amount"]}


def asks(journal: Journal, key: str = "pause-0", *, schema: Any = None, seconds: int = 3_600, **more: Any) -> Any:
    """The entry by which a run asks people."""
    journal.seq += 1
    entry = InputRequest(
        seq=journal.seq, run=journal.root, t=now(), id=uuid7(), key=key, expires=now() + seconds * 1_000_000, **more
    )
    if schema is not None:
        entry.schema = msgspec.Raw(json.dumps(schema).encode())
    return entry


def paused(journal: Journal, *, suspend: bool = False, **more: Any) -> None:
    """The run asks, and waits."""
    entry = asks(journal, pause="suspend" if suspend else "pause", **more)
    name = "Suspended" if suspend else None
    answer = journal.send(entry, journal.state("PAUSED", name=name, run_count=1))
    assert answer["rejected"] == []


def asked(world: World, run: Any, key: str = "pause-0") -> dict[str, Any]:
    return world.api.get(f"/flow-runs/{run}/inputs/{key}").json()


def resume(world: World, run: Any, **told: Any) -> Any:
    return world.api.post(f"/flow-runs/{run}/resume", told)


@pytest.fixture
def journal(world: World) -> Journal:
    made = Journal(world.api)
    made.send(made.begin())
    return made


# ── paused: a process waits ──────────────────────────────────────────────────────────────────────


def test_a_paused_run_keeps_its_lease_and_goes_on_by_its_own_word(world: World) -> None:
    """1.17: people answer, the holder says that it goes on."""
    agent, claim = held_run(world)
    journal = begin(world, claim)
    paused(journal)
    assert world.state(claim["run"]) == ("PAUSED", "Paused")
    assert world.is_held(claim["run"])
    assert agent.beat(claim)["lost"] == []
    assert resume(world, claim["run"]).json()["state"]["type"] == "PAUSED"
    told = asked(world, claim["run"])
    assert (told["state"], told["value"], [each["verdict"] for each in told["answers"]]) == (
        "answered",
        None,
        ["answer"],
    )
    journal.send(journal.state("RUNNING", run_count=1))
    assert world.history(claim["run"])[-3:] == ["Running", "Paused", "Running"]


def test_what_does_not_wait_is_not_resumed(world: World, journal: Journal) -> None:
    """1.17: nor is what was answered already."""
    assert resume(world, journal.root).status_code == 409
    paused(journal)
    assert resume(world, journal.root).status_code == 200
    assert resume(world, journal.root).status_code == 409


def test_anyone_with_the_link_is_asked_only_where_no_person_is_named(world: World, journal: Journal) -> None:
    """1.17: a request says for whom its link works; the first word counts."""
    named = {"people": {"roles": ["owner"]}, "approval": {"quorum": 1}, "anyone": {}}
    journal.send(*(asks(journal, key, link="anyone", **more) for key, more in named.items()), asks(journal, "default"))
    found = {key: asked(world, journal.root, key)["link"] for key in (*named, "default")}
    assert found == {"people": "login", "approval": "login", "anyone": "anyone", "default": "login"}


def test_a_paused_run_that_is_cancelled_is_told(world: World, journal: Journal) -> None:
    """1.17: its process confirms."""
    paused(journal)
    assert world.api.post(f"/flow-runs/{journal.root}/cancel").json()["state"]["type"] == "CANCELLING"
    assert resume(world, journal.root).status_code == 409
    assert journal.send(journal.log())["signals"] == [{"run": str(journal.root), "signal": "cancel"}]


def test_a_paused_process_that_dies_is_followed_by_the_next_attempt(world: World) -> None:
    """1.17: if retries are left; and it waits for the same answer."""
    agent, claim = held_run(world, crash_retries=1)
    paused(begin(world, claim))
    agent.tell_end(claim, exit=-9)
    assert world.state(claim["run"]) == ("SCHEDULED", "AwaitingRetry")
    (again,) = agent.claim()
    journal = begin(world, again)
    paused(journal)
    assert asked(world, claim["run"])["state"] == "waiting"
    resume(world, claim["run"])
    assert asked(world, claim["run"])["state"] == "answered"


def test_a_paused_process_that_dies_ends_the_run_if_no_retry_is_left(world: World) -> None:
    """1.17."""
    agent, claim = held_run(world)
    paused(begin(world, claim))
    agent.tell_end(claim, exit=-9)
    assert world.state(claim["run"])[0] == "CRASHED"


def test_a_paused_holder_that_falls_silent_is_waited_for(world: World, journal: Journal) -> None:
    """1.17: a laptop that was closed over night is paused still when it is opened."""
    paused(journal, seconds=3_600 * 24)
    world.pass_time(61)
    assert world.state(journal.root) == ("PAUSED", "Unreachable")
    journal.send(journal.log("good morning"))
    assert world.state(journal.root) == ("PAUSED", "Paused")


def test_a_pause_whose_time_is_over_is_expired(world: World, journal: Journal) -> None:
    """1.17: its process hears so, and has the last word."""
    paused(journal, seconds=30)
    world.pass_time(31)
    assert asked(world, journal.root)["state"] == "expired"
    assert world.state(journal.root)[0] == "PAUSED"
    assert resume(world, journal.root).status_code == 409
    journal.send(journal.state("FAILED", name="PauseTimedOut", run_count=1))
    assert world.state(journal.root) == ("FAILED", "PauseTimedOut")


# ── suspended: no process waits ──────────────────────────────────────────────────────────────────


def test_a_suspended_run_holds_nothing_and_goes_on_in_its_next_attempt(world: World) -> None:
    """1.17: no lease, no slot; resuming makes it due at once, and uses no retry."""
    agent, claim = held_run(world, concurrency_limit=1)
    paused(begin(world, claim), suspend=True)
    assert world.state(claim["run"]) == ("PAUSED", "Suspended")
    assert not world.is_held(claim["run"])
    other = world.trigger()
    (its,) = agent.claim()
    assert its["run"] == other
    journal = begin(world, its)
    journal.send(journal.state("COMPLETED", run_count=1))
    resume(world, claim["run"])
    assert world.state(claim["run"]) == ("SCHEDULED", "Resuming")
    (again,) = agent.claim()
    assert (again["run"], again["attempt"], again["run_count"], again["suspensions"]) == (claim["run"], 2, 1, 1)


def test_a_suspended_attempt_has_nothing_more_to_say_of_its_state(world: World) -> None:
    """1.17: its last log lines are taken."""
    _, claim = held_run(world)
    journal = begin(world, claim)
    paused(journal, suspend=True)
    answer = journal.send(journal.state("RUNNING", run_count=1), journal.log("late"))
    assert [each["code"] for each in answer["rejected"]] == ["refused"]
    assert world.state(claim["run"]) == ("PAUSED", "Suspended")
    assert "late" in world.lines(claim["run"])


def test_what_a_suspended_run_had_open_is_over(world: World) -> None:
    """1.17: the next attempt calls it again."""
    _, claim = held_run(world)
    journal, child = begin(world, claim), uuid7()
    journal.send(journal.subflow(child), journal.task("RUNNING", ended=None, duration=None))
    paused(journal, suspend=True)
    assert world.state(child)[0] == "CANCELLED"
    assert [task["state"]["type"] for task in world.tasks(claim["run"])] == ["CANCELLED"]


def test_a_suspended_run_is_cancelled_at_once(world: World) -> None:
    """1.17."""
    _, claim = held_run(world)
    paused(begin(world, claim), suspend=True)
    assert world.api.post(f"/flow-runs/{claim['run']}/cancel").json()["state"]["type"] == "CANCELLED"


def test_a_suspended_run_that_nobody_resumes_fails_in_time(world: World) -> None:
    """1.17: with a name that says why."""
    _, claim = held_run(world)
    paused(begin(world, claim), suspend=True, seconds=30)
    world.pass_time(31)
    assert world.state(claim["run"]) == ("FAILED", "PauseTimedOut")


def test_a_suspension_leaves_the_retries_as_they_are(world: World) -> None:
    """1.17: what follows it may crash as often as before."""
    agent, claim = held_run(world, retries=1)
    paused(begin(world, claim), suspend=True)
    resume(world, claim["run"])
    (again,) = agent.claim()
    begin(world, again)
    assert agent.beat(again)["replaceable"] == [claim["run"]]
    agent.tell_end(again, exit=-9)
    assert world.state(claim["run"]) == ("SCHEDULED", "AwaitingRetry")


def suspended(journal: Journal, **more: Any) -> None:
    """The last words of a suspended attempt, without its question."""
    assert journal.send(journal.state("PAUSED", name="Suspended", run_count=1, **more))["rejected"] == []


def test_an_answer_may_come_before_the_run_tells_that_it_is_suspended(world: World) -> None:
    """1.17: its question and its state need not be in one batch; it goes on all the same."""
    agent, claim = held_run(world)
    journal = begin(world, claim)
    journal.send(asks(journal, pause="suspend"))
    assert resume(world, claim["run"]).status_code == 200
    suspended(journal)
    assert world.state(claim["run"]) == ("SCHEDULED", "Resuming")
    assert not world.is_held(claim["run"])
    (again,) = agent.claim()
    assert (again["attempt"], again["suspensions"]) == (2, 1)


def test_a_later_attempt_may_ask_what_was_answered_meanwhile(world: World) -> None:
    """1.17: by people who saw the question of the attempt that crashed."""
    agent, claim = held_run(world, crash_retries=1)
    first = begin(world, claim)
    first.send(asks(first, pause="suspend"))
    agent.tell_end(claim, exit=-9)
    (again,) = agent.claim()
    journal = begin(world, again)
    assert resume(world, claim["run"]).status_code == 200
    paused(journal, suspend=True)
    assert world.state(claim["run"]) == ("SCHEDULED", "Resuming")
    assert asked(world, claim["run"])["state"] == "answered"


def test_the_time_may_be_over_before_the_run_tells_that_it_is_suspended(world: World) -> None:
    """1.17: it fails as if it had been suspended before."""
    agent, claim = held_run(world)
    journal = begin(world, claim)
    journal.send(asks(journal, pause="suspend", seconds=5))
    world.pass_time(6)
    assert asked(world, claim["run"])["state"] == "expired"
    assert agent.beat(claim)["lost"] == []
    suspended(journal)
    assert world.state(claim["run"]) == ("FAILED", "PauseTimedOut")


def test_a_later_attempt_asks_in_the_words_of_its_own_code(world: World) -> None:
    """1.17: which somebody may have mended; the question stays one, at its address."""
    agent, claim = held_run(world, crash_retries=1)
    paused(begin(world, claim))
    agent.tell_end(claim, exit=-9)
    before = asked(world, claim["run"])["id"]
    (again,) = agent.claim()
    paused(begin(world, again), title="How much?", schema=SCHEMA)
    told = asked(world, claim["run"])
    assert (told["id"], told["state"], told["title"]) == (before, "waiting", "How much?")
    assert resume(world, claim["run"], value={"amount": 0}).status_code == 400


@pytest.mark.parametrize("expires", [2**62, -(2**62)])
def test_a_time_that_is_none_costs_nobody_anything(world: World, journal: Journal, expires: int) -> None:
    """1.17: what else is told is taken."""
    entry = asks(journal)
    entry.expires = expires
    assert journal.send(entry, journal.log("still there"))["rejected"] == []
    assert "still there" in world.lines(journal.root)


# ── asked from outside ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("word", "name"), [("pause", "Pausing"), ("suspend", "Suspending")])
def test_who_holds_a_run_is_told_to_pause(world: World, word: str, name: str) -> None:
    """1.17: by its heartbeat and by its journal, until it does."""
    agent, claim = held_run(world)
    journal = begin(world, claim)
    assert world.api.post(f"/flow-runs/{claim['run']}/{word}").json()["state"]["name"] == name
    signal = {"run": claim["run"], "signal": word}
    assert agent.beat(claim)["signals"] == [signal]
    assert journal.send(journal.log())["signals"] == [signal]
    paused(journal, suspend=word == "suspend")
    assert journal.send(journal.log())["signals"] == []


def test_only_a_run_whose_code_runs_is_paused(world: World) -> None:
    """1.17: what waits for an agent, or waits already, or is over, is not."""
    world.deploy()
    run = world.trigger()
    assert world.api.post(f"/flow-runs/{run}/pause").status_code == 409
    (claim,) = world.agent().claim()
    journal = begin(world, claim)
    paused(journal)
    assert world.api.post(f"/flow-runs/{run}/pause").status_code == 409
    journal.send(journal.state("RUNNING", run_count=1), journal.state("COMPLETED", run_count=1))
    assert world.api.post(f"/flow-runs/{run}/suspend").status_code == 409


def test_a_run_that_no_agent_could_start_again_is_not_suspended(world: World, journal: Journal) -> None:
    """1.17: it can be paused."""
    refused = world.api.post(f"/flow-runs/{journal.root}/suspend")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert world.api.post(f"/flow-runs/{journal.root}/pause").status_code == 200


@pytest.mark.parametrize("role", ["viewer", "agent"])
def test_who_only_looks_may_not_pause_nor_resume(world: World, journal: Journal, role: str) -> None:
    """1.17."""
    paused(journal)
    for verb in ("pause", "suspend", "resume"):
        assert world.as_role(role).post(f"/flow-runs/{journal.root}/{verb}").status_code == 403


# ── what is asked ────────────────────────────────────────────────────────────────────────────────


def test_an_answer_must_fit_what_is_asked(world: World, journal: Journal) -> None:
    """1.17: by the one check of schemas; what nobody gave is what it was at first."""
    paused(journal, schema=SCHEMA, initial=msgspec.Raw(b'{"amount": 3}'))
    refused = resume(world, journal.root, value={"amount": 0})
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["parameters.amount"])
    assert resume(world, journal.root, verdict="approve").status_code == 400
    assert resume(world, journal.root, value={}).status_code == 200
    assert asked(world, journal.root)["value"] == {"amount": 3}


def test_of_several_things_one_is_named(world: World, journal: Journal) -> None:
    """1.17."""
    journal.send(asks(journal, "a"), asks(journal, "b"), journal.state("PAUSED", run_count=1))
    assert resume(world, journal.root).status_code == 409
    assert resume(world, journal.root, key="b").status_code == 200
    items = world.api.get("/inputs").json()["items"]
    assert [(each["key"], each["state"]) for each in items] == [("a", "waiting")]
    assert len(world.api.get(f"/flow-runs/{journal.root}/inputs").json()["items"]) == 2


def test_what_can_not_be_asked_is_refused(world: World, journal: Journal) -> None:
    """1.17: a schema that is none."""
    answer = journal.send(asks(journal, schema={"type": "list"}), asks(journal, "", schema=None))
    assert [each["code"] for each in answer["rejected"]] == ["invalid", "invalid"]


def test_a_run_that_ended_waits_for_nothing(world: World, journal: Journal) -> None:
    """1.17: it is in no list of what waits."""
    paused(journal)
    assert len(world.api.get("/inputs").json()["items"]) == 1
    journal.send(journal.state("FAILED", run_count=1))
    assert world.api.get("/inputs").json()["items"] == []


# ── approvals ────────────────────────────────────────────────────────────────────────────────────


def test_an_approval_is_a_persons(world: World, journal: Journal) -> None:
    """1.17: neither a program's nor a run's."""
    paused(journal, quorum=2)
    assert resume(world, journal.root, verdict="approve").status_code == 403
    assert asked(world, journal.root)["answers"] == []


# ── messages ─────────────────────────────────────────────────────────────────────────────────────


def test_messages_are_read_in_their_order_by_kind(world: World, journal: Journal) -> None:
    """1.17: as often as somebody asks."""
    path = f"/flow-runs/{journal.root}/messages"
    for key, value in (("a", 1), ("b", {"x": 2}), ("a", "three")):
        assert world.api.post(path, {"key": key, "value": value, "sender": "me"}).status_code == 201
    for _ in range(2):
        items = world.api.get(path, key="a").json()
        assert [(each["number"], each["value"], each["sender"]) for each in items["items"]] == [
            (1, 1, "me"),
            (3, "three", "me"),
        ]
    assert world.api.get(path, after=2).json()["next"] == 3
    assert world.api.get(path, after=3).json() == {"items": [], "next": 3}


def test_a_mailbox_is_bounded_and_closes_with_its_run(world: World, journal: Journal) -> None:
    """1.17."""
    path = f"/flow-runs/{journal.root}/messages"
    assert world.api.post(path, {"key": "", "value": 1}).status_code == 400
    assert world.api.post(path, {"key": "k", "value": "x" * 70_000}).status_code == 400
    journal.send(journal.state("COMPLETED", run_count=1))
    assert world.api.post(path, {"key": "k", "value": 1}).status_code == 409
