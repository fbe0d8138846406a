"""The page on which an owner sets up the organization's log-in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants.access import organization_actor, organization_page
from tenants.billing.subscriptions import allows
from tenants.errors import LimitReached, Problem
from tenants.models import Workspace
from tenants.permissions import Actor, can
from tenants.roles.offered import roles
from tenants.scope import tenant_scope
from tenants.sso import dns, domains, identities, oidc, providers, questions, saml
from tenants.sso.fetching import Unreachable, fetch
from tenants.sso.models import SsoDomain, SsoKind, SsoProvider
from tenants.sso.providers import Connection

FIELDS = ("kind", "issuer", "client_id", "client_secret", "metadata_url", "metadata")
MOST_WORKSPACES = 200


def asking(question: Callable[..., Callable[[], Any]]) -> Callable[..., Any]:
    """Ask a provider or the DNS before the page's transaction begins: others may take their time.

    `question` makes what is asked of what was typed; it is asked without a database. What comes back, or the problem
    that was met, is called `request.answer`.
    """

    def wrap(page: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(page)
        def asked(request: Any, **address: Any) -> HttpResponse:
            if request.method == "POST" and request.user.is_authenticated:
                try:
                    actor = organization_actor(request.user.id, address["organization"])
                    request.answer = _asked(question, request, actor, address) if can(actor, "sso.edit") else None
                except Problem as problem:
                    request.answer = problem
            return page(request, **address)

        return asked

    return wrap


def _asked(question: Callable[..., Callable[[], Any]], request: Any, actor: Actor, address: dict[str, Any]) -> Any:
    questions.count_visit("page", actor.organization_id)
    return questions.ask(question(request, actor, **address), organization_id=actor.organization_id)


def _answer(request: Any) -> Any:
    if isinstance(request.answer, Problem):
        raise request.answer
    return request.answer


# ── the provider ─────────────────────────────────────────────────────────────────────────────────


def _try_connection(request: Any, actor: Actor, **address: Any) -> Callable[[], Connection]:
    """Look whether the provider is what the form says."""
    return partial(_connection, _typed(request))


def _connection(typed: dict[str, str]) -> Connection:
    if typed["kind"] == SsoKind.SAML:
        return saml.read_metadata(typed["metadata"] or _metadata(typed["metadata_url"]))
    oidc.discover(typed["issuer"])
    return Connection(SsoKind.OIDC, typed["issuer"], typed["client_id"], typed["client_secret"])


def _metadata(url: str) -> bytes:
    try:
        return fetch(url)
    except (Unreachable, Problem) as problem:
        raise Problem(problem.message, fields={"metadata_url": problem.message}) from problem


def _typed(request: Any) -> dict[str, str]:
    return {name: request.POST.get(name, "").strip() for name in FIELDS}


@asking(_try_connection)
@organization_page({"GET": "sso.edit", "POST": "sso.edit"})
def index(request: HttpRequest) -> HttpResponse:
    """The whole page; a POST stores the connection."""
    if request.method == "GET":
        return _page(request)
    try:
        providers.connect(connection=_answer(request), by=request.actor)
    except LimitReached:
        raise
    except Problem as problem:
        response = _page(request, problem.fields or {"": problem.message}, _typed(request))
        if problem.retry_after:
            response.status_code, response.headers["Retry-After"] = problem.status, str(problem.retry_after)
        return response
    messages.success(request, "The provider is saved. Test the log-in next.")
    return _back(request)


@organization_page({"POST": "sso.edit"})
def newcomers(request: HttpRequest) -> HttpResponse:
    """Say what newcomers get."""
    roles = {key.removeprefix("workspace-"): role for key, role in request.POST.items() if key.startswith("workspace-")}
    return _done(
        request,
        lambda: providers.admit(
            role=request.POST.get("role", ""),
            workspaces={id: role for id, role in roles.items() if role},
            trusts_addresses=request.POST.get("trusts_addresses") == "on",
            by=request.actor,
        ),
        "Newcomers will get these roles.",
    )


@organization_page({"POST": "sso.edit"})
def switch(request: HttpRequest) -> HttpResponse:
    """Open the log-in, demand it, or close it."""
    mode = request.POST.get("mode", "off")
    said = {"off": "The company log-in is off.", "on": "The company log-in is open.", "required": "It is demanded now."}
    return _done(
        request,
        lambda: providers.switch(enabled=mode in {"on", "required"}, required=mode == "required", by=request.actor),
        said.get(mode, said["off"]),
    )


# ── domains and people ───────────────────────────────────────────────────────────────────────────


@organization_page({"POST": "sso.edit"})
def add_domain(request: HttpRequest) -> HttpResponse:
    """Begin to verify a domain."""
    try:
        made = domains.claim_domain(name=request.POST.get("domain", ""), by=request.actor)
    except Problem as problem:
        return _page(request, problem.fields or {"domain": problem.message}, {"domain": request.POST.get("domain", "")})
    messages.info(request, f"Add the record to the DNS of {made.name}, then check it.")
    return _back(request)


def _look_up(request: Any, actor: Actor, id: UUID, **address: Any) -> Callable[[], list[str]]:
    with tenant_scope(actor.organization_id):
        name = domains.record_name(domains.find_domain(id))
    return lambda: dns.txt_records(name)


@asking(_look_up)
@organization_page({"POST": "sso.edit"})
def check_domain(request: HttpRequest, id: UUID) -> HttpResponse:
    """Look whether the DNS names the token."""
    domain = domains.find_domain(id)
    return _done(
        request,
        lambda: domains.confirm_domain(domain=domain, records=_answer(request), by=request.actor),
        f"{domain.name} is verified.",
    )


@organization_page({"POST": "sso.edit"})
def remove_domain(request: HttpRequest, id: UUID) -> HttpResponse:
    """Forget a domain."""
    domain = domains.find_domain(id)
    return _done(request, lambda: domains.remove_domain(domain=domain, by=request.actor), f"{domain.name} is removed.")


@organization_page({"POST": "sso.edit"})
def unlink(request: HttpRequest, id: UUID) -> HttpResponse:
    """Forget who somebody is at the provider."""
    return _done(request, lambda: identities.unlink(identity_id=id, by=request.actor), "The link is removed.")


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def _done(request: Any, operation: Callable[[], Any], said: str) -> HttpResponse:
    try:
        operation()
    except Problem as problem:
        if problem.status in {402, 404}:
            raise
        messages.error(request, " ".join([problem.message, *(problem.fields or {}).values()]))
    else:
        messages.success(request, said)
    return _back(request)


def _back(request: Any) -> HttpResponse:
    return redirect("organization-sso", request.organization.slug)


def _page(request: Any, errors: dict[str, str] | None = None, typed: dict[str, str] | None = None) -> HttpResponse:
    provider = SsoProvider.objects.first()
    known, given = SsoDomain.objects.order_by("name"), provider.newcomer_workspaces if provider else {}
    places = Workspace.objects.filter(deleted_at=None).order_by("name")[:MOST_WORKSPACES]
    rows, following = identities.linked(cursor=request.GET.get("cursor", ""))
    context = {
        "section": "organization-sso",
        "provider": provider,
        "mode": _mode(provider, request.organization),
        "in_plan": allows(request.organization.id, "sso"),
        "domains": [(each, domains.record_name(each), domains.record_value(each)) for each in known],
        "typed": typed or _stored(provider),
        "errors": errors or {},
        "rows": rows,
        "next": "?" + urlencode({"cursor": following}) if following else "",
        "first": "?" if request.GET.get("cursor") else "",
        "outside": identities.outside(),
        "roles": providers.NEWCOMER_ROLES,
        "workspace_roles": roles(),
        "places": [(each, given.get(str(each.id), "")) for each in places],
        "addresses": {
            name: providers.address(f"sso-{name}", request.organization.id) for name in ("callback", "acs", "saml")
        },
    }
    return TemplateResponse(request, "tenants/sso/page.html", context, status=400 if errors else 200)


def _mode(provider: SsoProvider | None, organization: Any) -> str:
    if provider is None or not provider.enabled:
        return "off"
    return "required" if organization.requires_sso else "on"


def _stored(provider: SsoProvider | None) -> dict[str, str]:
    if provider is None:
        return {"kind": SsoKind.OIDC}
    return {"kind": provider.kind, "issuer": provider.issuer, "client_id": provider.client_id}
