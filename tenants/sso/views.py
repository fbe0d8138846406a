"""The doors of a company's log-in: asking for the address, leaving for the provider, coming back."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from functools import partial, wraps
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from allauth.core import ratelimit
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tenants.access import organization_actor
from tenants.errors import Problem
from tenants.models import Organization
from tenants.permissions import Actor, require
from tenants.scope import tenant_scope
from tenants.sso import arrivals, domains, flows, oidc, providers, questions, saml, sessions
from tenants.sso.assertions import Assertion
from tenants.sso.models import SsoKind, SsoProvider

HANDED_OVER = 60  # seconds between the provider's POST and the browser's own request
# Chromium holds redirects that follow a form against `form-action`, too; any company's provider may be the target.
LEADS_OUT = {"form-action": ["https:"] if settings.SECURE else ["https:", "http:"]}
NOBODY = "No company log-in is set up for this address. Sign in with your password, or ask who invited you."


def door(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Say a refusal on a page that leads back to the log-in."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **address: Any) -> HttpResponse:
        try:
            return view(request, *args, **address)
        except Problem as problem:
            told = {"problem": problem, "again": request.get_full_path() if request.method == "GET" else ""}
            refusal = render(request, "tenants/sso/refused.html", told, status=problem.status)
            if problem.retry_after:
                refusal.headers["Retry-After"] = str(problem.retry_after)
            return refusal

    return never_cache(answered)


@csp_update(LEADS_OUT)
@require_http_methods(["GET", "POST"])
@door
def ask(request: HttpRequest) -> HttpResponse:
    """Ask for the address, and lead to the provider of its domain."""
    next = flows.inner(request.GET.get("next", request.POST.get("next", "")))
    email = request.POST.get("email", "").strip()[:254]
    if request.method == "GET":
        return render(request, "tenants/sso/ask.html", {"next": next})
    if (limited := ratelimit.consume_or_429(request, action="login")) is not None:
        return limited
    organization_id = domains.organization_of(email)
    if organization_id is None:
        context = {"next": next, "email": email, "error": NOBODY}
        return render(request, "tenants/sso/ask.html", context, status=400)
    return _leave(request, _open_provider(organization_id), next=next, hint=email)


@require_GET
@door
def login(request: HttpRequest, id: UUID) -> HttpResponse:
    """Leave for an organization's provider."""
    questions.count_visit("login", id)
    return _leave(request, _open_provider(id), next=flows.inner(request.GET.get("next", "")))


@require_GET
@login_required
@door
def test(request: HttpRequest, id: UUID) -> HttpResponse:
    """Leave for the provider to try the connection. Nobody is logged in by the answer."""
    provider = _provider(id)
    require(_owner(request, id), "sso.edit")
    return _leave(request, provider, tests=str(request.user.id))


def _provider(organization_id: UUID) -> SsoProvider:
    provider = providers.find_provider(organization_id)
    if provider is None:
        raise Http404("There is no such log-in.")
    return provider


def _open_provider(organization_id: UUID) -> SsoProvider:
    provider = _provider(organization_id)
    if not provider.enabled:
        raise Http404("There is no such log-in.")
    return provider


def _owner(request: HttpRequest, organization_id: UUID) -> Actor:
    """Who asks, in the organization of this id; 404 for whoever does not belong to it."""
    with tenant_scope(organization_id):
        slug = Organization.objects.filter(id=organization_id).values_list("slug", flat=True).first()
    try:
        return organization_actor(request.user.id, slug or "")
    except Problem as problem:
        raise Http404(problem.message) from problem


def _leave(
    request: HttpRequest, provider: SsoProvider, *, next: str = "", tests: str = "", hint: str = ""
) -> HttpResponse:
    flow = flows.Flow(str(provider.organization_id), next=next, tests=tests)
    if provider.kind == SsoKind.SAML:
        state, address = saml.begin(provider)
        flows.begin(request.session, flow, state)
        return HttpResponseRedirect(address)
    client = providers.client_of(provider)
    state = flows.begin(request.session, flow)
    question = partial(oidc.authorization_address, client, flow, state, hint=hint)
    return HttpResponseRedirect(questions.ask(question, organization_id=provider.organization_id))


