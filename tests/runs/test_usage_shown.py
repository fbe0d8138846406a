"""The values of the usage page, from fixed days: sums by day, shares, and the forecast."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runs.usage import forecasts
from runs.usage.forecasts import LOOKED_BACK, Forecast, forecast
from runs.usage.meters import SHOWN, days_between, each_day, month_of
from runs.usage.shown import Share, shares
from tenants.billing.models import MeterDay, TagDay, UsageDay
from tenants.billing.months import Month
from tests.cast import Company
from tests.runs import work

pytestmark = pytest.mark.django_db

MAY = Month(date(2026, 5, 1))
GONE = UUID(int=7)


def use(company: Company, day: date, task_runs: int = 0, **more: Any) -> None:
    own = {"workspace_id": company.workspace.id, "retention": 30, "bucket": day, **more}
    with company.scope():
        UsageDay.objects.create(organization=company.organization, day=day, task_runs=task_runs, **own)


def may(day: int) -> date:
    return date(2026, 5, day)


def measure(company: Company, day: date, meter: str, amount: int, kind: str = "", **more: Any) -> None:
    own = {"workspace_id": company.workspace.id, **more}
    with company.scope():
        MeterDay.objects.create(
            organization=company.organization, day=day, meter=meter, kind=kind, amount=amount, **own
        )


def days_of(company: Company, month: Month, meter: str) -> list[int]:
    with company.scope():
        found = days_between(company.organization.id, month.first, month.following.first)
    return each_day(found[meter], month)


def come_to(company: Company, meter: str, month: Month = MAY) -> int:
    """What a meter's month comes to, of the days around it, too."""
    with company.scope():
        found = days_between(company.organization.id, month.former.first, month.following.following.first)
    return month_of(SHOWN[meter], found[meter], month)


def foreseen(
    company: Company, monkeypatch: pytest.MonkeyPatch, today: date, month: Month, meter: str = "task_runs"
) -> Any:
    """The forecast, asked for at noon."""
    monkeypatch.setattr(forecasts, "now", lambda: datetime(today.year, today.month, today.day, 12, tzinfo=UTC))
    with company.scope():
        first = min(month.first, date.fromordinal(today.toordinal() - LOOKED_BACK - 9))
        found = days_between(company.organization.id, first, month.following.first)
    return forecast(SHOWN[meter], found[meter], month)


def split(company: Company, by: str, meter: str = "task_runs") -> list[tuple[str, str, int, float]]:
    """(name, place, the meter, share) of each row."""
    with company.scope():
        rows, left_out = shares(company.organization.id, MAY, by, meter)
    assert left_out == 0
    return [(row.name, row.place, row.meters[meter], row.share) for row in rows]


# ── days ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_month_without_usage_has_a_zero_for_each_day(acme: Company) -> None:
    for month in (MAY, Month(date(2026, 2, 1))):
        assert days_of(acme, month, "task_runs") == [0] * month.days


def test_days_are_summed_and_those_of_other_months_left_out(acme: Company, globex: Company) -> None:
    use(acme, date(2026, 4, 30), 1_000)
    use(acme, may(1), 2)
    use(acme, may(1), 3, deployment_id=GONE)
    use(acme, may(31), 7, log_bytes=90)
    use(acme, date(2026, 6, 1), 1_000)
    use(globex, may(1), 1_000)
    assert days_of(acme, MAY, "task_runs") == [5, *[0] * 29, 7]
    assert days_of(acme, MAY, "log_bytes") == [*[0] * 30, 90]


# ── shares ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["workspace", "deployment", "day"])
def test_nothing_has_no_shares(acme: Company, by: str) -> None:
    use(acme, date(2026, 4, 30), 9)
    assert split(acme, by) == []


def test_shares_by_workspace_begin_with_the_largest_and_keep_deleted_ones(acme: Company) -> None:
    use(acme, may(1), 10)
    use(acme, may(20), 15)
    use(acme, may(2), 75, workspace_id=GONE)
    assert split(acme, "workspace") == [("a deleted workspace", "", 75, 0.75), ("Main", "", 25, 0.25)]


def test_shares_by_deployment_tell_their_workspace(acme: Company) -> None:
    deployment = work.deploy(acme)
    use(acme, may(1), 60, deployment_id=deployment.id)
    use(acme, may(2), 30)
    use(acme, may(3), 10, deployment_id=GONE)
    with acme.scope():
        name = str(deployment)
    assert split(acme, "deployment") == [
        (name, "Main", 60, 0.6), ("Called by hand", "Main", 30, 0.3), ("A deleted deployment", "Main", 10, 0.1),
    ]  # fmt: skip


