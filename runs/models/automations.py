"""Automations: when something happens, tell somebody, or run something. And what became of it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.timezone import now

from runs.models.definitions import InWorkspace
from tenants.owned import same_tenant


class Automation(InWorkspace):
    """A trigger and an action. `events` and `…_like` are made of the trigger, for the query that matches.

    It runs things as whoever changed it last, with the rights that they have then; it tells as itself.
    """

    name = models.CharField(max_length=200)
    enabled = models.BooleanField(default=True)
    trigger = models.JSONField()  # as `automations/definitions.py` checks it
    action = models.JSONField()
    most_per_minute = models.PositiveSmallIntegerField(default=5)  # What is over that is told in one summary, or waits.
    events = ArrayField(models.CharField(max_length=100))
    events_like = ArrayField(models.CharField(max_length=400), default=list)  # Patterns, as LIKE has them.
    resources_like = ArrayField(models.CharField(max_length=1_100), default=list)
    name_like = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    updated_by = models.CharField(max_length=254, blank=True)
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)

    class Meta:
        db_table = "automation"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "name"], name="automation_name")]
        indexes = [
            models.Index(
                fields=["organization", "workspace"], condition=models.Q(enabled=True), name="automation_enabled"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Notification(InWorkspace):
    """What an automation did once: a message about one firing or many, or the run of one; or a test, about none."""

    automation = same_tenant("runs.Automation", related_name="notifications")
    firings = models.PositiveIntegerField(default=0)
    is_test = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now)
    tries = models.JSONField(default=list)  # [[µs UTC, what went wrong or ""], …]
    sent_at = models.DateTimeField(null=True)
    failed = models.BooleanField(default=False)
    run_id = models.UUIDField(null=True)  # That was triggered.

    class Meta:
        db_table = "automation_notification"
        indexes = [models.Index(fields=["organization", "automation", "-created_at"], name="notification_list")]


class Firing(InWorkspace):
    """An event met an automation: written in the event's transaction, once. `notification` says what was done."""

    automation = same_tenant("runs.Automation", related_name="fired")
    notification = same_tenant("runs.Notification", null=True, related_name="told")
    event_id = models.UUIDField()
    event = models.CharField(max_length=500)
    run_id = models.UUIDField(null=True)
    at = models.DateTimeField(default=now)
    cause = models.JSONField(default=dict)  # what was named when it happened: flow, run, state, agent, …

    class Meta:
        db_table = "automation_firing"
        constraints = [
            models.UniqueConstraint(fields=["organization", "automation", "event_id"], name="automation_firing_once")
        ]
        indexes = [
            models.Index(fields=["organization", "automation", "-at", "-id"], name="automation_firing_list"),
            models.Index(fields=["organization", "notification", "at"], name="automation_firing_told"),
            models.Index(
                fields=["organization", "automation", "at"],
                condition=models.Q(notification=None),
                name="automation_firing_waiting",
            ),
            models.Index(fields=["at"], name="automation_firing_age"),
            models.Index(
                fields=["organization", "run_id"],
                condition=models.Q(run_id__isnull=False),
                name="automation_firing_of_run",
            ),
        ]
