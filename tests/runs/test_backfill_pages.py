"""2.11: the pages of backfills: the form that shows what it makes, the list, one with its squares and buttons."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from runs.backfills import working
from runs.models import Backfill, FlowRun
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, start

pytestmark = pytest.mark.django_db
SCHEMA = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}, "n": {"type": "integer"}}}
MARCH = {
    "of": "schedule:default", "since": "2026-03-27T00:00", "until": "2026-03-30T00:00", "time_parameter": "day",
    "existing": "skip", "order": "oldest", "at_once": "2",
}  # fmt: skip


@pytest.fixture
def deployment(acme: Company) -> Any:
    schedule = {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}
    return deploy(acme, schedule=schedule, parameter_schema=SCHEMA)


def form(acme: Company, deployment: Any, part: str = "") -> str:
    return f"{acme.path}deployments/{deployment.id}/backfill{part}"


def work(acme: Company, id: UUID) -> None:
    with acme.scope():
        while working.work(id):
            pass


def begun(acme: Company, browser: Any, deployment: Any, **told: str) -> Backfill:
    answer = browser.post(form(acme, deployment), {**MARCH, **told})
    assert answer.status_code == 302, answer.content.decode()[:3000]
    with acme.scope():
        return Backfill.objects.latest("created_at")


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status
    return answer.content.decode()


def test_the_form_shows_what_it_makes_and_begins(acme: Company, alice: Any, browse: Any, deployment: Any) -> None:
    """2.11: dates are by the clock of the schedule, through the change of it."""
    browser = browse(alice)
    assert "Each time of the schedule default" in text(browser.get(form(acme, deployment)))
    seen = text(browser.post(form(acme, deployment, "/_preview"), MARCH))
    assert '<b class="num">3 runs</b>' in seen
    assert "Sun 29 Mar 2026 06:00" in seen
    made = begun(acme, browser, deployment)
    assert (made.count, made.at_once, made.created_by) == (3, 2, alice.email)
    work(acme, made.id)
    with acme.scope():
        days = FlowRun.objects.order_by("id").values_list("parameters__day", flat=True)
        assert list(days) == ["2026-03-27", "2026-03-28"]
    page = text(browser.get(f"{acme.path}backfills/{made.id}"))
    assert "2 runs have not ended, and no more are made at once." in page
    assert page.count('class="square kind-scheduled"') == 2
    assert "29 Mar 2026 06:00: To come" in page
    assert "2 of 3" in text(browser.get(f"{acme.path}backfills"))
    assert str(made.id) in text(browser.get(f"{acme.path}runs?backfill={made.id}"))


@pytest.mark.parametrize(
    ("typed", "field", "what"),
    [
        ({"since": ""}, "since", "From when on?"),
        ({"since": "March"}, "since", "Enter a date and a time."),
        ({"at_once": "many"}, "at_once", "Enter a whole number."),
        ({"at_once": "-1"}, "at_once", "1 to 1,000."),
        ({"parameters": "[1]"}, "parameters", "A JSON object"),
        ({"of": "times", "cron": "0 99 * * *"}, "cron", "Five fields"),
        ({"of": "sets", "sets": '{"n": 1}\n{"n'}, "sets", "Line 2 is no JSON"),
        ({"of": "sets", "sets": '[{"n": "x"}]'}, "sets", "0.n: "),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    acme: Company, alice: Any, browse: Any, deployment: Any, typed: dict[str, str], field: str, what: str
) -> None:
    page = text(browse(alice).post(form(acme, deployment), {**MARCH, **typed}), 400)
    assert f'<a href="#{field}">' in page
    assert what in page


def test_sets_that_can_not_be_taken_are_shown_by_their_numbers(
    acme: Company, alice: Any, browse: Any, deployment: Any
) -> None:
    told = {**MARCH, "of": "sets", "sets": "n,day\n1,2026-05-01\ntwo,\n"}
    seen = text(browse(alice).post(form(acme, deployment, "/_preview"), told))
    assert "1 set can&#x27;t be taken." in seen or "1 set can't be taken." in seen
    assert "Set 2:" in seen


def test_it_is_steered_by_its_buttons(acme: Company, alice: Any, browse: Any, deployment: Any) -> None:
    browser = browse(alice)
    made = begun(acme, browser, deployment)
    own = f"{acme.path}backfills/{made.id}"

    def after(what: str, **told: str) -> Backfill:
        assert browser.post(f"{own}/{what}", told).status_code == 302
        with acme.scope():
            return Backfill.objects.get(id=made.id)

    assert after("pause").state == "paused"
    assert f"Paused by {alice.email}." in text(browser.get(own))
    assert after("drip", at_once="3", per_minute="", pause_after_failures="2").at_once == 3
    assert after("drip", at_once="").at_once == 3
    assert after("resume").state == "running"
    work(acme, made.id)
    assert after("cancel", runs="all").state == "cancelled"
    with acme.scope():
        assert set(FlowRun.objects.values_list("state_type", flat=True)) == {"CANCELLED"}
    assert after("pause").state == "cancelled"


def test_what_failed_is_retried_from_the_page_and_what_is_gone_is_said(
    acme: Company, alice: Any, browse: Any, deployment: Any
) -> None:
    browser = browse(alice)
    made = begun(acme, browser, deployment, at_once="3")
    work(acme, made.id)
    for claimed in claim(acme, agent(acme), 2):
        journal = start(claimed)
        journal.send(journal.state("FAILED", run_count=1))
    with acme.scope():
        FlowRun.objects.filter(state_type="SCHEDULED").delete()
    page = text(browser.get(f"{acme.path}backfills/{made.id}"))
    assert (
        "28 Mar 2026 06:00: Deleted" in page
        or "29 Mar 2026 06:00: Deleted" in page
        or "27 Mar 2026 06:00: Deleted" in page
    )
    retry = (
        f"{acme.path}bulk-operations/new?of=filter&kind=retry&backfill={made.id}&range=all&state=FAILED&state=CRASHED"
    )
    assert retry.replace("&", "&amp;") in page
    assert "Retry 2 runs" in text(browser.get(retry))
    assert "Deleted" in text(browser.get(f"{acme.path}backfills/{made.id}?tab=rows"))


def test_a_large_one_is_shown_page_by_page_in_few_queries(
    acme: Company, alice: Any, browse: Any, deployment: Any, django_assert_max_num_queries: Any
) -> None:
    browser = browse(alice)
    sets = "\n".join(f'{{"n": {number}}}' for number in range(1_200))
    made = begun(acme, browser, deployment, of="sets", sets=sets, at_once="200")
    work(acme, made.id)
    own = f"{acme.path}backfills/{made.id}"
    browser.get(own)
    with django_assert_max_num_queries(20):
        page = text(browser.get(own))
    assert page.count('class="square ') == 500
    assert "after=499" in page
    assert text(browser.get(f"{own}?after=999")).count('class="square ') == 200


def test_who_only_views_sees_no_buttons(acme: Company, alice: Any, vera: Any, browse: Any, deployment: Any) -> None:
    made = begun(acme, browse(alice), deployment)
    browser = browse(vera)
    page = text(browser.get(f"{acme.path}backfills/{made.id}"))
    assert "Change the drip" not in page
    assert "cancel-backfill" not in page
    assert browser.get(form(acme, deployment)).status_code == 403
