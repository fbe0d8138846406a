"""One organization's flood leaves room for the others."""

from __future__ import annotations

from uuid import UUID

import pytest

from runs.ingest import budget
from tenants.errors import RateLimited
from tests.cast import Api, Company
from tests.contract.journals import Journal

ONE, OTHER = UUID(int=1), UUID(int=2)


class Clock:
    """A monotonic clock that stands still until it is moved."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, settings: pytest.FixtureRequest) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "time", clock)
    monkeypatch.setattr(budget, "_full_at", {})
    settings.JOURNAL_BYTES_PER_SECOND, settings.JOURNAL_BURST_BYTES = 100, 1_000
    return clock


def refused(organization: UUID, size: int) -> int | None:
    """After how many seconds it fits; None when it was taken."""
    try:
        budget.spend(organization, size)
    except RateLimited as error:
        return error.retry_after
    return None


def test_a_burst_passes_and_a_flood_waits_as_long_as_it_has_to(clock: Clock) -> None:
    assert [refused(ONE, 400) for _ in range(3)] == [None, None, 2]
    assert refused(OTHER, 1_000) is None
    clock.now += 2
    assert refused(ONE, 400) is None
    assert refused(ONE, 1) == 1


def test_a_batch_larger_than_the_bucket_passes_when_it_is_full(clock: Clock) -> None:
    assert refused(ONE, 5_000) is None
    assert refused(ONE, 5_000) == 50
    clock.now += 50
    assert refused(ONE, 5_000) is None


def test_a_refused_batch_costs_nothing(clock: Clock) -> None:
    refused(ONE, 1_000)
    assert [refused(ONE, 500) for _ in range(9)] == [5] * 9
    clock.now += 5
    assert refused(ONE, 500) is None


def test_full_buckets_are_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "REMEMBERED", 10)
    for number in range(10):
        budget.spend(UUID(int=number), 100)
    clock.now += 60
    budget.spend(UUID(int=99), 100)
    assert list(budget._full_at) == [UUID(int=99)]


def test_without_a_rate_there_is_no_bound(clock: Clock, settings: pytest.FixtureRequest) -> None:
    settings.JOURNAL_BYTES_PER_SECOND = 0
    assert refused(ONE, 1 << 40) is None


@pytest.mark.django_db
def test_the_api_says_when_to_come_again_and_keeps_the_place(acme: Company, api: Api, clock: Clock) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    more = [journal.log("x" * 2_000)]
    response = api.post("/journal", journal.body(more))
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "rate_limited"
    clock.now += int(response.headers["Retry-After"])
    assert journal.send(*more)["acked"] == {journal.stream: 2}
