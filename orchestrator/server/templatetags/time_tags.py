"""Times and lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

register = template.Library()

UNKNOWN = "–"
_TICKING = {"RUNNING", "CANCELLING", "PAUSED"}


def exact(moment: datetime) -> str:
    """A time to the second, in UTC: `19 May 15:30:00`."""
    moment = moment.astimezone(UTC)
    year = "" if moment.year == now().year else f" {moment.year}"
    return f"{moment.day} {moment:%b}{year} {moment:%H:%M:%S}"


def relative(moment: datetime, at: datetime | None = None) -> str:
    """How long ago, or ahead, within seven days; the exact time beyond.

    >>> at = datetime(2026, 5, 19, 12, tzinfo=UTC)
    >>> relative(at - timedelta(minutes=2), at), relative(at + timedelta(hours=3), at)
    ('2 min ago', 'in 3 h')
    """
    seconds = ((at or now()) - moment).total_seconds()
    span = abs(seconds)
    if span >= 7 * 86_400:
        return exact(moment)
    if span < 1:
        return "now"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")):
        if span >= size:
            count = int(span // size)
            words = f"{count} {'day' if unit == 'days' and count == 1 else unit}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "now"


@register.simple_tag
def when(moment: datetime | None, form: str = "relative") -> SafeString | str:
    """A time for people; the page's script goes on to keep it true, in the person's own zone."""
    if moment is None:
        return UNKNOWN
    moment = moment.astimezone(UTC)
    text = exact(moment) if form == "exact" else relative(moment)
    return format_html(
        '<time datetime="{}" data-time="{}" title="{} UTC">{}</time>',
        moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), form, exact(moment), text,
    )  # fmt: skip


@register.simple_tag
def range_word(range: str) -> str:
    """A range of time as its button names it: `24 h`."""
    return f"{range[:-1]} {range[-1]}"


@register.filter
def duration(span: timedelta | float | None) -> str:
    """How long something took, from seconds or a timedelta: `0.4s`, `41s`, `2m 14s`, `18h 05m`.

    >>> duration(0.4), duration(41), duration(134), duration(65_100)
    ('0.4s', '41s', '2m 14s', '18h 05m')
    """
    if span is None or span == "":
        return UNKNOWN
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.0f}s" if seconds >= 1 and seconds.is_integer() else f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h {whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3_600:02d}h"


@register.filter
def clock(behind: timedelta) -> str:
    """How a holder's clock differed from ours.

    >>> clock(timedelta(minutes=3)), clock(timedelta(seconds=-41))
    ('3m 00s behind, corrected', '41s ahead, corrected')
    """
    return f"{duration(abs(behind))} {'behind' if behind > timedelta() else 'ahead'}, corrected"


@register.filter
def fine_duration(span: timedelta | float | None) -> str:
    """A duration for details: milliseconds below one second.

    >>> fine_duration(0.0421), fine_duration(2)
    ('42 ms', '2s')
    """
    if span is None or span == "":
        return UNKNOWN
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if seconds >= 0.9995:
        return duration(seconds)
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"


@register.simple_tag
def took(row: Any) -> SafeString | str:
    """How long a run or task run took, or takes: then the page's script goes on counting."""
    if row.started_at is None:
        return UNKNOWN
    if row.ended_at:
        return format_html('<span class="num">{}</span>', fine_duration(row.ended_at - row.started_at))
    if row.state_type not in _TICKING:
        return UNKNOWN
    since = row.started_at.astimezone(UTC).isoformat(timespec="milliseconds")
    return format_html('<span class="num" data-since="{}">{}</span>', since, duration(now() - row.started_at))


@register.filter
def moment(micros: int | None) -> datetime | None:
    """A time from microseconds UTC, as results have it.

    >>> moment(0), moment(None)
    (datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), None)
    """
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)


@register.filter
def is_past(moment: datetime) -> bool:
    """True for a time that is over."""
    return moment <= now()


@register.filter
def from_micros(micros: int | None) -> timedelta | None:
    """A span of microseconds, as the tables hold them."""
    return None if micros is None else timedelta(microseconds=micros)
