"""When a schedule is due: the times of crons, intervals and recurrence rules, right through changes of the clock.

* A cron follows the wall clock of its zone: a time that the clock skips in spring is made up for just after; one that
  comes twice in autumn is due once if the cron names its hour, and twice if it names every hour.
* An interval of whole days is counted in days of the zone's calendar, so it stays at its hour. Any other one is
  absolute: the anchor, and every so many seconds from it.
* A recurrence rule follows RFC 5545: a skipped time is meant by the clock before the change, so 02:30 is 03:30; one
  that comes twice is the first. A rule that repeats itself within a day is due as often as its clock shows its times.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator import rrule
from orchestrator.crons import check_cron
from orchestrator.schedules import LONGEST, SHORTEST, check_timezone

ANCHOR = datetime(2020, 1, 1)
DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Times:
    """What decides when a schedule is due. `kind` is cron, interval or rrule; an interval is in seconds."""

    kind: str
    cron: str = ""
    day_or: bool = True
    interval: float | None = None
    anchor: datetime | None = None
    rrule: str = ""
    timezone: str = "UTC"


class ScheduleRefusal(ValueError):
    """A schedule that has no next time. `fields` maps the part that is wrong to what to write instead."""

    def __init__(self, message: str, **fields: str) -> None:
        super().__init__(message)
        self.fields = fields

    def beneath(self, where: str) -> dict[str, str]:
        """The fields, beneath the place where the schedule stood; those of the whole are told of its cron."""
        return {".".join(part for part in (where, name) if part) or "cron": told for name, told in self.fields.items()}


def check(schedule: Times, after: datetime) -> None:
    """Refuse a schedule that has no time after a moment.

    Raises:
        ScheduleRefusal: It is none, or it names no time within ten years.
    """
    try:
        check_timezone(schedule.timezone)
    except ValueError as error:
        raise ScheduleRefusal(str(error), timezone="Use an IANA name such as Europe/Berlin, or UTC.") from error
    if schedule.kind == "interval":
        if schedule.interval is None or not SHORTEST <= schedule.interval <= LONGEST:
            raise ScheduleRefusal("An interval is 1 s to 10 years.", interval=f"Seconds, 1 to {LONGEST:.0f}.")
    elif schedule.kind == "cron":
        _check_cron(schedule, after)
    else:
        _check_rrule(schedule, after)


def _check_cron(schedule: Times, after: datetime) -> None:
    from cronsim import CronSimError

    try:
        next(_cron_times(schedule, after))
    except (CronSimError, StopIteration) as error:
        message = f"{_wrong_in_cron(schedule.cron)}Five fields: minute hour day month weekday, as in `0 6 * * 1-5`."
        raise ScheduleRefusal(f"{schedule.cron!r:.210} is no cron expression.", cron=message) from error


def _wrong_in_cron(cron: str) -> str:
    """Which field of a cron is wrong, in front of a sentence.

    >>> _wrong_in_cron("0 25 * * *")
    "The hour '25' is not between 0 and 23. "
    """
    try:
        check_cron(cron)
    except ValueError as error:
        told = str(error).partition(" is no cron expression: ")[2][:200]
        return f"{told[:1].upper()}{told[1:]} "
    return ""


def _check_rrule(schedule: Times, after: datetime) -> None:
    try:
        read = rrule.parse(schedule.rrule, schedule.timezone)
    except ValueError as error:
        raise ScheduleRefusal(f"The recurrence rule can't be taken: {error}", rrule=str(error)) from error
    if read.zone is not None and read.zone != schedule.timezone:
        message = f"The rule's own is {read.zone}."
        raise ScheduleRefusal("The rule names another timezone than the schedule.", timezone=message)
    if next(_rrule_times(schedule, after), None) is None:
        raise ScheduleRefusal("The rule names no time within ten years.", rrule="It has no next time.")


def times_after(schedule: Times, after: datetime) -> Iterator[datetime]:
    """The times after a moment, UTC, in order."""
    if schedule.kind == "interval":
        return _interval_times(schedule, after)
    return _cron_times(schedule, after) if schedule.kind == "cron" else _rrule_times(schedule, after)


def next_time(schedule: Times, after: datetime) -> datetime | None:
    """The first time after a moment, UTC; None when there is none."""
    return next(times_after(schedule, after), None)


def last_times(schedule: Times, since: datetime, until: datetime, number: int) -> list[datetime]:
    """The last `number` times from `since` to `until`, in order: looked for from the end, over spans that double."""
    span = timedelta(minutes=1)
    while True:
        begin = max(since - timedelta(microseconds=1), until - span)
        found = deque(_until(times_after(schedule, begin), until), maxlen=number)
        if len(found) == number or begin < since:
            return list(found)
        span *= 2


def _until(times: Iterable[datetime], until: datetime) -> Iterator[datetime]:
    for at in times:
        if at > until:
            return
        yield at


def preview(schedule: Times, after: datetime, number: int) -> list[dict[str, Any]]:
    """The next times, each in UTC and by the schedule's clock, with a word on what that clock does before it."""
    zone = ZoneInfo(schedule.timezone)
    offset = after.astimezone(zone).utcoffset()
    told: list[dict[str, Any]] = []
    for at in islice(times_after(schedule, after), number):
        local = at.astimezone(zone)
        changed, offset = (local.utcoffset() or timedelta()) - (offset or timedelta()), local.utcoffset()
        told.append({"at": at, "local": local.isoformat(), "zone": local.tzname() or "", "clock": _change(changed)})
    return told


