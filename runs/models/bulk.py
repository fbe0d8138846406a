"""What is done to many runs at once."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from runs.models.definitions import InWorkspace

_OPEN = Q(state__in=["waiting", "running"])


class BulkOperation(InWorkspace):
    """Something that is done to all runs that fit a filter and were made before `before`, batch by batch.

    `reached_at` and `reached_id` say up to which run it has come; they change with what was done, in one transaction.
    """

    class Kind(models.TextChoices):
        """What is done to each run."""

        CANCEL = "cancel"
        RETRY = "retry"
        DELETE = "delete"
        PAUSE = "pause"
        RESUME = "resume"

    class State(models.TextChoices):
        """How far it has come."""

        WAITING = "waiting"  # It can be undone without a trace.
        RUNNING = "running"
        COMPLETED = "completed"
        CANCELLED = "cancelled"  # By somebody, or because who asked for it may not any more.
        FAILED = "failed"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    filter = models.JSONField()  # As it was asked for: the words of the list's address.
    deployment_id = models.UUIDField(null=True)  # That which the filter named.
    from_failure = models.BooleanField(default=True)
    before = models.DateTimeField()
    count = models.PositiveIntegerField()  # Of runs, when it was asked for.
    left_out = models.JSONField(default=dict)  # {reason: runs}, then
    created_by = models.CharField(max_length=254)
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=now)
    begins_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    message = models.TextField(blank=True)
    done = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=dict)  # {reason: runs} that had changed when their turn came
    reached_at = models.DateTimeField(null=True)
    reached_id = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)  # A worker is at it; silent for so long, another one takes it.
    failures = models.PositiveSmallIntegerField(default=0)  # of batches, one after the other

    class Meta:
        db_table = "bulk_operation"
        indexes = [
            models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="bulk_operation_list"),
            models.Index(fields=["begins_at"], condition=_OPEN, name="bulk_operation_due"),
            models.Index(fields=["organization"], condition=_OPEN, name="bulk_operation_open"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="bulk_operation_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.count} runs"

    @property
    def is_open(self) -> bool:
        """True while it may still do something."""
        return self.state in {self.State.WAITING, self.State.RUNNING}
