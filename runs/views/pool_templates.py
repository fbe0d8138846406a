"""The page on which a pool's base job template is changed: its defaults by a form, or all of it as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from orchestrator.job_template_checks import FIELD
from orchestrator.job_templates import BUILT_IN, defaults, filled, of_pool
from orchestrator.pool_bodies import PoolChange
from runs import job_template_form, queues
from runs.job_templates import Changed, check_template, fingerprint
from runs.models import Deployment, WorkPool
from runs.reads import pools as reads
from tenants.access import workspace_page
from tenants.errors import Conflict, Invalid

FORM = {"GET": "pools.edit", "POST": "pools.edit"}


@dataclass(slots=True)
class Typed:
    """What stands in the page's two forms. `template` is what they mean, unless `errors` says why they mean none."""

    form: Any
    text: str
    template: dict[str, Any] | None = None
    errors: dict[str, str] = field(default_factory=dict)


@workspace_page(FORM)
def template(request: HttpRequest, id: UUID) -> HttpResponse:
    """The template of a pool, to be changed."""
    pool = reads.find(request.actor, id)
    if request.method != "POST":
        return _page(request, pool, Typed(job_template_form.form(pool.template), _text(pool.template), pool.template))
    typed = _typed(pool, request.POST)
    if typed.form.rearranged or typed.errors:
        return _page(request, pool, typed, status=400 if typed.errors and not typed.form.rearranged else 200)
    own = None if typed.template == BUILT_IN.get(pool.type) else typed.template
    return _saved(request, pool, own, typed)


@workspace_page({"POST": "pools.edit"})
def reset(request: HttpRequest, id: UUID) -> HttpResponse:
    """Back to the template of the pool's type."""
    pool = reads.find(request.actor, id)
    own = of_pool(pool.type, None)
    return _saved(request, pool, None, Typed(job_template_form.form(pool.template), _text(pool.template), own))


@workspace_page({"POST": "pools.edit"})
def preview(request: HttpRequest, id: UUID) -> HttpResponse:
    """What an agent would be told if nobody gave job variables, as the form stands."""
    pool = reads.find(request.actor, id)
    typed = _typed(pool, request.POST)
    return TemplateResponse(request, "runs/_pool_template_preview.html", _preview(typed))


def _typed(pool: WorkPool, data: QueryDict) -> Typed:
    if data.get("part") == "template":
        found = Typed(job_template_form.form(pool.template), data.get("template", ""))
    else:
        found = Typed(job_template_form.form(pool.template, data), _text(pool.template))
        found.errors |= found.form.problems
    if found.errors:
        return found
    try:
        found.template = _meant(pool, found, data)
        check_template(found.template, pool.type)
    except Invalid as problem:
        found.errors |= problem.fields or {FIELD: problem.message}
    return found


def _meant(pool: WorkPool, typed: Typed, data: QueryDict) -> dict[str, Any]:
    if data.get("part") != "template":
        return job_template_form.with_defaults(pool.template, typed.form.value)
    if (read := job_template_form.read(typed.text)) is None:
        raise Invalid("See fields.", fields={FIELD: "Enter a template."})
    return read


def _saved(request: Any, pool: WorkPool, own: dict[str, Any] | None, typed: Typed) -> HttpResponse:
    try:
        queues.change(
            pool, told=PoolChange(base_job_template=own), by=request.actor, template_shown=request.POST.get("shown", "")
        )
    except Changed:
        return _page(request, pool, typed, status=409, overtaken=True)
    except Invalid as problem:
        typed.errors = problem.fields or {FIELD: problem.message}
        return _page(request, pool, typed, status=400)
    except Conflict as problem:
        return _page(request, pool, typed, status=409, unfit=problem)
    messages.success(request, f"The job template of {pool.name} was changed. Runs claimed from now on obey it.")
    return redirect("pool", request.organization.slug, request.workspace.slug, pool.id)


def _page(
    request: Any,
    pool: WorkPool,
    typed: Typed,
    *,
    status: int = 200,
    overtaken: bool = False,
    unfit: Conflict | None = None,
) -> HttpResponse:
    whole = request.POST.get("part") == "template"
    own = {} if whole else {path: told for path, told in typed.errors.items() if path.startswith(FIELD)}
    form = typed.form.with_errors(own) if own else typed.form
    context = {
        "section": "pools",
        "pool": pool,
        "typed": typed,
        "form": form,
        "form_listed": [("", "", told) for told in form.unplaced.values()] if own else [],
        "whole": whole,
        "errors": job_template_form.at_field(typed.errors) if whole else {},
        "shown": fingerprint(pool.template),
        "overtaken": _text(pool.template) if overtaken else "",
        "unfit": unfit,
        "unfit_rows": _unfit(pool, unfit) if unfit else [],
        "is_own": pool.base_job_template is not None and pool.type in BUILT_IN,
        "preview": _preview(typed)["preview"],
    }
    return TemplateResponse(request, "runs/pool_template.html", context, status=status)


def _preview(typed: Typed) -> dict[str, Any]:
    template = None if typed.errors else typed.template
    at = job_template_form.at_field(typed.errors)
    return {
        "preview": {
            "configuration": filled(template, defaults(template)) if template else None,
            "wrong": [(path.removeprefix(f"{job_template_form.NAMES['root']}."), told) for path, told in
                      typed.errors.items()],
            "problems": msgspec.json.encode({"template": at[FIELD]}).decode() if FIELD in at else "",
        }
    }  # fmt: skip


def _unfit(pool: WorkPool, problem: Conflict) -> list[tuple[str, UUID | None, str]]:
    """The deployments that a refusal names, with what each lacks."""
    named = {place.partition(".")[2]: told for place, told in (problem.fields or {}).items()}
    rows = Deployment.objects.filter(pool=pool, name__in=[name.rpartition("/")[2] for name in named])
    ids = {str(row): row.id for row in rows.select_related("flow")}
    return [(name, ids.get(name), told) for name, told in named.items()]


def _text(template: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(template), indent=2).decode()
