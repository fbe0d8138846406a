"""Addresses at which others trigger runs, and what came there."""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now

from runs.models.definitions import InWorkspace
from tenants.owned import same_tenant


class Webhook(InWorkspace):
    """Who knows its token triggers its deployment. It acts as whoever made it, with the rights that they have now."""

    class Signature(models.TextChoices):
        """How a sender proves that a body is its own."""

        NONE = "", "None"
        GITHUB = "github", "GitHub (X-Hub-Signature-256)"
        STRIPE = "stripe", "Stripe (Stripe-Signature)"
        HEADER = "header", "The secret itself, in a header"

    deployment = same_tenant("runs.Deployment")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)  # Of the token, for people.
    token_hash = models.BinaryField(max_length=32)
    former_hash = models.BinaryField(max_length=32, null=True)  # Of the token before, which is good for a while.
    former_until = models.DateTimeField(null=True)
    signature = models.CharField(max_length=10, choices=Signature.choices, blank=True)
    signature_header = models.CharField(max_length=100, blank=True)
    sealed = models.BinaryField(null=True)  # What bodies are signed with.
    parameters = models.TextField(blank=True)  # A template that gives JSON; empty: see `parameter`.
    parameter = models.CharField(max_length=200, blank=True)  # Which takes the whole body; empty: the body is them all.
    filter = models.TextField(blank=True)  # A template; what it does not call true is skipped.
    idempotency = models.TextField(blank=True)  # A template of the key; empty: what senders call a delivery's id.
    debounce = models.FloatField(null=True)  # seconds
    debounce_key = models.TextField(blank=True)  # A template.
    paused = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now)
    created_by = models.CharField(max_length=254, blank=True)
    user_id = models.UUIDField(null=True)
    key_id = models.UUIDField(null=True)

    class Meta:
        db_table = "webhook"
        constraints = [
            models.UniqueConstraint(fields=["organization", "workspace", "name"], name="webhook_name"),
            # Looked up before the tenant is known; 256 random bits tell nothing about other tenants.
            models.UniqueConstraint(fields=["token_hash"], name="webhook_token"),
            models.UniqueConstraint(fields=["former_hash"], name="webhook_former_token"),
        ]
        indexes = [
            models.Index(fields=["organization", "workspace", "-created_at", "-id"], name="webhook_list"),
            models.Index(fields=["organization", "deployment"], name="webhook_of_deployment"),
        ]

    def __str__(self) -> str:
        return self.name


class WebhookDelivery(InWorkspace):
    """What came to a webhook, and what became of it."""

    webhook = same_tenant("runs.Webhook", related_name="deliveries")
    at = models.DateTimeField(default=now)
    status = models.SmallIntegerField()  # of the answer
    outcome = models.CharField(max_length=10)  # triggered, known, skipped, refused
    run_id = models.UUIDField(null=True)
    error = models.TextField(blank=True)
    body = models.TextField(blank=True)  # its first 4 KiB, without what looks like a secret
    keep_until = models.DateField()

    class Meta:
        db_table = "webhook_delivery"
        indexes = [
            models.Index(fields=["organization", "webhook", "-at", "-id"], name="webhook_delivery_list"),
            models.Index(fields=["keep_until"], name="webhook_delivery_age"),
        ]
