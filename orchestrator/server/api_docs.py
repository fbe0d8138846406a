"""The description of the API, for programs and for people. What makes it is imported when somebody asks for it."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

TYPES = {"json": "application/vnd.oai.openapi+json", "yaml": "application/vnd.oai.openapi"}


@require_safe
def file(request: HttpRequest, form: str) -> HttpResponse:
    """All of it as OpenAPI, for everybody: it says nothing of anybody."""
    from orchestrator.server.openapi import written

    return HttpResponse(written(form), content_type=TYPES[form], headers={"Cache-Control": "public, max-age=300"})


@require_safe
def page(request: HttpRequest, subject: str = "") -> HttpResponse:
    """The same for people: what there is, and each subject by itself."""
    from orchestrator.server.api_reference import subjects

    found = subjects()
    if subject and subject not in found:
        raise Http404("There is no such subject.")
    return render(request, "reference/api.html", {"subjects": found.values(), "subject": found.get(subject)})