def _change(by: timedelta) -> str:
    """Of a change of the clock.

    >>> _change(timedelta(hours=1)), _change(timedelta(minutes=-30)), _change(timedelta())
    ('forward by 1 h', 'back by 30 min', '')
    """
    if not by:
        return ""
    minutes = abs(by) // timedelta(minutes=1)
    length = " ".join(f"{number} {unit}" for number, unit in ((minutes // 60, "h"), (minutes % 60, "min")) if number)
    return f"{'forward' if by > timedelta() else 'back'} by {length}"


def _cron_times(schedule: Times, after: datetime) -> Iterator[datetime]:
    """`day_or`: of day and weekday one is enough, as cron has it."""
    from cronsim import CronSim

    times = CronSim(schedule.cron, after.astimezone(ZoneInfo(schedule.timezone)))
    times.day_and = times.day_and or not schedule.day_or
    # Asked within the hour that comes twice, it begins with the first one.
    return (at for at in (each.astimezone(UTC) for each in times) if at > after)


def _interval_times(schedule: Times, after: datetime) -> Iterator[datetime]:
    seconds = float(schedule.interval or 0)
    if seconds % 86_400 == 0 and schedule.timezone != "UTC":
        yield from _day_times(schedule, round(seconds / 86_400), after)
        return
    anchor = schedule.anchor or ANCHOR.replace(tzinfo=UTC)
    count = math.floor((after - anchor).total_seconds() / seconds) + 1
    while True:
        at = anchor + timedelta(seconds=count * seconds)
        if at > after:  # Not so for what the last digit of a float adds to it.
            yield at.astimezone(UTC)
        count += 1


def _day_times(schedule: Times, days: int, after: datetime) -> Iterator[datetime]:
    zone = ZoneInfo(schedule.timezone)
    anchor = schedule.anchor.astimezone(zone).replace(tzinfo=None) if schedule.anchor else ANCHOR
    step = timedelta(days=days)
    local = anchor + (after.astimezone(zone).replace(tzinfo=None) - anchor - DAY) // step * step
    while local.year < 9_000:
        at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if at > after:
            yield at
        local += step


def _rrule_times(schedule: Times, after: datetime) -> Iterator[datetime]:
    """A wall clock that is changed shows times out of order: each waits until no earlier one can come."""
    zone = ZoneInfo(schedule.timezone)
    read = rrule.parse(schedule.rrule, schedule.timezone)
    begin = after.astimezone(zone).replace(tzinfo=None) - _changed_around(after, zone)
    waiting: list[datetime] = []
    last = after
    for wall in read.after(begin):
        moments = _shown(wall, zone) if read.within_days else [wall.replace(tzinfo=zone, fold=0).astimezone(UTC)]
        for at in moments:
            heapq.heappush(waiting, at)
        certain = min(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        while waiting and waiting[0] <= certain:
            at = heapq.heappop(waiting)
            if at > last:
                last = at
                yield at
    for at in sorted(set(waiting)):
        if at > last:
            yield at


def _changed_around(moment: datetime, zone: ZoneInfo) -> timedelta:
    """How much earlier to begin, where the clock is changed about that time; mostly not at all."""
    offsets = [(moment + step).astimezone(zone).utcoffset() or timedelta() for step in (-DAY, timedelta(), DAY)]
    changed = max(offsets) - min(offsets)
    return changed + _SECOND if changed else timedelta()


def _shown(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """When a clock shows this time: not at all, once, or twice."""
    moments = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(at for at in moments if at.astimezone(zone).replace(tzinfo=None) == wall)
