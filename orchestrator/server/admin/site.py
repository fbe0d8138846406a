"""What both admin sites are made of: a site without the doors of Django's own, and the base of its lists and forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from orchestrator.server.admin.doors import portal_address
from tenants.errors import Problem

ROWS = 50


class Site(UnfoldAdminSite):
    """A site whose door is elsewhere: no log-in, no passwords, no search over all models, no jump to any row."""

    index_title = "Overview"
    final_catch_all_view = False
    enable_nav_sidebar = True
    sections: tuple[tuple[str, tuple[tuple[type[models.Model], str], ...]], ...] = ()  # (title, ((model, icon), …))

    def get_urls(self) -> list[Any]:
        addresses = [
            path("", self.admin_view(self.index), name="index"),
            path("jsi18n/", self.admin_view(self.i18n_javascript, cacheable=True), name="jsi18n"),
            path("<slug:app_label>/", self.admin_view(self._to_index), name="app_list"),
        ]
        for model, managed in self._registry.items():
            addresses += managed.addresses(f"{model._meta.app_label}/{model._meta.model_name}/")
        return addresses

    def _to_index(self, request: HttpRequest, app_label: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:index"))

    def has_permission(self, request: HttpRequest) -> bool:
        """The door has asked already, and nobody comes here but through it."""
        return hasattr(request, "admin_home")

    def each_context(self, request: Any) -> dict[str, Any]:
        return {
            **super().each_context(request),
            "site_url": request.admin_home,
            "log_out": portal_address("account_logout"),
            "colors": None,  # They are in static/css/admin.css: the content security policy takes no inline styles.
            "border_radius": None,
        }

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        """The start page: a table for each section."""
        return [
            {
                "name": title,
                "app_label": title.lower(),
                "app_url": reverse("admin:index"),
                "has_module_perms": True,
                "models": [self._described(request, model) for model, _ in listed],
            }
            for title, listed in self.sections
        ]

    def _described(self, request: HttpRequest, model: type[models.Model]) -> dict[str, Any]:
        managed, named = self._registry[model], f"admin:{model._meta.app_label}_{model._meta.model_name}"
        return {
            "model": model,
            "name": model._meta.verbose_name_plural.capitalize(),
            "object_name": model._meta.object_name,
            "admin_url": reverse(f"{named}_changelist"),
            "add_url": reverse(f"{named}_add") if managed.has_add_permission(request) else None,
            "view_only": not managed.has_change_permission(request),
        }

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        return [
            {"title": title, "separator": False, "items": [self._link(request, *each) for each in listed]}
            for title, listed in self.sections
        ]

    def _link(self, request: HttpRequest, model: type[models.Model], icon: str) -> dict[str, Any]:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        title = model._meta.verbose_name_plural.capitalize()
        return {
            "title": title, "icon": icon, "link": address,
            "active": request.path.startswith(address), "has_permission": True,
        }  # fmt: skip


class Managed(ModelAdmin):
    """A model's list and forms, whose writes are the operations that the portal and the API use.

    Nothing is logged by Django's admin: its table is no tenant's. The audit trail has it.
    """

    actions = None
    list_per_page = list_max_show_all = ROWS
    list_filter_sheet = True
    show_full_result_count = False
    view_on_site = False
    show_history = True

    def addresses(self, prefix: str) -> list[Any]:
        """The five that are served. Names are those that Django's templates ask for."""
        named = f"{self.opts.app_label}_{self.opts.model_name}"
        view = self.admin_site.admin_view
        return [
            path(prefix, view(self.changelist_view), name=f"{named}_changelist"),
            path(f"{prefix}add/", view(self.add_view), name=f"{named}_add"),
            path(f"{prefix}<uuid:object_id>/history/", view(self.history_view), name=f"{named}_history"),
            path(f"{prefix}<uuid:object_id>/delete/", view(self.delete_view), name=f"{named}_delete"),
            path(f"{prefix}<uuid:object_id>/change/", view(self.change_view), name=f"{named}_change"),
        ]

    @property
    def media(self) -> forms.Media:
        """None of the admin's scripts: they are for pop-ups and calendars."""
        return forms.Media()

    # ── who may ──────────────────────────────────────────────────────────────────────────────────

    def has_module_permission(self, request: Any) -> bool:
        return True

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: Any) -> bool:
        return True

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return True

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return True

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Lists are narrowed by their own filters, never by a lookup of whoever writes the address."""
        return lookup in {filter.parameter_name for filter in self.list_filter}

    # ── one row ──────────────────────────────────────────────────────────────────────────────────

    def get_object(self, request: Any, object_id: Any, from_field: str | None = None) -> Any:
        found = super().get_object(request, str(object_id), None)
        if found is None:
            raise Http404("There is no such object here.")
        return found

    def changeform_view(
        self, request: Any, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The form; shown again with the reasons when the operation refuses what it was given."""
        object_id = str(object_id) if object_id else None
        try:
            with transaction.atomic():
                return super().changeform_view(request, object_id, form_url, extra_context)
        except Problem as problem:
            request.refused = problem
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change, **options)
        return type(form.__name__, (form,), {"request": request, "refused": getattr(request, "refused", None)})

    def delete_view(self, request: Any, object_id: Any, extra_context: Any = None) -> HttpResponse:
        """Ask, then delete; back at the object with the reason when the operation refuses."""
        try:
            with transaction.atomic():
                return super().delete_view(request, str(object_id), extra_context)
        except Problem as problem:
            messages.error(request, problem.message)
            return HttpResponseRedirect(
                reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id])
            )

    def get_deleted_objects(self, objs: Sequence[Any], request: Any) -> tuple[list[Any], dict, set, list]:
        """What goes with the object is the operation's business; here it is the object alone."""
        return [str(each) for each in objs], {}, set(), []

    def history_view(self, request: Any, object_id: Any, extra_context: Any = None) -> HttpResponse:
        raise NotImplementedError

    # ── Django's own log stays empty ─────────────────────────────────────────────────────────────

    def log_addition(self, request: Any, obj: Any, message: Any) -> None:
        """See the class."""

    def log_change(self, request: Any, obj: Any, message: Any) -> None:
        """See the class."""

    def log_deletions(self, request: Any, queryset: Any) -> None:
        """See the class."""


class RefusableForm(forms.ModelForm):
    """A form that shows beside its fields why the operation refused them."""

    request: Any
    refused: Problem | None = None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.refused is not None:
            self.add_error(None, self.refused.message)
            for place, message in (self.refused.fields or {}).items():
                self._show(place, message)
        return cleaned

    def _show(self, place: str, message: str) -> None:
        """Put a refusal beside its field: `source.path` beside `source`."""
        name = place.split(".")[0]
        told = message if place == name else f"{place}: {message}"
        self.add_error(*((name, told) if name in self.fields else (None, f"{place}: {message}")))

    def _get_validation_exclusions(self) -> set[str]:
        """The operation checks the values, for all doors alike; the model's own checks refuse what is empty."""
        return {field.name for field in self._meta.model._meta.fields}


def column(description: str, **options: Any) -> Callable[[Any], Any]:
    """Name a column of a list that a method makes."""
    from unfold.decorators import display

    return display(description=description, **options)
