"""Block types over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from blocks import types
from orchestrator.bodies import BlockTypeInput
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, operation
from tenants.errors import Conflict, LimitReached
from tenants.messages import answer


class BlockTypeShown(msgspec.Struct):
    """A block type. `schema` describes its fields; `checksum` is that of who registered it."""

    slug: str
    name: str
    description: str
    icon: str
    schema: dict[str, Any]
    methods: list[str]
    checksum: str
    built_in: bool


class BlockTypes(TenantView):
    """GET: a page of types by slug, built-in and registered ones; `cursor` is the last slug of the page before."""

    verbs = {"GET": "blocks.view"}

    @operation(Page[BlockTypeShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        rows, limit = [type for type in types.all_types(self.actor) if type.slug > asked.cursor], asked.limit
        items = [describe(type) for type in rows[:limit]]
        return answer(Page(items, rows[limit - 1].slug if len(rows) > limit else None))


class OneBlockType(TenantView):
    """GET: one type, by slug. PUT: register one, or change it. Built-in ones can't be changed."""

    verbs = {"GET": "blocks.view", "PUT": "blocks.edit"}

    @operation(BlockTypeShown)
    def get(self, request: Request, slug: str) -> HttpResponse:
        return answer(describe(types.find_type(self.actor, slug)))

    @operation(BlockTypeShown, 200, 201, refuses=[Conflict, LimitReached])
    def put(self, request: Request, slug: str, told: BlockTypeInput) -> HttpResponse:
        type, new = types.register(slug=slug, told=told, by=self.actor)
        return answer(describe(type), status=201 if new else 200)


def describe(type: types.Type) -> BlockTypeShown:
    """A type as the API shows it."""
    return BlockTypeShown(
        slug=type.slug,
        name=type.name,
        description=type.description,
        icon=type.icon,
        schema=type.schema,
        methods=list(type.methods),
        checksum=type.checksum,
        built_in=type.built_in,
    )
