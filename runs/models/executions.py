"""Flow runs, and who holds them: attempts, leases, journal streams."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.fields.json import KeyTextTransform
from django.utils.timezone import now

from orchestrator.states import ALIVE, StateType
from runs.models.definitions import InWorkspace
from tenants.owned import TenantManager, TenantOwned, TenantQuerySet, same_tenant

LATE_AFTER = timedelta(seconds=15)  # A due run that nobody has taken for so long is late.
STATE_TYPES = [(state.value, state.value.capitalize()) for state in StateType]


class FlowRunQuerySet(TenantQuerySet):
    """Runs, of which some may be for few."""

    def without(self, hidden: Collection[UUID]) -> FlowRunQuerySet:
        """Those of no hidden deployment: neither of its own nor of its root's. See `runs/hidden.py`."""
        return self.exclude(_of(hidden)) if hidden else self

    def of_deployments(self, ids: Collection[UUID]) -> FlowRunQuerySet:
        """Those of some deployments, subflows too."""
        return self.filter(_of(ids))


def _of(deployments: Collection[UUID]) -> Q:
    roots = FlowRun.objects.filter(organization=OuterRef("organization"), id=OuterRef("root_id"))
    called = Q(origin=FlowRun.Origin.SUBFLOW) & Exists(roots.filter(deployment_id__in=deployments))
    return Q(deployment_id__in=deployments) | called


class FlowRunManager(TenantManager.from_queryset(FlowRunQuerySet)):
    """As TenantManager, with `without`."""

    use_in_migrations = False


