"""2.10, 3.2: pages of what is done to many runs: chosen in the list, looked at, begun, followed, undone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils.timezone import now

from orchestrator.ids import uuid7
from runs.bulk import choosing, wording, working
from runs.models import BulkOperation, FlowRun
from runs.reads.run_filter import RunFilter
from runs.reads.run_search import RunsAsked
from tenants.declared import PageQuery
from tenants.models import AuditEntry
from tenants.restrictions.models import Level
from tests.cast import Company
from tests.restricted import restrict
from tests.runs.pages import page
from tests.runs.test_bulk import failed, states
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db
NEW = "bulk-operations/new"


def begin(company: Company, browser: Any, query: str, status: int = 302, **form: Any) -> Any:
    """Post the preview's form."""
    answer = browser.post(f"{company.path}{NEW}?{query}", {"delay": "0", **form})
    assert answer.status_code == status, answer.content[:500]
    return answer


def only(company: Company) -> BulkOperation:
    with company.scope():
        return BulkOperation.objects.get()


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_the_list_offers_what_somebody_may_do(acme: Company, alice: Any, vera: Any, browse: Any) -> None:
    [run] = trigger(acme, deploy(acme))
    shown = page(acme, browse(alice), "runs")
    assert f'name="id" value="{run}"' in shown
    assert 'name="kind" value="cancel"' in shown
    assert 'name="kind" value="retry"' in shown
    seen = page(acme, browse(vera), "runs")
    assert str(run) in seen
    assert 'name="kind"' not in seen
    assert 'type="checkbox" name="id"' not in seen


def test_the_runs_of_a_deployment_are_chosen_as_well(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme)
    [run], [other] = trigger(acme, deployment), trigger(acme, deploy(acme, "weekly"))
    shown = page(acme, browse(alice), f"deployments/{deployment.id}")
    assert f'name="id" value="{run}"' in shown
    hit = page(acme, browse(alice), NEW, of="filter", deployment=deployment.id, range="all")
    assert f"runs/{run}" in hit
    assert f"runs/{other}" not in hit


def test_chosen_runs_are_looked_at_first(acme: Company, alice: Any, browse: Any) -> None:
    """2.10: how many, which, and why others are left out; nothing happens."""
    over = failed(acme, deploy(acme, "other", flow="other"))
    one, two, three = trigger(acme, deploy(acme), 3)
    seen = page(acme, browse(alice), NEW, kind="cancel", id=[one, two, *over])
    assert "Cancel 2 runs" in seen
    assert f"runs/{one}" in seen
    assert f"runs/{three}" not in seen
    assert "It has ended" in seen
    assert "Runs 3 chosen" in seen
    assert states(acme, [one, two]) == ["SCHEDULED"] * 2
    with acme.scope():
        assert not BulkOperation.objects.exists()


def test_what_is_begun_hits_the_chosen_ones_only(acme: Company, alice: Any, browse: Any) -> None:
    one, two, three = trigger(acme, deploy(acme), 3)
    answer = begin(acme, browse(alice), f"kind=cancel&id={one}&id={two}")
    made = only(acme)
    assert answer.url == f"{acme.path}bulk-operations/{made.id}"
    with acme.scope():
        entry = AuditEntry.objects.get(action="bulk_operation.created")
        assert (entry.actor, entry.details["count"]) == (acme.owner.email, 2)
        working.work(made.id)
    assert states(acme, [one, two, three]) == ["CANCELLED", "CANCELLED", "SCHEDULED"]
    shown = page(acme, browse(alice), f"bulk-operations/{made.id}")
    assert "2 of 2 runs asked to stop" in shown
    assert "Completed" in shown
    assert f"runs/{one}" in shown


def test_all_that_fit_the_lists_filter_are_hit(acme: Company, alice: Any, browse: Any) -> None:
    """2.10: the same filter as the list's, and its link leads back to it."""
    [nightly] = trigger(acme, deploy(acme), name="monday")
    trigger(acme, deploy(acme), name="tuesday")
    trigger(acme, deploy(acme, flow="report"), name="monday")
    seen = page(acme, browse(alice), NEW, of="filter", kind="cancel", flow="etl", q="mon", state="SCHEDULED")
    assert "Cancel 1 run" in seen
    begin(acme, browse(alice), "of=filter&kind=cancel&flow=etl&q=mon&state=SCHEDULED", delay="60")
    made = only(acme)
    assert (made.count, made.filter["text"], made.filter["flow"]) == (1, "mon", "etl")
    shown = page(acme, browse(alice), f"bulk-operations/{made.id}")
    assert "Name or flow has" in shown
    link = shown.split("Runs that fit it now")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    listed = text_of(browse(alice).get(link))
    assert f"runs/{nightly}" in listed
    assert "tuesday" not in listed


