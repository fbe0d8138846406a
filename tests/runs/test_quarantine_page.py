"""The page of quarantine: what could not be taken, tried again or deleted by who may."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import encode
from runs.models import JournalQuarantine
from tests.cast import Api, Company
from tests.contract.journals import Journal

pytestmark = pytest.mark.django_db


def kept(api: Api, *, number: int = 1, kind: str = "metric") -> Journal:
    """A run of whose journal some entries are of a kind that this server does not know."""
    journal = Journal(api)
    journal.send(journal.begin())
    for _ in range(number):
        line = f'{{"kind":"{kind}","seq":{journal.seq + 1},"run":"{journal.root}","t":1}}'
        answer = journal.send(journal.raw(line.encode()))
        assert [each["code"] for each in answer["rejected"]] == ["unknown_kind"]
    return journal


def entries(company: Company) -> list[JournalQuarantine]:
    with company.scope():
        return list(JournalQuarantine.objects.order_by("seq"))


def shown(company: Company, browser: Any, **query: Any) -> str:
    return " ".join(browser.get(f"{company.path}quarantine", query).content.decode().split())


def test_entries_are_listed_with_the_meaning_of_their_code(acme: Company, vera: Any, browse: Any, api: Api) -> None:
    journal = kept(api)
    page = shown(acme, browse(vera))
    assert "unknown_kind" in page
    assert "does not know this kind of entry" in page
    assert "&quot;kind&quot;:&quot;metric&quot;" in page
    assert f"runs/{journal.root}" in page
    assert "Try again" not in page  # Vera only views.


def test_entries_are_filtered_by_code_and_run(acme: Company, alice: Any, browse: Any, api: Api) -> None:
    first, second = kept(api), kept(api)
    browser = browse(alice)
    page = shown(acme, browser, run=first.root)
    assert f"runs/{first.root}" in page
    assert f"runs/{second.root}" not in page
    assert "No entry matches" in shown(acme, browser, code="data")
    assert f"runs/{second.root}" in shown(acme, browser, code="unknown_kind")


def test_an_empty_quarantine_says_so(acme: Company, alice: Any, browse: Any) -> None:
    assert "Everything that your runs told was taken." in shown(acme, browse(alice))


def test_what_can_be_taken_now_is_taken(acme: Company, alice: Any, browse: Any, api: Api) -> None:
    journal = kept(api, number=2)
    log, other = entries(acme)
    text = encode(journal.log("late", seq=log.seq)).decode()
    with acme.scope():
        JournalQuarantine.objects.filter(id=log.id).update(entry=text)
    browser = browse(alice)
    answer = browser.post(f"{acme.path}quarantine/replay", {"id": [log.id, other.id, "nonsense"]}, follow=True)
    page = " ".join(answer.content.decode().split())
    assert "1 entry was taken." in page
    assert "1 entry was not taken; the code says why." in page
    assert [each.id for each in entries(acme)] == [other.id]


def test_the_chosen_ones_are_deleted(acme: Company, alice: Any, browse: Any, api: Api) -> None:
    kept(api, number=3)
    first, second, third = entries(acme)
    browse(alice).post(f"{acme.path}quarantine/drop", {"id": [first.id, third.id]})
    assert [each.id for each in entries(acme)] == [second.id]


def test_who_may_not_edit_changes_nothing(acme: Company, bob: Any, browse: Any, api: Api) -> None:
    kept(api)
    for action in ("replay", "drop"):
        response = browse(bob).post(f"{acme.path}quarantine/{action}", {"id": [entries(acme)[0].id]})
        assert response.status_code == 403
    assert len(entries(acme)) == 1


def test_entries_of_another_workspace_stay(acme: Company, alice: Any, browse: Any, api: Api) -> None:
    from tenants.provisioning import create_workspace

    kept(api)
    with acme.scope():
        create_workspace(organization=acme.organization, name="Second")
    ids = {"id": [entries(acme)[0].id, uuid7()]}
    browse(alice).post("/o/acme/second/quarantine/drop", ids)
    assert len(entries(acme)) == 1


def test_the_run_and_the_dashboard_lead_there(acme: Company, alice: Any, browse: Any, api: Api) -> None:
    journal = kept(api, number=2)
    browser = browse(alice)
    assert f"quarantine?run={journal.root}" in browser.get(f"{acme.path}runs/{journal.root}").content.decode()
    assert "2 journal entries could not be taken" in browser.get(acme.path).content.decode()


def test_the_page_has_a_bounded_number_of_queries(
    acme: Company, alice: Any, browse: Any, api: Api, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        kept(api, number=3)
    browser = browse(alice)
    shown(acme, browser)
    with django_assert_max_num_queries(21):
        shown(acme, browser)
