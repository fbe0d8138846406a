"""Blocks over HTTP. Secrets are shown by `value` alone, to who may use them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from blocks import blocks, references, values, versions
from blocks.models import Block, BlockVersion
from orchestrator.bodies import BlockInput, RenameInput, RollbackInput, ValueInput
from tenants.api import TenantView
from tenants.messages import answer, number, page_size, read


class Blocks(TenantView):
    """GET: a page of blocks by type and name, of one `type` if asked; `cursor` is the last `type/name` before it."""

    verbs = {"GET": "blocks.view"}

    def get(self, request: Request) -> HttpResponse:
        limit, cursor = page_size(request), request.query_params.get("cursor", "")[:201]
        rows = blocks.after(blocks.in_workspace(self.actor), cursor)
        if type := request.query_params.get("type"):
            rows = rows.filter(type=type[:100])
        items, following = blocks.with_versions(rows, limit)
        return answer({"items": [describe(*item) for item in items], "next": following})


class BlockView(TenantView):
    """The base of what is asked of one block."""

    def found(self) -> Block:
        """The block of the address."""
        return blocks.find_block(self.actor, self.kwargs["type"], self.kwargs["name"])


class OneBlock(BlockView):
    """GET, PUT, DELETE: one block, by type and name."""

    verbs = {"GET": "blocks.view", "PUT": "blocks.edit", "DELETE": "blocks.edit"}

    def get(self, request: Request, type: str, name: str) -> HttpResponse:
        block = self.found()
        return answer(describe(block, versions.current(block)))

    def put(self, request: Request, type: str, name: str) -> HttpResponse:
        told = read(request, BlockInput)
        block, new = blocks.save(
            type=type, name=name, data=told.data, description=told.description, expected_version=told.expected_version,
            by=self.actor,
        )  # fmt: skip
        return answer(describe(block, versions.current(block)), status=201 if new else 200)

    def delete(self, request: Request, type: str, name: str) -> HttpResponse:
        blocks.delete(block=self.found(), by=self.actor)
        return HttpResponse(status=204)


class Value(BlockView):
    """POST: the block with its secrets in clear and the blocks within it, in a `version` if asked; recorded in the
    audit.
    """

    verbs = {"POST": "blocks.use"}

    def post(self, request: Request, type: str, name: str) -> HttpResponse:
        number = read(request, ValueInput).version if request.body else None
        told = values.value(block=self.found(), by=self.actor, number=number)
        return answer(told, **{"Cache-Control": "no-store"})


class Versions(BlockView):
    """GET: a page of the versions that are kept, newest first; `cursor` is the last number of the page before."""

    verbs = {"GET": "blocks.view"}

    def get(self, request: Request, type: str, name: str) -> HttpResponse:
        limit, before = page_size(request), number(request, "cursor", 0)
        rows = versions.of(self.found()).defer("sealed")
        items = list((rows.filter(number__lt=before) if before > 0 else rows)[: limit + 1])
        cursor = str(items[limit - 1].number) if len(items) > limit else None
        return answer({"items": [describe_version(item) for item in items[:limit]], "next": cursor})


class Rename(BlockView):
    """POST: give it another name."""

    verbs = {"POST": "blocks.edit"}

    def post(self, request: Request, type: str, name: str) -> HttpResponse:
        wanted = read(request, RenameInput).name
        block = blocks.rename(block=self.found(), name=wanted, by=self.actor)
        return answer(describe(block, versions.current(block)))


class Users(BlockView):
    """GET: what uses it, each with its `kind` (block, deployment, automation) and `name`; 100 at most."""

    verbs = {"GET": "blocks.view"}

    def get(self, request: Request, type: str, name: str) -> HttpResponse:
        users = references.users_of(self.found(), self.actor)
        return answer({"items": [{"kind": user.kind, "name": user.name} for user in users]})


class Rollback(BlockView):
    """POST: make what an older version held the newest one."""

    verbs = {"POST": "blocks.edit"}

    def post(self, request: Request, type: str, name: str) -> HttpResponse:
        told = read(request, RollbackInput)
        version = blocks.roll_back(block=self.found(), number=told.version, by=self.actor)
        return answer(describe(version.block, version))


def describe(block: Block, version: BlockVersion) -> dict[str, Any]:
    """A block as the API shows it: `{"$secret": true}` in the place of each secret."""
    return {
        "type": block.type,
        "name": block.name,
        "description": block.description,
        "version": version.number,
        "data": version.data,
        "created_at": block.created_at,
        "updated_at": block.updated_at,
        "updated_by": block.updated_by,
    }


def describe_version(version: BlockVersion) -> dict[str, Any]:
    """A version as the API shows it."""
    return {
        "version": version.number,
        "data": version.data,
        "note": version.note,
        "created_at": version.created_at,
        "created_by": version.created_by,
    }
