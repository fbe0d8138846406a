"""The base of every model whose rows belong to an organization."""

from __future__ import annotations

from typing import Any

from django.db import models

from orchestrator.ids import uuid7
from tenants.scope import current_scope


class TenantQuerySet(models.QuerySet):
    """Refuses to run outside a scope. `db` is what every way of running a query asks for first."""

    @property
    def db(self) -> str:
        current_scope()
        return super().db


class TenantManager(models.Manager.from_queryset(TenantQuerySet)):
    """Refuses to begin a query outside a scope."""

    use_in_migrations = False

    def get_queryset(self) -> Any:
        current_scope()
        return super().get_queryset()


class TenantOwned(models.Model):
    """A row of one organization.

    The database's primary key is (organization_id, id), made so by `TenantTable` in the migration: an id that another
    organization uses is free here, and nothing tells that it exists.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False, editable=False
    )

    objects = TenantManager()

    class Meta:
        abstract = True
        # Rows that left their scope refuse too: without it they would answer "does not exist", or delete nothing.
        base_manager_name = "objects"

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Delete the row. Django's shortcut for a single row asks no manager."""
        current_scope()
        return super().delete(*args, **options)


def same_tenant(to: str, **options: Any) -> models.ForeignKey:
    """A foreign key within the organization. The migration adds the constraint, with `CompositeForeignKey`."""
    options.setdefault("on_delete", models.DO_NOTHING)
    options.setdefault("db_index", False)
    options.setdefault("related_name", "+")
    return models.ForeignKey(to, db_constraint=False, **options)
