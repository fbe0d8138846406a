"""Dates, times and spans as a person types them, and as JSON holds them (ISO 8601)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# What a browser's control takes; others are emptied by it.
_LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_CLOCK = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_ISO_SPAN = re.compile(r"[-+]?P(?=.)(\d+(\.\d+)?W|(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d{1,6})?S)?)?)")
_WORDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(w|d|h|min|m|s)[a-z]*", re.IGNORECASE)
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "min": 60, "m": 60, "s": 1}
NO_ZONE = "none"


def split(text: str) -> tuple[str, str]:
    """A date-time as the control's text and its zone.

    >>> split("2026-05-19T15:30:00+02:00")
    ('2026-05-19T15:30:00', '+02:00')
    """
    match = re.fullmatch(r"(.{16,23}?)(Z|[+-]\d\d:\d\d)?", text)
    if not match or not _LOCAL.fullmatch(match[1]):
        raise ValueError("A date and time, as 2026-05-19T15:30.")
    return match[1], {"Z": "UTC", None: NO_ZONE}.get(match[2], match[2])


def join(local: str, zone: str) -> str:
    """The date-time that a control's text means in a zone: a name, an offset, UTC, or none.

    >>> join("2026-05-19T15:30", "Europe/Oslo")
    '2026-05-19T15:30:00+02:00'
    """
    try:
        moment = datetime.fromisoformat(local.strip())
    except ValueError:
        raise ValueError("A date and time, as 2026-05-19T15:30.") from None
    if moment.tzinfo or zone == NO_ZONE:
        return moment.isoformat()
    text = _placed(moment, zone).isoformat()
    return text.replace("+00:00", "Z") if zone in {"", "UTC"} else text


def _placed(moment: datetime, zone: str) -> datetime:
    found = moment.replace(tzinfo=_zone(zone))
    if found.astimezone(UTC).astimezone(found.tzinfo).replace(tzinfo=None) != moment:
        raise ValueError(f"That time does not exist in {zone}: the clocks skip it.")
    return found


def _zone(name: str) -> tzinfo:
    if name in {"", "UTC"}:
        return UTC
    if match := _OFFSET.fullmatch(name):
        span = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-span if match[1] == "-" else span)
    try:
        return ZoneInfo(name[:100])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("Choose a time zone, as UTC or Europe/Oslo.") from None


def day(text: str) -> str:
    """An ISO date."""
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise ValueError("A date, as 2026-05-19.") from None


def clock(text: str) -> str:
    """An ISO time of day, with seconds; a zone is kept."""
    try:
        return time.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise ValueError("A time, as 15:30.") from None


def fits_clock(text: str) -> bool:
    """Whether a browser's control can show this time of day."""
    return bool(_CLOCK.fullmatch(text))


def span(text: str) -> str:
    """An ISO 8601 duration of `2h 30m`, or of one that is written so already.

    >>> span("1d 2h 30m"), span("90 s"), span("PT5M")
    ('P1DT2H30M', 'PT1M30S', 'PT5M')
    """
    text = text.strip()
    if _ISO_SPAN.fullmatch(text):
        return text
    parts = _WORDS.findall(text)
    if not parts or _WORDS.sub("", text).strip() or len(text) > 100:
        raise ValueError("A duration, as 2h 30m or 1d.")
    seconds = sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)
    try:
        return _iso(timedelta(seconds=seconds))
    except OverflowError:
        raise ValueError("Too long a duration.") from None


def _iso(value: timedelta) -> str:
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f"{value.microseconds / 1e6:.6f}"[1:].rstrip("0").rstrip(".")
    clock = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    clock += f"{seconds}{fraction}S" * bool(seconds or fraction)
    days = f"{value.days}D" * bool(value.days)
    return f"P{days}T{clock}" if clock else f"P{days}" if days else "PT0S"


def words_of_span(text: str) -> str:
    """`P1DT2H30M` as `1d 2h 30m`, where that says the same; else the text itself."""
    words = " ".join(f"{number}{unit.lower()}" for number, unit in re.findall(r"(\d+(?:\.\d+)?)([WDHMS])", text))
    try:
        return words if words and span(words) == text else text
    except ValueError:
        return text
