"""Variables in the organization's admin."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.utils.text import Truncator
from unfold.widgets import UnfoldAdminTextInputWidget

from blocks import variables
from blocks.models import Variable
from orchestrator.server.admin.fields import JsonField, WordsField
from orchestrator.server.admin.organization import InWorkspaceForm, OfWorkspace, OfWorkspaces, actor_in, site
from orchestrator.server.admin.site import column


class VariableForm(InWorkspaceForm):
    """A variable: its name and workspace stay, its value and tags change."""

    name = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="a–z, 0–9, _ and -.")
    value = JsonField(lenient=True, help_text="JSON; anything else is taken as text. Not for secrets.")
    tags = WordsField(required=False, help_text="Separated by commas.")

    class Meta:
        model = Variable
        fields = ("workspace", "name", "value", "tags")

    def clean(self) -> dict[str, Any]:
        cleaned, by = super().clean(), self.actor
        name = cleaned.get("name")
        if by and name and variables.in_workspace(by).filter(name=name).exists():
            self.add_error("name", "A variable of this name exists in this workspace.")
        return cleaned


class Variables(OfWorkspaces):
    """The list and the form."""

    form = VariableForm
    fields = ("workspace", "name", "value", "tags")
    list_display = ("name", "shown", "workspace", "tags_shown", "updated_at", "updated_by")
    list_filter = (OfWorkspace,)
    search_fields = ("name",)
    ordering = ("name", "id")

    def get_readonly_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        return ("workspace", "name", "updated_at", "updated_by") if obj else ()

    def get_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        return (*self.fields, "updated_at", "updated_by") if obj else self.fields

    @column("value")
    def shown(self, variable: Variable) -> str:
        return Truncator(json.dumps(variable.value, ensure_ascii=False)).chars(60)

    @column("tags")
    def tags_shown(self, variable: Variable) -> str:
        return ", ".join(variable.tags)

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        by = actor_in(request, obj.workspace_id)
        value, tags = form.cleaned_data["value"], form.cleaned_data["tags"]
        saved, _ = variables.set_variable(name=obj.name, value=value, tags=tags, by=by)
        obj.pk = saved.pk

    def delete_model(self, request: Any, obj: Any) -> None:
        variables.unset_variable(name=obj.name, by=actor_in(request, obj.workspace_id))


site.register(Variable, Variables)
