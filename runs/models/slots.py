"""Limits that code names, and their slots: who holds one, and who waits for one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from orchestrator.slot_bodies import TAG
from runs.models.definitions import InWorkspace


class NamedLimit(InWorkspace):
    """At most `slots` holders at once of a name that code uses; `rate` gives slots back by itself (per second).

    `reserved_until` is when the last slot that was given out by the rate will be back: the "theoretical arrival time"
    of the generic cell rate algorithm (ITU-T I.371).
    """

    name = models.CharField(max_length=500)
    slots = models.PositiveIntegerField()
    rate = models.FloatField(default=0)
    active = models.BooleanField(default=True)
    reserved_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "named_limit"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "name"], name="named_limit_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def tag(self) -> str:
        """The tag whose task runs it limits; empty where code names it."""
        return self.name.removeprefix(TAG) if self.name.startswith(TAG) else ""


class Slot(InWorkspace):
    """Somebody holds slots of one name (`held_at`), or waits for them in its queue (by `place`).

    What is asked for at once, under several names, shares its `ask`. A row lives until `expires_at`, which its process
    moves on; a held one of a run under an agent (`leased`) for as long as the run's own lease.
    """

    class Kind(models.TextChoices):
        """What the name is one of."""

        LIMIT = "limit"
        LOCK = "lock"  # One slot, and no row of its own.

    ask = models.UUIDField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=500)
    names = models.PositiveSmallIntegerField(default=1)  # of its ask
    occupy = models.PositiveIntegerField(default=1)
    place = models.BigIntegerField()
    session_id = models.UUIDField()
    run_id = models.UUIDField(null=True)
    attempt = models.PositiveIntegerField(null=True)
    leased = models.BooleanField(default=False)
    label = models.CharField(max_length=200, blank=True)
    asked_at = models.DateTimeField(default=now)
    held_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "slot"
        constraints = [models.UniqueConstraint(fields=["organization", "ask", "kind", "name"], name="slot_once")]
        indexes = [
            models.Index(
                fields=["organization", "workspace", "kind", "name"], condition=Q(held_at__isnull=False),
                name="slot_held",
            ),
            models.Index(
                fields=["organization", "workspace", "kind", "name", "place"], condition=Q(held_at__isnull=True),
                name="slot_queue",
            ),
            models.Index(
                fields=["organization", "workspace", "kind", "name", "ask"],
                condition=Q(held_at__isnull=True, names__gt=1), name="slot_wide",
            ),
            models.Index(fields=["organization", "session_id"], name="slot_of_session"),
            models.Index(fields=["organization", "run_id"], condition=Q(run_id__isnull=False), name="slot_of_run"),
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="slot_expiry"),
            models.Index(
                fields=["organization", "run_id", "attempt"], condition=Q(expires_at__isnull=True), name="slot_leased"
            ),
        ]  # fmt: skip

    @property
    def is_held(self) -> bool:
        """False while it waits."""
        return self.held_at is not None