def test_shares_by_day_are_in_the_days_order(acme: Company) -> None:
    use(acme, may(31), 1)
    use(acme, may(1), 3)
    assert split(acme, "day") == [("1 May", "", 3, 0.75), ("31 May", "", 1, 0.25)]


def test_each_meter_has_shares_and_an_order_of_its_own(acme: Company) -> None:
    use(acme, may(1), 3, log_bytes=100, run_time=2_000_000, cpu=50, flow_runs=1)
    use(acme, may(1), 1, log_bytes=300, run_time=6_000_000, cpu=150, flow_runs=3, workspace_id=GONE)
    assert [row[2:] for row in split(acme, "workspace")] == [(3, 0.75), (1, 0.25)]
    for meter, most in (("log_bytes", 300), ("run_time", 6_000_000), ("cpu", 150), ("flow_runs", 3)):
        assert split(acme, "workspace", meter)[0] == ("a deleted workspace", "", most, 0.75)
    with acme.scope():
        [first, _], _ = shares(acme.organization.id, MAY, "workspace", "task_runs")
    meters = {"flow_runs": 1, "task_runs": 3, "log_bytes": 100, "run_time": 2_000_000, "cpu": 50}
    assert first == Share(acme.workspace.id, "Main", "", meters, 0.75)


def test_a_meter_that_nothing_was_used_of_has_rows_without_a_share(acme: Company) -> None:
    use(acme, may(1), 3)
    assert split(acme, "workspace", "cpu") == [("Main", "", 0, 0.0)]


def test_what_a_table_leaves_out_is_counted_and_in_the_whole(acme: Company) -> None:
    for number in (1, 2, 3, 4):
        use(acme, may(number), number, workspace_id=UUID(int=number))
    with acme.scope():
        rows, left_out = shares(acme.organization.id, MAY, "workspace", "task_runs", most=2)
    assert ([row.share for row in rows], left_out) == ([0.4, 0.3], 2)


def test_shares_by_tag_overlap_and_are_parts_of_the_whole(acme: Company) -> None:
    """6.3: what runs of several tags used stands under each; the rest of a day's tags comes under one name."""
    use(acme, may(1), 100)
    for tag, number in (("etl", 80), ("nightly", 60), ("", 5)):
        own = {"workspace_id": acme.workspace.id, "retention": 30, "bucket": may(1)}
        with acme.scope():
            TagDay.objects.create(organization=acme.organization, day=may(1), tag=tag, task_runs=number, **own)
    assert split(acme, "tag") == [("etl", "", 80, 0.8), ("nightly", "", 60, 0.6), ("Other tags", "", 5, 0.05)]


def test_calls_are_split_by_credential_and_workspace(acme: Company) -> None:
    measure(acme, may(1), "api_calls", 30, "agent")
    measure(acme, may(2), "api_calls", 60, "agent")
    measure(acme, may(2), "api_calls", 10, "personal", workspace_id=GONE)
    assert split(acme, "credential", "api_calls") == [("Agents", "", 90, 0.9), ("Personal keys", "", 10, 0.1)]
    assert split(acme, "workspace", "api_calls") == [("Main", "", 90, 0.9), ("a deleted workspace", "", 10, 0.1)]
    assert (days_of(acme, MAY, "api_calls")[:3], come_to(acme, "api_calls")) == ([30, 70, 0], 100)


def test_storage_of_a_month_is_the_mean_of_its_measured_days(acme: Company) -> None:
    """6.3: what is kept isn't used up: two days of 10 GB are 10 GB."""
    for day in (may(3), may(4)):
        measure(acme, day, "storage", 7_000, "logs")
        measure(acme, day, "storage", 3_000, "code", workspace_id=None)
    measure(acme, date(2026, 4, 30), "storage", 99_000, "logs")
    assert (come_to(acme, "storage"), come_to(acme, "storage", MAY.following)) == (10_000, 0)
    assert split(acme, "content", "storage") == [
        ("Log messages", "", 7_000, 0.7), ("Bundles of code", "", 3_000, 0.3),
    ]  # fmt: skip
    assert split(acme, "workspace", "storage") == [
        ("Main", "", 7_000, 0.7), ("All workspaces together", "", 3_000, 0.3),
    ]  # fmt: skip


