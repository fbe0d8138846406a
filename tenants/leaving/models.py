"""What is known of those who leave: what was removed, and what was made for them to take along."""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned, same_tenant


class Departure(TenantOwned):
    """An organization, or one of its workspaces, whose grace was over: all that remains to tell of it.

    No name and no address: the person who asked is an id here, which means nothing once the account is gone.
    """

    workspace_id = models.UUIDField(null=True)  # No foreign key: the workspace goes. Null: the whole organization.
    asked_at = models.DateTimeField()
    asked_by = models.UUIDField(null=True)  # a person's id, as the audit trail had it
    begun_at = models.DateTimeField(default=now)
    finished_at = models.DateTimeField(null=True)
    counts = models.JSONField(default=dict)  # rows removed, by table
    audit_number = models.BigIntegerField(null=True)  # of the last sealed entry of the trail that went,
    audit_hash = models.BinaryField(max_length=32, null=True)  # and its hash: an exported trail can still be proved.

    class Meta:
        db_table = "departure"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "workspace_id"], nulls_distinct=False, name="departure_once"
            )
        ]
        indexes = [
            models.Index(fields=["begun_at"], condition=models.Q(finished_at=None), name="departure_open"),
        ]


class Export(TenantOwned):
    """A zip of all that an organization has, made by a worker, kept for a week. See `tenants/leaving/exports.py`."""

    asked_at = models.DateTimeField(default=now)
    asked_by = models.CharField(max_length=254)
    email = models.EmailField()  # who is told
    claimed_until = models.DateTimeField(null=True)  # A worker is at it; one that died lets it run out.
    tries = models.PositiveSmallIntegerField(default=0)
    ready_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)
    size = models.BigIntegerField(default=0)  # bytes
    sha256 = models.CharField(max_length=64, blank=True)
    counts = models.JSONField(default=dict)  # rows written, by file

    class Meta:
        db_table = "export"
        constraints = [
            models.UniqueConstraint(
                fields=["organization"],
                condition=models.Q(ready_at=None, failed_at=None),
                name="export_under_way",
            )
        ]
        indexes = [
            models.Index(fields=["asked_at"], condition=models.Q(ready_at=None, failed_at=None), name="export_open"),
            models.Index(fields=["organization", "-asked_at"], name="export_list"),
            models.Index(fields=["asked_at"], name="export_age"),
        ]


class ExportChunk(TenantOwned):
    """A piece of an export's zip: any web process can read it, wherever the worker ran that wrote it."""

    export = same_tenant("tenants.Export", related_name="chunks")
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        db_table = "export_chunk"
        constraints = [models.UniqueConstraint(fields=["organization", "export", "number"], name="export_chunk_once")]
