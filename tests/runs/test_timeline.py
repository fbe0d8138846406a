"""The bars of a run's page: 1.18: what waits for a slot is seen to wait, and for how long it did."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from tests.cast import Api, Company
from tests.contract.journals import Journal

pytestmark = pytest.mark.django_db
MESSAGE = "Waits for a slot of tag:gpu."


@pytest.fixture
def journal(api: Api) -> Journal:
    return Journal(api)


def bars(company: Company, browser: Any, journal: Journal) -> dict[str, Any]:
    """What the page reads; the state of a task run by its name."""
    told = browser.get(f"{company.path}runs/{journal.root}/timeline").json()
    for task in told["tasks"]:
        task[2] = told["states"][task[2]][1]
    return told


def test_a_wait_for_a_slot_is_a_bar_while_it_lasts_and_afterwards(
    acme: Company, journal: Journal, alice: Any, browse: Any
) -> None:
    """1.18: AwaitingSlot in the timeline."""
    begin, id, unlimited = journal.begin(), uuid7(), uuid7()
    at = begin.t
    journal.send(
        begin,
        journal.task("SCHEDULED", id=id, t=at + 2_000, name="AwaitingSlot", message=MESSAGE, started=None, ended=None),
        journal.task(id=unlimited),
    )
    told = bars(acme, browse(alice), journal)
    assert told["tasks"][0] == [str(id), 0, "AwaitingSlot", None, None, 1, [], [[2_000, None]]]
    assert told["tasks"][1][0] == str(unlimited)
    assert len(told["tasks"][1]) == 7

    waited: Any = (at + 2_000, "SCHEDULED", "AwaitingSlot", MESSAGE)
    journal.send(journal.task("RUNNING", id=id, history=[waited], started=at + 7_000, ended=None, duration=None))
    assert bars(acme, browse(alice), journal)["tasks"][0][3:] == [7_000, None, 1, [], [[2_000, None]]]
    former: Any = [waited, (at + 7_000, "RUNNING", None, None)]
    journal.send(journal.task(id=id, history=former, started=at + 7_000, ended=at + 9_000))
    assert bars(acme, browse(alice), journal)["tasks"][0][3:] == [7_000, 9_000, 1, [], [[2_000, 7_000]]]


def test_a_wait_between_two_executions_is_no_part_of_either(
    acme: Company, journal: Journal, alice: Any, browse: Any
) -> None:
    """1.18: nor is the delay of a retry a wait for others."""
    begin = journal.begin()
    at = begin.t
    former: Any = [
        (at + 1_000, "RUNNING", None, None),
        (at + 2_000, "RUNNING", "AwaitingRetry", "no"),
        (at + 4_000, "RUNNING", "AwaitingSlot", MESSAGE),
        (at + 6_000, "RUNNING", "Retrying", None),
    ]
    journal.send(begin, journal.task(run_count=2, history=former, started=at + 1_000, ended=at + 8_000))
    [task] = bars(acme, browse(alice), journal)["tasks"]
    assert task[3:] == [1_000, 8_000, 2, [[2_000, 6_000]], [[4_000, 6_000]]]


def test_a_value_that_another_one_computed_was_waited_for_until_the_end(
    acme: Company, journal: Journal, alice: Any, browse: Any
) -> None:
    """1.13: AwaitingCache: never executed, and yet a bar."""
    begin = journal.begin()
    at = begin.t
    waited: Any = [(at + 1_000, "PENDING", "AwaitingCache", "Another run computes the value of k.")]
    journal.send(begin, journal.task(name="Cached", history=waited, started=None, ended=at + 5_000))
    [task] = bars(acme, browse(alice), journal)["tasks"]
    assert task[2:] == ["Cached", None, 5_000, 1, [], [[1_000, 5_000]]]


def test_a_subflow_that_waits_for_people_is_seen_to(acme: Company, journal: Journal, alice: Any, browse: Any) -> None:
    """1.17."""
    begin, part = journal.begin(), uuid7()
    at = begin.t
    journal.send(
        begin,
        journal.subflow(part, t=at + 1_000),
        journal.state("PAUSED", run=part, t=at + 3_000, run_count=1),
    )
    [subflow] = bars(acme, browse(alice), journal)["subflows"]
    assert subflow[3:] == ["PAUSED", "Paused", 1_000, None, [[3_000, None]]]
