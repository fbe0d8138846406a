"""The tall tables: partitioned by retention class and bucket, written by `runs/ingest` in sets, never one by one.

Their SQL is in `runs/partitions.py`. Read them by run, through `of_run()`, which names the partition: without that
every partition would be opened.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from runs.models.executions import FlowRun
from tenants.owned import TenantManager, TenantQuerySet


class TallQuerySet(TenantQuerySet):
    """Reads by run."""

    def of_run(self, run: FlowRun) -> TallQuerySet:
        """The rows of one run, looked for in its own partition only."""
        return self.filter(retention=run.retention, bucket=run.bucket, run_id=run.id)

    def of_root(self, run: FlowRun) -> TallQuerySet:
        """The rows of the execution that a run belongs to."""
        return self.filter(retention=run.retention, bucket=run.bucket, root_id=run.root_id)


class TallManager(TenantManager.from_queryset(TallQuerySet)):
    """Asks for a scope, and offers the reads by run."""


class TallRow(models.Model):
    """Which partition, and whose."""

    retention = models.SmallIntegerField()
    bucket = models.DateField()
    organization_id = models.UUIDField()

    objects = TallManager()

    class Meta:
        abstract = True


class TaskRun(TallRow):
    """One task run within one attempt: its whole life in one row, so that 100,000 of them are 50 MB."""

    pk = models.CompositePrimaryKey("run_id", "id")
    run_id = models.UUIDField()
    id = models.UUIDField()
    attempt = models.IntegerField()
    run_count = models.SmallIntegerField()
    execution = models.SmallIntegerField(default=1)  # Of its flow run: what a retry repeats is billed once.
    rank = models.SmallIntegerField()
    seq = models.BigIntegerField()
    state_type = models.TextField()
    state_name = models.TextField(null=True)  # noqa: DJ001 - null: the type's own
    message = models.TextField(null=True)  # noqa: DJ001
    task = models.TextField()
    label = models.TextField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration = models.BigIntegerField(null=True)  # µs
    parents = ArrayField(models.UUIDField(), null=True)
    parent_task_id = models.UUIDField(null=True)
    tags = ArrayField(models.TextField(), null=True)
    history = models.JSONField(null=True)  # [[µs UTC, type, name or null, message or null], …]
    error = models.JSONField(null=True)
    result = models.JSONField(null=True)  # Where its value is: {"url", "key", "serializer", "size", "expires"}.

    class Meta:
        db_table = "task_run"
        managed = False


class LogLine(TallRow):
    """One log line. `line_no` counts within the root run: key, cursor and permalink."""

    pk = models.CompositePrimaryKey("root_id", "line_no")
    root_id = models.UUIDField()
    line_no = models.BigIntegerField()
    run_id = models.UUIDField()
    task_id = models.UUIDField(null=True)
    attempt = models.IntegerField()
    t = models.DateTimeField()
    level = models.SmallIntegerField()
    logger = models.TextField()
    message = models.TextField()
    extra = models.JSONField(null=True)

    class Meta:
        db_table = "log_line"
        managed = False


class EventRow(TallRow):
    """Something that happened."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    id = models.UUIDField()
    workspace_id = models.UUIDField()
    run_id = models.UUIDField(null=True)
    t = models.DateTimeField()
    event = models.TextField()
    resource = models.JSONField()
    resource_id = models.TextField(null=True)  # noqa: DJ001 - null: of a time before it was kept
    related = models.JSONField(null=True)
    payload = models.JSONField(null=True)

    class Meta:
        db_table = "event"
        managed = False


class UsageDelta(TallRow):
    """What one journal batch added to the meters: written in the very transaction that applied it."""

    pk = models.CompositePrimaryKey("organization_id", "id")
    id = models.UUIDField()
    workspace_id = models.UUIDField()
    run_id = models.UUIDField()
    t = models.DateTimeField()
    flow_runs = models.IntegerField()
    task_runs = models.IntegerField()
    log_bytes = models.BigIntegerField()
    run_time = models.BigIntegerField()  # µs
    cpu = models.BigIntegerField()  # µs

    class Meta:
        db_table = "usage_delta"
        managed = False
