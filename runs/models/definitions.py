"""What to run, and where: flows, deployments, schedules, pools, queues, agents, limits, bundles of code."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from orchestrator import job_templates
from orchestrator.schedule_times import Times
from orchestrator.schedule_words import in_words
from tenants.owned import TenantOwned, same_tenant
from tenants.restrictions.models import Level, Restrictable

CONNECTED_WITHIN = timedelta(seconds=90)


class InWorkspace(TenantOwned):
    """A row of one workspace."""

    workspace = same_tenant("tenants.Workspace")

    class Meta:
        abstract = True


class Flow(InWorkspace):
    """A workflow, known by its name. Made by its first run or deployment."""

    name = models.CharField(max_length=500)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "flow"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "name"], name="flow_name")]

    def __str__(self) -> str:
        return self.name


class Limit(InWorkspace):
    """At most `slots` runs at once of one organization, pool, queue or deployment (`target`), or of each key of one
    deployment. Its slots are lease rows.
    """

    class Kind(models.TextChoices):
        """What is limited."""

        ORGANIZATION = "organization"
        POOL = "pool"
        QUEUE = "queue"
        DEPLOYMENT = "deployment"
        KEY = "key"  # Of a deployment's runs, each `concurrency_key` has so many slots.

    workspace = same_tenant("tenants.Workspace", null=True)  # None: the organization's
    kind = models.CharField(max_length=20, choices=Kind.choices)
    target_id = models.UUIDField()
    slots = models.PositiveIntegerField()

    class Meta:
        db_table = "concurrency_limit"
        constraints = [models.UniqueConstraint(fields=["organization", "kind", "target_id"], name="limit_target")]


class WorkPool(Restrictable, InWorkspace):
    """Where runs are executed: a kind of infrastructure and the agents that serve it."""

    MEANS: ClassVar = "View: it and its agents. Use: deploy and run into it, and work for it. Edit: change its queues."
    LEVELS: ClassVar = {
        "pools.view": Level.VIEW,
        "deployments.edit": Level.USE,  # into it
        "runs.trigger": Level.USE,
        "agents.work": Level.USE,
        "pools.edit": Level.EDIT,
    }

    name = models.CharField(max_length=200)
    type = models.CharField(max_length=40, default="process")
    description = models.TextField(blank=True)
    paused = models.BooleanField(default=False)
    base_job_template = models.JSONField(null=True)  # Its own, in place of its type's.
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "work_pool"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "name"], name="work_pool_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def template(self) -> dict[str, Any]:
        """The base job template that counts: its own, or that of its type."""
        return job_templates.of_pool(self.type, self.base_job_template)


class WorkQueue(InWorkspace):
    """A lane within a pool. Lower `priority` numbers go first."""

    pool = same_tenant("runs.WorkPool", related_name="queues")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", db_default="")
    priority = models.SmallIntegerField(default=100)
    paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "work_queue"
        constraints = [models.UniqueConstraint(fields=["organization", "pool", "name"], name="work_queue_name")]

    def __str__(self) -> str:
        return self.name


class Agent(InWorkspace):
    """A process of the user's that claims runs of one pool."""

    pool = same_tenant("runs.WorkPool", related_name="agents")
    name = models.CharField(max_length=200)
    slots = models.PositiveIntegerField(default=1)
    queues = ArrayField(models.CharField(max_length=200), default=list)
    version = models.CharField(max_length=40, blank=True)
    python = models.CharField(max_length=20, blank=True)
    host = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=now)
    started_at = models.DateTimeField(default=now)
    last_seen_at = models.DateTimeField(default=now)
    gone_at = models.DateTimeField(null=True)  # Since when it counts as gone; noticed by a tick, once.
    load = models.JSONField(default=dict)  # `wire.Load`, as it said last

    class Meta:
        db_table = "agent"
        constraints = [models.UniqueConstraint(fields=["organization", "pool", "name"], name="agent_name")]
        indexes = [
            models.Index(fields=["last_seen_at"], condition=Q(gone_at=None), name="agent_there"),
            models.Index(fields=["last_seen_at"], condition=Q(gone_at__isnull=False), name="agent_away"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_connected(self) -> bool:
        """True while it is heard of: agents speak at least every half minute."""
        return now() - self.last_seen_at < CONNECTED_WITHIN


class AgentLogLine(TenantOwned):
    """A line of an agent's own log: what it started, lost, could not reach. The last `agents.KEPT_LINES` are kept."""

    agent = same_tenant("runs.Agent", related_name="log_lines")
    line_no = models.BigIntegerField()
    at = models.DateTimeField()
    level = models.SmallIntegerField()
    message = models.TextField()

    class Meta:
        db_table = "agent_log_line"
        constraints = [models.UniqueConstraint(fields=["organization", "agent", "line_no"], name="agent_log_line_no")]


class Bundle(TenantOwned):
    """A zip of source modules, addressed by its SHA-256. Of its content the server shows text; it imports nothing."""

    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    content = models.BinaryField()
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "bundle"
        constraints = [models.UniqueConstraint(fields=["organization", "sha256"], name="bundle_sha256")]


class Deployment(Restrictable, InWorkspace):
    """A flow made ready to be run by agents: its code, parameters, place and schedule. Its runs are seen with it."""

    class OnLimit(models.TextChoices):
        """What becomes of a run for which no slot of the deployment is free."""

        ENQUEUE = "ENQUEUE", "Wait for a slot"
        CANCEL_NEW = "CANCEL_NEW", "Cancel the new run"
        CANCEL_OLD = "CANCEL_OLD", "Cancel the oldest run"

    MEANS: ClassVar = (
        "View: it and its runs. Use: run it, and cancel its runs. Edit: deploy it, pause its schedule, delete its runs."
    )
    LEVELS: ClassVar = {
        "deployments.view": Level.VIEW,
        "runs.view": Level.VIEW,
        "runs.trigger": Level.USE,
        "runs.cancel": Level.USE,
        "runs.pause": Level.USE,
        "runs.answer": Level.USE,
        "runs.delete": Level.EDIT,
        "schedules.edit": Level.EDIT,
        "deployments.edit": Level.EDIT,
    }

    flow = same_tenant("runs.Flow", related_name="deployments")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    version = models.CharField(max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=200), default=list)
    entrypoint = models.CharField(max_length=1000)
    source = models.JSONField()
    python = models.CharField(max_length=10, blank=True)  # Set for pickled code, which runs on this version only.
    parameter_schema = models.JSONField(default=dict)
    parameters = models.JSONField(default=dict)
    pool = same_tenant("runs.WorkPool")
    queue = same_tenant("runs.WorkQueue")
    retries = models.PositiveIntegerField(default=0)
    retry_delay = models.FloatField(default=0)  # seconds
    crash_retries = models.PositiveIntegerField(null=True)  # None: the flow's own budget alone
    process = models.CharField(max_length=10, default="warm")  # one of `agent_messages.PROCESSES`
    job_variables = models.JSONField(default=dict)
    debounce = models.FloatField(null=True)  # seconds, of triggers that say nothing of it
    on_limit = models.CharField(max_length=12, choices=OnLimit.choices, default=OnLimit.ENQUEUE)
    concurrency_key = models.CharField(max_length=500, blank=True)  # Of its runs: a template over their parameters.
    paused = models.BooleanField(default=False)
    number = models.PositiveIntegerField(default=0)  # Of the version in force; 0 before the first one.
    canary = models.PositiveIntegerField(null=True)  # The version on trial, which `canary_share` % of new runs use.
    canary_share = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "deployment"
        constraints = [models.UniqueConstraint(fields=["organization", "flow", "name"], name="deployment_name")]
        indexes = [
            models.Index(fields=["organization", "workspace", "-updated_at"], name="deployment_list"),
            models.Index(
                fields=["organization", "workspace"], condition=Q(restricted=True), name="deployment_restricted"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.flow.name}/{self.name}"


class Schedule(InWorkspace):
    """When a deployment runs by itself. `next_at` is the next time for which no run was made yet."""

    class Kind(models.TextChoices):
        """How the times are described."""

        CRON = "cron"
        INTERVAL = "interval"
        RRULE = "rrule", "Recurrence rule"

    class CatchUp(models.TextChoices):
        """What is made up for of the times that were missed while the platform was away."""

        SKIP = "skip", "Nothing"
        LATEST = "latest", "The last one"
        ALL = "all", "All of them"

    deployment = same_tenant("runs.Deployment", related_name="schedules")
    slug = models.CharField(max_length=100, default="default", db_default="default")
    deployed = models.BooleanField(default=True, db_default=True)  # By code; what a person added no deploy removes.
    kind = models.CharField(max_length=10, choices=Kind.choices)
    cron = models.CharField(max_length=200, blank=True)
    day_or = models.BooleanField(default=True)
    interval = models.FloatField(null=True)  # seconds
    anchor = models.DateTimeField(null=True)
    rrule = models.TextField(blank=True, default="", db_default="")
    timezone = models.CharField(max_length=60, default="UTC")
    parameters = models.JSONField(default=dict)
    active = models.BooleanField(default=True)
    paused_by = models.CharField(max_length=254, blank=True)  # A person's pause survives redeploys.
    paused_at = models.DateTimeField(null=True)
    catch_up = models.CharField(max_length=10, choices=CatchUp.choices, default="skip", db_default="skip")
    catch_up_max = models.PositiveSmallIntegerField(default=100, db_default=100)  # runs, of `all`
    skip_if_late = models.FloatField(null=True)  # seconds after its time
    next_at = models.DateTimeField(null=True)
    refusal = models.TextField(blank=True)  # Why its last due time made no run; empty when it made one.
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "schedule"
        constraints = [models.UniqueConstraint(fields=["organization", "deployment", "slug"], name="schedule_slug")]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(active=True), name="schedule_due"),
            models.Index(fields=["organization", "deployment"], name="schedule_of_deployment"),
            models.Index(fields=["organization", "workspace", "next_at", "id"], name="schedule_list"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def times(self) -> Times:
        """What decides when it is due."""
        return Times(self.kind, self.cron, self.day_or, self.interval, self.anchor, self.rrule, self.timezone)

    @property
    def words(self) -> str:
        """When it is due, for people."""
        return in_words(self.times)

    @property
    def expression(self) -> str:
        """The cron or the rule, as it was written, where the words say it otherwise."""
        written = {self.Kind.CRON: self.cron, self.Kind.RRULE: self.rrule}.get(self.Kind(self.kind), "")
        return "" if written == self.words else written