class FlowRun(InWorkspace):
    """One run of a flow. Its state is written by `runs/transitions.py` alone.

    `root_id` names the execution it belongs to: itself, or the run in whose process it was called. `retention` and
    `bucket` were fixed when the server first saw the root, and say in which partitions the rows of the run lie.
    """

    class Origin(models.TextChoices):
        """Which door the run came through."""

        LOCAL = "local"  # Called by hand, by a process with an API key.
        SUBFLOW = "subflow"  # Called by another flow in its process.
        API = "api"
        FORM = "form"
        SCHEDULE = "schedule"
        RETRY = "retry"
        BACKGROUND = "background"  # Called by `.delay`, somewhere.
        BACKFILL = "backfill"
        WEBHOOK = "webhook"
        AUTOMATION = "automation"

    objects = FlowRunManager()

    flow = same_tenant("runs.Flow")
    deployment = same_tenant("runs.Deployment", null=True)
    schedule = same_tenant("runs.Schedule", null=True)
    name = models.CharField(max_length=500)
    origin = models.CharField(max_length=20, choices=Origin.choices)
    created_by = models.CharField(max_length=254, blank=True)
    parameters = models.JSONField(default=dict)
    secrets = models.JSONField(null=True)  # {place: block}, where parameters name the block of a secret.
    job_variables = models.JSONField(null=True)  # Its own, over those of its deployment: a merge patch.
    call = models.JSONField(null=True)  # What `.delay` says besides: options, and which arguments were stored where.
    tags = ArrayField(models.CharField(max_length=200), default=list)
    version = models.CharField(max_length=200, blank=True)
    deployment_version = models.PositiveIntegerField(null=True)  # Of its deployment; the number, not the label.
    commit = models.CharField(max_length=64, blank=True, default="")  # Of the repository that its code came from.
    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: none was given

    state_type = models.CharField(max_length=12, choices=STATE_TYPES)
    state_name = models.CharField(max_length=200)
    state_message = models.TextField(blank=True)
    state_at = models.DateTimeField()
    history = models.JSONField(default=list)  # [[µs UTC, type, name, message or null, attempt], …], oldest first
    error = models.JSONField(null=True)  # {"type", "message", "traceback"}
    result = models.JSONField(null=True)  # Where its value is: {"url", "key", "serializer", "size", "expires"}.

    root_id = models.UUIDField()
    caused_by = models.JSONField(null=True)  # The automation and the event that it began with: `runs/chains.py`.
    backfill_id = models.UUIDField(null=True)  # Which has made it, or the run that it retries.
    parent_id = models.UUIDField(null=True)
    parent_task_id = models.UUIDField(null=True)
    retry_of = models.UUIDField(null=True)
    replays_from = models.UUIDField(null=True)
    replay_root = models.UUIDField(null=True)  # Under which run's id values were stored: the first of such a chain.
    again = models.JSONField(null=True)  # {task or key of a call: [ids of runs, whose value alone is replayed]}

    pool = same_tenant("runs.WorkPool", null=True)
    queue = same_tenant("runs.WorkQueue", null=True)
    priority = models.SmallIntegerField(default=0)  # Higher goes first within a queue.
    concurrency_key = models.CharField(max_length=200, blank=True)  # Keys of a deployment share its slots fairly.

    attempt = models.PositiveIntegerField(default=0)  # Claims so far: the fencing epoch.
    run_count = models.PositiveIntegerField(default=0)  # Executions of the user's function so far.
    crashes = models.PositiveIntegerField(default=0)
    claims_lost = models.PositiveSmallIntegerField(default=0)  # Claims that expired before user code was reached.
    retries = models.PositiveIntegerField(default=0)
    retry_delay = models.FloatField(default=0)  # seconds
    crash_retries = models.PositiveIntegerField(null=True)
    suspensions = models.PositiveSmallIntegerField(default=0)  # They end an execution, and use no retry.

    created_at = models.DateTimeField(default=now)
    scheduled_at = models.DateTimeField(null=True)  # When it was meant to start; never changes.
    due_at = models.DateTimeField(null=True)  # When the next execution may start.
    debounce_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 - null: it gathers no triggers
    debounce_until = models.DateTimeField(null=True)  # Triggers postpone it no further.
    debounced = models.PositiveIntegerField(default=0, db_default=0)  # How many triggers became this run.
    start_by = models.DateTimeField(null=True)  # Not started by then, it is given up: its schedule's `skip_if_late`.
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration = models.BigIntegerField(default=0)  # µs in user code
    cpu = models.BigIntegerField(default=0)  # µs
    memory = models.BigIntegerField(default=0)  # bytes, the peak of its process

    retention = models.SmallIntegerField()
    bucket = models.DateField()
    lines = models.BigIntegerField(default=0)  # Log lines so far; counted on the root.
    counted = ArrayField(models.IntegerField(), null=True)  # Task and flow runs of each execution: `runs/usage`.
    called_in = models.SmallIntegerField(default=0)  # The execution of its parent that called it.

    class Meta:
        db_table = "flow_run"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "workspace", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="flow_run_idempotency",
            )
        ]
        indexes = [
            # With what states over time count by: they are counted from this index alone.
            models.Index(
                fields=["organization", "workspace", "-created_at", "-id"],
                include=["state_type", "origin"],
                name="flow_run_list",
            ),
            models.Index(
                fields=["organization", "workspace", "state_type", "-created_at", "-id"], name="flow_run_by_state"
            ),
            models.Index(fields=["organization", "flow", "-created_at", "-id"], name="flow_run_of_flow"),
            models.Index(
                fields=["organization", "deployment", "-created_at", "-id"],
                condition=Q(deployment__isnull=False),
                name="flow_run_of_deployment",
            ),
            models.Index(fields=["organization", "root_id"], name="flow_run_of_root"),
            models.Index(
                fields=["organization", "retry_of", "-created_at", "-id"],
                condition=Q(retry_of__isnull=False),
                name="flow_run_retries",
            ),
            models.Index(
                fields=["organization", "backfill_id", "-created_at", "-id"],
                condition=Q(backfill_id__isnull=False),
                name="flow_run_of_backfill",
            ),
            models.Index(
                fields=["organization", "backfill_id"],
                condition=Q(backfill_id__isnull=False, state_type__in=sorted(ALIVE)),
                name="flow_run_backfilling",
            ),
            # Whether a time has a run already, of whichever backfill.
            models.Index(
                fields=["organization", "deployment", "-scheduled_at"],
                condition=Q(backfill_id__isnull=False),
                name="flow_run_backfilled",
            ),
            models.Index(
                fields=["organization", "replay_root"],
                condition=Q(replay_root__isnull=False, state_type__in=sorted(ALIVE)),
                name="flow_run_replaying",
            ),
            models.Index(
                fields=["organization", "parent_id", "-created_at", "-id"],
                condition=Q(parent_id__isnull=False),
                name="flow_run_of_parent",
            ),
            models.Index(
                fields=["organization", "pool", "due_at"],
                condition=Q(state_type="SCHEDULED", pool__isnull=False),
                name="flow_run_claimable",
            ),
            # A claim goes from lane to lane, and reads the first runs of each: `runs/lanes.py`.
            models.Index(
                fields=[
                    *("organization", "pool", "deployment", "queue", "priority", "concurrency_key", "due_at", "id")
                ],
                condition=Q(state_type="SCHEDULED", pool__isnull=False, deployment__isnull=False),
                name="flow_run_lanes",
            ),
            models.Index(
                fields=["organization", "deployment", "concurrency_key"],
                condition=Q(state_type__in=["PENDING", "RUNNING", "PAUSED", "CANCELLING"], deployment__isnull=False),
                name="flow_run_under_way",
            ),
            models.Index(
                fields=["due_at"], condition=Q(state_type="SCHEDULED", state_name="Scheduled"), name="flow_run_late"
            ),
            models.Index(
                fields=["start_by"],
                condition=Q(state_type="SCHEDULED", start_by__isnull=False),
                name="flow_run_start_by",
            ),
            models.Index(
                fields=["organization", "deployment", "debounce_key", "due_at"],
                condition=Q(state_type="SCHEDULED", debounce_key__isnull=False),
                name="flow_run_debounced",
            ),
            models.Index(
                fields=["organization", "schedule", "-scheduled_at"],
                condition=Q(schedule__isnull=False),
                name="flow_run_of_schedule",
            ),
            models.Index(
                fields=["retention", "bucket"], condition=Q(state_type__in=sorted(ALIVE)), name="flow_run_alive"
            ),
            models.Index(
                fields=["organization"],
                condition=Q(state_type="SCHEDULED", origin="background"),
                name="flow_run_background",
            ),
            models.Index(
                F("organization"),
                KeyTextTransform("arguments", "call"),
                condition=Q(call__has_key="arguments"),
                name="flow_run_arguments",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_root(self) -> bool:
        """True for a run with a lease of its own."""
        return self.root_id == self.id

    @property
    def is_final(self) -> bool:
        """True when the run can't change any more."""
        return StateType(self.state_type) not in ALIVE


class FoldedTrigger(InWorkspace):
    """The idempotency key of a trigger that became part of a run that was waiting: sent again it postpones nothing."""

    run = same_tenant("runs.FlowRun")
    idempotency_key = models.CharField(max_length=200)

    class Meta:
        db_table = "folded_trigger"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "workspace", "idempotency_key"], name="folded_trigger_idempotency"
            )
        ]
        indexes = [models.Index(fields=["organization", "run"], name="folded_trigger_of_run")]


