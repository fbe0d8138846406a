"""Named settings that flows read."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned, same_tenant


class Variable(TenantOwned):
    """A JSON value under a name, for flows, templates and forms. Not for secrets."""

    workspace = same_tenant("tenants.Workspace")
    name = models.CharField(max_length=200)
    value = models.JSONField()
    tags = ArrayField(models.CharField(max_length=200), default=list)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    updated_by = models.CharField(max_length=254, blank=True)

    class Meta:
        db_table = "variable"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "name"], name="variable_name")]

    def __str__(self) -> str:
        return self.name
