"""The form of a block: its name and description, and the fields of its type's JSON Schema.

Secrets go in and never come out: a stored one is shown as who set it and when, with "Replace".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.forms.utils import ErrorDict
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from blocks import blocks, versions
from blocks.forms import Context, KeptSecret, SchemaForm
from blocks.models import Block, BlockVersion
from blocks.types import Type
from orchestrator.block_data import field_of
from orchestrator.server.admin.site import RefusableForm
from tenants.permissions import Actor

MAX_NAMED = 1_000  # blocks that a field offers
ROOT = "data"  # what the paths of errors begin with


class BlockForm(RefusableForm):
    """What of a block can be changed. `type` and `by`, the actor in the block's workspace, are set by the admin."""

    name = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget(), help_text="a–z, 0–9 and -.")
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}))
    version = forms.IntegerField(widget=forms.HiddenInput())  # What was looked at: a newer one is not overwritten.

    type: Type
    by: Actor

    class Meta:
        model = Block
        fields = ("name", "description")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["version"] = self.instance.version
        more = {"root": ROOT, "context": self._context()}
        if self.is_bound:
            self.schema_form = SchemaForm.of_post(self.type.schema, self.data, **more)
        else:
            self.schema_form = SchemaForm.of_values(self.type.schema, self._stored.data if self._stored else {}, **more)

    @property
    def _stored(self) -> BlockVersion | None:
        return versions.current(self.instance) if self.instance.version else None

    def _context(self) -> Context:
        stored = self._stored
        kept = {field_of(place): _kept(told) for place, told in (stored.secret_places if stored else {}).items()}
        return Context(blocks=self._names, secret=kept.get)

    def _names(self, type: str) -> list[str]:
        rows = blocks.in_workspace(self.by).exclude(id=self.instance.id)
        return [block.path for block in (rows.filter(type=type) if type else rows)[:MAX_NAMED]]

    def clean(self) -> dict[str, Any]:
        """What can't be read at all is said here; the rest is checked by the operation, once for all doors."""
        self._wrong: dict[str, str] = {}
        cleaned = super().clean()
        if self.schema_form.problems:
            self.add_error(None, "Some of the block's fields can't be read; see below.")
        if wrong := {**self._wrong, **self.schema_form.problems}:
            self.schema_form = self.schema_form.with_errors(wrong)
        return cleaned

    def _show(self, place: str, message: str) -> None:
        if place.split(".")[0] == ROOT:
            self._wrong[place] = message
        else:
            super()._show(place, message)

    def full_clean(self) -> None:
        super().full_clean()
        if self.is_bound and self.schema_form.rearranged:  # A button among the fields: nothing is to be saved yet.
            self._errors = ErrorDict()

    def is_valid(self) -> bool:
        return super().is_valid() and not self.schema_form.rearranged


def _kept(told: dict[str, Any]) -> KeptSecret:
    at = told.get("at")
    return KeptSecret(datetime.fromisoformat(at) if at else None, str(told.get("by", "")))
