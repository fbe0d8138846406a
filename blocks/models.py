"""Named settings that flows read: variables, block types, blocks and their versions."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned, same_tenant
from tenants.restrictions.models import Level, Restrictable


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


class BlockType(TenantOwned):
    """A type that a workspace registered, beside those that are built in (`types.catalogue`)."""

    workspace = same_tenant("tenants.Workspace")
    slug = models.CharField(max_length=100)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    icon = models.CharField(max_length=40, blank=True)
    schema = models.TextField()  # JSON as it was sent: jsonb would forget the order of the fields, which forms show
    methods = ArrayField(models.CharField(max_length=100), default=list)
    checksum = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    updated_by = models.CharField(max_length=254, blank=True)

    class Meta:
        db_table = "block_type"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "slug"], name="block_type_slug")]

    def __str__(self) -> str:
        return self.slug


class Block(Restrictable, TenantOwned):
    """A document of a type under a name. What it holds is in its versions; `version` is the current one's number."""

    MEANS: ClassVar = "View: without its secrets. Use: load it. Edit: change, rename and delete it."
    LEVELS: ClassVar = {"blocks.view": Level.VIEW, "blocks.use": Level.USE, "blocks.edit": Level.EDIT}

    workspace = same_tenant("tenants.Workspace")
    type = models.CharField(max_length=100)  # the slug: types may be built in
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    updated_by = models.CharField(max_length=254, blank=True)

    class Meta:
        db_table = "block"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "type", "name"], name="block_name")]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """How code and other blocks name it: `type/name`."""
        return f"{self.type}/{self.name}"


class BlockVersion(TenantOwned):
    """What a block held from one change to the next. The last `versions.KEPT` of each block stay.

    `data` has `{"$secret": true}` where a secret belongs; `secret_places` tells of each when, by whom and in which
    version it was set; `sealed` are the secrets themselves, encrypted, by their places.
    """

    block = same_tenant("blocks.Block", related_name="versions")
    number = models.PositiveIntegerField()
    data = models.JSONField()
    secret_places = models.JSONField(default=dict)
    sealed = models.BinaryField(null=True)
    size = models.PositiveIntegerField()  # bytes of `data`
    note = models.CharField(max_length=200, blank=True)  # how it came to be, where it was no ordinary change
    created_at = models.DateTimeField(default=now)
    created_by = models.CharField(max_length=254, blank=True)

    class Meta:
        db_table = "block_version"
        constraints = [models.UniqueConstraint(fields=["organization", "block", "number"], name="block_version_number")]

    def __str__(self) -> str:
        return f"version {self.number}"


class BlockReference(TenantOwned):
    """A block whose current version names another one."""

    block = same_tenant("blocks.Block", related_name="references")
    target = same_tenant("blocks.Block", related_name="referred")

    class Meta:
        db_table = "block_reference"
        constraints = [models.UniqueConstraint(fields=["organization", "block", "target"], name="block_reference_once")]
        indexes = [models.Index(fields=["organization", "target"], name="block_reference_target")]

    def __str__(self) -> str:
        return f"{self.block_id} uses {self.target_id}"
