"""States in words and marks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import now

register = template.Library()

# A *kind* has a glyph and a colour of its own. What is not here has the kind of its type.
_KINDS = {
    ("SCHEDULED", "Late"): "late",
    ("SCHEDULED", "AwaitingRetry"): "retrying",
    ("SCHEDULED", "AwaitingSlot"): "pending",
    ("SCHEDULED", "Resuming"): "pending",
    ("RUNNING", "Retrying"): "retrying",
    ("RUNNING", "AwaitingRetry"): "retrying",
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
def state_text(state_type: str, state_name: str | None = None) -> str:
    """A state in words alone."""
    return state_word(state_type, state_name)


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


_WAITS = ("SCHEDULED", "PENDING", "PAUSED")
_VIEWS = [
    ("All", ()),
    ("Running", ("RUNNING", "CANCELLING")),
    ("Waiting", _WAITS),
    ("Completed", ("COMPLETED",)),
    ("Failed", ("FAILED", "CRASHED")),
    ("Cancelled", ("CANCELLED",)),
]


@register.simple_tag
def state_views(counts: Mapping[str, int], chosen: tuple[str, ...]) -> list[dict[str, Any]]:
    """The views of a list by state, with their counts; `chosen` are the states that are shown now."""
    return [
        {
            "label": label,
            "states": states,
            "count": sum(counts.values()) if not states else sum(counts.get(state, 0) for state in states),
            "is_current": set(states) == set(chosen),
        }
        for label, states in _VIEWS
    ]


# How a bar of task runs is ordered, and what is said of it.
_PROGRESS = {
    "completed": ("COMPLETED",),
    "failed": ("FAILED",),
    "crashed": ("CRASHED",),
    "cancelled": ("CANCELLED", "CANCELLING"),
    "running": ("RUNNING",),
    "paused": ("PAUSED",),
}


@register.simple_tag
def progress_meter(counts: Mapping[str, int]) -> SafeString:
    """The bar of a run's task runs by state; what waits is left empty."""
    shares = {kind: sum(counts.get(state, 0) for state in states) for kind, states in _PROGRESS.items()}
    return meter(shares, sum(counts.values()), progress_words(counts))


@register.filter
def progress_words(counts: Mapping[str, int]) -> str:
    """A run's task runs in words.

    >>> progress_words({"COMPLETED": 40, "RUNNING": 4, "PENDING": 3, "FAILED": 1})
    '40 of 48 tasks done, 4 running, 3 waiting, 1 failed'
    """
    total = sum(counts.values())
    words = [f"{counts.get('COMPLETED', 0):,} of {total:,} {'task' if total == 1 else 'tasks'} done"]
    for states, word in (
        (("RUNNING", "CANCELLING"), "running"),
        (_WAITS, "waiting"),
        (("FAILED",), "failed"),
        (("CRASHED",), "crashed"),
        (("CANCELLED",), "cancelled"),
    ):
        if number := sum(counts.get(state, 0) for state in states):
            words.append(f"{number:,} {word}")
    return ", ".join(words)


@register.filter
def duration_points(runs: list[Any]) -> dict[str, Any]:
    """What the chart of durations draws: `{"from", "to", "points": [[ms, seconds, tone, name, id], …]}`."""
    points = [
        [
            int(run.started_at.timestamp() * 1000),
            ((run.ended_at or now()) - run.started_at).total_seconds(),
            TONES[state_kind(run.state_type, run.state_name)],
            run.name,
            str(run.id),
        ]
        for run in runs
        if run.started_at
    ]
    moments = [point[0] for point in points]
    return {"from": min(moments, default=0), "to": max(moments, default=0) + 1, "points": points}
