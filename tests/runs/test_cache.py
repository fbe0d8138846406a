"""1.13: pages of the cache: the list, an entry with who made and used it, what is to be computed anew; what is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now

from runs import cache, tasks
from runs.models import CacheEntry
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_cache import cached, used
from tests.runs.pages import page

pytestmark = pytest.mark.django_db


@pytest.fixture
def journal(api: Api) -> Journal:
    """A run that has put a value into the cache, and used it twice."""
    journal = Journal(api)
    journal.send(journal.begin(), cached(journal, "flights"), used(journal, "flights"), used(journal, "flights"))
    return journal


def id_of(company: Company, key: str) -> Any:
    with company.scope():
        return CacheEntry.objects.get(key=key).id


def states(company: Company) -> dict[str, str]:
    with company.scope():
        return {entry.key: entry.state for entry in CacheEntry.objects.all()}


def post(company: Company, browser: Any, **data: str) -> Any:
    return browser.post(f"/o/{company.organization.slug}/{company.workspace.slug}/cache/invalidate", data, follow=True)


def test_the_list_is_narrowed(acme: Company, vera: Any, browse: Any, journal: Journal) -> None:
    """1.13: list entries, by page."""
    journal.send(cached(journal, "week-1", task="flows.load"))
    browser = browse(vera)
    listed = page(acme, browser, "cache")
    assert all(text in listed for text in ("flights", "week-1", f"/runs/{journal.root}", "Live", "120 B"))
    assert "Compute anew" not in listed  # A viewer only looks.
    assert "week-1" not in page(acme, browser, "cache", prefix="fli")
    assert "week-1" in page(acme, browser, "cache", task="flows.load", state="live")
    assert "No entry matches" in page(acme, browser, "cache", state="expired")


def test_an_empty_one_says_how_to_fill_it(acme: Company, vera: Any, browse: Any) -> None:
    assert "cache_policy=INPUTS" in page(acme, browse(vera), "cache")


def test_one_shows_who_made_it_and_who_used_it(acme: Company, vera: Any, browse: Any, journal: Journal) -> None:
    """1.13: inspect an entry, by page."""
    shown = page(acme, browse(vera), f"cache/{id_of(acme, 'flights')}")
    assert "2 hits" in shown
    assert shown.count(f"/runs/{journal.root}") == 3
    assert "s3://lake/cache/acme/main/flights" in shown


def test_values_are_invalidated_by_page(acme: Company, alice: Any, browse: Any, journal: Journal) -> None:
    """1.13: and the audit trail says by whom."""
    journal.send(cached(journal, "day-1"), cached(journal, "week-1", task="flows.load"))
    browser = browse(alice)
    assert "1 value is computed anew" in post(acme, browser, prefix="day").content.decode()
    assert "1 value is computed anew" in post(acme, browser, task="flows.load").content.decode()
    assert states(acme) == {"flights": "live", "day-1": "invalidated", "week-1": "invalidated"}
    assert "1 value is computed anew" in post(acme, browser, all="yes").content.decode()
    assert "No value matches" in post(acme, browser, key="flights").content.decode()
    assert post(acme, browser).status_code == 400
    with acme.scope():
        told = AuditEntry.objects.filter(action="cache.invalidated").order_by("at")
        assert [(each.object_name, each.details["entries"]) for each in told] == [
            ("day", 1), ("flows.load", 1), ("all", 1),
        ]  # fmt: skip


def test_a_bounded_number_is_invalidated_at_once(
    acme: Company, api: Api, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "AT_ONCE", 2)
    journal.send(cached(journal, "day-1"), cached(journal, "day-2"))
    assert api.post("/cache-entries/invalidate", {"all": True}).json() == {"invalidated": 2, "more": True}
    assert api.post("/cache-entries/invalidate", {"all": True}).json() == {"invalidated": 1, "more": False}


def test_many_are_paged_in_a_bounded_number_of_queries(
    acme: Company, vera: Any, browse: Any, journal: Journal, django_assert_max_num_queries: Any
) -> None:
    journal.send(*(cached(journal, f"day-{number:03}") for number in range(120)))
    browser = browse(vera)
    page(acme, browser, "cache/_list")
    with django_assert_max_num_queries(30):
        first = page(acme, browser, "cache/_list")
    assert first.count("data-row") == 50
    assert "cursor=" in first


def test_hostile_words_are_shown_as_text(acme: Company, vera: Any, browse: Any, journal: Journal) -> None:
    hostile = "<script>alert(1)"
    journal.send(cached(journal, hostile, task=hostile))
    browser = browse(vera)
    assert "<script>alert" not in page(acme, browser, "cache") + page(acme, browser, f"cache/{id_of(acme, hostile)}")


def test_entries_are_kept_for_a_while_after_their_end(acme: Company, journal: Journal) -> None:
    """1.13: expired ones go, and those of over a year that nobody used; what was invalidated stays away from calls."""
    journal.send(*(cached(journal, key) for key in ("over", "fresh", "unused", "away")))
    old = now() - timedelta(days=500)
    with acme.scope():
        rows = CacheEntry.objects
        rows.filter(key="over").update(expires_at=now() - timedelta(days=8))
        rows.filter(key="fresh").update(expires_at=now() - timedelta(days=1))
        rows.filter(key__in=["unused", "flights", "away"]).update(made_at=old)
        rows.filter(key="away").update(invalidated_at=old)
    tasks.forget_cache_entries()
    assert sorted(states(acme)) == ["away", "flights", "fresh"]


def test_a_batch_that_comes_twice_counts_once(acme: Company, api: Api) -> None:
    journal = Journal(api)
    lines = [journal.begin(), cached(journal, "flights"), used(journal, "flights")]
    for _ in range(2):
        journal.send(*lines)
    with acme.scope():
        assert CacheEntry.objects.get().hits == 1
