"""Who may do what: one table of verbs by role, asked through `can()` by every door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework.permissions import BasePermission

from tenants.errors import Forbidden
from tenants.models import Organization, OrganizationRole, Workspace, WorkspaceRole
from tenants.restrictions.models import Restrictable

_MEMBER = frozenset({"organization.view", "people.view"})
_BILLING = _MEMBER | {"usage.view", "billing.view", "billing.edit"}
_ADMIN = _MEMBER | {
    "organization.edit",
    "people.edit",
    "workspaces.create",
    "keys.manage",
    "audit.view",
    "usage.view",
    "billing.view",
    "admin.use",
}

_OWNER = {"organization.delete", "organization.export", "workspaces.move", "sso.edit"}

ORGANIZATION_VERBS: dict[str, frozenset[str]] = {
    OrganizationRole.MEMBER: _MEMBER,
    OrganizationRole.BILLING: _BILLING,
    OrganizationRole.ADMIN: _ADMIN,
    OrganizationRole.OWNER: _ADMIN | _BILLING | _OWNER,
}

_VIEW = frozenset({
    "runs.view", "deployments.view", "pools.view", "variables.view", "blocks.view", "automations.view", "limits.view",
})  # fmt: skip
_RUN = _VIEW | {"runs.trigger", "runs.cancel", "runs.pause", "runs.answer"}
_AGENT = frozenset(
    {
        "agents.work",
        "journal.write",
        "events.write",
        "slots.take",
        "deployments.view",
        "pools.view",
        "limits.view",
        "bundles.read",
        "results.read",
        "results.write",
    }
)
_EDIT = {
    "deployments.edit",
    "variables.edit",
    "blocks.edit",
    "blocks.use",
    "automations.edit",
    "pools.edit",
    "bundles.write",
    "schedules.edit",
    "runs.delete",
    "quarantine.edit",
    "cache.edit",
    "limits.edit",
}
_DEVELOP = _RUN | _AGENT | _EDIT

WORKSPACE_VERBS: dict[str, frozenset[str]] = {
    WorkspaceRole.VIEWER: _VIEW,
    WorkspaceRole.RUNNER: _RUN,
    WorkspaceRole.AGENT: _AGENT,
    WorkspaceRole.DEVELOPER: _DEVELOP,
    WorkspaceRole.OWNER: _DEVELOP | {"workspace.edit", "keys.edit", "people.assign", "access.edit"},
    # What a run's own token may do, while its lease lives. The journal alone outlives it.
    "run": frozenset(
        {
            "journal.write",
            "events.write",
            "slots.take",
            "limits.view",
            "variables.view",
            "variables.edit",
            "blocks.view",
            "blocks.use",
            "runs.view",
            "runs.trigger",
            "runs.pause",
            "runs.answer",
            "deployments.view",
            "bundles.read",
            "results.read",
            "results.write",
        }
    ),
    "run.over": frozenset({"journal.write"}),
}
OWNS_ALL_WORKSPACES = frozenset({OrganizationRole.OWNER, OrganizationRole.ADMIN})
VERBS = frozenset().union(*WORKSPACE_VERBS.values(), *ORGANIZATION_VERBS.values())


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, in which workspace, in which role.

    `kind` is `user`, `key`, `run`, `link` or `system`; `label` is how lists and audit name the actor. `role` is the one
    in the workspace, `organization_role` the one a person has in the organization; either may be missing. A run's
    actor carries its root, its attempt and its deployment, a key's the key. `granted` are the verbs in the
    workspace where they are more than a built-in role's name says: several roles together, one of the
    organization's own, a key held down by its person.
    """

    kind: str
    organization_id: UUID
    workspace_id: UUID | None
    role: str
    label: str
    user_id: UUID | None = None
    run_id: UUID | None = None
    attempt: int | None = None
    deployment_id: UUID | None = None
    key_id: UUID | None = None
    organization_role: str = ""
    is_authenticated: bool = True
    granted: frozenset[str] | None = None

    @property
    def verbs(self) -> frozenset[str]:
        """What they may do in the workspace."""
        return WORKSPACE_VERBS.get(self.role, frozenset()) if self.granted is None else self.granted


def can(actor: Actor, verb: str, object: Any = None) -> bool:
    """Say whether the actor may do `verb`, to `object` if one is meant."""
    if verb not in VERBS:
        raise ValueError(f"{verb} is in no role's list of verbs")
    in_workspace = actor.workspace_id is not None and verb in actor.verbs
    if not in_workspace and verb not in ORGANIZATION_VERBS.get(actor.organization_role, ()):
        return False
    if object is None:
        return True
    organization_id, workspace_id = _place(object)
    if organization_id != actor.organization_id or (in_workspace and workspace_id not in {actor.workspace_id, None}):
        return False
    return not isinstance(object, Restrictable) or object.allows(actor, verb)


def _place(object: Any) -> tuple[UUID | None, UUID | None]:
    """The organization and the workspace that something belongs to; no workspace: to all of them."""
    if isinstance(object, Organization):
        return object.id, None
    if isinstance(object, Workspace):
        return object.organization_id, object.id
    return getattr(object, "organization_id", None), getattr(object, "workspace_id", None)


def require(actor: Actor, verb: str, object: Any = None) -> None:
    """Raise Forbidden unless `can()`."""
    if not can(actor, verb, object):
        role = actor.role or actor.organization_role
        whom = "the organization" if verb in ORGANIZATION_VERBS[OrganizationRole.OWNER] else "the workspace"
        raise Forbidden(f"Your role ({role}) may not do this ({verb}). Ask an owner of {whom}.")


class VerbPermission(BasePermission):
    """Ask `can()` for the verb that the view names for the method. A view without one is closed."""

    def has_permission(self, request: Any, view: Any) -> bool:
        verb = view.verbs.get(request.method) if hasattr(view, "verbs") else None
        if verb is None or request.auth is None:
            return False
        require(request.auth, verb)
        return True
