"""One's own account: the name, and the ways to password, second factor and sessions."""

from __future__ import annotations

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from orchestrator.storable import clean_text
from tenants import account_trail

MOST = 150  # characters of a name


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: HttpRequest) -> HttpResponse:
    """The page; posted, it saves the name."""
    typed, error = request.user.name, ""
    if request.method == "POST":
        typed = clean_text(" ".join(request.POST.get("name", "")[:1_000].split()))
        if len(typed) <= MOST:
            account_trail.rename(user=request.user, name=typed)
            messages.success(request, "Your name is saved.")
            return redirect("account")
        error = f"{MOST} characters at most."
    context = {
        "typed": typed,
        "error": error,
        "has_second_factor": is_mfa_enabled(request.user),
        "has_providers": bool(settings.SOCIALACCOUNT_PROVIDERS),
    }
    return TemplateResponse(request, "tenants/account.html", context, status=400 if error else 200)
