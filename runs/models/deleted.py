"""Runs that were deleted: what is left to remove of them, and what keeps them from coming back."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from runs.models.definitions import InWorkspace


class DeletedRun(InWorkspace):
    """An execution that somebody has deleted; its id is that of its root.

    `run_ids` are the runs whose rows are still to be removed, until `cleared_at`. What the execution used is told here
    when its rows can't be counted any more, and whose it was while deltas of it are not in their day.
    """

    deployment_id = models.UUIDField(null=True)
    tags = ArrayField(models.CharField(max_length=200), default=list)
    retention = models.SmallIntegerField()
    bucket = models.DateField()
    run_ids = ArrayField(models.UUIDField(), default=list)
    flow_runs = models.BigIntegerField(default=0)
    task_runs = models.BigIntegerField(default=0)
    log_bytes = models.BigIntegerField(default=0)  # Of the lines that were removed so far.
    run_time = models.BigIntegerField(default=0)  # µs
    cpu = models.BigIntegerField(default=0)  # µs
    deleted_at = models.DateTimeField(default=now)
    cleared_at = models.DateTimeField(null=True)
    keep_until = models.DateField()  # as long as the rows of the run would have been, and late words are taken

    class Meta:
        db_table = "deleted_run"
        indexes = [
            models.Index(
                fields=["organization", "deleted_at"], condition=Q(cleared_at__isnull=True), name="deleted_run_left"
            ),
            models.Index(fields=["organization", "retention", "bucket"], name="deleted_run_of_bucket"),
            models.Index(fields=["keep_until"], name="deleted_run_age"),
        ]

    def __str__(self) -> str:
        return str(self.id)
