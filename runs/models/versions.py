"""What deployments were, version by version."""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now

from runs.models.definitions import InWorkspace
from tenants.owned import same_tenant


class DeploymentVersion(InWorkspace):
    """What a deployment was from one change to the next: its code, parameters, schema and settings.

    `definition` holds them by the names of `DeploymentInput`. Schedules and limits are no part of it: they are how a
    deployment is operated, and a rollback of code must not wake up what a person paused.
    """

    deployment = same_tenant("runs.Deployment", related_name="versions")
    number = models.PositiveIntegerField()
    definition = models.JSONField()
    message = models.TextField(blank=True)
    git = models.JSONField(null=True)  # {"commit", "branch", "dirty"} of the checkout that it was deployed from
    rollback_of = models.PositiveIntegerField(null=True)  # The version that it brings back.
    created_by = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "deployment_version"
        constraints = [
            models.UniqueConstraint(fields=["organization", "deployment", "number"], name="deployment_version_number")
        ]
