"""The audit trail of an organization: a page with filters, and its export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now

from orchestrator.wire import encode
from tenants import audit
from tenants.access import organization_page
from tenants.audit import Filter
from tenants.billing.subscriptions import allows, demand
from tenants.cursors import newest
from tenants.models import AuditEntry, Workspace
from tenants.scope import tenant_scope

PAGE = 50
EXPORTED_AT_ONCE = 1_000
RANGES = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "all": None}
FIELDS = ("action", "actor", "object", "range")


@organization_page("audit.view")
def index(request: HttpRequest) -> HttpResponse:
    """Entries, newest first, in the range and with the filters of the address."""
    asked = _asked(request.GET)
    rows, following = newest(audit.entries(_filter(asked)), by="at", cursor=request.GET.get("cursor", ""), limit=PAGE)
    context = {
        "section": "organization-audit",
        "asked": asked,
        "is_filtered": any(asked[name] for name in ("action", "actor", "object")),
        "ranges": list(RANGES),
        "rows": rows,
        "places": dict(Workspace.objects.values_list("id", "name")[:1_000]),
        "next": "?" + urlencode(asked | {"cursor": following}) if following else "",
        "first": "?" + urlencode(asked) if request.GET.get("cursor") else "",
        "query": "?" + urlencode(asked),
        "actions": _actions(),
        "may_export": allows(request.organization.id, "audit"),
    }
    return TemplateResponse(request, "tenants/audit.html", context)


@organization_page("audit.view")
def export(request: HttpRequest) -> HttpResponse:
    """What the page shows, all of it, oldest first: one JSON object a line, with number and hash to verify by."""
    wanted, organization_id = _filter(_asked(request.GET)), request.organization.id
    demand(organization_id, "audit")
    stamp = now().strftime("%Y%m%dT%H%M%SZ")
    name = f"audit-{request.organization.slug}-{stamp}.ndjson"
    response = StreamingHttpResponse(_lines(organization_id, wanted), content_type="application/x-ndjson")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    audit.record(request.actor, "audit.exported", request.organization, details=_asked(request.GET))
    return response


def _lines(organization_id: Any, wanted: Filter) -> Iterator[bytes]:
    """Read in pieces, each in a transaction of its own: a slow reader holds none open."""
    place: tuple[datetime, Any] | None = None
    while True:
        with tenant_scope(organization_id):
            found = audit.entries(wanted).order_by("at", "id")
            if place:
                found = found.filter(at__gte=place[0]).exclude(at=place[0], id__lte=place[1])
            rows = list(found[:EXPORTED_AT_ONCE])
        for entry in rows:
            yield encode(audit.told(entry) | {"hash": bytes(entry.hash).hex() if entry.hash else None}) + b"\n"
        if not rows:
            return
        place = (rows[-1].at, rows[-1].id)


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    asked = {name: query.get(name, "").strip()[:200] for name in FIELDS}
    return asked | {"range": asked["range"] if asked["range"] in RANGES else "7d"}


def _filter(asked: dict[str, str]) -> Filter:
    span = RANGES[asked["range"]]
    since = datetime.now(UTC) - span if span else None
    return Filter(action=asked["action"], actor=asked["actor"], object=asked["object"], since=since)


def _actions() -> list[str]:
    """Things that something was done to lately, as prefixes to choose from."""
    lately = AuditEntry.objects.order_by("-at", "-id").values_list("action", flat=True)[:1_000]
    return sorted({f"{action.partition('.')[0]}." for action in lately})
