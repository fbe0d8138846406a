"""A team, its people, its roles in workspaces."""

from __future__ import annotations

from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantOwned, same_tenant


class Team(TenantOwned):
    """People of an organization under a name."""

    name = models.CharField(max_length=120)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "team"
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="team_name")]

    def __str__(self) -> str:
        return self.name


class TeamMember(TenantOwned):
    """A person of a team, a member of the organization."""

    team = same_tenant("tenants.Team", related_name="members")
    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "team_member"
        constraints = [models.UniqueConstraint(fields=["organization", "team", "user"], name="team_member_once")]


class TeamPart(TenantOwned):
    """A team's role in one workspace, which each of its people has beside their own."""

    team = same_tenant("tenants.Team", related_name="parts")
    workspace = same_tenant("tenants.Workspace")
    role = models.CharField(max_length=40)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "team_part"
        constraints = [models.UniqueConstraint(fields=["organization", "team", "workspace"], name="team_part_once")]
        indexes = [models.Index(fields=["organization", "workspace"], name="team_part_of_workspace")]
