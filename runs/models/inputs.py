"""What runs wait for from people, what they were told, and what they tell each other."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from runs.models.definitions import InWorkspace
from tenants.owned import TenantOwned, same_tenant


class InputRequest(InWorkspace):
    """A place in a flow that waits for people. `key` names it, so that each attempt of the run finds its answer.

    It is open while it is WAITING and its root PAUSED. With a quorum it wants approvals, of `roles` and `teams` if any
    are named; else one answer resumes the run, which fits the `schema` if there is one.
    """

    class State(models.TextChoices):
        """How far it has come."""

        WAITING = "waiting"
        ANSWERED = "answered"
        REJECTED = "rejected"
        EXPIRED = "expired"
        OVER = "over"  # Its run ended, or has gone on without.

    run = same_tenant("runs.FlowRun")
    root_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    key = models.CharField(max_length=200)
    pause = models.CharField(max_length=10, choices=[("pause", "Pause"), ("suspend", "Suspend")])
    title = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    schema = models.JSONField(null=True)
    initial = models.JSONField(default=dict)
    quorum = models.PositiveSmallIntegerField(default=0)  # 0: no approval
    roles = ArrayField(models.CharField(max_length=100), default=list)
    teams = ArrayField(models.CharField(max_length=200), default=list)
    link = models.CharField(max_length=10, choices=[("login", "Log-in"), ("anyone", "Anyone")], default="login")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    value = models.JSONField(null=True)
    created_at = models.DateTimeField(default=now)
    expires_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    keep_until = models.DateField()  # as long as the rows of its run

    class Meta:
        db_table = "input_request"
        constraints = [models.UniqueConstraint(fields=["organization", "root_id", "key"], name="input_request_key")]
        indexes = [
            models.Index(
                fields=["organization", "workspace", "-created_at", "-id"],
                condition=Q(state="waiting"),
                name="input_request_waiting",
            ),
            models.Index(fields=["organization", "run"], name="input_request_of_run"),
            models.Index(fields=["expires_at"], condition=Q(state="waiting"), name="input_request_expiry"),
            models.Index(fields=["keep_until"], name="input_request_age"),
        ]

    def __str__(self) -> str:
        return self.title or self.key


class InputAnswer(TenantOwned):
    """What one of those who were asked said. With a quorum there may be several, one of each."""

    class Verdict(models.TextChoices):
        """What it comes to."""

        ANSWER = "answer"
        APPROVE = "approve"
        REJECT = "reject"

    request = same_tenant("runs.InputRequest", related_name="answers")
    actor_kind = models.CharField(max_length=10)  # `link`: whoever had the link.
    actor_id = models.UUIDField(null=True)  # The person, else the key or the run.
    actor = models.CharField(max_length=254)
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    value = models.JSONField(null=True)
    comment = models.TextField(blank=True)
    at = models.DateTimeField(default=now)

    class Meta:
        db_table = "input_answer"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "request", "actor_id"], nulls_distinct=False, name="input_answer_once"
            )
        ]  # fmt: skip


class RunMessage(InWorkspace):
    """Something that a run was sent while it ran; read in the order of `number`, in each attempt from the first."""

    run = same_tenant("runs.FlowRun")
    number = models.PositiveIntegerField()
    key = models.CharField(max_length=200)  # What kind of message it is: the receiver asks for one kind.
    sender = models.CharField(max_length=254, blank=True)
    value = models.JSONField(null=True)
    sent_at = models.DateTimeField(default=now)
    keep_until = models.DateField()  # as long as the rows of its run

    class Meta:
        db_table = "run_message"
        constraints = [models.UniqueConstraint(fields=["organization", "run", "number"], name="run_message_number")]
        indexes = [
            models.Index(fields=["organization", "run", "key", "number"], name="run_message_by_key"),
            models.Index(fields=["keep_until"], name="run_message_age"),
        ]