def test_a_table_of_storage_asks_the_same_for_one_row_and_for_many(acme: Company) -> None:
    asked = []
    for kind in ("logs", "code", "blocks"):
        measure(acme, may(1), "storage", 7_000, kind)
        with acme.scope(), CaptureQueriesContext(connection) as queries:
            shares(acme.organization.id, MAY, "content", "storage")
        asked.append(len(queries))
    assert len(set(asked)) == 1


def test_seats_of_a_month_are_those_of_its_fullest_day(acme: Company) -> None:
    for day, people in ((may(3), 4), (may(4), 9), (may(5), 2)):
        measure(acme, day, "seats", people, workspace_id=None)
    assert come_to(acme, "seats") == 9
    assert [row[:3] for row in split(acme, "day", "seats")] == [("3 May", "", 4), ("4 May", "", 9), ("5 May", "", 2)]


# ── forecast ─────────────────────────────────────────────────────────────────────────────────────


def test_without_a_whole_day_nothing_is_foreseen(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    assert foreseen(acme, monkeypatch, may(10), MAY) is None
    use(acme, may(10), 50)
    assert foreseen(acme, monkeypatch, may(10), MAY) is None


@pytest.mark.parametrize("month", [MAY.former, MAY.following])
def test_only_the_open_month_leads_anywhere(acme: Company, monkeypatch: pytest.MonkeyPatch, month: Month) -> None:
    use(acme, may(9), 50)
    assert foreseen(acme, monkeypatch, may(10), month) is None


def test_after_one_day_what_is_left_is_expected_like_it(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    use(acme, may(9), 100)
    use(acme, may(10), 30)  # Today is not over: it is used, and no example of a day.
    assert foreseen(acme, monkeypatch, may(10), MAY) == Forecast(130 + 2_150, 2_280, 2_280)  # 21.5 days are left.


def test_days_that_differ_make_a_range(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    use(acme, may(8), 50)
    use(acme, may(9), 100, deployment_id=GONE)
    use(acme, may(9), 50)
    assert foreseen(acme, monkeypatch, may(10), MAY) == Forecast(2_350, 2_350 - 464, 2_350 + 464)  # 2 · 50 · √21.5


def test_days_without_usage_are_seen_from_the_first_one_with_some(
    acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(acme, may(6), 40)
    assert foreseen(acme, monkeypatch, may(10), MAY) == Forecast(255, 94, 416)  # Four days with a mean of 10.


def test_on_a_months_first_day_the_28_days_before_it_are_seen(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    use(acme, date(2026, 4, 2), 9_999)
    for day in range(3, 31):
        use(acme, date(2026, 4, day), 10)
    use(acme, may(1), 4)
    assert foreseen(acme, monkeypatch, may(1), MAY) == Forecast(309, 309, 309)  # 30.5 days are left.


def test_a_whole_month_leads_to_itself(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 31):
        use(acme, may(day), 20)
    use(acme, may(31), 10)
    assert foreseen(acme, monkeypatch, may(31), MAY) == Forecast(620, 620, 620)


def test_less_than_what_was_used_is_never_expected(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    use(acme, may(25), 100)
    assert foreseen(acme, monkeypatch, may(31), MAY) == Forecast(108, 100, 161)


def test_what_is_kept_is_expected_to_stay(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.3: storage and seats keep the level of their last day; without one in the month nothing is foreseen."""
    measure(acme, date(2026, 4, 30), "storage", 5)
    assert foreseen(acme, monkeypatch, may(1), MAY, "storage") is None
    for day, (size, people) in {1: (100, 9), 2: (200, 3)}.items():
        measure(acme, may(day), "storage", size)
        measure(acme, may(day), "seats", people)
    assert foreseen(acme, monkeypatch, may(2), MAY, "storage").expected == round((100 + 200 * 30) / 31)
    assert foreseen(acme, monkeypatch, may(2), MAY, "seats").expected == 9
    assert foreseen(acme, monkeypatch, may(2), MAY.former, "storage") is None


def test_every_meter_of_runs_has_a_forecast_of_its_own(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    use(acme, may(9), 100, cpu=1_000)
    assert foreseen(acme, monkeypatch, may(10), MAY, "cpu").expected == 1_000 + 21_500
