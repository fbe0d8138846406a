"""Backfills: runs over a past range, or of a list of parameter sets, a few at a time."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from orchestrator.backfills import AT_ONCE, PRIORITY
from orchestrator.schedule_times import Times
from orchestrator.schedule_words import in_words
from runs.models.definitions import InWorkspace
from tenants.owned import TenantOwned, same_tenant

_OPEN = Q(state__in=["running", "paused"])


class Backfill(InWorkspace):
    """Runs that are made a few at a time. Which ones is written down when it is asked for: its places.

    `reached` is the first place that nothing was done about yet; it changes with the runs that were made, in one
    transaction. `look_at` is when a worker is to look at it next, should no run of it end before.
    """

    class State(models.TextChoices):
        """How far it has come."""

        RUNNING = "running"
        PAUSED = "paused"  # By somebody, after failures, or because it could not go on.
        COMPLETED = "completed"  # All its runs were made, and have ended.
        CANCELLED = "cancelled"  # By somebody, or because who asked for it may not any more.

    deployment = same_tenant("runs.Deployment", null=True)
    deployment_name = models.CharField(max_length=701)  # Of a deleted one it is what is left.
    schedule = same_tenant("runs.Schedule", null=True)
    name = models.CharField(max_length=200, blank=True)
    times = models.JSONField(null=True)  # What its times were by, as `Times` has it; null: it is of sets.
    since = models.DateTimeField(null=True)
    until = models.DateTimeField(null=True)
    parameters = models.JSONField(default=dict)
    existing = models.CharField(max_length=10, default="skip")
    order = models.CharField(max_length=10, default="oldest")
    at_once = models.PositiveIntegerField(default=AT_ONCE)
    per_minute = models.PositiveIntegerField(null=True)
    priority = models.SmallIntegerField(default=PRIORITY)
    tags = ArrayField(models.CharField(max_length=200), default=list)
    pause_after_failures = models.PositiveSmallIntegerField(null=True)
    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: none was given
    count = models.PositiveIntegerField()  # of places
    skipped = models.PositiveIntegerField(default=0)  # They had a run already.
    made = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    reached = models.PositiveIntegerField(default=0)
    created_by = models.CharField(max_length=254)
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.RUNNING)
    message = models.TextField(blank=True)  # Why it is in this state, or why nothing is made now.
    counts_from = models.DateTimeField(default=now)  # Failures before it don't pause it: somebody has resumed it since.
    paced_to = models.DateTimeField(null=True)  # Of `per_minute`: when the next run may be made.
    look_at = models.DateTimeField(null=True)
    leased_until = models.DateTimeField(null=True)  # A worker is at it; silent for so long, another one takes it.
    failures = models.PositiveSmallIntegerField(default=0)  # of turns, one after the other

    class Meta:
        db_table = "backfill"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "workspace", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="backfill_idempotency",
            )
        ]
        indexes = [
            models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="backfill_list"),
            models.Index(
                fields=["organization", "deployment", "-created_at", "-id"],
                condition=Q(deployment__isnull=False),
                name="backfill_of_deployment",
            ),
            models.Index(fields=["look_at"], condition=Q(state="running"), name="backfill_due"),
            models.Index(fields=["organization"], condition=_OPEN, name="backfill_open"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="backfill_age"),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.count:,} runs of {self.deployment_name}"

    @property
    def is_open(self) -> bool:
        """True while it may still make runs."""
        return self.state in {self.State.RUNNING, self.State.PAUSED}

    @property
    def left(self) -> int:
        """How many runs are still to be made."""
        return self.count - self.skipped - self.made - self.refused

    @property
    def words(self) -> str:
        """When its runs would have been due, for people; nothing, if it is of sets."""
        return in_words(Times(**self.times)) if self.times else ""


class BackfillPlace(TenantOwned):
    """One run that a backfill means. `run_id` is the newest of them: a retry takes the place of what it retries."""

    class Outcome(models.TextChoices):
        """What was done about it."""

        WAITING = "waiting"
        MADE = "made"
        SKIPPED = "skipped"  # There is a run already: `run_id`.
        REFUSED = "refused"  # `message` says why.

    backfill = same_tenant("runs.Backfill")
    ordinal = models.PositiveIntegerField()  # In the order in which they are made.
    time = models.DateTimeField(null=True)
    parameters = models.JSONField(default=dict)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.WAITING)
    message = models.TextField(blank=True)
    run_id = models.UUIDField(null=True)

    class Meta:
        db_table = "backfill_place"
        constraints = [
            models.UniqueConstraint(fields=["organization", "backfill", "ordinal"], name="backfill_place_ordinal")
        ]
        indexes = [
            models.Index(
                fields=["organization", "run_id"], condition=Q(run_id__isnull=False), name="backfill_place_of_run"
            )
        ]

    def __str__(self) -> str:
        return self.time.isoformat() if self.time else f"#{self.ordinal + 1}"
