"""Where the open month leads, meter by meter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean, pstdev

from django.utils.timezone import now

from runs.usage.meters import Days, Meter, month_of
from tenants.billing.months import Month

LOOKED_BACK = 28  # days that a forecast is made of


@dataclass(frozen=True, slots=True)
class Forecast:
    """A meter by the month's end: expected, and between which numbers."""

    expected: int
    low: int
    high: int


def forecast(meter: Meter, days: Days, month: Month) -> Forecast | None:
    """What the open month leads to; None for a closed one, or before a whole day was seen.

    Args:
        days: Those of the month, and of the `LOOKED_BACK` days before today.
    """
    today = now().date()
    if Month.of(today) != month:
        return None
    if meter.month == "sum":
        return _like_the_last_days(days, month, today)
    return _as_it_is(meter, days, month)


def _like_the_last_days(days: Days, month: Month, today: date) -> Forecast | None:
    """Each day that is left, and what is left of today, is expected as the mean of the last 28; the range is twice the
    deviation of such a sum.
    """
    seen = {day: value for day, value in days.items() if today - timedelta(days=LOOKED_BACK) <= day < today}
    if not seen:
        return None
    first = min(seen)
    values = [seen.get(first + timedelta(days=number), 0) for number in range((today - first).days)]
    used = sum(value for day, value in days.items() if day >= month.first)
    left = (month.end - now()) / timedelta(days=1)
    expected = used + round(fmean(values) * left)
    spread = round(2 * pstdev(values) * left**0.5)
    return Forecast(expected, max(expected - spread, used), expected + spread)


def _as_it_is(meter: Meter, days: Days, month: Month) -> Forecast | None:
    """What is measured, not used up, is expected to stay on its last day's level."""
    own = [day for day in days if day >= month.first]
    if not own:
        return None
    last = max(own)
    ahead = {last + timedelta(days=n): days[last] for n in range(1, (month.following.first - last).days)}
    expected = month_of(meter, days | ahead, month)
    return Forecast(expected, expected, expected)
