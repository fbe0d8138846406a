"""What can be restricted, and the rules that name who may still come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models
from django.utils.timezone import now

from tenants.owned import TenantManager, TenantOwned, TenantQuerySet, same_tenant

if TYPE_CHECKING:
    from tenants.permissions import Actor


class Level(models.IntegerChoices):
    """How much a rule lets somebody do; each holds those before it."""

    VIEW = 1, "View"
    USE = 2, "Use"
    EDIT = 3, "Edit"


class AccessRule(TenantOwned):
    """One whom a restricted object is open to: a person, a team, a service account's key, or runs of a deployment.

    `object_id` is a block's, a deployment's, or a pool's. Rules go with what they are about, with its workspace, and
    with those whom they name.
    """

    workspace = same_tenant("tenants.Workspace")
    object_id = models.UUIDField()
    user = models.ForeignKey("tenants.User", on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    team = same_tenant("tenants.Team", null=True)
    key = same_tenant("tenants.ApiKey", null=True)
    deployment_id = models.UUIDField(null=True)  # No foreign key: deployments are beyond this app.
    level = models.SmallIntegerField(choices=Level.choices, default=Level.VIEW)
    created_at = models.DateTimeField(default=now)

    class Meta:
        db_table = "access_rule"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "object_id", "user", "team", "key", "deployment_id"],
                nulls_distinct=False,
                name="access_rule_once",
            )
        ]


class RestrictableQuerySet(TenantQuerySet):
    """Rows of which some may be for few."""

    def allowing(self, by: Actor, verb: str) -> Any:
        """Those on which the actor may do `verb`, as far as their rules go: what `can()` says of each of them."""
        from tenants.restrictions.rules import allowed

        return allowed(self, by, verb)


class RestrictableManager(TenantManager.from_queryset(RestrictableQuerySet)):
    """As TenantManager, with `allowing`."""

    use_in_migrations = False


class Restrictable(models.Model):
    """An object that can be for few. `LEVELS` says which level each of its verbs needs."""

    LEVELS: ClassVar[Mapping[str, Level]] = {}
    MEANS: ClassVar[str] = ""  # the levels in words, on the page of its access

    restricted = models.BooleanField(default=False)
    open_to_runs = models.BooleanField(default=False)  # of the whole workspace, where it is restricted

    objects = RestrictableManager()

    class Meta:
        abstract = True

    def allows(self, by: Actor, verb: str) -> bool:
        """Say whether the object's rules let the actor do `verb`, whose role has it."""
        from tenants.restrictions.rules import allows

        return allows(self, by, verb)
