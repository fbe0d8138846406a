"""Small values of runs, kept by the server for those who have no storage of their own."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.timezone import now

from runs.models.definitions import InWorkspace


class StoredResult(InWorkspace):
    """The bytes of one value, as the code that made it wrote them. Never opened by the server."""

    key = models.CharField(max_length=500)
    run_id = models.UUIDField(null=True)  # Whose value it is; null for what a key stored under no run.
    size = models.PositiveIntegerField()
    content = models.BinaryField()
    created_at = models.DateTimeField(default=now)
    keep_until = models.DateField()  # as long as the rows of its run

    class Meta:
        db_table = "stored_result"
        constraints = [models.UniqueConstraint(fields=["organization", "workspace", "key"], name="stored_result_key")]
        indexes = [
            models.Index(fields=["keep_until"], name="stored_result_age"),
            models.Index(
                fields=["organization", "run_id"], condition=Q(run_id__isnull=False), name="stored_result_of_run"
            ),
        ]
