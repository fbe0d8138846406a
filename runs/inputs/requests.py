"""What is open: requests of runs for people, who may answer them, and until when."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.timezone import now

from orchestrator.states import TERMINAL, By, StateType
from runs import live
from runs.hidden import find_run, hidden_deployments, of_seen_runs
from runs.inputs import doorbell
from runs.models import FlowRun, InputRequest
from runs.transitions import RunRow, lock_runs, move, save
from tenants.errors import Forbidden, NotFound
from tenants.models import Membership, TeamMember, TeamPart, WorkspaceMembership, WorkspaceRole
from tenants.permissions import OWNS_ALL_WORKSPACES, Actor

State = InputRequest.State
UNANSWERED = "PauseTimedOut"
LATE = "Nobody answered in time."


def waiting(by: Actor) -> QuerySet[InputRequest]:
    """What the workspace's runs wait for that this actor may see, the newest first."""
    ended = FlowRun.objects.filter(
        organization=OuterRef("organization_id"), id=OuterRef("root_id"), state_type__in=[*TERMINAL, "CANCELLING"]
    )
    rows = InputRequest.objects.filter(workspace_id=by.workspace_id, state=State.WAITING).exclude(Exists(ended))
    rows = rows.filter(Q(expires_at=None) | Q(expires_at__gt=now()))
    return of_seen_runs(rows, hidden_deployments(by)).select_related("run__flow").order_by("-created_at", "-id")


def of_run(run: FlowRun) -> QuerySet[InputRequest]:
    """What a run, and what was called in its process, asked so far, the newest first."""
    rows = InputRequest.objects.filter(root_id=run.root_id) if run.is_root else InputRequest.objects.filter(run=run)
    return rows.select_related("run__flow").order_by("-created_at", "-id")


def find(id: UUID, *, by: Actor) -> InputRequest:
    """A request of the workspace.

    Raises:
        NotFound: There is none, or none for this actor.
    """
    found = InputRequest.objects.filter(id=id, workspace_id=by.workspace_id).first()
    if found is None:
        raise NotFound("There is no such request here.")
    found.run = find_run(by, found.run_id)
    return found


def is_open(request: InputRequest, root: RunRow | FlowRun) -> bool:
    """Whether an answer would still change anything."""
    late = request.expires_at is not None and request.expires_at <= now()
    over = root.is_final or root.state_type == StateType.CANCELLING
    return request.state == State.WAITING and not late and not over


def check_asked(request: InputRequest, by: Actor) -> None:
    """Refuse who is not among those who were asked. Approvals are people's: their own keys count as they do.

    Raises:
        Forbidden: With who is asked.
    """
    if not (request.quorum or request.roles or request.teams):
        return
    if by.user_id is None:
        raise Forbidden("A person is asked here: sign in, or use a key of your own.")
    if not is_asked(request, by):
        asked = [*(f"the role {role}" for role in request.roles), *(f"the team {team}" for team in request.teams)]
        raise Forbidden(f"Others are asked here: {' or '.join(asked)}.")


def is_asked(request: InputRequest, by: Actor) -> bool:
    """Whether this person has one of the roles, or is in one of the teams, if any are named."""
    if not request.roles and not request.teams:
        return True
    teams = TeamMember.objects.filter(user_id=by.user_id, team__name__in=request.teams)
    return not roles_of(by).isdisjoint(request.roles) or teams.exists()


def roles_of(by: Actor) -> set[str]:
    """The roles that a person has in the workspace, their own and those of their teams."""
    own = WorkspaceMembership.objects.filter(user_id=by.user_id, workspace_id=by.workspace_id)
    teams = TeamMember.objects.filter(user_id=by.user_id).values("team_id")
    shared = TeamPart.objects.filter(team__in=teams, workspace_id=by.workspace_id)
    roles = set(own.values_list("role", flat=True).union(shared.values_list("role", flat=True)))
    above = Membership.objects.filter(user_id=by.user_id, role__in=OWNS_ALL_WORKSPACES)
    return roles | {WorkspaceRole.OWNER.value} if above.exists() else roles


def close(request: InputRequest, root: RunRow, state: str, *, at: datetime, message: str) -> None:
    """End a request, and let its run go on or end: the process that waits is told, a suspended run moves at once."""
    request.state, request.ended_at = state, at
    request.save(update_fields=["state", "ended_at", "value"])
    if _go_on(root, state, at=at, message=message):
        save([root])
    live.changed(workspace_id=request.workspace_id, what="inputs")
    live.runs_changed([root])
    doorbell.ring([root.id])


def _go_on(root: RunRow, state: str, *, at: datetime, message: str) -> bool:
    """Move a suspended run as what it waited for has ended. False for one that is not suspended."""
    if root.state_type != StateType.PAUSED or root.is_held:
        return False
    if state == State.ANSWERED:
        return move(root, StateType.SCHEDULED, by=By.SERVER, name="Resuming", message=message, at=at, due_at=at)
    name = "Rejected" if state == State.REJECTED else UNANSWERED
    return move(root, StateType.FAILED, by=By.SERVER, name=name, message=message, at=at)


def was_suspended(root: RunRow, at: datetime) -> None:
    """A run has just told that it is suspended. If what it waits for has ended meanwhile, nobody would let it go on.

    The answer may come between its question and its state: they need not be in one batch, and a later attempt asks for
    what people have known for long.
    """
    if root.state_type != StateType.PAUSED or root.is_held or not root.touched:
        return
    asked = InputRequest.objects.filter(root_id=root.id, attempt=root.attempt, pause="suspend")
    state = asked.order_by("-created_at", "-id").values_list("state", flat=True).first()
    if state is not None and state != State.WAITING:
        _go_on(root, state, at=at, message=f"This was {state} before the run was suspended.")


# ── by the clock ─────────────────────────────────────────────────────────────────────────────────

_LATE = """
    SELECT organization_id, root_id FROM input_request WHERE state = 'waiting' AND expires_at < %s
    ORDER BY expires_at LIMIT %s
"""


def late(*, limit: int) -> list[tuple[UUID, UUID]]:
    """(organization, root) of requests whose time is over. Asked by the system."""
    with connection.cursor() as cursor:
        cursor.execute(_LATE, [now(), limit])
        return cursor.fetchall()


def expire(roots: Collection[UUID]) -> None:
    """End requests of one organization whose time is over. Runs that somebody works on are left for the next tick."""
    at = now()
    rows = lock_runs(roots, skip_locked=True)
    found = InputRequest.objects.filter(root_id__in=list(rows), state=State.WAITING, expires_at__lt=at)
    for request in found.order_by("id").select_for_update(no_key=True):
        root = rows[request.root_id]
        ended = root.is_final or root.state_type == StateType.CANCELLING
        close(request, root, State.OVER if ended else State.EXPIRED, at=at, message=LATE)
