"""The page "Access" of an object: one form, the same for each kind of object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from tenants.errors import Invalid
from tenants.models import Team
from tenants.restrictions import access
from tenants.restrictions.access import KINDS, Subject
from tenants.restrictions.models import Level, Restrictable

FIELD = "rule-"


def answer(request: Any, object: Restrictable, *, section: str, back: str) -> HttpResponse:
    """The form; posted, it is saved. `back` is the address of the object's own page."""
    if request.method != "POST":
        return _form(request, object, section, back)
    posted = request.POST
    try:
        access.set_access(
            object=object, restricted=posted.get("restricted") == "on", open_to_runs=posted.get("runs") == "all",
            rules=_rules(object, posted), by=request.actor,
        )  # fmt: skip
    except Invalid as problem:
        return _form(request, object, section, back, problem.fields)
    messages.success(request, "Access is saved. It holds at once.")
    return redirect(request.path)


def _form(
    request: Any, object: Restrictable, section: str, back: str, errors: dict[str, str] | None = None
) -> HttpResponse:
    context = {
        "section": section,
        "object": object,
        "back": back,
        "rules": access.rules_of(object),
        "levels": Level,
        "means": object.MEANS,
        "teams": Team.objects.order_by("name"),
        "kinds": {kind: name.capitalize() for kind, name in KINDS.items()},
        "typed": request.POST,
        "errors": errors or {},
    }
    return TemplateResponse(request, "tenants/access.html", context, status=400 if errors else 200)


def _rules(object: Restrictable, posted: Mapping[str, str]) -> dict[Subject, Level]:
    """The rules of the form: those that stay, and one that is added."""
    found = {}
    for field, level in posted.items():
        if field.startswith(FIELD) and level:
            found[_subject(field)] = _level(level)
    if posted.get("name", "").strip():
        subject = access.named(object, posted.get("kind", ""), posted["name"])
        found[subject] = Level.USE if subject.kind == "deployment" else _level(posted.get("level", ""))
    return found


def _subject(field: str) -> Subject:
    kind, _, id = field.removeprefix(FIELD).partition("-")
    try:
        if kind not in KINDS:
            raise ValueError
        return Subject(kind, UUID(id))
    except ValueError as error:
        raise Invalid("There is no such rule.", fields={"name": "Load the page again."}) from error


def _level(text: str) -> Level:
    if text not in {str(level.value) for level in Level}:
        raise Invalid("There is no such level.", fields={"name": "Choose what they may do."})
    return Level(int(text))
