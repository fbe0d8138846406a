"""7.4: the API's list of runs answers in bounded time, whatever it is asked for; tests/contract says what is found."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from orchestrator.ids import uuid7
from runs.models import FlowRun
from runs.reads import run_search
from runs.reads.run_search import RunsAsked
from tests.cast import Api, Company
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db


def all_pages(api: Api, **query: Any) -> list[list[str]]:
    """The names of the runs of each page."""
    found, cursor = [], ""
    for _ in range(100):
        page = api.get("/flow-runs", **query, cursor=cursor).json()
        found.append([run["name"] for run in page["items"]])
        if page["next"] is None:
            return found
        cursor = page["next"]
    raise AssertionError("the pages never end")


@pytest.fixture
def nine(acme: Company) -> None:
    """Of nine runs the third and the fourth have a tag, and the last one."""
    deployment = deploy(acme)
    for number in range(9):
        tags = ["rare"] if number in (2, 3, 8) else []
        trigger(acme, deployment, name=f"run-{number}", tags=tags)


@pytest.mark.usefixtures("nine")
def test_a_page_looks_at_a_bounded_number_of_runs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one goes on where it ended, though it found nothing."""
    monkeypatch.setattr(run_search, "LOOKED_AT", 2)
    assert all_pages(api, tag="rare") == [["run-8"], [], ["run-3"], ["run-2"], []]
    assert all_pages(api, name="none") == [[]] * 5
    several = chain.from_iterable(all_pages(api, state="SCHEDULED,FAILED", limit=1))
    assert list(several) == [f"run-{number}" for number in reversed(range(9))]


@pytest.mark.usefixtures("nine")
def test_what_an_index_finds_is_not_looked_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_search, "LOOKED_AT", 2)
    everyone = [f"run-{number}" for number in reversed(range(9))]
    for query in (
        {},
        {"state": "SCHEDULED"},
        {"flow": "etl"},
        {"deployment": "etl/nightly"},
        {"since": "2020-01-01T00:00:00Z"},
    ):
        assert all_pages(api, **query) == [everyone], query


def test_what_counts_as_indexed_has_an_index(acme: Company) -> None:
    """Of an organization, beginning with it, and in the order of the list where there may be many."""
    known = {tuple(index.fields) for index in FlowRun._meta.indexes}
    with acme.scope():
        asked = RunsAsked(state=["FAILED"], flow="etl", parent=uuid7(), root=uuid7(), retry_of=uuid7())
        found = run_search._exact(asked, uuid7(), acme.actor())
    order = ("-created_at", "-id")
    for column in found.keys() - {"root_id", "state_type"}:
        assert ("organization", column.removesuffix("_id") if column != "parent_id" else column, *order) in known
    assert {("organization", "root_id"), ("organization", "workspace", "state_type", *order)} <= known
