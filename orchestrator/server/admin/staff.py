"""The admin of the installation's staff: what there is, of all organizations, and nothing of what it holds.

Read in the system's scope, by a connection of its own. What is looked at and changed is written into the trail of the
organization that it belongs to, by the door, when the page is made.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpResponse
from django.template.response import TemplateResponse

from blocks.models import Block, Variable
from orchestrator.server.admin.site import Managed, RefusableForm, Site, column
from runs.models import Agent, Deployment
from tenants import staff
from tenants.models import AuditEntry, Membership, Organization, OutboxMessage, StaffEntry, User, Workspace

AuditEntry._meta.verbose_name_plural = "audit entries"  # A word of this site; in the model it would be a migration.


class StaffSite(Site):
    """For people with `is_staff`, whom the door has asked for."""

    sections = (
        ("Organizations", ((Organization, "domain"), (Workspace, "folder"), (Membership, "badge"))),
        ("People", ((User, "person"),)),
        ("Work", ((Deployment, "rocket_launch"), (Agent, "dns"))),
        ("Settings", ((Block, "deployed_code"), (Variable, "data_object"))),
        ("Records", ((AuditEntry, "history"), (StaffEntry, "badge"), (OutboxMessage, "outgoing_mail"))),
    )

    def each_context(self, request: Any) -> dict[str, Any]:
        named = {"site_header": "Orchestrator", "site_subheader": "Staff", "site_title": "Staff", "show_history": False}
        return {**super().each_context(request), **named}


site = StaffSite()


class Watched(Managed):
    """Rows of all organizations: `shown` fields and no others, nothing made, changed or deleted."""

    shown: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    show_history = False
    search_help_text = "An organization, by its address"

    def get_search_fields(self, request: Any) -> tuple[str, ...]:
        return ("organization__slug",)

    def get_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        return self.shown

    def get_readonly_fields(self, request: Any, obj: Any = None) -> tuple[str, ...]:
        return tuple(name for name in self.shown if name not in self.changed)

    def has_add_permission(self, request: Any) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return bool(self.changed)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        rows = self.model._default_manager.using(settings.STAFF_DATABASE)
        return rows.order_by(*self.ordering).select_related(*self.list_select_related)

    def get_search_results(self, request: Any, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        return (queryset.filter(self.found(search_term.strip())) if search_term.strip() else queryset), False

    def found(self, term: str) -> Q:
        """What a search means: one organization's rows."""
        return Q(organization__slug=term)

    # ── every look is told ───────────────────────────────────────────────────────────────────────

    def get_object(self, request: Any, object_id: Any, from_field: str | None = None) -> Any:
        found = self.get_queryset(request).filter(pk=object_id).first()
        if found is None:
            raise Http404("There is no such object here.")
        self.note(request, [found])
        return found

    def changelist_view(self, request: Any, extra_context: Any = None) -> HttpResponse:
        """The list; the door writes down whose rows it shows."""
        answer = super().changelist_view(request, extra_context)
        if isinstance(answer, TemplateResponse) and "cl" in (answer.context_data or {}):
            self.note(request, list(answer.context_data["cl"].result_list))
        return answer

    def note(self, request: Any, seen: list[Model]) -> None:
        """Remember whose objects were looked at."""
        for each in seen:
            for organization_id in self.owners(each) or [None]:
                look = (self.opts.verbose_name, str(each))
                request.looks.setdefault(organization_id, []).append(look)

    def owners(self, seen: Any) -> list[UUID]:
        """The organizations that an object belongs to."""
        return [seen.organization_id]

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        """The door changes it, once the system's scope is left."""
        raise Http404("Staff only look at this.")

    def delete_view(self, request: Any, object_id: Any, extra_context: Any = None) -> HttpResponse:
        raise Http404("Staff delete nothing.")

    def add_view(self, request: Any, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        raise Http404("Staff make nothing.")

    def history_view(self, request: Any, object_id: Any, extra_context: Any = None) -> HttpResponse:
        raise Http404("The audit entries tell the history.")


class Organizations(Watched):
    """What an organization is, and how many it has of what."""

    form = RefusableForm
    list_display = ("name", "slug", "retention", "created_at", "deleted_at")
    list_select_related = ()
    ordering = ("name", "id")
    shown = ("name", "slug", "retention", "requires_sso", "created_at", "deleted_at", "counts")
    changed = ("retention",)

    def get_queryset(self, request: Any) -> QuerySet[Organization]:
        return super().get_queryset(request).filter(purged_at=None)

    def found(self, term: str) -> Q:
        return Q(slug__startswith=term) | Q(name__istartswith=term)

    def owners(self, seen: Any) -> list[UUID]:
        return [seen.id]

    @column("counts")
    def counts(self, organization: Organization) -> str:
        known = {
            "workspaces": Workspace,
            "people": Membership,
            "deployments": Deployment,
            "agents": Agent,
            "blocks": Block,
        }
        own = {"organization_id": organization.id}
        rows = {name: model.objects.using(settings.STAFF_DATABASE).filter(**own) for name, model in known.items()}
        return ", ".join(f"{found.count():,} {name}" for name, found in rows.items())

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        days = form.cleaned_data["retention"]
        request.changes.append(partial(staff.set_retention, organization_id=obj.id, days=days, by=request.user))


class People(Watched):
    """Who may log in. Their organizations are asked for when one of them is looked at."""

    form = RefusableForm
    list_display = ("email", "name", "is_active", "is_staff", "date_joined", "last_login")
    list_select_related = ()
    ordering = ("email",)
    search_help_text = "The beginning of an e-mail address"
    shown = ("email", "name", "is_active", "is_staff", "date_joined", "last_login", "memberships")
    changed = ("is_active",)

    def found(self, term: str) -> Q:
        return Q(email__istartswith=term)

    def owners(self, seen: Any) -> list[UUID]:
        return [membership.organization_id for membership in self._memberships(seen)]

    def note(self, request: Any, seen: list[Model]) -> None:
        """A page of people belongs to nobody; a look at one of them is told where they are members."""
        if len(seen) == 1 and request.resolver_match.kwargs:
            super().note(request, seen)

    def _memberships(self, person: User) -> QuerySet[Membership]:
        own = Membership.objects.using(settings.STAFF_DATABASE).filter(user_id=person.id)
        return own.select_related("organization").order_by("organization__name")

    @column("memberships")
    def memberships(self, person: User) -> str:
        return ", ".join(f"{each.organization} ({each.role})" for each in self._memberships(person)) or "none"

    def save_model(self, request: Any, obj: Any, form: Any, change: bool) -> None:
        active = form.cleaned_data["is_active"]
        staff.check_other(user_id=obj.id, active=active, by=request.user)
        request.changes.append(partial(staff.set_active, user_id=obj.id, active=active, by=request.user))


class Workspaces(Watched):
    """Of all organizations."""

    list_display = ("name", "slug", "organization", "created_at", "deleted_at")
    list_select_related = ("organization",)
    ordering = ("organization__name", "name", "id")
    shown = ("organization", "name", "slug", "created_at", "deleted_at")


class Memberships(Watched):
    """Who belongs where."""

    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("organization", "user")
    ordering = ("organization__name", "user__email", "id")
    shown = ("organization", "user", "role", "created_at")


class Deployments(Watched):
    """What is deployed where; no parameters, no job variables, no sources."""

    list_display = ("name", "flow", "workspace", "organization", "version", "updated_at")
    list_select_related = ("organization", "workspace", "flow", "pool", "queue")
    ordering = ("-updated_at", "id")
    shown = (
        "organization", "workspace", "flow", "name", "version", "pool", "queue", "process", "python", "paused",
        "created_at", "updated_at",
    )  # fmt: skip


class Agents(Watched):
    """What runs where, and when it was heard of."""

    list_display = ("name", "pool", "organization", "version", "host", "last_seen_at")
    list_select_related = ("organization", "workspace", "pool")
    ordering = ("-last_seen_at", "id")
    shown = (
        "organization", "workspace", "pool", "name", "slots", "version", "python", "host", "created_at", "started_at",
        "last_seen_at",
    )  # fmt: skip


class Blocks(Watched):
    """Names, types and versions. Data and secrets are not asked for."""

    list_display = ("name", "type", "workspace", "organization", "version", "updated_at")
    list_select_related = ("organization", "workspace")
    ordering = ("-updated_at", "id")
    shown = ("organization", "workspace", "type", "name", "version", "created_at", "updated_at", "updated_by")


class Variables(Watched):
    """Names and tags. Values are not asked for: not even by the database."""

    list_display = ("name", "tags", "workspace", "organization", "updated_at")
    list_select_related = ("organization", "workspace")
    ordering = ("-updated_at", "id")
    shown = ("organization", "workspace", "name", "tags", "created_at", "updated_at", "updated_by")

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return super().get_queryset(request).defer("value")


class AuditEntries(Watched):
    """The trail of one organization, which is searched for first: all of them in one order would be sorted anew."""

    list_display = ("at", "action", "actor", "object_name", "address", "organization")
    list_select_related = ("organization",)
    ordering = ("-at", "-id")
    search_help_text = "An organization's address shows its trail"
    shown = (
        "organization", "number", "at", "action", "actor_kind", "actor", "object_type", "object_id", "object_name",
        "told", "address", "request_id",
    )  # fmt: skip

    @column("details")
    def told(self, entry: AuditEntry) -> str:
        """As text: unfold would colour JSON by inline styles."""
        return json.dumps(entry.details, ensure_ascii=False)

    def get_search_results(self, request: Any, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        owner = Organization.objects.using(settings.STAFF_DATABASE).filter(slug=search_term.strip()).first()
        return (queryset.filter(organization_id=owner.id) if owner else queryset.none()), False


class StaffEntries(Watched):
    """What the staff have done themselves. It belongs to no organization, and a look at it is told nowhere."""

    list_display = ("at", "action", "actor", "object_name", "address")
    list_select_related = ()
    ordering = ("-at", "-id")
    search_help_text = "The beginning of a colleague's e-mail address"
    shown = ("at", "action", "actor", "object_type", "object_id", "object_name", "told", "address", "request_id")

    @column("details")
    def told(self, entry: StaffEntry) -> str:
        """As text: unfold would colour JSON by inline styles."""
        return json.dumps(entry.details, ensure_ascii=False)

    def found(self, term: str) -> Q:
        return Q(actor__istartswith=term)

    def note(self, request: Any, seen: list[Model]) -> None:
        """It is about the staff."""


class OutboxFailures(Watched):
    """What could not be sent: its kind and the reason, never its contents."""

    list_display = ("kind", "organization", "tries", "error", "created_at")
    list_select_related = ("organization",)
    ordering = ("-created_at", "id")
    shown = ("organization", "kind", "tries", "error", "created_at", "next_try_at")

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return super().get_queryset(request).filter(failed=True)


for _model, _managed in (
    (Organization, Organizations),
    (Workspace, Workspaces),
    (Membership, Memberships),
    (User, People),
    (Deployment, Deployments),
    (Agent, Agents),
    (Block, Blocks),
    (Variable, Variables),
    (AuditEntry, AuditEntries),
    (StaffEntry, StaffEntries),
    (OutboxMessage, OutboxFailures),
):
    site.register(_model, _managed)
