"""A block as a form: from its type's schema, and back into what is saved."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.urls import reverse

from blocks import blocks, changes
from blocks.forms import Context, KeptSecret, SchemaForm
from blocks.models import Block, BlockVersion
from blocks.types import Type
from tenants.errors import Invalid, Problem
from tenants.whole_numbers import whole_number

ROOT = "data"
MAX_CHOICES = 500


class BlockForm:
    """The form of a new block (`block` is None) or of one that is there. `errors` are those outside its fields."""

    def __init__(self, request: Any, type: Type, block: Block | None, version: BlockVersion | None) -> None:
        self.request, self.type, self.block, self.version = request, type, block, version
        self.typed = {"name": "", "description": block.description if block else ""}
        self.errors: dict[str, str] = {}
        self.problem, self.status = "", 200
        self.fields = self._of_values(version.data if version else {})

    @property
    def count(self) -> int:
        """How many errors there are."""
        return len(self.fields.wrong) + len(self.fields.unplaced) + len(self.errors)

    def take(self, posted: QueryDict) -> Block | None:
        """Save what was posted. None: the page is to be shown again, with what is wrong."""
        self.typed = {name: posted.get(name, "").strip() for name in self.typed}
        self.fields = SchemaForm.of_post(self.type.schema, posted, root=ROOT, context=self._context())
        if self.fields.rearranged:
            return None
        try:
            if self.fields.problems:
                raise Invalid("Some fields can't be read.", fields=self.fields.problems)
            return self._save(posted.get("version", "0"))
        except Problem as problem:
            self._refuse(problem)
            return None

    def _save(self, version: str) -> Block:
        saved, _ = blocks.save(
            type=self.type.slug,
            name=self.block.name if self.block else self.typed["name"],
            data=self.fields.value,
            description=self.typed["description"].replace("\r\n", "\n"),
            expected_version=whole_number(version) or 0,
            by=self.request.actor,
        )
        return saved

    def _refuse(self, problem: Problem) -> None:
        fields = problem.fields or {}
        inner = {path: told for path, told in fields.items() if path == ROOT or path.startswith(f"{ROOT}.")}
        self.errors = {path: told for path, told in fields.items() if path not in inner}
        self.fields = self.fields.with_errors(inner)
        self.status = problem.status
        self.problem = "" if self.count else problem.message

    def _of_values(self, values: dict[str, Any]) -> SchemaForm:
        return SchemaForm.of_values(self.type.schema, values, root=ROOT, context=self._context())

    def _context(self) -> Context:
        return Context(blocks=self._names, new_block=self._new_block, secret=self._kept)

    def _names(self, type: str) -> list[str]:
        rows = blocks.in_workspace(self.request.actor)
        rows = rows.filter(type=type) if type else rows
        found = [block.path for block in rows.only("type", "name")[:MAX_CHOICES]]
        return [path for path in found if self.block is None or path != self.block.path]

    def _new_block(self, type: str) -> str:
        address = reverse("block-new", args=[self.request.organization.slug, self.request.workspace.slug])
        return f"{address}?type={type}" if type else address

    def _kept(self, path: str) -> KeptSecret | None:
        origins = self.version.secret_places if self.version else {}
        origin = next((origin for place, origin in origins.items() if changes.name_of(place) == path), None)
        return KeptSecret(datetime.fromisoformat(origin["at"]), origin["by"]) if origin else None
