"""Blocks over HTTP. Secrets are shown by `value` alone, to who may use them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from blocks import blocks, references, values, versions
from blocks.models import Block, BlockVersion
from orchestrator.bodies import BlockInput, RenameInput, RollbackInput, ValueInput
from tenants.api import TenantView
from tenants.declared import Items, Page, PageQuery, Query, operation
from tenants.errors import Conflict, LimitReached
from tenants.messages import answer


class BlocksAsked(PageQuery):
    """Which blocks. `cursor` is the last `type/name` of the page before."""

    type: Annotated[str, msgspec.Meta(max_length=100, description="Of one type.")] = ""


class VersionsAsked(Query):
    """Which versions."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="How many.")] = 50
    cursor: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1, description="`next` of the page before.")] = 0


class BlockShown(msgspec.Struct):
    """A block, with `{"$secret": true}` in the place of each secret."""

    type: str
    name: str
    description: str
    version: int
    data: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    updated_by: str


class VersionShown(msgspec.Struct):
    """A version of a block, without its secrets. `note` says how it came to be, where it was no ordinary change."""

    version: int
    data: dict[str, Any]
    note: str
    created_at: datetime
    created_by: str


class BlockValue(msgspec.Struct):
    """A block with its secrets in clear, and the blocks within it in the same form, their `$block` beside."""

    type: str
    name: str
    version: int
    data: dict[str, Any]


class UserShown(msgspec.Struct):
    """What uses a block: a `block`, a `deployment`, an `automation`."""

    kind: str
    name: str


class Blocks(TenantView):
    """GET: a page of blocks by type and name, of one `type` if asked; `cursor` is the last `type/name` before it."""

    verbs = {"GET": "blocks.view"}

    @operation(Page[BlockShown])
    def get(self, request: Request, asked: BlocksAsked) -> HttpResponse:
        rows = blocks.after(blocks.in_workspace(self.actor), asked.cursor[:201])
        if asked.type:
            rows = rows.filter(type=asked.type)
        items, following = blocks.with_versions(rows, asked.limit)
        return answer(Page([describe(*item) for item in items], following))


class BlockView(TenantView):
    """The base of what is asked of one block."""

    def found(self) -> Block:
        """The block of the address."""
        return blocks.find_block(self.actor, self.kwargs["type"], self.kwargs["name"])


class OneBlock(BlockView):
    """GET: one block, without its secrets. PUT: make it, or change it. DELETE: delete it, when nothing uses it."""

    verbs = {"GET": "blocks.view", "PUT": "blocks.edit", "DELETE": "blocks.edit"}

    @operation(BlockShown)
    def get(self, request: Request, type: str, name: str) -> HttpResponse:
        block = self.found()
        return answer(describe(block, versions.current(block)))

    @operation(BlockShown, 200, 201, refuses=[Conflict, LimitReached])
    def put(self, request: Request, type: str, name: str, told: BlockInput) -> HttpResponse:
        block, new = blocks.save(
            type=type, name=name, data=told.data, description=told.description, expected_version=told.expected_version,
            by=self.actor,
        )  # fmt: skip
        return answer(describe(block, versions.current(block)), status=201 if new else 200)

    @operation(None, 204, refuses=[Conflict])
    def delete(self, request: Request, type: str, name: str) -> HttpResponse:
        blocks.delete(block=self.found(), by=self.actor)
        return HttpResponse(status=204)


class Value(BlockView):
    """POST: the block with its secrets in clear and the blocks within it, in a `version` if asked; recorded in the
    audit.
    """

    verbs = {"POST": "blocks.use"}

    @operation(BlockValue, refuses=[Conflict], optional=True)
    def post(self, request: Request, type: str, name: str, told: ValueInput) -> HttpResponse:
        value = values.value(block=self.found(), by=self.actor, number=told.version)
        return answer(value, **{"Cache-Control": "no-store"})


class Versions(BlockView):
    """GET: a page of the versions that are kept, newest first; `cursor` is the last number of the page before."""

    verbs = {"GET": "blocks.view"}

    @operation(Page[VersionShown])
    def get(self, request: Request, type: str, name: str, asked: VersionsAsked) -> HttpResponse:
        rows, limit = versions.of(self.found()).defer("sealed"), asked.limit
        items = list((rows.filter(number__lt=asked.cursor) if asked.cursor else rows)[: limit + 1])
        cursor = str(items[limit - 1].number) if len(items) > limit else None
        return answer(Page([describe_version(item) for item in items[:limit]], cursor))


class Rename(BlockView):
    """POST: give it another name."""

    verbs = {"POST": "blocks.edit"}

    @operation(BlockShown, refuses=[Conflict])
    def post(self, request: Request, type: str, name: str, told: RenameInput) -> HttpResponse:
        block = blocks.rename(block=self.found(), name=told.name, by=self.actor)
        return answer(describe(block, versions.current(block)))


class Users(BlockView):
    """GET: what uses it, each with its `kind` (block, deployment, automation) and `name`; 100 at most."""

    verbs = {"GET": "blocks.view"}

    @operation(Items[UserShown])
    def get(self, request: Request, type: str, name: str) -> HttpResponse:
        users = references.users_of(self.found(), self.actor)
        return answer(Items([UserShown(user.kind, user.name) for user in users]))


class Rollback(BlockView):
    """POST: make what an older version held the newest one."""

    verbs = {"POST": "blocks.edit"}

    @operation(BlockShown, refuses=[Conflict, LimitReached])
    def post(self, request: Request, type: str, name: str, told: RollbackInput) -> HttpResponse:
        version = blocks.roll_back(block=self.found(), number=told.version, by=self.actor)
        return answer(describe(version.block, version))


def describe(block: Block, version: BlockVersion) -> BlockShown:
    """A block as the API shows it: `{"$secret": true}` in the place of each secret."""
    return BlockShown(
        type=block.type,
        name=block.name,
        description=block.description,
        version=version.number,
        data=version.data,
        created_at=block.created_at,
        updated_at=block.updated_at,
        updated_by=block.updated_by,
    )


def describe_version(version: BlockVersion) -> VersionShown:
    """A version as the API shows it."""
    return VersionShown(
        version=version.number,
        data=version.data,
        note=version.note,
        created_at=version.created_at,
        created_by=version.created_by,
    )
