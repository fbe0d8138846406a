"""4.4: roles of an organization's own, made of verbs, given wherever a built-in one may be given."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tenants import audit, invitations, people
from tenants.access import organization_actor, workspace_actor
from tenants.authentication import actor_of
from tenants.errors import Conflict, Forbidden, Invalid
from tenants.models import ApiKey, CustomRole, Invitation, SsoProvider, TeamPart, WorkspaceMembership, WorkspaceRole
from tenants.permissions import WORKSPACE_VERBS, can
from tenants.roles import custom
from tenants.roles.verbs import GIVABLE, NEEDS, THINGS, completed
from tenants.sso import providers
from tests.cast import Api, Company, person
from tests.runs.work import deploy
from tests.tenants.test_key_ring import make as make_key
from tests.tenants.test_teams import team_of

pytestmark = pytest.mark.django_db
ROLES = "/o/acme/roles"
DEPLOYER = ["deployments.edit", "bundles.write"]


def owner(acme: Company) -> Any:
    return organization_actor(acme.owner.id, "acme")


def role_of(acme: Company, *verbs: str, name: str = "Release manager") -> CustomRole:
    with acme.scope():
        return custom.make(name=name, verbs=verbs or DEPLOYER, by=owner(acme))


def give(acme: Company, user: Any, role: str) -> None:
    with acme.scope():
        people.change(user_id=user.id, role="member", parts={acme.workspace.id: role}, by=owner(acme))


def change(acme: Company, role: CustomRole, *verbs: str) -> None:
    with acme.scope():
        custom.change(id=role.id, name=role.name, verbs=verbs, by=owner(acme))


def test_every_verb_of_an_owner_is_in_the_table_once() -> None:
    listed = [verb for verbs in THINGS.values() for verb in verbs]
    assert len(listed) == len(set(listed))
    assert set(listed) == GIVABLE
    assert NEEDS.keys() <= GIVABLE
    assert set().union(*NEEDS.values()) <= GIVABLE


@pytest.mark.parametrize("role", WorkspaceRole.values)
def test_a_built_in_role_is_complete(role: str) -> None:
    """What verbs need is no other rule than that by which the built-in roles were made."""
    assert completed(WORKSPACE_VERBS[role]) == WORKSPACE_VERBS[role]


def test_a_role_is_made_of_verbs_and_what_they_need(acme: Company, bob: Any) -> None:
    role = role_of(acme)
    assert role.slug == "release-manager"
    give(acme, bob, "release-manager")
    actor = workspace_actor(bob.id, "acme", "main")
    assert actor.role == "release-manager"
    assert {verb for verb in GIVABLE if can(actor, verb)} == {*DEPLOYER, "deployments.view"}


def test_a_role_of_runs_alone_learns_no_names_of_other_things(acme: Company, bob: Any, browse: Any, api: Api) -> None:
    assert api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}}).status_code == 201
    block = {"type": "object", "properties": {"$block": {"type": "string"}}, "x-block-type": "secret"}
    deployment = deploy(acme, "vaulted", parameter_schema={"type": "object", "properties": {"key": block}})
    form, palette = f"/o/acme/main/deployments/{deployment.id}/run", "/o/acme/main/jump?q=vaulted"
    assert "secret/vault" in browse(acme.owner).get(form).content.decode()
    assert "vaulted" in browse(acme.owner).get(palette).content.decode()
    role_of(acme, "runs.trigger", name="Starter")
    give(acme, bob, "starter")
    assert "secret/vault" not in browse(bob).get(form).content.decode()
    role_of(acme, "runs.view", name="Looker")
    give(acme, bob, "looker")
    answer = browse(bob).get(palette)
    assert (answer.status_code, "vaulted" in answer.content.decode()) == (200, False)


def test_what_is_no_role_is_refused(acme: Company) -> None:
    role_of(acme)
    for name, verbs in [
        ("", DEPLOYER), ("x" * 61, DEPLOYER), ("!", DEPLOYER), ("Release  Manager", DEPLOYER), ("Owner", DEPLOYER),
        ("run", DEPLOYER), ("Other", []), ("Other", ["runs.dance"]), ("Other", ["organization.delete"]),
    ]:  # fmt: skip
        with acme.scope(), pytest.raises(Invalid):
            custom.make(name=name, verbs=verbs, by=owner(acme))


def test_roles_are_bounded(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom, "MAX_ROLES", 1)
    role_of(acme)
    with pytest.raises(Conflict):
        role_of(acme, name="Second")


def test_only_owners_and_admins_make_them(acme: Company, bob: Any) -> None:
    role, by = role_of(acme), organization_actor(bob.id, "acme")
    with acme.scope():
        for ask in (
            lambda: custom.make(name="Mine", verbs=["keys.edit"], by=by),
            lambda: custom.change(id=role.id, name="Mine", verbs=["keys.edit"], by=by),
            lambda: custom.delete(id=role.id, by=by),
        ):
            with pytest.raises(Forbidden):
                ask()


def test_a_change_holds_at_once_for_people_and_keys(
    acme: Company, bob: Any, django_capture_on_commit_callbacks: Any
) -> None:
    role = role_of(acme)
    give(acme, bob, role.slug)
    personal, service = make_key(acme, bob, role=role.slug)[1], acme.key("ci", role.slug)
    assert [actor_of(secret).verbs for secret in (personal, service)] == [{*DEPLOYER, "deployments.view"}] * 2
    assert Api(service).get("/variables").status_code == 403
    with django_capture_on_commit_callbacks(execute=True):
        change(acme, role, "variables.view")
    assert [actor_of(secret).verbs for secret in (personal, service)] == [{"variables.view"}] * 2
    assert workspace_actor(bob.id, "acme", "main").verbs == {"variables.view"}
    assert Api(service).get("/variables").status_code == 200
    with acme.scope():
        told = audit.entries(audit.Filter()).filter(action="role.changed").get()
    assert told.details == {
        "role": "release-manager", "added": ["variables.view"],
        "removed": ["bundles.write", "deployments.edit", "deployments.view"],
    }  # fmt: skip


def test_a_key_can_have_no_more_than_its_maker(acme: Company, bob: Any) -> None:
    role_of(acme)
    with pytest.raises(Invalid, match=r"Your own role here is runner: it has no bundles\.write, deployments\.edit"):
        make_key(acme, bob, role="release-manager")
    role_of(acme, "runs.view", name="Looker")
    assert make_key(acme, bob, role="looker")[0].role == "looker"


def test_who_is_invited_gets_it(acme: Company) -> None:
    role_of(acme)
    with acme.scope():
        parts = {acme.workspace.id: "release-manager"}
        _, link = invitations.invite(email="carl@acme.example", role="member", parts=parts, by=owner(acme))
    carl = person("carl@acme.example")
    invitations.accept(token=link.rpartition("/")[2], user=carl)
    assert workspace_actor(carl.id, "acme", "main").role == "release-manager"


def held_by_a_person(acme: Company, bob: Any) -> str:
    give(acme, bob, "release-manager")
    return "bob@acme.example in Main"


def held_by_a_team(acme: Company, bob: Any) -> str:
    team_of(acme, role="release-manager")
    return "the team Data in Main"


def held_by_a_key(acme: Company, bob: Any) -> str:
    acme.key("ci", "release-manager")
    return "the key ci in Main"


def held_by_an_invitation(acme: Company, bob: Any) -> str:
    with acme.scope():
        parts = {acme.workspace.id: "release-manager"}
        invitations.invite(email="carl@acme.example", role="member", parts=parts, by=owner(acme))
    return "the invitation of carl@acme.example"


def held_by_newcomers(acme: Company, bob: Any) -> str:
    with acme.scope():
        SsoProvider.objects.create(organization=acme.organization, kind="oidc", issuer="https://login.acme.example")
        workspaces = {str(acme.workspace.id): "release-manager"}
        providers.admit(role="member", workspaces=workspaces, trusts_addresses=False, by=owner(acme))
    return "newcomers by single sign-on"


@pytest.mark.parametrize(
    "hold", [held_by_a_person, held_by_a_team, held_by_a_key, held_by_an_invitation, held_by_newcomers]
)
def test_a_role_in_use_stays(acme: Company, bob: Any, hold: Any) -> None:
    role = role_of(acme)
    told = hold(acme, bob)
    with acme.scope():
        with pytest.raises(Conflict, match=re.escape(f"Release manager is in use: {told}.")):
            custom.delete(id=role.id, by=owner(acme))
        WorkspaceMembership.objects.all().delete()
        TeamPart.objects.all().delete()
        Invitation.objects.all().delete()
        SsoProvider.objects.all().delete()
        ApiKey.objects.all().delete()
        custom.delete(id=role.id, by=owner(acme))
        assert not CustomRole.objects.exists()


def test_a_role_that_there_is_not_any_more_does_nothing(acme: Company, bob: Any) -> None:
    """However it went."""
    role = role_of(acme)
    give(acme, bob, role.slug)
    secret = acme.key("ci", role.slug)
    with acme.scope():
        CustomRole.objects.all().delete()
    assert workspace_actor(bob.id, "acme", "main").verbs == frozenset()
    assert actor_of(secret) is None


def test_the_pages(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    page = browse(alice)
    empty = page.get(ROLES).content.decode()
    assert "The built-in roles only" in empty
    assert "Load blocks with their secrets" in empty
    assert page.get(f"{ROLES}/new").status_code == 200
    assert page.post(f"{ROLES}/new", {"name": "Release manager", "verbs": DEPLOYER}).status_code == 302
    refused = page.post(f"{ROLES}/new", {"name": "Release manager", "verbs": DEPLOYER})
    assert (refused.status_code, "A role of this name exists" in refused.content.decode()) == (400, False)
    assert "Choose another name." in refused.content.decode()
    with acme.scope():
        role = CustomRole.objects.get()
    shown = page.get(f"{ROLES}/{role.id}").content.decode()
    chosen = re.findall(r'value="([\w.]+)" checked', shown)
    assert sorted(chosen) == sorted([*DEPLOYER, "deployments.view"])
    assert page.post(f"{ROLES}/{role.id}", {"name": "Deployer", "verbs": ["runs.cancel"]}).status_code == 302
    assert page.post(f"{ROLES}/{role.id}", {"name": "Deployer", "verbs": []}).status_code == 400
    assert "Deployer" in page.get(f"/o/acme/people/{bob.id}").content.decode()
    give(acme, bob, role.slug)
    looks = browse(bob).get(f"{ROLES}/{role.id}").content.decode()
    assert "disabled" in looks
    assert "Save the role" not in looks
    kept = page.post(f"{ROLES}/{role.id}/delete", follow=True).content.decode()
    assert "Deployer is in use: bob@acme.example in Main." in kept
    give(acme, bob, "viewer")
    assert page.post(f"{ROLES}/{role.id}/delete").status_code == 302
    assert page.get(f"{ROLES}/{role.id}").status_code == 404
