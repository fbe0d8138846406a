"""A role of an organization's own."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned


class CustomRole(TenantOwned):
    """A name for some verbs. Parts, keys and invitations hold its slug, as they hold a built-in role's name."""

    slug = models.CharField(max_length=40)  # Never changes: what holds it would have to follow.
    name = models.CharField(max_length=60)
    verbs = ArrayField(models.CharField(max_length=40), default=list)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "custom_role"
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="custom_role_slug")]

    def __str__(self) -> str:
        return self.name
