"""1.18: slots of limits and locks: taken, waited for, handed on, lost; the same by both servers."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from tests.contract.slot_process import Process
from tests.contract.worlds import World


def test_a_lock_has_one_holder_and_goes_to_the_oldest_waiter(first: Process, second: Process) -> None:
    """1.18: first in, first out; who waits is told at once."""
    held, state = first.take("cache/a")
    assert state == "held"
    assert second.take("cache/b")[1] == "held"
    one, state = second.take("cache/a")
    assert state == "waiting"
    two, state = first.take("cache/a")
    assert state == "waiting"
    assert second.heard() == []
    first.give(held)
    assert second.heard() == [one]
    assert first.heard() == []
    assert second.give(one)["granted"] == []
    assert first.heard() == [two]


def test_who_gives_back_and_waits_is_answered_in_the_same_request(first: Process) -> None:
    held, _ = first.take("a")
    waiting, _ = first.take("a")
    assert first.give(held)["granted"] == [waiting]


def test_giving_and_taking_in_one_request_stands_behind_those_who_wait(first: Process, second: Process) -> None:
    held, _ = first.take("a")
    older, _ = second.take("a")
    id = str(uuid7())
    told = first.ask(release=[held], asks=[{"id": id, "names": ["a"], "kind": "lock"}])
    assert told["asks"][id]["state"] == "waiting"
    assert second.heard() == [older]


def test_asking_twice_takes_once(first: Process, second: Process) -> None:
    """1.18: an answer may be lost; the request is made again."""
    id = str(uuid7())
    ask = {"id": id, "names": ["a"], "kind": "lock"}
    for _ in range(2):
        assert first.ask(asks=[ask])["asks"][id]["state"] == "held"
    waiting, _ = second.take("a")
    for _ in range(2):
        first.give(id)
    assert second.keep(waiting) == ([waiting], [])


def test_who_would_not_wait_does_not(first: Process, second: Process) -> None:
    held, _ = first.take("a")
    busy, state = second.take("a", within=0)
    assert state == "busy"
    first.give(held)
    assert second.keep(busy) == ([], [])
    assert second.take("a", within=0)[1] == "held"


def test_a_silent_holder_loses_its_slot_and_one_that_speaks_keeps_it(
    world: World, first: Process, second: Process
) -> None:
    """1.18: kill -9 of a holder frees at expiry."""
    held, _ = first.take("a")
    waiting, _ = second.take("a")
    world.pass_time(20)
    assert first.keep(held) == ([held], [])
    assert second.keep(waiting) == ([], [waiting])
    world.pass_time(20)
    assert second.keep(waiting) == ([], [waiting])
    world.pass_time(20)
    assert second.heard() == [waiting]
    assert first.keep(held) == ([], [])


def test_a_silent_waiter_is_passed_over(world: World, first: Process, second: Process) -> None:
    held, _ = first.take("a")
    second.take("a")
    world.pass_time(20)
    first.keep(held)
    third = Process(world)
    waiting, _ = third.take("a")
    world.pass_time(20)
    first.keep(held)
    third.keep(waiting)
    first.give(held)
    assert third.heard() == [waiting]


def test_what_a_process_knows_nothing_of_is_let_go_of(first: Process, second: Process) -> None:
    """1.18: a slot whose answer was lost is held by nobody."""
    first.take("a")
    waiting, _ = second.take("a")
    assert first.keep() == ([], [])
    assert second.heard() == [waiting]


def test_several_names_are_taken_all_or_none(first: Process, second: Process) -> None:
    held, _ = first.take("b")
    both, state = second.take("a", "b")
    assert state == "waiting"
    behind, state = first.take("a")
    assert state == "waiting"  # Who waits for more is not overtaken.
    first.give(held)
    assert second.heard() == [both]
    second.give(both)
    assert first.heard() == [behind]


def test_names_that_only_waiters_have_in_common(first: Process, second: Process) -> None:
    """1.18: what is given back may let somebody on who waits for another name behind somebody else."""
    b, _ = first.take("b")
    c, _ = first.take("c")
    bc, _ = second.take("b", "c")
    ab, _ = second.take("a", "b")
    first.give(b)
    assert second.keep(bc, ab) == ([], [bc, ab])
    first.give(c)
    assert second.heard() == [bc]
    assert second.give(bc)["granted"] == [ab]


def test_a_runs_slots_live_as_long_as_its_lease_and_end_with_it(world: World, second: Process) -> None:
    """1.18: a run that holds the interpreter renews nothing; its agent does."""
    world.deploy(retries=1)
    run = world.trigger()
    agent = world.agent()
    [claim] = agent.claim()
    process = Process(world, claim["token"])
    process.take("a")
    waiting, _ = second.take("a")
    for _ in range(4):
        world.pass_time(25)
        agent.beat(claim)
        assert second.keep(waiting) == ([], [waiting])
    agent.tell_end(claim, reason="killed")
    assert world.state(run)[0] == "SCHEDULED"
    assert second.heard() == [waiting]


def test_a_run_that_nobody_hears_of_loses_its_slots(world: World, second: Process) -> None:
    world.deploy()
    world.trigger()
    [claim] = world.agent().claim()
    process = Process(world, claim["token"])
    process.take("a")
    world.pass_time(50)
    waiting, state = second.take("a")
    assert state == "waiting"
    world.pass_time(15)
    assert second.heard() == [waiting]


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({"names": []}, "names"),
        ({"names": [""]}, "names"),
        ({"names": ["x" * 501]}, "names"),
        ({"names": [str(n) for n in range(101)]}, "names"),
        ({"occupy": 0}, "occupy"),
        ({"occupy": 2}, "occupy"),
        ({"kind": "other"}, "kind"),
        ({"within": -1}, "within"),
    ],
)
def test_what_can_not_be_asked(first: Process, ask: dict[str, Any], field: str) -> None:
    body = {"id": str(uuid7()), "names": ["a"], "kind": "lock", **ask}
    answer = first.api.post("/slots", {"session": str(first.session), "asks": [body]})
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == [f"asks[0].{field}"]


def test_who_may_take(world: World) -> None:
    for role, status in {"viewer": 403, "runner": 403, "agent": 200, "developer": 200}.items():
        assert world.as_role(role).post("/slots", {"session": str(uuid7())}).status_code == status


def test_a_limit_that_is_not_there_is_none(first: Process) -> None:
    id, state = first.take("nothing", kind="limit")
    assert state == "held"
    id = str(uuid7())
    told = first.ask(asks=[{"id": id, "names": ["nothing"], "strict": True}])["asks"][id]
    assert (told["state"], told["code"], told["unknown"]) == ("refused", "not_found", ["nothing"])
