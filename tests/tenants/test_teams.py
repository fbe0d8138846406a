"""4.3: teams have parts in workspaces, and each of their people has them, as long as they are in the team."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from orchestrator.ids import uuid7
from tenants import audit, parts, people
from tenants.access import organization_actor, workspace_actor, workspaces_of
from tenants.authentication import actor_of, forget_secrets
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.models import CustomRole, Membership, Team, TeamMember, TeamPart
from tenants.permissions import WORKSPACE_VERBS, can
from tenants.teams import teams
from tests.cast import Api, Company, person
from tests.tenants.test_key_ring import make as make_key
from tests.threads import at_once

pytestmark = pytest.mark.django_db
TEAMS = "/o/acme/teams"


@pytest.fixture
def nora(acme: Company) -> Any:
    """A member of the organization without a part anywhere."""
    user = person("nora@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=user, role="member")
    return user


def owner(acme: Company) -> Any:
    return organization_actor(acme.owner.id, "acme")


def team_of(acme: Company, *users: Any, role: str = "", name: str = "Data") -> Team:
    by = owner(acme)
    with acme.scope():
        team = teams.make(name=name, by=by)
        for user in users:
            teams.add(id=team.id, email=user.email, by=by)
        if role:
            teams.set_parts(id=team.id, parts={acme.workspace.id: role}, by=by)
    return team


def here(user: Any) -> Any:
    return workspace_actor(user.id, "acme", "main")


def test_a_teams_people_have_its_part(acme: Company, nora: Any) -> None:
    with pytest.raises(NotFound):
        here(nora)
    team = team_of(acme, nora, role="runner")
    assert here(nora).role == "runner"
    assert [place.slug for _, place in workspaces_of(nora.id)] == ["main"]
    with acme.scope():
        teams.set_parts(id=team.id, parts={acme.workspace.id: "developer"}, by=owner(acme))
    assert can(here(nora), "blocks.edit")
    with acme.scope():
        teams.remove(id=team.id, user_id=nora.id, by=owner(acme))
    assert workspaces_of(nora.id) == []
    with pytest.raises(NotFound):
        here(nora)


def test_the_strongest_of_what_one_has_counts(acme: Company, bob: Any) -> None:
    team_of(acme, bob, role="viewer")
    assert here(bob).role == "runner"
    team_of(acme, bob, role="developer", name="Ops")
    assert here(bob).role == "developer"


def test_roles_of_which_none_covers_the_other_add_up(acme: Company, bob: Any) -> None:
    with acme.scope():
        CustomRole.objects.create(
            organization=acme.organization, slug="keeper", name="Keeper", verbs=["blocks.view", "blocks.edit"]
        )
    team_of(acme, bob, role="keeper")
    assert here(bob).verbs == WORKSPACE_VERBS["runner"] | {"blocks.edit"}
    assert here(bob).role == "keeper + runner"


def test_a_team_costs_no_query_more(acme: Company, bob: Any, django_assert_max_num_queries: Any) -> None:
    """The savepoint and scopes, the membership, the workspace, and one for all parts."""
    team_of(acme, bob, role="developer")
    with django_assert_max_num_queries(9):
        here(bob)


def test_who_leaves_the_organization_leaves_its_teams(acme: Company, nora: Any) -> None:
    team_of(acme, nora, role="runner")
    with acme.scope():
        people.remove(user_id=nora.id, by=owner(acme))
        assert not TeamMember.objects.exists()
        Membership.objects.create(organization=acme.organization, user=nora, role="member")
    assert workspaces_of(nora.id) == []


def test_a_deleted_team_gives_nothing(acme: Company, nora: Any) -> None:
    team = team_of(acme, nora, role="runner")
    with acme.scope():
        teams.delete(id=team.id, by=owner(acme))
        assert not TeamPart.objects.exists()
        assert not TeamMember.objects.exists()
        told = list(audit.entries(audit.Filter()).order_by("at", "id").values_list("action", flat=True))
    assert workspaces_of(nora.id) == []
    assert told == ["team.created", "team.person_added", "team.workspace_role_changed", "team.deleted"]


def test_a_personal_key_follows_its_persons_teams(acme: Company, nora: Any) -> None:
    team = team_of(acme, nora, role="developer")
    _, secret = make_key(acme, nora, role="developer")
    assert Api(secret).get("/me").json()["role"] == "developer"
    with acme.scope():
        teams.set_parts(id=team.id, parts={acme.workspace.id: "viewer"}, by=owner(acme))
    forget_secrets()
    assert actor_of(secret).role == "viewer"
    with acme.scope():
        teams.set_parts(id=team.id, parts={}, by=owner(acme))
    forget_secrets()
    assert actor_of(secret) is None


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "Data"])
def test_names_are_bounded_and_free(acme: Company, name: str) -> None:
    team_of(acme)
    ops = team_of(acme, name="Ops")
    with acme.scope():
        for ask in (partial(teams.make, name=name), partial(teams.rename, id=ops.id, name=name)):
            with pytest.raises(Invalid) as told:
                ask(by=owner(acme))
            assert "name" in told.value.fields


def test_teams_and_their_people_are_bounded(acme: Company, bob: Any, vera: Any, monkeypatch: Any) -> None:
    team = team_of(acme, bob)
    monkeypatch.setattr(teams, "MAX_TEAMS", 1)
    monkeypatch.setattr(teams, "MAX_PEOPLE", 1)
    with acme.scope():
        with pytest.raises(Conflict):
            teams.make(name="Second", by=owner(acme))
        with pytest.raises(Conflict):
            teams.add(id=team.id, email=vera.email, by=owner(acme))


def test_others_neither_make_nor_change_teams(acme: Company, bob: Any) -> None:
    team = team_of(acme)
    by, id = organization_actor(bob.id, "acme"), team.id
    asked = [
        partial(teams.make, name="Mine"), partial(teams.rename, id=id, name="Mine"), partial(teams.delete, id=id),
        partial(teams.add, id=id, email=bob.email), partial(teams.remove, id=id, user_id=bob.id),
        partial(teams.set_parts, id=id, parts={}),
    ]  # fmt: skip
    with acme.scope():
        for ask in asked:
            with pytest.raises(Forbidden):
                ask(by=by)


def test_only_members_join(acme: Company, globex: Company) -> None:
    team = team_of(acme)
    with acme.scope(), pytest.raises(Invalid, match=r"eve@globex\.example.* is no member"):
        teams.add(id=team.id, email="eve@globex.example", by=owner(acme))


def test_a_workspaces_owner_gives_teams_parts_there(acme: Company, bob: Any, nora: Any, browse: Any) -> None:
    team_of(acme, bob, role="owner", name="Leads")
    team = team_of(acme, nora)
    page = browse(bob)
    assert "Data" in page.get("/o/acme/main/settings").content.decode()
    assert page.post("/o/acme/main/settings/teams", {"team": str(team.id), "role": "viewer"}).status_code == 302
    assert here(nora).role == "viewer"
    assert page.post("/o/acme/main/settings/teams", {"team": str(team.id), "role": "god"}).status_code == 400
    assert page.post("/o/acme/main/settings/teams", {"team": "no-id", "role": "viewer"}).status_code == 400
    assert page.post("/o/acme/main/settings/teams", {"team": str(uuid7()), "role": "viewer"}).status_code == 404
    assert page.post("/o/acme/main/settings/teams", {"team": str(team.id), "role": ""}).status_code == 302
    assert workspaces_of(nora.id) == []


def test_nobody_gives_or_takes_more_than_they_may_themselves(acme: Company, bob: Any, vera: Any) -> None:
    """4.4: who may assign people by a role of the organization's own is no owner by that."""
    verbs = [*WORKSPACE_VERBS["viewer"], "workspace.edit", "people.assign"]
    with acme.scope():
        CustomRole.objects.create(organization=acme.organization, slug="host", name="Host", verbs=verbs)
        team = teams.make(name="Data", by=owner(acme))
        teams.set_parts(id=team.id, parts={acme.workspace.id: "owner"}, by=owner(acme))
        people.change(user_id=vera.id, role="member", parts={acme.workspace.id: "host"}, by=owner(acme))
    by = here(vera)
    with acme.scope():
        parts.assign(workspace=acme.workspace, email="alice@acme.example", role="viewer", by=by)
        for ask in (
            partial(parts.assign, email=bob.email, role="runner"),
            partial(parts.assign, email=bob.email, role=""),
            partial(parts.assign_team, team_id=team.id, role="viewer"),
        ):
            with pytest.raises(Invalid, match="Your own role here is host"):
                ask(workspace=acme.workspace, by=by)


