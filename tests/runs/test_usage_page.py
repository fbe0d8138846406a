"""The pages of usage: a month, its CSV, and who may see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.usage.rollup import roll_up
from tenants.billing.models import MeterDay, TagDay
from tests.cast import Api, Company
from tests.contract.journals import Journal

pytestmark = pytest.mark.django_db


@pytest.fixture
def used(api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(tags=["nightly"]), *(journal.task() for _ in range(7)), journal.log("x" * 1_500))
    roll_up()


def lines(response: Any) -> list[str]:
    return b"".join(response.streaming_content).decode().splitlines()


def test_a_month_shows_what_was_used(acme: Company, alice: Any, browse: Any, used: None) -> None:
    page = browse(alice).get("/o/acme/usage").content.decode()
    assert "Called by hand" in page
    assert '<span class="figure">7</span>' in page
    assert "1.5 kB" in page


@pytest.mark.parametrize(
    "query",
    [
        "month=2026-99",
        "month=9999-01",
        "by=x&meter=y",
        "month=2020-01",
        "by=day&meter=cpu",
        "by=tag",
        "meter=api_calls",
        "by=workspace&meter=storage",
        "by=tag&meter=seats",
    ],
)
def test_odd_addresses_show_a_month(acme: Company, alice: Any, browse: Any, query: str) -> None:
    assert browse(alice).get(f"/o/acme/usage?{query}").status_code == 200


def test_a_month_as_csv(acme: Company, alice: Any, browse: Any, used: None) -> None:
    head, row = lines(browse(alice).get("/o/acme/usage/export"))
    assert head.startswith("day,workspace,deployment,task_runs,")
    assert row == f'{datetime.now(UTC).date()},"Main","Called by hand",7,1,0.000,0.000,1500'


@pytest.mark.parametrize(
    ("query", "head", "row"),
    [
        ("by=tag&meter=task_runs", "tag,task_runs,flow_runs,run_time_seconds,cpu_seconds,log_bytes",
         '"nightly",7,1,0.000,0.000,1500'),
        ("by=workspace&meter=cpu", "workspace,task_runs,flow_runs,run_time_seconds,cpu_seconds,log_bytes",
         '"Main",7,1,0.000,0.000,1500'),
        ("by=deployment&meter=task_runs",
         "deployment,workspace,task_runs,flow_runs,run_time_seconds,cpu_seconds,log_bytes",
         '"Called by hand","Main",7,1,0.000,0.000,1500'),
        ("by=credential&meter=api_calls", "credential,api_calls", '"Agents",12'),
        ("by=day&meter=seats", "day,seats", "TODAY,3"),
        ("by=content&meter=storage", "content,storage_bytes", '"Bundles of code",900'),
    ],
)  # fmt: skip
def test_every_table_is_there_as_csv(
    acme: Company, alice: Any, browse: Any, used: None, query: str, head: str, row: str
) -> None:
    """6.3: by meter, workspace, deployment, tag and day."""
    today = datetime.now(UTC).date()
    with acme.scope():
        for meter, kind, amount in (("api_calls", "agent", 12), ("seats", "", 3), ("storage", "code", 900)):
            MeterDay.objects.create(organization=acme.organization, day=today, meter=meter, kind=kind, amount=amount)
    answer = browse(alice).get(f"/o/acme/usage/export?{query}")
    assert lines(answer) == [head, row.replace("TODAY", str(today))]
    assert query.split("=")[1].split("&")[0] in answer.headers["Content-Disposition"]


def test_a_month_asks_the_same_number_of_queries_however_much_there_is(
    acme: Company, alice: Any, browse: Any, used: None
) -> None:
    """6.3: pages are bounded."""
    client, today = browse(alice), datetime.now(UTC).date()
    queries = []
    for first in (0, 60):
        with acme.scope():
            own = {"organization": acme.organization, "day": today, "workspace_id": acme.workspace.id}
            rows = (TagDay(**own, tag=f"t{n}", retention=30, bucket=today) for n in range(first, first + 60))
            TagDay.objects.bulk_create(rows)
        with CaptureQueriesContext(connection) as asked:
            assert "more are in the CSV" in client.get("/o/acme/usage?by=tag").content.decode()
        queries.append(len(asked))
    assert queries[0] == queries[1]


def test_names_are_no_formulas_to_a_spreadsheet() -> None:
    from runs.usage.exports import _cell

    assert _cell('=1+"2"') == '"\'=1+""2"""'


@pytest.mark.parametrize("path", ["usage", "usage/export", "billing"])
def test_members_see_no_money(acme: Company, bob: Any, browse: Any, path: str) -> None:
    assert browse(bob).get(f"/o/acme/{path}").status_code == 403


def test_an_input_that_is_none_is_refused_beside_its_field(acme: Company, alice: Any, browse: Any) -> None:
    form = {"limit": "many", "at_limit": "stop", "under_way": "finish"}
    answer = browse(alice).post("/o/acme/billing/limit", form)
    assert answer.status_code == 400
    assert "A whole number of task runs, or nothing." in answer.content.decode()