def test_a_retry_is_from_failure_or_whole(acme: Company, alice: Any, browse: Any) -> None:
    [run] = failed(acme, deploy(acme))
    form = page(acme, browse(alice), NEW, kind="retry", id=run)
    assert "From failure" in form
    assert '<option value="3600"' in form
    begin(acme, browse(alice), f"kind=retry&id={run}", part="failure")
    begin(acme, browse(alice), f"kind=retry&id={run}", part="whole")
    with acme.scope():
        asked = BulkOperation.objects.order_by("created_at").values_list("from_failure", flat=True)
        assert list(asked) == [True, False]


def test_it_is_undone_and_stopped(acme: Company, alice: Any, browse: Any) -> None:
    """2.10: the list of runs says that it waits; undone, nothing has happened; twice does no harm."""
    [run] = trigger(acme, deploy(acme))
    browser = browse(alice)
    begin(acme, browser, f"kind=cancel&id={run}", delay="60")
    made = only(acme)
    assert f"bulk-operations/{made.id}/cancel" in page(acme, browser, "runs")
    undone = text_of(browser.post(f"{acme.path}bulk-operations/{made.id}/cancel", follow=True))
    assert "Undone" in undone
    again = text_of(browser.post(f"{acme.path}bulk-operations/{made.id}/cancel", follow=True))
    assert "The operation is cancelled already." in again
    assert f"bulk-operations/{made.id}" not in page(acme, browser, "runs")
    assert states(acme, [run]) == ["SCHEDULED"]


def test_what_can_not_be_begun_is_said_on_the_page(acme: Company, alice: Any, browse: Any, settings: Any) -> None:
    """And what was chosen stays so."""
    runs = trigger(acme, deploy(acme), 3)
    browser, chosen = browse(alice), "&".join(f"id={run}" for run in runs)
    assert "A number" not in text_of(begin(acme, browser, f"kind=cancel&{chosen}", 400, delay="soon"))
    assert "out of bounds" in text_of(begin(acme, browser, f"kind=cancel&{chosen}", 400, delay="9999"))
    settings.BULK_RUNS = 2
    seen = browser.get(f"{acme.path}{NEW}?kind=cancel&{chosen}")
    assert (seen.status_code, "More than 2 runs fit" in text_of(seen)) == (400, True)
    settings.BULK_RUNS, settings.BULK_AT_ONCE = 10, 0
    assert "under way already" in text_of(begin(acme, browser, f"kind=cancel&{chosen}", 409))
    assert browser.get(f"{acme.path}{NEW}?kind=cancel&id=nonsense").status_code == 400


def test_without_a_choice_nothing_is_hit(acme: Company, alice: Any, browse: Any) -> None:
    """A form without script that is sent with no box chosen."""
    [run] = trigger(acme, deploy(acme))
    answer = browse(alice).get(f"{acme.path}{NEW}?kind=cancel", follow=True)
    assert "No run is chosen." in text_of(answer)
    assert browse(alice).post(f"{acme.path}{NEW}?kind=cancel").status_code == 302
    assert states(acme, [run]) == ["SCHEDULED"]


def test_who_only_views_sees_operations_without_buttons(acme: Company, alice: Any, vera: Any, browse: Any) -> None:
    [run] = trigger(acme, deploy(acme))
    begin(acme, browse(alice), f"kind=cancel&id={run}", delay="60")
    made, browser = only(acme), browse(vera)
    assert "Cancel 1 run" in page(acme, browser, "bulk-operations")
    shown = page(acme, browser, f"bulk-operations/{made.id}")
    assert "It begins" in shown
    assert "Undo<" not in shown
    for method in (browser.get, browser.post):
        assert method(f"{acme.path}{NEW}?kind=cancel&id={run}").status_code == 403
    assert browser.post(f"{acme.path}bulk-operations/{made.id}/cancel").status_code == 403