def test_the_pages(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    page = browse(alice)
    assert "No teams yet" in page.get(TEAMS).content.decode()
    made = page.post(TEAMS, {"name": "Data"})
    assert page.post(TEAMS, {"name": "Data"}).status_code == 400
    assert page.post(f"{made.url}/people", {"email": "Bob@acme.example "}).status_code == 302
    assert page.post(f"{made.url}/people", {"email": "who@acme.example"}).status_code == 400
    assert page.post(f"{made.url}/workspaces", {f"workspace-{acme.workspace.id}": "developer"}).status_code == 302
    assert page.post(made.url, {"name": "Data and AI"}).status_code == 302
    assert page.post(made.url, {"name": ""}).status_code == 400
    assert here(bob).role == "developer"
    shown = browse(bob).get(made.url).content.decode()
    assert "Data and AI" in shown
    assert "bob@acme.example" in shown
    assert "Add to the team" not in shown
    assert "Data and AI" in browse(bob).get("/o/acme/people").content.decode()
    assert page.post(f"{made.url}/people/{bob.id}/remove").status_code == 302
    assert page.post(f"{made.url}/people/{bob.id}/remove").status_code == 404
    assert page.post(f"{made.url}/delete").status_code == 302
    assert page.get(made.url).status_code == 404


def test_long_lists_have_pages(acme: Company, monkeypatch: pytest.MonkeyPatch, browse: Any, bob: Any) -> None:
    team = team_of(acme, acme.owner, bob)
    monkeypatch.setattr(teams, "PAGE", 1)
    first = browse(bob).get(f"{TEAMS}/{team.id}").content.decode()
    assert "alice@acme.example" in first
    assert "?after=alice%40acme.example" in first
    second = browse(bob).get(f"{TEAMS}/{team.id}?after=alice@acme.example").content.decode()
    assert "bob@acme.example" in second
    assert "alice@acme.example" not in second


@pytest.mark.django_db(transaction=True)
def test_a_team_that_is_deleted_takes_nobody_in(acme: Company, bob: Any) -> None:
    """Whichever of the two comes first."""
    id, by = team_of(acme).id, owner(acme)

    def ask(operation: Any) -> None:
        with acme.scope(), suppress(NotFound):
            operation(by=by)

    at_once(
        *(partial(ask, each) for each in (partial(teams.delete, id=id), partial(teams.add, id=id, email=bob.email)))
    )
    with acme.scope():
        assert not Team.objects.exists()
        assert not TeamMember.objects.exists()
