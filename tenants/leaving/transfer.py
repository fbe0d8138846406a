"""A workspace goes on in another organization: what it is made of is copied there, what happened stays here.

Rows of runs can't change their owner: partitions, usage that was billed and a chain of audit entries belong to the
organization in which they were made. So the definitions go over, with the same ids and their secrets sealed anew by the
other organization's data key, in one transaction in which each side is read and written behind its own wall. Keys,
agents, and people's parts end. What is left is an archive: it is looked at, nothing runs in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import connection, transaction
from django.utils.timezone import now

from tenants import audit, rights
from tenants.authentication import forget_secrets
from tenants.errors import Conflict, Invalid, NotFound
from tenants.leaving.tables import Table, of_workspace, tables
from tenants.models import ApiKey, Membership, Organization, OrganizationRole, Workspace
from tenants.organizations import empty_workspace, owner_actor
from tenants.permissions import Actor, require
from tenants.scope import another_tenant, user_scope

MAX_ROWS = 50_000  # of all tables: what is moved is moved within one request
ROWS = 500  # in memory

Check = Callable[[Workspace], None]
Follow = Callable[[Workspace, Workspace], None]
_goes_along: set[str] = set()
_checks: list[Check] = []
_copies: list[Follow] = []
_archives: list[Check] = []


def goes_along(*names: str) -> None:
    """Register tables whose rows of a workspace move with it."""
    _goes_along.update(names)


def asks_before(function: Check) -> Check:
    """Register what refuses a move. Called inside the scope of the organization that is left."""
    _checks.append(function)
    return function


def follows(function: Follow) -> Follow:
    """Register what mends copied rows. It gets the workspace that is left, in whose scope it is called, and the new
    one, whose rows it reaches by `another_tenant`.
    """
    _copies.append(function)
    return function


def archives(function: Check) -> Check:
    """Register what stops in a workspace that becomes an archive."""
    _archives.append(function)
    return function


def places(user_id: UUID, but: UUID) -> list[Organization]:
    """The other organizations that a person owns."""
    with user_scope(user_id):
        own = Membership.objects.filter(user_id=user_id, role=OrganizationRole.OWNER, organization__deleted_at=None)
        own = own.exclude(organization_id=but).select_related("organization").order_by("organization__name")
        return [membership.organization for membership in own[:50]]


@transaction.atomic
def move(*, workspace: Workspace, to: Organization, name: str, typed: str, by: Actor) -> Workspace:
    """Copy a workspace to another organization, which the person owns as well, and archive it here.

    Args:
        to: One of `places()`.
        name: How it is called there.

    Raises:
        Invalid: What was typed isn't its address, the name is taken there, or there are too many.
        Conflict: Runs are under way, agents connected, it is an archive already, or there is very much in it.
        LimitReached: The other organization's plan has no room for it.
        NotFound: They don't own the other organization.
    """
    require(by, "workspaces.move", workspace)
    if typed.strip() != workspace.slug:
        raise Invalid(f"Type {workspace.slug} to confirm.", fields={"typed": f"Type {workspace.slug}."})
    target = next((place for place in places(by.user_id, by.organization_id) if place.id == to.id), None)
    if target is None:
        raise NotFound("There is no such organization, or you don't own it.")
    workspace = Workspace.objects.select_for_update().get(id=workspace.id)
    if workspace.archived_at:
        raise Conflict("It is an archive already.")
    for check in _checks:
        check(workspace)
    with another_tenant(target.id):
        made = empty_workspace(organization=target, name=name)
    rows = _copy(workspace, made)
    for follow in _copies:
        follow(workspace, made)
    _archive(workspace)
    _record(workspace, made, target, rows, by)
    return made


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def _copy(workspace: Workspace, made: Workspace) -> int:
    known, number = tables(), 0
    for table in reversed(known.values()):
        if table.name in _goes_along:
            within = of_workspace(known, table)
            for rows in _rows_of(table, within, workspace):
                number += len(rows)
                if number > MAX_ROWS:
                    raise Conflict(f"It is made of more than {MAX_ROWS:,} rows. Delete what is no longer used first.")
                _insert(table, rows, made)
    return number


def _rows_of(table: Table, within: str | None, workspace: Workspace) -> Iterable[list[str]]:
    after = UUID(int=0)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT to_jsonb(t)::text, t.id FROM {table.name} t"
                f" WHERE t.organization_id = %s AND {within} AND t.id > %s ORDER BY t.id LIMIT %s",
                [workspace.organization_id, workspace.id, after, ROWS],
            )
            rows = cursor.fetchall()
        if not rows:
            return
        yield [text for text, _ in rows]
        after = rows[-1][1]


def _insert(table: Table, rows: list[str], made: Workspace) -> None:
    """The rows as they were, but for whose they are."""
    own = {"organization_id": str(made.organization_id)}
    if "workspace_id" in table.columns:
        own["workspace_id"] = str(made.id)
    with another_tenant(made.organization_id), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table.name} SELECT (jsonb_populate_record(NULL::{table.name},"
            " r.row || jsonb_object(%s::text[], %s::text[]))).* FROM unnest(%s::jsonb[]) r (row)",
            [list(own), list(own.values()), rows],
        )


# ── what is left ─────────────────────────────────────────────────────────────────────────────────


def _archive(workspace: Workspace) -> None:
    ApiKey.objects.filter(workspace=workspace, revoked_at=None).update(revoked_at=now())
    for archive in _archives:
        archive(workspace)
    Workspace.objects.filter(id=workspace.id).update(archived_at=now())
    transaction.on_commit(forget_secrets)
    rights.changed()


def _record(workspace: Workspace, made: Workspace, target: Organization, rows: int, by: Actor) -> None:
    told = {"rows": rows, "workspace": str(made.id), "organization": target.slug}
    audit.record(by, "workspace.moved_away", workspace, workspace_id=workspace.id, details=told)
    with another_tenant(target.id):
        there = owner_actor(target, Membership.objects.select_related("user").get(user_id=by.user_id).user)
        came = {"rows": rows, "workspace": str(workspace.id)}
        audit.record(there, "workspace.moved_here", made, workspace_id=made.id, details=came)
        rights.changed()
