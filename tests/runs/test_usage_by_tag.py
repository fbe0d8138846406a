"""6.1: usage by tag: a run stands under each of its tags, a day has a bound of them, and rows say the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.ids import uuid7
from runs.usage import rollup, tags
from runs.usage.recount import METERS
from runs.usage.rollup import roll_up
from tenants.billing.models import TagDay
from tests.cast import Api, Company, found_company
from tests.contract.journals import Journal
from tests.runs.test_metering import by_tag

pytestmark = pytest.mark.django_db


def run(api: Api, named: list[str], task_runs: int) -> Journal:
    """A local run with these tags and task runs."""
    journal = Journal(api)
    journal.send(journal.begin(tags=named), *(journal.task() for _ in range(task_runs)))
    return journal


def shown(company: Company) -> dict[str, int]:
    """Task runs by tag."""
    with company.scope():
        return {tag: meters["task_runs"] for (_, tag), meters in tags.booked(TagDay.objects.all()).items()}


def test_a_run_stands_under_each_of_its_tags(acme: Company, globex: Company, api: Api) -> None:
    """6.1: sums by tag overlap; a run without tags stands under none."""
    first = run(api, ["etl", "nightly"], 3)
    run(api, ["etl"], 2)
    run(api, [], 9)
    roll_up()
    assert (shown(acme), shown(globex)) == ({"etl": 5, "nightly": 3}, {})
    part = uuid7()
    called = first.subflow(part)
    called.about.tags = ["inner"]
    first.send(called, first.task(run=part))
    roll_up()
    assert shown(acme) == {"etl": 6, "nightly": 4}  # What it calls counts under the root's tags.
    booked, recounted = by_tag(acme)
    assert booked == recounted


def test_tags_beyond_a_days_bound_are_taken_together(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.1: those that are there keep their place, larger ones come first, and a run counts once among the others."""
    monkeypatch.setattr(rollup, "TAGS_A_DAY", 2)
    run(api, ["prod"], 1)
    roll_up()
    run(api, ["small", "smaller"], 1)
    run(api, ["large", "prod"], 5)
    roll_up()
    assert shown(acme) == {"prod": 6, "large": 5, tags.OTHERS: 1}
    run(api, ["new"], 4)
    roll_up()
    assert shown(acme) == {"prod": 6, "large": 5, tags.OTHERS: 5}
    assert tags.agree(*by_tag(acme))


def test_only_the_first_tags_of_a_run_count(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    run(api, [f"t{number:02}" for number in range(30)], 1)
    roll_up()
    assert sorted(shown(acme)) == [f"t{number:02}" for number in range(tags.TAGS_OF_A_RUN)]
    assert tags.agree(*by_tag(acme))


@pytest.mark.parametrize("by", [-1, 1])
def test_days_that_say_anything_else_than_rows_are_found(acme: Company, api: Api, by: int) -> None:
    run(api, ["etl"], 3)
    roll_up()
    with acme.scope():
        TagDay.objects.update(task_runs=3 + by)
    assert not tags.agree(*by_tag(acme))
    with acme.scope():
        TagDay.objects.create(organization=acme.organization, workspace_id=acme.workspace.id, tag=tags.OTHERS,
                              **TagDay.objects.values("day", "retention", "bucket").get(), task_runs=1)  # fmt: skip
    assert tags.agree(*by_tag(acme)) == (by < 0)  # Less may be among the others; more is nowhere.


def test_a_seal_tells_of_tags_and_keeps_no_rows_for_them(acme: Company, api: Api, caplog: Any) -> None:
    from tests.runs.test_metering import today
    from tests.runs.test_sealing import long_ago, seal

    journal = run(api, ["etl"], 3)
    journal.send(journal.state("COMPLETED"))
    roll_up()
    long_ago(acme)
    found = seal(acme, today())
    assert found is not None
    assert (found.matches, found.tags_match) == (True, True)
    with acme.scope():
        TagDay.objects.update(task_runs=2)
    found = seal(acme, today())
    assert found is not None
    assert (found.matches, found.tags_match) == (True, False)
    assert "usage by tag does not match" in caplog.text


@settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    runs=st.lists(
        st.tuples(st.lists(st.sampled_from("abcdef"), max_size=4), st.integers(0, 3), st.booleans()), max_size=8
    ),
    room=st.integers(0, 4),
)
def test_days_by_tag_equal_a_recount(monkeypatch: pytest.MonkeyPatch, runs: list, room: int) -> None:
    """6.1: whatever the bound and the passes: exactly where all fits, and never too much of a tag."""
    company = found_company("Acme", f"{uuid7()}@acme.example")
    api = Api(company.key("ci"))
    monkeypatch.setattr(rollup, "TAGS_A_DAY", room)
    for named, task_runs, rolls in runs:
        run(api, named, task_runs)
        if rolls:
            roll_up()
    roll_up()
    booked, recounted = by_tag(company)
    assert tags.agree(booked, recounted)
    distinct = {tag for named, _, _ in runs for tag in named}
    assert (booked == recounted) == (len(distinct) <= room)
    assert len({tag for _, tag in booked} - {tags.OTHERS}) <= room
    for (workspace, tag), meters in booked.items():
        if tag == tags.OTHERS:
            whole = {name: sum(each[name] for each in recounted.values()) for name in METERS}
            assert all(meters[name] <= whole[name] for name in METERS), workspace
