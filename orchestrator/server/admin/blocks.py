"""Blocks, secrets among them, in the organization's admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.admin import SimpleListFilter
from django.http import HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget

from blocks import blocks, references
from blocks.models import Block, BlockType
from blocks.types import catalogue, find_type
from orchestrator.server.admin.block_form import BlockForm
from orchestrator.server.admin.organization import OfWorkspace, OfWorkspaces, actor_in, site, workspaces
from orchestrator.server.admin.site import column
from tenants.errors import NotFound

MAX_TYPES = 1_000


def _types() -> list[tuple[str, str]]:
    """Every type of the organization: the built-in ones, and those that its workspaces registered."""
    own = BlockType.objects.order_by("slug").values_list("slug", "name").distinct()[:MAX_TYPES]
    return sorted({**dict(own), **{slug: type.name for slug, type in catalogue().items()}}.items())


class OfType(SimpleListFilter):
    """Narrow the list to one type: `secret` for secrets alone."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: Any, model_admin: Any) -> Iterator[tuple[str, str]]:
        yield from _types()

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(type=self.value()) if self.value() else queryset


class Choosing(forms.Form):
    """Before the form of a new block: where it will live and of which type it is."""

    workspace = forms.ModelChoiceField(
        queryset=None, to_field_name="slug", empty_label=None, widget=UnfoldAdminSelectWidget()
    )
    type = forms.ChoiceField(widget=UnfoldAdminSelectWidget())

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["workspace"].queryset = workspaces()
        self.fields["type"].choices = [(slug, f"{name} ({slug})") for slug, name in _types()]


class Blocks(OfWorkspaces):
    """The list and the forms. What blocks hold is in no list, and their secrets on no page."""

    form = BlockForm
    list_display = ("name", "type", "workspace", "version", "updated_at", "updated_by")
    list_filter = (OfWorkspace, OfType)
    search_fields = ("name", "type", "description")
    ordering = ("type", "name", "id")
    readonly_fields = ("workspace", "type", "used_by")

    def get_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        placed = ("workspace", "type") if obj else ()
        return (*placed, "name", "description", *(("used_by",) if obj else ()))

    def add_view(self, request: Any, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form of a new block, once its workspace and type are chosen."""
        chosen = Choosing(request.GET if "type" in request.GET else None)
        if not chosen.is_valid():
            return self._choose(request, chosen)
        by = actor_in(request, chosen.cleaned_data["workspace"].id)
        try:
            request.block_of = by, find_type(by, chosen.cleaned_data["type"])
        except NotFound as problem:
            chosen.add_error("type", problem.message)
            return self._choose(request, chosen)
        named = f"Add {request.block_of[1].name} to {chosen.cleaned_data['workspace']}"
        return super().add_view(request, form_url, {**(extra_context or {}), "title": named})

    def _choose(self, request: Any, chosen: Choosing) -> HttpResponse:
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "title": "Add block", "opts": self.opts, "form": chosen}
        return TemplateResponse(request, "admin/blocks/block/choose.html", context)

    def get_object(self, request: Any, object_id: Any, from_field: str | None = None) -> Any:
        block = super().get_object(request, object_id)
        by = actor_in(request, block.workspace_id)
        request.block_of = by, find_type(by, block.type)
        return block

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        form.by, form.type = request.block_of
        return form

    @column("used by")
    def used_by(self, block: Block) -> str:
        return ", ".join(f"{user.kind} {user.name}" for user in references.users_of(block)) or "nothing"

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        by, type = request.block_of
        if change and "name" in form.changed_data:
            blocks.rename(block=obj, name=obj.name, by=by)
        saved, _ = blocks.save(
            type=type.slug,
            name=obj.name,
            data=form.schema_form.value,
            by=by,
            description=form.cleaned_data["description"],
            expected_version=form.cleaned_data["version"],
        )
        obj.pk, obj.type = saved.pk, saved.type

    def delete_model(self, request: Any, obj: Any) -> None:
        blocks.delete(block=obj, by=request.block_of[0])


site.register(Block, Blocks)
