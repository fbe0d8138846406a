"""Variables over HTTP."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from blocks import variables
from blocks.models import Variable
from orchestrator.bodies import VariableInput
from tenants.api import TenantView
from tenants.messages import answer, page_size, read


class Variables(TenantView):
    """GET: a page of variables by name; `cursor` is the last name of the page before."""

    verbs = {"GET": "variables.view"}

    def get(self, request: Request) -> HttpResponse:
        limit = page_size(request)
        rows = variables.in_workspace(self.actor).filter(name__gt=request.query_params.get("cursor", "")[:200])
        items = list(rows[: limit + 1])
        cursor = items[limit - 1].name if len(items) > limit else None
        return answer({"items": [describe(item) for item in items[:limit]], "next": cursor})


class OneVariable(TenantView):
    """GET, PUT, DELETE: one variable, by name."""

    verbs = {"GET": "variables.view", "PUT": "variables.edit", "DELETE": "variables.edit"}

    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(describe(variables.find_variable(self.actor, name)))

    def put(self, request: Request, name: str) -> HttpResponse:
        told = read(request, VariableInput)
        variable, new = variables.set_variable(
            name=name, value=told.value, tags=told.tags, overwrite=told.overwrite, by=self.actor
        )
        return answer(describe(variable), status=201 if new else 200)

    def delete(self, request: Request, name: str) -> HttpResponse:
        variables.unset_variable(name=name, by=self.actor)
        return HttpResponse(status=204)


def describe(variable: Variable) -> dict[str, Any]:
    """A variable as the API shows it."""
    return {
        "name": variable.name,
        "value": variable.value,
        "tags": variable.tags,
        "updated_at": variable.updated_at,
        "updated_by": variable.updated_by,
    }
