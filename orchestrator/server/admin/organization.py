"""The admin of one organization: its blocks, variables and deployments in all of its workspaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from unfold.widgets import UnfoldAdminSelectWidget

from blocks.models import Block, Variable
from orchestrator.server.admin.doors import portal_address
from orchestrator.server.admin.site import Managed, RefusableForm, Site
from runs.models import Deployment
from tenants.models import Workspace, WorkspaceRole
from tenants.permissions import Actor


class OrganizationSite(Site):
    """Served inside the tenant's transaction, where the database shows this organization alone."""

    sections = (
        ("Settings", ((Block, "deployed_code"), (Variable, "data_object"))),
        ("Work", ((Deployment, "rocket_launch"),)),
    )

    def each_context(self, request: Any) -> dict[str, Any]:
        named = {"site_header": request.organization.name, "site_subheader": "Admin", "site_title": "Admin"}
        return {**super().each_context(request), **named}


site = OrganizationSite()


def actor_in(request: Any, workspace_id: UUID) -> Actor:
    """Who asks, in one of the workspaces: owners and admins own all of them."""
    return replace(request.actor, workspace_id=workspace_id, role=WorkspaceRole.OWNER, granted=None)


def workspaces() -> QuerySet[Workspace]:
    """The organization's workspaces, by name."""
    return Workspace.objects.filter(deleted_at=None).order_by("name")


class OfWorkspaces(Managed):
    """Rows of all workspaces of the organization."""

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).filter(workspace__deleted_at=None).select_related("workspace")

    def history_view(self, request: Any, object_id: Any, extra_context: Any = None) -> HttpResponse:
        """The organization's audit trail tells what was done to an object."""
        self.get_object(request, object_id)
        trail = portal_address("organization-audit", request.organization.slug)
        return HttpResponseRedirect(f"{trail}?{urlencode({'object': object_id})}")


class OfWorkspace(SimpleListFilter):
    """Narrow a list to one workspace."""

    title = "workspace"
    parameter_name = "workspace"

    def lookups(self, request: Any, model_admin: Any) -> Iterator[tuple[str, str]]:
        yield from workspaces().values_list("slug", "name")

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(workspace__slug=self.value()) if self.value() else queryset


class InWorkspaceForm(RefusableForm):
    """A form for something that lives in one workspace, chosen once."""

    workspace = forms.ModelChoiceField(queryset=None, widget=UnfoldAdminSelectWidget())

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "workspace" in self.fields:
            self.fields["workspace"].queryset = workspaces()

    @property
    def actor(self) -> Actor | None:
        """Who asks, in the chosen workspace; nobody while none is chosen."""
        workspace_id = self.instance.workspace_id or getattr(self.cleaned_data.get("workspace"), "id", None)
        return actor_in(self.request, workspace_id) if workspace_id else None
