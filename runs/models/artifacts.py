"""What runs make: artifacts for people, and assets with what they were made of."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now

from runs.models.definitions import InWorkspace
from tenants.owned import same_tenant


class Artifact(InWorkspace):
    """Something a run made for people. Those of a key are its versions; the newest stands for it.

    Lists show the `summary` and leave `data` alone, which may have 900 KiB. It goes with the rows of its run, on the
    day `keep_until`.
    """

    run_id = models.UUIDField()
    task_id = models.UUIDField(null=True)
    type = models.CharField(max_length=40)
    key = models.CharField(max_length=200, blank=True)
    data = models.JSONField(null=True)
    summary = models.JSONField(default=dict)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    keep_until = models.DateField()

    class Meta:
        db_table = "artifact"
        indexes = [
            models.Index(fields=["organization", "run_id", "-created_at", "-id"], name="artifact_of_run"),
            models.Index(fields=["organization", "workspace", "key", "-created_at", "-id"], name="artifact_by_key"),
            models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="artifact_list"),
            models.Index(fields=["keep_until"], name="artifact_age"),
        ]

    def __str__(self) -> str:
        return self.key or f"{self.type.capitalize()} {str(self.id)[-6:]}"


class Asset(InWorkspace):
    """Something that runs make or use, wherever it lies: a file, a table, a model. Its key is a URI."""

    key = models.CharField(max_length=512)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    url = models.CharField(max_length=2_000, blank=True)
    owners = ArrayField(models.CharField(max_length=254), default=list)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "asset"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "key"], name="asset_key")]

    def __str__(self) -> str:
        return self.name or self.key


class Materialization(InWorkspace):
    """A run made an asset, or failed at it. `upstream` are the keys of what it was made of."""

    asset = same_tenant("runs.Asset", related_name="materializations")
    run_id = models.UUIDField()
    task_id = models.UUIDField(null=True)
    at = models.DateTimeField()
    succeeded = models.BooleanField()
    by = models.CharField(max_length=200, blank=True)  # What made it, where that is no task: dbt, for example.
    metadata = models.JSONField(default=dict)
    upstream = ArrayField(models.CharField(max_length=512), default=list)
    keep_until = models.DateField()

    class Meta:
        db_table = "asset_materialization"
        indexes = [
            models.Index(fields=["organization", "asset", "-at", "-id"], name="materialization_list"),
            models.Index(fields=["organization", "run_id"], name="materialization_of_run"),
            models.Index(fields=["keep_until"], name="materialization_age"),
        ]


class AssetEdge(InWorkspace):
    """An asset was made of another one, at least once."""

    upstream = same_tenant("runs.Asset", related_name="feeds")
    downstream = same_tenant("runs.Asset", related_name="made_of")

    class Meta:
        db_table = "asset_edge"
        constraints = [
            models.UniqueConstraint(fields=["organization", "downstream", "upstream"], name="asset_edge_once")
        ]
        indexes = [models.Index(fields=["organization", "upstream"], name="asset_edge_down")]
