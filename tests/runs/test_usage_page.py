"""The pages of usage: a month, its CSV, and who may see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from runs.usage.rollup import roll_up
from tests.cast import Api, Company
from tests.contract.journals import Journal

pytestmark = pytest.mark.django_db


@pytest.fixture
def used(api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(), *(journal.task() for _ in range(7)), journal.log("x" * 1_500))
    roll_up()


def lines(response: Any) -> list[str]:
    return b"".join(response.streaming_content).decode().splitlines()


def test_a_month_shows_what_was_used(acme: Company, alice: Any, browse: Any, used: None) -> None:
    page = browse(alice).get("/o/acme/usage").content.decode()
    assert "Called by hand" in page
    assert '<span class="figure">7</span>' in page
    assert "1.5 kB" in page


@pytest.mark.parametrize(
    "query", ["month=2026-99", "month=9999-01", "by=x&meter=y", "month=2020-01", "by=day&meter=cpu"]
)
def test_odd_addresses_show_a_month(acme: Company, alice: Any, browse: Any, query: str) -> None:
    assert browse(alice).get(f"/o/acme/usage?{query}").status_code == 200


def test_a_month_as_csv(acme: Company, alice: Any, browse: Any, used: None) -> None:
    head, row = lines(browse(alice).get("/o/acme/usage/export"))
    assert head.startswith("day,workspace,deployment,task_runs,")
    assert row == f'{datetime.now(UTC).date()},"Main","Called by hand",7,1,0.000,0.000,1500'


def test_names_are_no_formulas_to_a_spreadsheet() -> None:
    from runs.usage.shown import _cell

    assert _cell('=1+"2"') == '"\'=1+""2"""'


@pytest.mark.parametrize("path", ["usage", "usage/export", "billing"])
def test_members_see_no_money(acme: Company, bob: Any, browse: Any, path: str) -> None:
    assert browse(bob).get(f"/o/acme/{path}").status_code == 403


def test_an_input_that_is_none_is_refused_beside_its_field(acme: Company, alice: Any, browse: Any) -> None:
    form = {"limit": "many", "at_limit": "stop", "under_way": "finish"}
    answer = browse(alice).post("/o/acme/billing/limit", form)
    assert answer.status_code == 400
    assert "A whole number of task runs, or nothing." in answer.content.decode()
