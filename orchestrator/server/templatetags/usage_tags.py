"""How usage and money are written and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()
GIGABYTE, MEGABYTE, KILOBYTE = 10**9, 10**6, 10**3
PLOT, AXIS = 160, 24  # px: the bars, and the days below them


@register.filter
def money(amount: Decimal) -> str:
    """An amount with two decimals: `$1,284.50`.

    >>> money(Decimal("1284.5")), money(Decimal("-3"))
    ('$1,284.50', '-$3.00')
    """
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


@register.filter
def metered(value: int, meter: str) -> str:
    """A meter's value as people read it. Bills count bytes in thousands.

    >>> metered(318442, "task_runs"), metered(1_483_200_000_000, "run_time"), metered(18_400_000_000, "log_bytes")
    ('318,442', '412 h', '18.4 GB')
    """
    if meter in {"run_time", "cpu"}:
        return _time(int(value) / 1_000_000)
    if meter in {"log_bytes", "storage"}:
        for size, unit in ((GIGABYTE, "GB"), (MEGABYTE, "MB"), (KILOBYTE, "kB")):
            if value >= size:
                return f"{value / size:,.1f} {unit}"
        return f"{value:,} B"
    return f"{int(value):,}"


def _time(seconds: float) -> str:
    if seconds >= 36_000:
        return f"{seconds / 3_600:,.0f} h"
    if seconds >= 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


@register.filter
def of_hundred(share: float) -> str:
    """A share of a whole.

    >>> of_hundred(0.5404)
    '54.0 %'
    """
    return f"{100 * share:.1f} %"


@register.simple_tag
def day_bars(values: Sequence[int], meter: str, label: str) -> SafeString:
    """The days of a month as bars. The table by day says the same."""
    most = max([1, *values])
    step = 100 / max(len(values), 1)
    bars = [
        ("run" if value else "none", f"{index * step + step * 0.12:.2f}%", f"{step * 0.76:.2f}%",
         f"{PLOT - height:.1f}", f"{height:.1f}", index + 1, metered(value, meter))
        for index, value in enumerate(values)
        if (height := max(1.5, (PLOT - 16) * value / most))
    ]  # fmt: skip
    marks = format_html_join(
        "",
        '<rect class="fill-{}" x="{}" width="{}" y="{}" height="{}" rx="1.5"><title>{}: {}</title></rect>',
        bars,
    )
    days = [(f"{index * step + step / 2:.2f}%", PLOT + 16, index + 1) for index in range(0, len(values), 5)]
    axis = format_html_join("", '<text x="{}" y="{}" text-anchor="middle">{}</text>', days)
    return format_html(
        '<svg width="100%" height="{}" role="img" aria-label="{}"><line class="grid" x1="0" x2="100%" y1="12" y2="12"/>'
        '<text x="0" y="9">{}</text>{}<line class="axis" x1="0" x2="100%" y1="{}" y2="{}"/>{}</svg>',
        PLOT + AXIS, label, metered(most, meter) if any(values) else "", marks, PLOT, PLOT, axis,
    )  # fmt: skip


@register.simple_tag
def limit_bar(used: int, limit: int) -> SafeString:
    """How much of a limit is used, with marks where people are told."""
    share = min(100 * used / limit, 100) if limit else 100
    tone = "fail" if share >= 100 else "warn" if share >= 80 else "run"
    return format_html(
        '<svg class="limit-bar" width="100%" height="14" aria-hidden="true"><rect class="fill-none" width="100%" '
        'height="6" y="4" rx="3"/><rect class="fill-{}" width="{}%" height="6" y="4" rx="3"/>'
        '<rect class="threshold" x="50%" width="2" height="14"/>'
        '<rect class="threshold" x="80%" width="2" height="14"/></svg>',
        tone,
        f"{share:.1f}",
    )


@register.simple_tag
def share_bar(share: float) -> SafeString:
    """A share as a bar."""
    return format_html(
        '<svg class="share-bar" width="100%" height="6" aria-hidden="true"><rect class="fill-none" width="100%" '
        'height="6" rx="3"/><rect class="fill-run" width="{}%" height="6" rx="3"/></svg>',
        f"{100 * share:.1f}",
    )


@register.filter
def at(values: Any, key: str) -> Any:
    """What a mapping holds for a key."""
    return values[key]