class Attempt(TenantOwned):
    """One claim of a root run: who held it, with which token, and how it went."""

    run = same_tenant("runs.FlowRun")
    number = models.PositiveIntegerField()
    token_hash = models.BinaryField(max_length=32)
    agent = same_tenant("runs.Agent", null=True)
    key_id = models.UUIDField(null=True)  # By which a program began the run itself; the token ends with the key.
    host = models.CharField(max_length=255, blank=True)
    sdk = models.CharField(max_length=40, blank=True)
    run_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=200, blank=True)
    history = models.JSONField(default=list)  # States it reported after it was superseded, or the run was over.
    hooks_until = models.DateTimeField(null=True)  # Till then its token serves the hooks of a run without a process.

    class Meta:
        db_table = "attempt"
        constraints = [
            models.UniqueConstraint(fields=["organization", "run", "number"], name="attempt_number"),
            # Looked up before the tenant is known; 128 random bits and more tell nothing about other tenants.
            models.UniqueConstraint(fields=["token_hash"], name="attempt_token"),
        ]
        indexes = [
            models.Index(
                fields=["organization", "agent", "-created_at"],
                condition=Q(agent__isnull=False),
                name="attempt_of_agent",
            )
        ]


class Lease(TenantOwned):
    """Somebody holds a run (`limit` is null), or one slot of a limit for it, until `expires_at`."""

    run = same_tenant("runs.FlowRun")
    attempt = models.PositiveIntegerField()
    agent = same_tenant("runs.Agent", null=True)
    limit = same_tenant("runs.Limit", null=True)
    key = models.CharField(max_length=200, blank=True, default="", db_default="")  # Whose slot, of a limit by keys.
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "lease"
        constraints = [
            models.UniqueConstraint(fields=["organization", "run", "limit"], nulls_distinct=False, name="lease_once")
        ]
        indexes = [
            models.Index(fields=["organization", "limit"], condition=Q(limit__isnull=False), name="lease_slots"),
            models.Index(fields=["expires_at"], condition=Q(limit__isnull=True), name="lease_expiry"),
        ]


class JournalStream(models.Model):
    """How far one writer's journal was applied. `clock_offset` (µs) is the server's clock minus the writer's."""

    pk = models.CompositePrimaryKey("organization_id", "root_id", "attempt", "writer")
    organization = models.ForeignKey("tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False)
    root_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    writer = models.IntegerField()
    applied_seq = models.BigIntegerField(default=0)
    clock_offset = models.BigIntegerField(default=0)
    last_at = models.DateTimeField(default=now)

    objects = TenantManager()

    class Meta:
        db_table = "journal_stream"


class JournalQuarantine(InWorkspace):
    """An entry that was received and could not be taken: kept for people to look at, and for a newer server to read."""

    root_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    writer = models.IntegerField()
    seq = models.BigIntegerField()
    code = models.CharField(max_length=40)
    entry = models.TextField()  # its first 64 KiB
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "journal_quarantine"
        indexes = [
            models.Index(fields=["organization", "root_id"], name="quarantine_of_root"),
            models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="quarantine_list"),
        ]
