"""Small charts that need no script."""

from __future__ import annotations

from collections.abc import Sequence

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()

WIDTH, HEIGHT, LEAST = 84, 24, 1.5


@register.simple_tag
def spark(values: Sequence[int], tone: str) -> SafeString:
    """Bars of a sparkline in a tone of the states; where there is nothing a low mark stands."""
    most = max([1, *values])
    step = WIDTH / max(len(values), 1)
    bars = [
        (tone if value else "none", f"{index * step:.1f}", f"{step - 1:.1f}", f"{HEIGHT - height:.1f}", f"{height:.1f}")
        for index, value in enumerate(values)
        if (height := max(LEAST, HEIGHT * value / most))
    ]
    marks = format_html_join("", '<rect class="fill-{}" x="{}" width="{}" y="{}" height="{}" rx="0.75"/>', bars)
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>',
        WIDTH,
        HEIGHT,
        marks,
    )
