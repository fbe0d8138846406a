"""Block types over HTTP."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from blocks import types
from orchestrator.bodies import BlockTypeInput
from tenants.api import TenantView
from tenants.messages import answer, page_size, read


class BlockTypes(TenantView):
    """GET: a page of types by slug, built-in and registered ones; `cursor` is the last slug of the page before."""

    verbs = {"GET": "blocks.view"}

    def get(self, request: Request) -> HttpResponse:
        limit, cursor = page_size(request), request.query_params.get("cursor", "")[:100]
        rows = [type for type in types.all_types(self.actor) if type.slug > cursor]
        items = [describe(type) for type in rows[:limit]]
        return answer({"items": items, "next": rows[limit - 1].slug if len(rows) > limit else None})


class OneBlockType(TenantView):
    """GET, PUT: one type, by slug. Built-in ones can't be changed."""

    verbs = {"GET": "blocks.view", "PUT": "blocks.edit"}

    def get(self, request: Request, slug: str) -> HttpResponse:
        return answer(describe(types.find_type(self.actor, slug)))

    def put(self, request: Request, slug: str) -> HttpResponse:
        type, new = types.register(slug=slug, told=read(request, BlockTypeInput), by=self.actor)
        return answer(describe(type), status=201 if new else 200)


def describe(type: types.Type) -> dict[str, Any]:
    """A type as the API shows it."""
    return {
        "slug": type.slug,
        "name": type.name,
        "description": type.description,
        "icon": type.icon,
        "schema": type.schema,
        "methods": type.methods,
        "checksum": type.checksum,
        "built_in": type.built_in,
    }
