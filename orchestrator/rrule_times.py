"""Which times a recurrence rule names (RFC 5545, 3.3.10), on the wall clock.

Days are looked at one by one, and no search takes more than `WORK` steps or goes beyond `HORIZON`. So any rule costs
milliseconds: one that names no day, or a second that its interval never meets, ends here instead of searching until
the year 9999.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY, SECONDLY = range(7)
HORIZON = 3_660  # days from one time to the next
WORK = 20_000  # steps
LAST_YEAR = 9_000
DAY = timedelta(days=1)
_UNITS = {HOURLY: 3_600, MINUTELY: 60, SECONDLY: 1}  # seconds

Step = tuple[int, date, list[datetime]]
"""What a step cost, the day it has come to, and the times it found."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One RRULE. Empty sets leave everything be; `weekdays` are (nth, day), nth 0 for each, days from Monday, 0."""

    frequency: int
    start: datetime
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    months: frozenset[int] = frozenset()
    monthdays: frozenset[int] = frozenset()
    yeardays: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    weekdays: frozenset[tuple[int, int]] = frozenset()
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    seconds: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after a moment, in order. With a count, they are counted from the start."""
        begin = self.start if self.count is not None else max(moment, self.start)
        last, left, count = begin.date(), WORK, 0
        for cost, reached, found in self._steps(begin):
            for at in found:
                if at < self.start:
                    continue
                count += 1
                if (self.until is not None and at > self.until) or (self.count is not None and count > self.count):
                    return
                last = at.date()
                if at > moment:
                    left = WORK
                    yield at
            left -= cost
            if left <= 0 or (reached - last).days > HORIZON or reached.year > LAST_YEAR:
                return

    def _steps(self, begin: datetime) -> Iterator[Step]:
        return self._within_days(begin) if self.frequency >= HOURLY else self._by_day(begin)

    # Of days, weeks, months and years.

    def _by_day(self, begin: datetime) -> Iterator[Step]:
        times = [
            time(hour, minute, second) for hour in self.hours for minute in self.minutes for second in self.seconds
        ]
        for days in self._periods(begin.date()):
            chosen = [day for day in days if self._names(day)]
            yield len(days), days[0] if days else begin.date(), []
            if self.positions:
                yield len(chosen), chosen[-1] if chosen else days[0], self._at_positions(chosen, times)
                continue
            for day in chosen:
                if day >= begin.date():
                    yield len(times), day, [datetime.combine(day, at) for at in times]

    def _at_positions(self, days: list[date], times: list[time]) -> list[datetime]:
        """BYSETPOS: some of the times of a period, counted from its begin or its end."""
        number = len(days) * len(times)
        places = {place - 1 if place > 0 else number + place for place in self.positions}
        chosen = (divmod(place, len(times)) for place in sorted(places) if 0 <= place < number)
        return [datetime.combine(days[day], times[at]) for day, at in chosen]

    def _periods(self, begin: date) -> Iterator[list[date]]:
        """The days of each period, from the one that holds `begin`, or from one before it."""
        start, every = self.start.date(), self.interval
        if self.frequency == YEARLY:
            for year in range(start.year + (begin.year - start.year) // every * every, LAST_YEAR, every):
                yield [day for month in sorted(self.months) or range(1, 13) for day in _month(year, month)]
        elif self.frequency == MONTHLY:
            first, now = start.year * 12 + start.month - 1, begin.year * 12 + begin.month - 1
            for month in range(first + (now - first) // every * every, LAST_YEAR * 12, every):
                yield _month(month // 12, month % 12 + 1)
        else:
            length = 7 if self.frequency == WEEKLY else 1
            first = start - timedelta(days=(start.weekday() - self.week_start) % 7 if length == 7 else 0)
            step = timedelta(days=length * every)
            first += (begin - first) // step * step
            while first.year < LAST_YEAR:
                yield [first + timedelta(days=number) for number in range(length)]
                first += step

    # Of hours, minutes and seconds.

    def _within_days(self, begin: datetime) -> Iterator[Step]:
        day, earliest = begin.date(), (begin.hour * 60 + begin.minute) * 60 + begin.second
        while day.year < LAST_YEAR:
            yield 1, day, []
            if self._names(day):
                for found in self._within(day, earliest):
                    yield max(len(found), 1), day, found
            day, earliest = day + DAY, 0

    def _within(self, day: date, earliest: int) -> Iterator[list[datetime]]:
        """The times of each period within a day, from the period that holds its second `earliest`."""
        unit = _UNITS[self.frequency]
        since = (datetime.combine(day, time()) - self.start.replace(minute=0, second=0)).total_seconds()
        start = 0 if self.frequency == HOURLY else self.start.minute * 60
        start += self.start.second if self.frequency == SECONDLY else 0
        base = (int(since) - start) // unit
        if not self._met(base, 0, 86_400 // unit):
            return
        for hour in self.hours or range(24):
            if (hour + 1) * 3_600 <= earliest:
                continue
            if self.frequency == HOURLY:
                yield self._of_hour(day, hour) if self._met(base, hour, 1) else []
            elif self._met(base, hour * 3_600 // unit, 3_600 // unit):
                yield from self._of_minutes(day, hour, base, earliest)

    def _of_hour(self, day: date, hour: int) -> list[datetime]:
        every = [time(hour, minute, second) for minute in self.minutes for second in self.seconds]
        return self._some(day, every)

    def _of_minutes(self, day: date, hour: int, base: int, earliest: int) -> Iterator[list[datetime]]:
        for minute in self.minutes or range(60):
            number = hour * 60 + minute
            if (number + 1) * 60 <= earliest:
                continue
            if self.frequency == MINUTELY:
                every = [time(hour, minute, second) for second in self.seconds] if self._met(base, number, 1) else []
                yield self._some(day, every)
                continue
            met = [unit - number * 60 for unit in self._met(base, number * 60, 60)]
            for second in met:
                if not self.seconds or second in self.seconds:
                    yield self._some(day, [time(hour, minute, second)])
            yield []

    def _met(self, base: int, first: int, number: int) -> range:
        """Of `number` periods of a day from `first`, those that the interval meets."""
        return range(first + -(base + first) % self.interval, first + number, self.interval)

    def _some(self, day: date, every: list[time]) -> list[datetime]:
        if self.positions:
            return self._at_positions([day], every) if every else []
        return [datetime.combine(day, at) for at in every]

    # Which days.

    def _names(self, day: date) -> bool:
        return (
            (not self.months or day.month in self.months)
            and (not self.weeks or self._in_weeks(day))
            and (not self.yeardays or _counted(day.timetuple().tm_yday, _days_in(day.year), self.yeardays))
            and (not self.monthdays or _counted(day.day, monthrange(day.year, day.month)[1], self.monthdays))
            and (not self.weekdays or self._is_weekday(day))
        )

    def _is_weekday(self, day: date) -> bool:
        own = day.weekday()
        return any(each == own and (not nth or self._is_nth(day, nth)) for nth, each in self.weekdays)

    def _is_nth(self, day: date, nth: int) -> bool:
        """The nth such weekday is one of its month, or of its year in a yearly rule that names no months."""
        if self.frequency == YEARLY and not self.months:
            number, length = day.timetuple().tm_yday, _days_in(day.year)
        else:
            number, length = day.day, monthrange(day.year, day.month)[1]
        return nth == ((number - 1) // 7 + 1 if nth > 0 else -((length - number) // 7 + 1))

    def _in_weeks(self, day: date) -> bool:
        """The first week of a year has four of its days at least."""
        fourth = day + timedelta(days=3 - (day.weekday() - self.week_start) % 7)
        number = (fourth.timetuple().tm_yday - 1) // 7 + 1
        last = date(fourth.year, 12, 28)
        most = ((last + timedelta(days=3 - (last.weekday() - self.week_start) % 7)).timetuple().tm_yday - 1) // 7 + 1
        return _counted(number, most, self.weeks)


def _month(year: int, month: int) -> list[date]:
    return [date(year, month, day) for day in range(1, monthrange(year, month)[1] + 1)]


def _days_in(year: int) -> int:
    return 337 + monthrange(year, 2)[1]


def _counted(number: int, length: int, wanted: frozenset[int]) -> bool:
    """Say whether the number is wanted, counted from the begin or, below zero, from the end."""
    return number in wanted or number - length - 1 in wanted
