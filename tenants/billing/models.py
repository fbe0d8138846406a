"""Rows of usage and money. What was closed is never written again."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned

PAYABLE_WITHIN = timedelta(days=14)


class UsageDay(TenantOwned):
    """What one deployment's runs (or those without one) used, as received on one day (UTC).

    `retention` and `bucket` say in which partition the runs' rows lie, so that a partition's usage can be proved before
    it goes. Workspaces and deployments may be gone; their usage stays.
    """

    day = models.DateField()
    workspace_id = models.UUIDField()
    deployment_id = models.UUIDField(null=True)
    retention = models.SmallIntegerField()
    bucket = models.DateField()
    flow_runs = models.BigIntegerField(default=0)
    task_runs = models.BigIntegerField(default=0)
    log_bytes = models.BigIntegerField(default=0)
    run_time = models.DecimalField(max_digits=30, decimal_places=0, default=0)  # µs; sums may pass 64 bits
    cpu = models.DecimalField(max_digits=30, decimal_places=0, default=0)  # µs

    class Meta:
        db_table = "usage_day"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "workspace_id", "deployment_id", "retention", "bucket"],
                nulls_distinct=False,
                name="usage_day_once",
            )
        ]
        indexes = [models.Index(fields=["retention", "bucket", "organization"], name="usage_day_of_bucket")]


class TagDay(TenantOwned):
    """What the runs of one tag used, as received on one day (UTC): as UsageDay, but by tag.

    A run with several tags stands under each of them, so their sums overlap. The tag "" is all those that a day and
    workspace have beyond a bound; a run stands there once.
    """

    day = models.DateField()
    workspace_id = models.UUIDField()
    tag = models.CharField(max_length=200, blank=True)
    retention = models.SmallIntegerField()
    bucket = models.DateField()
    flow_runs = models.BigIntegerField(default=0)
    task_runs = models.BigIntegerField(default=0)
    log_bytes = models.BigIntegerField(default=0)
    run_time = models.DecimalField(max_digits=30, decimal_places=0, default=0)  # µs
    cpu = models.DecimalField(max_digits=30, decimal_places=0, default=0)  # µs

    class Meta:
        db_table = "tag_day"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "workspace_id", "tag", "retention", "bucket"], name="tag_day_once"
            )
        ]
        indexes = [models.Index(fields=["organization", "retention", "bucket"], name="tag_day_of_bucket")]


class MeterDay(TenantOwned):
    """What was measured of an organization on one day (UTC) beside its runs: calls of the API, storage, seats."""

    class Meter(models.TextChoices):
        """What it is, and how it comes about."""

        API_CALLS = "api_calls", "API calls"  # Counted, by workspace and kind of credential.
        STORAGE = "storage", "Storage"  # Bytes, measured once a day, by workspace and kind of rows.
        SEATS = "seats", "Seats"  # People of the organization: the most at one time.

    day = models.DateField()
    meter = models.CharField(max_length=20, choices=Meter.choices)
    workspace_id = models.UUIDField(null=True)  # null: of the organization as a whole
    kind = models.CharField(max_length=20, blank=True)
    amount = models.BigIntegerField(default=0)

    class Meta:
        db_table = "meter_day"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "meter", "workspace_id", "kind"],
                nulls_distinct=False,
                name="meter_day_once",
            )
        ]


class UsageSeal(TenantOwned):
    """The proof that a bucket's days equal a recount of its rows. Without it, or when they differ, the rows stay."""

    retention = models.SmallIntegerField()
    bucket = models.DateField()
    matches = models.BooleanField()
    tags_match = models.BooleanField(default=True)  # No money hangs on them: they keep no rows.
    sha256 = models.CharField(max_length=64)  # of the days, as `runs/usage/sealing.py` writes them down
    recounted = models.JSONField()  # meters by workspace
    checked_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "usage_seal"
        constraints = [
            models.UniqueConstraint(fields=["organization", "retention", "bucket"], name="usage_seal_of_bucket")
        ]


