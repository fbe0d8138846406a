"""2.8: pages of limits: who holds, who waits since when; slots edited, deactivated, taken away; all in the trail."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from orchestrator.ids import uuid7
from runs.models import NamedLimit, Slot
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.runs.pages import page
from tests.runs.work import claimed_run
from tests.server.things_of_acme import limit_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def limit(acme: Company, api: Api) -> UUID:
    """A limit with a holder and a waiter."""
    return limit_of(acme, api)


def post(company: Company, browser: Any, path: str, **data: str) -> Any:
    return browser.post(f"{company.path}{path}", data, follow=True)


def trail(company: Company) -> list[str]:
    with company.scope():
        found = AuditEntry.objects.filter(action__startswith="limit.").order_by("at", "id")
        return list(found.values_list("action", flat=True))


def row(company: Company, id: UUID) -> NamedLimit:
    with company.scope():
        return NamedLimit.objects.get(id=id)


def test_the_list_and_a_limit(acme: Company, vera: Any, browse: Any, limit: UUID) -> None:
    browser = browse(vera)
    listed = page(acme, browser, "limits")
    assert "acme-limit" in listed
    assert "1 of 1" in listed
    assert "New limit" not in listed  # A viewer only looks.
    assert "No limit matches" in page(acme, browser, "limits", prefix="x")
    shown = page(acme, browser, f"limits/{limit}")
    assert "acme-holder 0" in shown
    assert "acme-holder 1" in shown
    assert "Take away" not in shown


def test_an_empty_list_says_how_to_fill_it(acme: Company, vera: Any, browse: Any) -> None:
    assert "concurrency(" in page(acme, browse(vera), "limits")


def test_a_limit_is_made_and_changed_by_a_form(acme: Company, alice: Any, browse: Any) -> None:
    browser = browse(alice)
    made = post(acme, browser, "limits/new", kind="tag", name="gpu", slots="2", rate="", active="on")
    assert b"The limit tag:gpu is there." in made.content
    assert (
        b"There is a limit of this name" in post(acme, browser, "limits/new", kind="tag", name="gpu", slots="2").content
    )
    with acme.scope():
        limit = NamedLimit.objects.get()
    assert (limit.name, limit.slots, limit.active) == ("tag:gpu", 2, True)
    post(acme, browser, f"limits/{limit.id}/edit", slots="5", rate="0,5", active="on")
    limit = row(acme, limit.id)
    assert (limit.slots, limit.rate) == (5, 0.5)
    assert trail(acme) == ["limit.created", "limit.updated"]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"slots": "many"}, "Enter a whole number."),
        ({"slots": "1", "rate": "fast"}, "Enter a number."),
        ({"slots": "1", "rate": "-1"}, "0 for none"),
        ({"slots": ""}, "How many at once?"),
        ({"slots": "1", "name": ""}, "1 to 500 characters"),
    ],
)
def test_what_can_not_be_taken_is_told_beside_its_field(
    acme: Company, alice: Any, browse: Any, typed: dict[str, str], told: str
) -> None:
    answer = post(acme, browse(alice), "limits/new", **{"kind": "name", "name": "a", **typed})
    assert answer.status_code == 400
    assert told in answer.content.decode()


def test_it_is_switched_off_and_on_and_deleted(acme: Company, alice: Any, browse: Any, limit: UUID) -> None:
    browser = browse(alice)
    post(acme, browser, f"limits/{limit}/switch")
    assert not row(acme, limit).active
    with acme.scope():
        assert not Slot.objects.filter(held_at=None).exists()
    post(acme, browser, f"limits/{limit}/switch")
    assert row(acme, limit).active
    post(acme, browser, f"limits/{limit}/remove")
    assert trail(acme) == ["limit.created", "limit.updated", "limit.updated", "limit.deleted"]


def test_a_slot_is_taken_away_by_hand(acme: Company, alice: Any, browse: Any, limit: UUID) -> None:
    browser = browse(alice)
    with acme.scope():
        held = Slot.objects.exclude(held_at=None).get()
    assert b"was taken away" in post(acme, browser, f"limits/{limit}/take-away", ask=str(held.ask)).content
    with acme.scope():
        assert Slot.objects.exclude(held_at=None).get().label == "acme-holder 1"
        entry = AuditEntry.objects.get(action="limit.slot_taken_away")
    assert entry.details == {"run": "", "holder": "acme-holder 0", "occupied": 1}
    for text in (str(held.ask), "nonsense"):
        assert b"does not hold a slot" in post(acme, browser, f"limits/{limit}/take-away", ask=text).content
    assert b"Taken away: 1." in post(acme, browser, f"limits/{limit}/take-away").content


def test_a_run_that_holds_is_linked(acme: Company, vera: Any, browse: Any, limit: UUID) -> None:
    _, claimed = claimed_run(acme)
    Api(claimed.token).post(
        "/slots", {"session": str(uuid7()), "asks": [{"id": str(uuid7()), "names": ["acme-limit"]}]}
    )
    assert f"/runs/{claimed.run}" in page(acme, browse(vera), f"limits/{limit}")


def test_budget(
    acme: Company, vera: Any, browse: Any, limit: UUID, api: Api, django_assert_max_num_queries: Any
) -> None:
    """2.8: any number of limits and holders costs the same number of queries."""
    browser = browse(vera)
    for number in range(20):
        api.put(f"/limits/more-{number}", {"slots": 1})
        asks = [{"id": str(uuid7()), "names": [f"more-{number}", "acme-limit"]} for _ in range(2)]
        api.post("/slots", {"session": str(uuid7()), "asks": asks})
    for path in ("limits", f"limits/{limit}"):
        page(acme, browser, path)
        with django_assert_max_num_queries(32):
            page(acme, browser, path)
