"""Who may do what: the table of roles and verbs, written out once more by hand."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from uuid import UUID

import pytest

from orchestrator.ids import uuid7
from tenants.errors import Forbidden
from tenants.models import Organization, OrganizationRole, Workspace, WorkspaceRole
from tenants.permissions import (
    ORGANIZATION_VERBS,
    OWNS_ALL_WORKSPACES,
    VERBS,
    WORKSPACE_VERBS,
    Actor,
    can,
    require,
)

ORGANIZATION, WORKSPACE = uuid7(), uuid7()

# In a workspace: viewer, runner, agent, developer, owner, run, run.over
MATRIX = """
    runs.view          v r . d o t .
    deployments.view   v r a d o t .
    pools.view         v r a d o . .
    variables.view     v r . d o t .
    blocks.view        v r . d o t .
    automations.view   v r . d o . .
    limits.view        v r a d o t .
    runs.trigger       . r . d o t .
    runs.cancel        . r . d o . .
    runs.pause         . r . d o t .
    runs.answer        . r . d o t .
    agents.work        . . a d o . .
    journal.write      . . a d o t e
    events.write       . . a d o t .
    slots.take         . . a d o t .
    bundles.read       . . a d o t .
    results.read       . . a d o t .
    results.write      . . a d o t .
    deployments.edit   . . . d o . .
    variables.edit     . . . d o t .
    blocks.edit        . . . d o . .
    blocks.use         . . . d o t .
    automations.edit   . . . d o . .
    pools.edit         . . . d o . .
    bundles.write      . . . d o . .
    schedules.edit     . . . d o . .
    runs.delete        . . . d o . .
    quarantine.edit    . . . d o . .
    cache.edit         . . . d o . .
    limits.edit        . . . d o . .
    workspace.edit     . . . . o . .
    keys.edit          . . . . o . .
    people.assign      . . . . o . .
    access.edit        . . . . o . .
"""
# In the organization: member, billing, admin, owner
ORGANIZATION_MATRIX = """
    organization.view    m b a o
    people.view          m b a o
    usage.view           . b a o
    billing.view         . b a o
    billing.edit         . b . o
    organization.edit    . . a o
    people.edit          . . a o
    workspaces.create    . . a o
    keys.manage          . . a o
    audit.view           . . a o
    admin.use            . . a o
    organization.delete  . . . o
    organization.export  . . . o
    workspaces.move      . . . o
    sso.edit             . . . o
"""
ROLES = ["viewer", "runner", "agent", "developer", "owner", "run", "run.over"]
ORGANIZATION_ROLES = ["member", "billing", "admin", "owner"]


def allowed(matrix: str, roles: list[str]) -> dict[str, set[str]]:
    """The verbs of each role."""
    rows = [line.split() for line in matrix.strip().splitlines()]
    return {role: {verb for verb, *marks in rows if marks[place] != "."} for place, role in enumerate(roles)}


def actor(role: str, organization_role: str = "") -> Actor:
    return Actor("key", ORGANIZATION, WORKSPACE, role, "somebody", organization_role=organization_role)


def test_the_matrix_names_every_role_and_verb() -> None:
    assert set(ROLES) == set(WORKSPACE_VERBS) == {*WorkspaceRole.values, "run", "run.over"}
    assert set(ORGANIZATION_ROLES) == set(ORGANIZATION_VERBS) == {*OrganizationRole.values}
    assert {line.split()[0] for line in (MATRIX + ORGANIZATION_MATRIX).strip().splitlines() if line.strip()} == VERBS


@pytest.mark.parametrize("role", ROLES)
def test_roles_in_a_workspace(role: str) -> None:
    assert {verb for verb in VERBS if can(actor(role), verb)} == allowed(MATRIX, ROLES)[role]


@pytest.mark.parametrize("role", ORGANIZATION_ROLES)
def test_roles_in_an_organization(role: str) -> None:
    expected = allowed(ORGANIZATION_MATRIX, ORGANIZATION_ROLES)[role]
    assert {verb for verb in VERBS if can(actor("", role), verb)} == expected


def test_a_role_in_a_workspace_counts_only_in_one() -> None:
    nowhere = Actor("user", ORGANIZATION, None, "owner", "somebody", organization_role="member")
    assert {verb for verb in VERBS if can(nowhere, verb)} == {"organization.view", "people.view"}


@pytest.mark.parametrize("role", ["", "god", "admin", "OWNER"])
def test_an_unknown_role_may_nothing(role: str) -> None:
    assert not any(can(actor(role), verb) for verb in VERBS)


def test_an_unknown_verb_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match=r"runs\.dance"):
        can(actor("owner"), "runs.dance")


@pytest.mark.parametrize(
    ("organization", "workspace", "allowed"),
    [(ORGANIZATION, WORKSPACE, True), (ORGANIZATION, uuid7(), False), (uuid7(), WORKSPACE, False)],
)
def test_an_object_has_to_be_of_the_same_workspace(organization: UUID, workspace: UUID, allowed: bool) -> None:
    run = SimpleNamespace(organization_id=organization, workspace_id=workspace)
    assert can(actor("owner"), "runs.cancel", run) == allowed
    assert not can(actor("viewer"), "runs.cancel", run)


def test_an_organization_and_a_workspace_are_their_own() -> None:
    own, foreign = Organization(id=ORGANIZATION), Organization(id=uuid7())
    assert can(actor("", "owner"), "people.edit", own)
    assert not can(actor("", "owner"), "people.edit", foreign)
    here, beside = (Workspace(id=id, organization_id=ORGANIZATION) for id in (WORKSPACE, uuid7()))
    assert can(actor("owner"), "workspace.edit", here)
    assert not can(actor("owner"), "workspace.edit", beside)


def test_what_belongs_to_nobody_is_nobodys() -> None:
    assert not can(actor("owner"), "runs.view", object())


def test_require_says_what_is_missing() -> None:
    require(actor("owner"), "runs.cancel")
    with pytest.raises(Forbidden, match=r"viewer.*runs\.cancel"):
        require(actor("viewer"), "runs.cancel")


def test_who_owns_an_organization_owns_its_workspaces() -> None:
    owners = {role for role in OrganizationRole if role in OWNS_ALL_WORKSPACES}
    assert owners == {OrganizationRole.OWNER, OrganizationRole.ADMIN}


@pytest.mark.django_db
def test_every_view_of_the_api_names_a_verb_for_each_of_its_methods() -> None:
    from tests.server.routes import names, pattern_of

    views = {name: pattern_of(name).callback.cls for name in names() if name.startswith("api-")}
    for (name, view), method in product(views.items(), ("get", "post", "put", "patch", "delete")):
        assert hasattr(view, method) == (method.upper() in view.verbs) or view.__name__ == "Journal", (name, method)
        assert set(view.verbs.values()) <= VERBS
