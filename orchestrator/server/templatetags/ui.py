"""Words and marks of the pages: states, icons, times, durations, sizes. A builtin of all templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import now

register = template.Library()

UNKNOWN = "–"

# ── states ───────────────────────────────────────────────────────────────────────────────────────

# A *kind* has a glyph and a colour of its own. What is not here has the kind of its type.
_KINDS = {
    ("SCHEDULED", "Late"): "late",
    ("SCHEDULED", "AwaitingRetry"): "retrying",
    ("SCHEDULED", "AwaitingSlot"): "pending",
    ("SCHEDULED", "Resuming"): "pending",
    ("RUNNING", "Retrying"): "retrying",
    ("RUNNING", "Unreachable"): "late",
    ("PAUSED", "Suspended"): "suspended",
    ("COMPLETED", "Cached"): "cached",
    ("COMPLETED", "Replayed"): "replayed",
    ("COMPLETED", "RolledBack"): "cancelled",
    ("COMPLETED", "Skipped"): "cancelled",
    ("FAILED", "TimedOut"): "timedout",
}
_OWN_NAMES = {name for _, name in _KINDS}
TONES = {
    "scheduled": "wait",
    "pending": "wait",
    "late": "warn",
    "retrying": "warn",
    "running": "run",
    "paused": "hold",
    "suspended": "hold",
    "completed": "ok",
    "cached": "reuse",
    "replayed": "reuse",
    "failed": "fail",
    "timedout": "fail",
    "crashed": "crash",
    "cancelling": "end",
    "cancelled": "end",
}


def state_kind(state_type: str, state_name: str | None = None) -> str:
    """The kind of a state: which glyph and colour it has. Users' own names have those of their type.

    >>> state_kind("SCHEDULED", "Late"), state_kind("COMPLETED", "Late")
    ('late', 'completed')
    """
    return _KINDS.get((str(state_type), state_name or ""), str(state_type).lower())


def state_word(state_type: str, state_name: str | None = None) -> str:
    """A state in words. The platform's own names are split; users' own stay as they wrote them.

    >>> state_word("FAILED", "TimedOut"), state_word("PENDING")
    ('Timed out', 'Pending')
    """
    if not state_name:
        return str(state_type).capitalize()
    if state_name in _OWN_NAMES:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", state_name).capitalize()
    return state_name


register.filter("state_kind", lambda row: state_kind(row.state_type, row.state_name))
register.filter("state_word", lambda row: state_word(row.state_type, row.state_name))
register.filter("state_tone", lambda row: TONES[state_kind(row.state_type, row.state_name)])


def _glyph(kind: str, label: str | None) -> SafeString:
    turning = " turning" if kind == "running" else ""
    if label is None:
        return format_html('<svg class="glyph{}" aria-hidden="true"><use href="#g-{}"/></svg>', turning, kind)
    tone = TONES.get(kind, "wait")
    return format_html(
        '<svg class="glyph tone-{}{}" role="img" aria-label="{}"><title>{}</title><use href="#g-{}"/></svg>',
        tone, turning, label, label, kind,
    )  # fmt: skip


@register.simple_tag
def glyph(state_type: str, state_name: str | None = None) -> SafeString:
    """The mark of a state alone, with a name for those who can't see it."""
    return _glyph(state_kind(state_type, state_name), state_word(state_type, state_name))


@register.simple_tag
def state(state_type: str, state_name: str | None = None) -> SafeString:
    """A state as lists show it: glyph and word."""
    kind = state_kind(state_type, state_name)
    return format_html(
        '<span class="state kind-{}">{}{}</span>', kind, _glyph(kind, None), state_word(state_type, state_name)
    )


@register.simple_tag
def chip(state_type: str, state_name: str | None = None, more: Any = "") -> SafeString:
    """A state as the head of a page shows it; `more` goes behind the word, a duration for example."""
    kind = state_kind(state_type, state_name)
    word = state_word(state_type, state_name)
    return format_html('<span class="chip kind-{}">{}<span>{}</span>{}</span>', kind, _glyph(kind, None), word, more)


@register.simple_tag
def meter(counts: Mapping[str, int], total: int | None = None, label: str = "") -> SafeString:
    """A bar of shares by kind of state, in the mapping's order. Without a `total` the counts are all there is."""
    whole = max(total or 0, sum(counts.values())) or 1
    left, parts = 0.0, []
    for kind, count in counts.items():
        if count:
            share = 100 * count / whole
            parts.append((TONES.get(kind, kind), f"{left:.2f}", f"{share:.2f}"))
            left += share
    bars = format_html_join("", '<rect class="fill-{}" x="{}%" width="{}%" height="100%"/>', parts)
    if label:
        return format_html('<span class="meter" role="img" aria-label="{}"><svg>{}</svg></span>', label, bars)
    return format_html('<span class="meter" aria-hidden="true"><svg>{}</svg></span>', bars)


@register.simple_tag
def icon(name: str, small: bool = False) -> SafeString:
    """An icon of the sprite. Never the only name of a control: give that an `aria-label`."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="#i-{}"/></svg>', " icon-small" if small else "", name
    )


# ── times ────────────────────────────────────────────────────────────────────────────────────────


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
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h {whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3_600:02d}h"


@register.filter
def fine_duration(span: timedelta | float | None) -> str:
    """A duration for details: milliseconds below one second.

    >>> fine_duration(0.0421), fine_duration(2)
    ('42 ms', '2.0s')
    """
    if span is None or span == "":
        return UNKNOWN
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    if seconds >= 0.9995:
        return duration(seconds)
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"


@register.filter
def from_micros(micros: int | None) -> timedelta | None:
    """A span of microseconds, as the tables hold them."""
    return None if micros is None else timedelta(microseconds=micros)


# ── numbers and names ────────────────────────────────────────────────────────────────────────────


@register.filter
def thousands(number: int | None) -> str:
    """A count with separators: `1,284`."""
    return UNKNOWN if number is None else f"{number:,}"


@register.filter
def size(count: int | None) -> str:
    """Bytes of memory: `612 MiB`.

    >>> size(612 << 20), size(300), size(None)
    ('612 MiB', '300 B', '–')
    """
    if count is None:
        return UNKNOWN
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the loop ends at the last unit")


@register.filter
def short_id(id: UUID | str) -> str:
    """The first twelve signs of an id, as `0196e8a2-71c`."""
    return str(id)[:12]


@register.filter
def initials(name: str) -> str:
    """The letters on a person's mark.

    >>> initials("Mina Okafor"), initials("mina@skyline.example")
    ('MO', 'MI')
    """
    words = re.split(r"[\s._-]+", name.split("@")[0].strip())
    letters = words[0][:1] + words[-1][:1] if len(words) > 1 else words[0][:2]
    return letters.upper()


@register.simple_tag
def plural(count: int, one: str, many: str = "") -> str:
    """A count and its noun: `1 run`, `1,284 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@register.simple_tag(takes_context=True)
def with_query(context: Any, **changes: Any) -> str:
    """This page's address with some parameters of the query changed; an empty value takes one away."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value not in (None, ""):
            query[name] = value
    query.pop("cursor", None) if "cursor" not in changes else None
    query.pop("fragment", None)
    return mark_safe("?" + query.urlencode().replace("&", "&amp;"))  # noqa: S308 - urlencode leaves nothing to escape
