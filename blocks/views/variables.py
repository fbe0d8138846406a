"""Variables: the list, and one of them to make, change or remove."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from blocks import variables
from orchestrator.storable import clean_text
from tenants.access import workspace_page
from tenants.errors import Invalid, NotFound

PAGE = 100


@workspace_page("variables.view")
def index(request: HttpRequest) -> HttpResponse:
    """The list, by text and tag."""
    asked = request.GET
    text, tag, cursor = (clean_text(asked.get(name, "").strip(), 200) for name in ("q", "tag", "cursor"))
    rows = variables.in_workspace(request.actor).filter(name__icontains=text, name__gt=cursor)
    found = list((rows.filter(tags__contains=[tag]) if tag else rows)[: PAGE + 1])
    context = {
        "section": "variables",
        "variables": found[:PAGE],
        "text": text,
        "tag": tag,
        "tags": variables.tags_of(request.actor),
        "cursor": cursor,
        "more": found[PAGE - 1].name if len(found) > PAGE else "",
    }
    return TemplateResponse(request, "blocks/variables.html", context)


@workspace_page({"GET": "variables.edit", "POST": "variables.edit"})
def edit(request: HttpRequest, name: str = "") -> HttpResponse:
    """The form of a new variable, or of one that is there."""
    if request.method == "POST":
        return _save(request, name)
    variable = variables.find_variable(request.actor, name) if name else None
    value = json.dumps(variable.value, indent=2, ensure_ascii=False) if variable else ""
    typed = {"name": name, "value": value, "tags": ", ".join(variable.tags) if variable else ""}
    return _form(request, variable, typed, {})


def _save(request: Any, name: str) -> HttpResponse:
    typed = {key: request.POST.get(key, "").strip() for key in ("name", "value", "tags")}
    typed["name"] = name or typed["name"]
    try:
        if not name and variables.in_workspace(request.actor).filter(name=typed["name"]).exists():
            raise Invalid(
                "A variable of this name exists.", fields={"name": "Choose another name, or change that one."}
            )
        tags = [tag.strip() for tag in typed["tags"].split(",") if tag.strip()]
        variables.set_variable(name=typed["name"], value=_value(typed["value"]), tags=tags, by=request.actor)
    except Invalid as problem:
        variable = variables.find_variable(request.actor, name) if name else None
        return _form(request, variable, typed, problem.fields or {"": problem.message}, status=400)
    messages.success(request, f"{typed['name']} is saved.")
    return redirect("variables", request.organization.slug, request.workspace.slug)


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text itself: nobody wants to type quotes round a word. What begins as JSON and is
    none was mistyped.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        if text.startswith(("{", "[", '"')):
            message = f"This is no JSON: {error}. To keep it as text, put it in quotes."
            raise Invalid("The value is no JSON.", fields={"value": message}) from error
        return text
    except RecursionError as error:
        raise Invalid("The value is nested too deep.", fields={"value": "Nested too deep."}) from error


def _form(
    request: Any, variable: Any, typed: dict[str, str], errors: dict[str, str], status: int = 200
) -> HttpResponse:
    context = {"section": "variables", "variable": variable, "typed": typed, "errors": errors}
    return TemplateResponse(request, "blocks/variable.html", context, status=status)


@workspace_page({"POST": "variables.edit"})
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Remove one."""
    try:
        variables.unset_variable(name=name, by=request.actor)
        messages.success(request, f"{name} is removed.")
    except NotFound:
        messages.info(request, f"{name} was gone already.")
    return redirect("variables", request.organization.slug, request.workspace.slug)
