"""The form of what a run asks, for whoever has its link: no navigation, and nothing else of the workspace."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from blocks.forms import Context, SchemaForm
from runs.inputs import answers, links
from runs.models import InputAnswer, InputRequest
from runs.reads.markdown import as_html
from tenants.errors import Conflict, Invalid, NotFound, RateLimited
from tenants.permissions import Actor

# The address is the right, so no other site may be told it. `no-referrer` would have browsers post from the origin
# `null`, which the check against forged requests refuses.
HEADERS = {"Referrer-Policy": "same-origin", "X-Robots-Tag": "noindex, nofollow"}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def follow(request: HttpRequest, token: str) -> HttpResponse:
    """The form; posted, the answer, once. Programs that follow the links of mails answer nothing."""
    try:
        with links.followed(token) as (asked, by):
            response = _posted(request, asked, by) if request.method == "POST" else _form(request, asked)
            response.render()
    except (NotFound, Conflict):
        response = TemplateResponse(request, "runs/inputs/link_over.html", status=HTTPStatus.NOT_FOUND)
    except RateLimited as problem:
        told = {"problem": problem, "status": problem.status}
        response = TemplateResponse(request, "problem.html", told, status=problem.status)
        response.headers["Retry-After"] = str(problem.retry_after)
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def _posted(request: Any, asked: InputRequest, by: Actor) -> TemplateResponse:
    form = SchemaForm.of_post(asked.schema, request.POST, context=Context()) if asked.schema else None
    if form is not None and form.rearranged:
        return _form(request, asked, form)
    try:
        if form is not None and form.problems:
            raise Invalid("Some fields can't be taken.", fields=form.problems)
        said = answers.Said(
            InputAnswer.Verdict.ANSWER, form.value if form is not None else None, request.POST.get("comment", "")
        )
        answers.answer(asked, said, by=by)
    except Invalid as problem:
        told = problem.fields or {"": problem.message}
        return _form(request, asked, form.with_errors(told) if form else None, told=told)
    return TemplateResponse(request, "runs/inputs/link_answered.html", {"asked": asked})


def _form(
    request: Any, asked: InputRequest, form: SchemaForm | None = None, *, told: dict[str, str] | None = None
) -> TemplateResponse:
    """The form as it is; with `told`, what is wrong with it."""
    if form is None and asked.schema and not told:
        form = SchemaForm.of_values(asked.schema, asked.initial, context=Context())
    context = {
        "asked": asked,
        "form": form,
        "errors": form.unplaced if form else {},
        "listed": [(place, "", text) for place, text in (form.unplaced if form else told or {}).items()],
        "about": as_html(asked.description) if asked.description else "",
        "comment": request.POST.get("comment", "")[: answers.MAX_COMMENT],
    }
    status = HTTPStatus.BAD_REQUEST if told else HTTPStatus.OK
    return TemplateResponse(request, "runs/inputs/link.html", context, status=status)
