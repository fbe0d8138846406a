"""What templates are written with: icons, numbers, names, addresses; states and times come from the modules beside.

A builtin of all templates.
"""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from orchestrator.server.templatetags import chart_tags, state_tags, time_tags, usage_tags
from orchestrator.server.templatetags.time_tags import UNKNOWN

register = template.Library()
for _library in (chart_tags.register, state_tags.register, time_tags.register, usage_tags.register):
    register.tags |= _library.tags
    register.filters |= _library.filters


@register.simple_tag
def icon(name: str, small: bool = False) -> SafeString:
    """An icon of the sprite. Never the only name of a control: give that an `aria-label`."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="#i-{}"/></svg>', " icon-small" if small else "", name
    )


@register.filter
def thousands(number: int | None) -> str:
    """A count with separators: `1,284`."""
    return UNKNOWN if number is None else f"{number:,}"


@register.filter
def counted(number: int, most: int) -> str:
    """A count that was not carried on beyond `most`.

    >>> counted(12, 10_000), counted(10_000, 10_000)
    ('12', '10,000+')
    """
    return f"{number:,}" if number < most else f"{most:,}+"


@register.filter
def rate(number: float) -> str:
    """How many a minute, as exact as is worth reading.

    >>> rate(0.0), rate(0.24), rate(1234.4)
    ('0', '0.2', '1,234')
    """
    return f"{number:.1f}" if 0 < number < 10 else f"{number:,.0f}"


@register.filter
def percent(share: float) -> str:
    """A share, of one core for example: `240%`.

    >>> percent(0.034), percent(2.4)
    ('3%', '240%')
    """
    return f"{100 * share:,.0f}%"


@register.filter
def size(count: int | str | None) -> str:
    """Bytes of memory: `612 MiB`.

    >>> size(612 << 20), size(300), size(None)
    ('612 MiB', '300 B', '–')
    """
    if count in (None, ""):
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


@register.filter
def item(known: dict[Any, Any], key: Any) -> Any:
    """What a dictionary holds for a key, or nothing."""
    return known.get(key, "")


@register.filter
def as_json(value: Any) -> str:
    """A JSON value as it is written."""
    return json.dumps(value, ensure_ascii=False)


@register.filter
def as_json_lines(value: Any) -> str:
    """A JSON value over several lines."""
    return json.dumps(value, ensure_ascii=False, indent=2)


# ── addresses ────────────────────────────────────────────────────────────────────────────────────

_MENU = [
    ("dashboard", "Dashboard", "Home", "dash", "g d", "runs_view"),
    ("runs", "Runs", "Runs", "runs", "g r", "runs_view"),
    ("deployments", "Deployments", "Deploy", "deploy", "g p", "deployments_view"),
    ("pools", "Pools and agents", "Agents", "pool", "g a", "pools_view"),
    ("schedules", "Schedules", "Schedules", "clock", "g h", "deployments_view"),
    ("webhooks", "Webhooks", "Webhooks", "webhook", "g k", "deployments_view"),
    ("inputs", "Waiting for people", "Waiting", "users", "g w", "runs_view"),
    ("artifacts", "Artifacts", "Artifacts", "doc", "g f", "runs_view"),
    ("assets", "Assets", "Assets", "database", "g s", "runs_view"),
    ("cache", "Cache", "Cache", "cache", "g c", "runs_view"),
    ("limits", "Limits", "Limits", "limit", "g l", "limits_view"),
    ("events", "Events", "Events", "bolt", "g e", "runs_view"),
    ("blocks", "Blocks", "Blocks", "block", "g b", "blocks_view"),
    ("variables", "Variables", "Variables", "var", "g v", "variables_view"),
    ("automations", "Automations", "Alerts", "bell", "g t", "automations_view"),
]


_ORGANIZATION_MENU = [
    ("organization-usage", "Usage", "pulse", "usage_view"),
    ("organization-billing", "Billing", "card", "billing_view"),
    ("organization-people", "People", "users", "people_view"),
    ("organization-keys", "Keys", "key", "organization_view"),
    ("organization-sso", "Company log-in", "gate", "sso_edit"),
    ("organization-audit", "Audit", "audit", "audit_view"),
    ("organization-admin", "Admin", "sliders", "admin_use"),
    ("organization-settings", "Settings", "gear", "organization_view"),
]


@register.simple_tag(takes_context=True)
def menu(context: Any) -> list[dict[str, str]]:
    """The pages of the workspace that this person may see; none on a page of the organization."""
    if context["workspace"] is None:
        return []
    return [
        {
            "section": section, "label": label, "short": short, "icon": icon, "key": key,
            "url": _address(context, section),
        }
        for section, label, short, icon, key, verb in _MENU
        if getattr(context["may"], verb)
    ]  # fmt: skip


@register.simple_tag(takes_context=True)
def organization_menu(context: Any) -> list[dict[str, str]]:
    """The pages of the organization that this person may see."""
    return [
        {"section": section, "label": label, "icon": icon, "url": to_organization(context, section)}
        for section, label, icon, verb in _ORGANIZATION_MENU
        if getattr(context["may"], verb)
    ]


@register.simple_tag(takes_context=True)
def to_organization(context: Any, name: str, *rest: Any) -> str:
    """The address of a page of this organization: `{% to_organization "organization-audit" %}`."""
    return reverse(name, args=[context["organization"].slug, *rest])


@register.simple_tag(takes_context=True)
def to(context: Any, name: str, *rest: Any) -> str:
    """The address of a page of this workspace: `{% to "run" run.id %}`."""
    return _address(context, name, *rest)


@register.simple_tag(takes_context=True)
def section_of(context: Any, organization: Any, workspace: Any) -> str:
    """The page of another workspace that shows the same section; its dashboard, if the section is no workspace's."""
    section = context.get("section") or "runs"
    try:
        return reverse(section, args=[organization.slug, workspace.slug])
    except NoReverseMatch:
        return reverse("dashboard", args=[organization.slug, workspace.slug])


def _address(context: Any, name: str, *rest: Any) -> str:
    return reverse(name, args=[context["organization"].slug, context["workspace"].slug, *rest])


@register.simple_tag(takes_context=True)
def with_query(context: Any, **changes: Any) -> str:
    """This page's address with some parameters of the query changed; an empty value takes one away."""
    query = context["request"].GET.copy()
    query.pop("cursor", None)
    for name, value in changes.items():
        query.pop(name, None)
        if isinstance(value, list | tuple):
            query.setlist(name, list(value))
        elif value not in (None, ""):
            query[name] = value
    return mark_safe("?" + query.urlencode().replace("&", "&amp;"))  # noqa: S308 - urlencode leaves nothing to escape