class Subscription(TenantOwned):
    """From when on an organization has a plan. The newest that has begun counts; one to come is a change ahead."""

    plan = models.CharField(max_length=40)
    begins_at = models.DateTimeField(default=now)
    decided_by = models.CharField(max_length=254, blank=True)
    decided_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "subscription"
        indexes = [models.Index(fields=["organization", "-begins_at"], name="subscription_history")]


class BillingAccount(TenantOwned):
    """Whom to bill, and how far the organization itself lets its runs go."""

    class AtLimit(models.TextChoices):
        """What happens to new runs at the limit."""

        STOP = "stop", "Start no new runs"
        NOTIFY = "notify", "Only notify"

    class UnderWay(models.TextChoices):
        """What happens to runs under way when new ones stop."""

        FINISH = "finish", "Let them finish"
        CANCEL = "cancel", "Cancel them"

    company = models.CharField(max_length=200, blank=True)
    address = models.TextField(max_length=1000, blank=True)
    tax_id = models.CharField(max_length=60, blank=True)
    email = models.EmailField(blank=True)
    limit = models.BigIntegerField(null=True)  # task runs a month; null: the plan's own, if it has one
    at_limit = models.CharField(max_length=10, choices=AtLimit.choices, default=AtLimit.STOP)
    under_way = models.CharField(max_length=10, choices=UnderWay.choices, default=UnderWay.FINISH)
    updated_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "billing_account"
        constraints = [models.UniqueConstraint(fields=["organization"], name="billing_account_once")]


class ThresholdTold(TenantOwned):
    """Somebody was told of a share of a bound in a month: once. A bound that was changed is another one."""

    month = models.DateField()
    whose = models.CharField(max_length=10, default="plan")  # or "own"
    task_runs = models.BigIntegerField(default=0)  # the bound
    percent = models.SmallIntegerField()
    told_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "threshold_told"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "month", "whose", "task_runs", "percent"], name="threshold_told_once"
            )
        ]


class Invoice(TenantOwned):
    """A closed month. A trigger refuses any change but the payment's."""

    number = models.BigIntegerField()
    month = models.DateField()
    plan = models.CharField(max_length=40)
    issued_at = models.DateTimeField(default=now)
    customer = models.JSONField()  # {"company", "address", "tax_id", "email"} as they were
    lines = models.JSONField()  # [{"text", "quantity", "unit_price", "amount"}, …], decimals as text
    usage = models.JSONField()  # meters of the month
    currency = models.CharField(max_length=3)
    subtotal = models.DecimalField(max_digits=14, decimal_places=2)
    credit = models.DecimalField(max_digits=14, decimal_places=2)
    total = models.DecimalField(max_digits=14, decimal_places=2)
    paid_at = models.DateTimeField(null=True)
    payment = models.CharField(max_length=200, blank=True)  # what the payment's provider calls it

    class Meta:
        db_table = "invoice"
        constraints = [
            models.UniqueConstraint(fields=["organization", "month"], name="invoice_of_month"),
            models.UniqueConstraint(fields=["organization", "number"], name="invoice_number"),
        ]

    @property
    def label(self) -> str:
        """The number as people quote it."""
        return f"INV-{self.number:06d}"

    @property
    def due_at(self) -> datetime:
        """Until when it is to be paid."""
        return self.issued_at + PAYABLE_WITHIN


class Credit(TenantOwned):
    """Money given to an organization; invoices use it up, the oldest first."""

    amount = models.DecimalField(max_digits=14, decimal_places=2)
    used = models.DecimalField(max_digits=14, decimal_places=2, default=0)
    reason = models.CharField(max_length=200)
    given_by = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "credit"

    @property
    def left(self) -> Decimal:
        """What the next invoices may use up."""
        return self.amount - self.used


class InvoiceCounter(models.Model):
    """The last number that was given in this installation: one row, locked by whoever closes a month, so that no number
    is missing and none comes twice. It belongs to no tenant.
    """

    last = models.BigIntegerField(default=0)

    class Meta:
        db_table = "invoice_counter"