@require_GET
@door
def callback(request: HttpRequest, id: UUID) -> HttpResponse:
    """Come back from an OIDC provider."""
    questions.count_visit("callback", id)
    provider = _provider(id)
    flow = flows.end(request.session, id, request.GET.get("state", ""))
    if provider.kind != SsoKind.OIDC or "code" not in request.GET:
        said = request.GET.get("error_description") or request.GET.get("error") or "no code"
        raise flows.Refused(f"Your company's provider let nobody in: {said[:200]}.")
    question = partial(oidc.assertion_of, providers.client_of(provider), flow, request.GET["code"])
    try:
        assertion = questions.ask(question, organization_id=id)
    except questions.Busy:  # The code is still good: this very address can be loaded again.
        flows.begin(request.session, flow, request.GET["state"])
        request.session.save()
        raise
    return _come(request, provider, flow, assertion)


@csrf_exempt
@require_POST
@door
def acs(request: HttpRequest, id: UUID) -> HttpResponse:
    """Take a SAML provider's answer. It comes by a form of another site, and so without this browser's session.

    What was checked is put aside under a random name, which the browser brings to `finish` with its session.
    """
    provider = _provider(id)
    if provider.kind != SsoKind.SAML:
        raise Http404("There is no such log-in.")
    state, assertion = saml.read_response(provider, request.POST.get("SAMLResponse", ""))
    name = secrets.token_urlsafe(32)
    cache.set(f"sso-answer:{name}", {"id": str(id), "state": state, "said": asdict(assertion)}, HANDED_OVER)
    return redirect(f"{reverse('sso-finish', args=[id])}?answer={name}")


@require_GET
@door
def finish(request: HttpRequest, id: UUID) -> HttpResponse:
    """Come back from a SAML provider."""
    provider, name = _provider(id), f"sso-answer:{request.GET.get('answer', '')[:100]}"
    answer = cache.get(name)
    if answer is None or answer["id"] != str(id):
        raise flows.Refused("This log-in took too long. Begin again.")
    cache.delete(name)
    flow = flows.end(request.session, id, answer["state"])
    return _come(request, provider, flow, Assertion(**answer["said"]))


@require_GET
def saml_metadata(request: HttpRequest, id: UUID) -> HttpResponse:
    """What a SAML provider wants to know of us. The same for any id, so it tells nothing."""
    return HttpResponse(saml.metadata(id), content_type="application/samlmetadata+xml")


def _come(request: HttpRequest, provider: SsoProvider, flow: flows.Flow, assertion: Assertion) -> HttpResponse:
    if flow.tests:
        return _tested(request, provider, flow, assertion)
    if not provider.enabled:
        raise flows.Refused("The log-in of this company is switched off.")
    user = arrivals.arrive(provider, assertion)
    if request.user.is_authenticated and request.user != user:
        get_adapter(request).logout(request)
    sessions.note_arrival(request.session, provider.organization_id, user.id)
    record_authentication(request, user, "sso", organization=str(provider.organization_id))
    target = flow.next or reverse("home")
    return perform_login(request, user, email_verification="none", redirect_url=target)


def _tested(request: HttpRequest, provider: SsoProvider, flow: flows.Flow, assertion: Assertion) -> HttpResponse:
    if str(request.user.pk) != flow.tests:
        raise flows.Refused("Another person began this test. Begin again.")
    actor = _owner(request, provider.organization_id)
    arrivals.check(provider, assertion)
    with tenant_scope(provider.organization_id):
        providers.note_test(by=actor)
    messages.success(request, f"The test came through: {assertion.email} would be let in.")
    with tenant_scope(provider.organization_id):
        slug = Organization.objects.get(id=provider.organization_id).slug
    return redirect("organization-sso", slug)


@require_POST
@login_required
@door
def break_glass(request: HttpRequest, id: UUID) -> HttpResponse:
    """Enter by password although the company's log-in is demanded."""
    actor = _owner(request, id)
    with tenant_scope(id):
        sessions.break_glass(request, by=actor)
    return redirect(flows.inner(request.POST.get("next", "")) or "home")
