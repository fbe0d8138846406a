"""Variables over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from blocks import variables
from blocks.models import Variable
from orchestrator.bodies import VariableInput
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict, LimitReached
from tenants.messages import answer


class VariableShown(msgspec.Struct):
    """A variable."""

    name: str
    value: Any
    tags: list[str]
    updated_at: datetime
    updated_by: str


class Variables(TenantView):
    """GET: a page of variables by name; `cursor` is the last name of the page before."""

    verbs = {"GET": "variables.view"}

    @operation(Page[VariableShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        rows, limit = variables.in_workspace(self.actor).filter(name__gt=asked.cursor[:200]), asked.limit
        items = list(rows[: limit + 1])
        cursor = items[limit - 1].name if len(items) > limit else None
        return answer(Page([describe(item) for item in items[:limit]], cursor))


class OneVariable(TenantView):
    """GET: one variable. PUT: make it, or change its value. DELETE: delete it."""

    verbs = {"GET": "variables.view", "PUT": "variables.edit", "DELETE": "variables.edit"}

    @operation(VariableShown)
    def get(self, request: Request, name: str) -> HttpResponse:
        return answer(describe(variables.find_variable(self.actor, name)))

    @operation(VariableShown, 200, 201, refuses=[Conflict, LimitReached])
    def put(self, request: Request, name: str, told: VariableInput) -> HttpResponse:
        variable, new = variables.set_variable(
            name=name, value=told.value, tags=told.tags, overwrite=told.overwrite, by=self.actor
        )
        return answer(describe(variable), status=201 if new else 200)

    @operation(None, 204, refuses=[Conflict])
    def delete(self, request: Request, name: str) -> HttpResponse:
        variables.unset_variable(name=name, by=self.actor)
        return HttpResponse(status=204)


def describe(variable: Variable) -> VariableShown:
    """A variable as the API shows it."""
    return VariableShown(
        name=variable.name,
        value=variable.value,
        tags=variable.tags,
        updated_at=variable.updated_at,
        updated_by=variable.updated_by,
    )
