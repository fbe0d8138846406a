"""What the cache holds: the index of values that later calls may use. The values are where the users' storages are."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from orchestrator.cleaned import MAX_CACHE_KEY
from runs.models.definitions import InWorkspace

STATES = ("live", "expired", "invalidated")


class CacheEntry(InWorkspace):
    """One key of the cache, and the newest value under it. `hits` counts the uses of that value.

    `used_by` lists the newest uses as [run, task run, µs UTC]. An entry that is known by its uses alone, because the
    word about its making is under way, has no `run_id`.
    """

    key = models.CharField(max_length=MAX_CACHE_KEY, db_collation="C")
    task = models.CharField(max_length=500)
    url = models.CharField(max_length=2_000)
    serializer = models.CharField(max_length=100, blank=True)
    size = models.BigIntegerField(null=True)
    run_id = models.UUIDField(null=True)
    task_id = models.UUIDField(null=True)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    invalidated_at = models.DateTimeField(null=True)
    hits = models.BigIntegerField(default=0)
    used_at = models.DateTimeField(null=True)
    used_by = models.JSONField(default=list)

    class Meta:
        db_table = "cache_entry"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "key"], name="cache_entry_key")]
        indexes = [
            models.Index(fields=["organization", "workspace", "-made_at", "-id"], name="cache_entry_list"),
            models.Index(fields=["organization", "workspace", "task", "-made_at", "-id"], name="cache_entry_by_task"),
            models.Index(fields=["expires_at"], name="cache_entry_age", condition=Q(expires_at__isnull=False)),
            models.Index(fields=["made_at"], name="cache_entry_made"),
            models.Index(
                fields=["organization", "workspace", "-invalidated_at"],
                name="cache_entry_invalidated",
                condition=Q(invalidated_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.invalidated_at is not None:
            return "invalidated"
        return "expired" if self.expires_at is not None and self.expires_at <= now() else "live"