def test_restricted_deployments_are_left_out_and_hidden_ones_not_shown(
    acme: Company, alice: Any, bob: Any, browse: Any
) -> None:
    """2.10: neither in the preview nor in operations of others."""
    shown, hidden = (deploy(acme, name, flow=name) for name in ("shown", "hidden"))
    [seen], [unseen] = trigger(acme, shown), trigger(acme, hidden)
    restrict(acme, shown, ("user", bob.id, Level.VIEW))
    restrict(acme, hidden)
    preview = page(acme, browse(bob), NEW, kind="cancel", id=[seen, unseen])
    assert "No run is hit" in preview
    assert "Its deployment is restricted, and not for you" in preview
    assert f"runs/{unseen}" not in preview
    begin(acme, browse(alice), f"kind=cancel&id={seen}&id={unseen}", delay="60")
    told = page(acme, browse(bob), f"bulk-operations/{only(acme).id}")
    assert f"runs/{seen}" in told
    assert f"runs/{unseen}" not in told


def operations(company: Company, number: int) -> list[UUID]:
    """So many, one after the other, each of a deployment of its own."""
    with company.scope():
        ids = []
        for each in range(number):
            deployment = deploy(company, f"d{each}")
            made = BulkOperation.objects.create(
                organization=company.organization, workspace=company.workspace, kind="cancel", count=3, created_by="a",
                filter={"deployment": str(deployment.id), "state": ["RUNNING"]}, deployment_id=deployment.id,
                before=now(), begins_at=now(), created_at=now() - timedelta(minutes=each), state="completed",
            )  # fmt: skip
            ids.append(made.id)
    return ids


def test_operations_come_page_by_page(acme: Company, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runs.reads.bulk.PAGE", 2)
    ids, browser = operations(acme, 3), browse(alice)
    first = page(acme, browser, "bulk-operations")
    assert [str(id) in first for id in ids] == [True, True, False]
    assert "Deployment etl / d0" in first
    cursor = first.split("cursor=")[1].split('"')[0]
    older = page(acme, browser, "bulk-operations", cursor=cursor)
    assert [str(id) in older for id in ids] == [False, False, True]


def test_pages_ask_as_often_for_many_as_for_one(
    acme: Company, alice: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    trigger(acme, deploy(acme), 12)
    operations(acme, 12)
    browser = browse(alice)
    page(acme, browser, "bulk-operations")
    for path, most in (("bulk-operations", 25), (f"{NEW}?of=filter&kind=cancel", 27)):
        with django_assert_max_num_queries(most):
            page(acme, browser, path)


def test_every_kind_and_every_filter_has_words(acme: Company) -> None:
    """Else a page that shows an operation of the API's would fail, or speak in code."""
    assert wording.KINDS.keys() == choosing.VERBS.keys() == set(BulkOperation.Kind)
    words = set(RunsAsked.__struct_fields__) - set(PageQuery.__struct_fields__)
    assert wording.LABELS.keys() | wording.UNTOLD == words


def test_the_list_is_narrowed_by_exact_times(acme: Company, alice: Any, browse: Any) -> None:
    """3.2: a range does not count beside them, in rows, counts and chart."""
    [early] = trigger(acme, deploy(acme))
    [late] = trigger(acme, deploy(acme, "weekly"))
    with acme.scope():
        FlowRun.objects.filter(id=early).update(created_at=now() - timedelta(days=400))
    until = (now() - timedelta(days=30)).isoformat()
    shown = page(acme, browse(alice), "runs", until=until, range="1h")
    assert [str(run) in shown for run in (early, late)] == [True, False]
    assert "All 1 that fit" in shown
    assert "No run matches" in page(acme, browse(alice), "runs", since=(now() + timedelta(days=1)).isoformat())
    assert str(late) in page(acme, browse(alice), "runs", since="yesterday", until="2020-01-01T00:00:00")


@pytest.mark.parametrize(
    "words",
    [
        {"name": "x"},
        {"tag": ["a", "b"]},
        {"id": [str(uuid7())]},
        {"origin": "subflow"},
    ],
)
def test_filters_that_the_list_can_not_tell_have_no_link(words: dict[str, Any]) -> None:
    assert RunFilter.of_words(words, deployment=None) is None


def test_a_filter_is_the_same_there_and_back() -> None:
    asked = RunFilter(
        states=("FAILED", "CRASHED"), flow="etl", tag="gpu", text="mon", origin="api", range="all", after=now(),
        before=now(), deployment=str(uuid7()),
    )  # fmt: skip
    assert RunFilter.of_words(asked.words(), deployment=UUID(asked.deployment)) == asked
