"""Members and their roles: changed, removed, handed over, and never without an owner."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tenants import audit, people
from tenants.access import organization_actor, workspaces_of
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.keys import create_key
from tenants.models import ApiKey, Membership, OrganizationRole
from tenants.organizations import add_workspace
from tests.cast import Company, person
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def member(acme: Company, email: str, role: str) -> Any:
    user = person(email)
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=user, role=role)
    return user


def role_of(acme: Company, user: Any) -> str | None:
    with acme.scope():
        return Membership.objects.filter(user=user).values_list("role", flat=True).first()


def actions(acme: Company) -> list[str]:
    with acme.scope():
        return [entry.action for entry in audit.entries(audit.Filter()).order_by("at", "id")]


def change(acme: Company, user: Any, role: str = "member", parts: Any = None, *, by: Any = None) -> None:
    actor = organization_actor((by or acme.owner).id, "acme")
    with acme.scope():
        people.change(user_id=user.id, role=role, parts=parts or {}, by=actor)


def remove(acme: Company, user: Any, *, by: Any = None) -> None:
    actor = organization_actor((by or acme.owner).id, "acme")
    with acme.scope():
        people.remove(user_id=user.id, by=actor)


def test_roles_are_given_and_taken(acme: Company, bob: Any) -> None:
    with acme.scope():
        second = add_workspace(
            organization=acme.organization, name="Second", by=organization_actor(acme.owner.id, "acme")
        )
    change(acme, bob, "billing", {second.id: "developer"})
    assert role_of(acme, bob) == "billing"
    assert [place.slug for _, place in workspaces_of(bob.id)] == ["second"]
    assert actions(acme)[-3:] == ["person.role_changed"] + ["person.workspace_role_changed"] * 2
    change(acme, bob, "billing", {second.id: "developer"})
    assert len(actions(acme)) == 4  # Nothing changed, nothing was written.


@pytest.mark.parametrize(("role", "part"), [("god", "viewer"), ("member", "god"), ("member", "agent")])
def test_unknown_roles_are_refused(acme: Company, bob: Any, role: str, part: str) -> None:
    with pytest.raises(Invalid):
        change(acme, bob, role, {acme.workspace.id: part})


def test_foreign_workspaces_and_people_are_unknown(acme: Company, globex: Company, bob: Any) -> None:
    with pytest.raises(NotFound):
        change(acme, bob, "member", {globex.workspace.id: "viewer"})
    with pytest.raises(NotFound):
        change(acme, globex.owner)
    with pytest.raises(NotFound):
        remove(acme, globex.owner)


def test_members_change_nobody(acme: Company, bob: Any, vera: Any) -> None:
    for call in (change, remove):
        with pytest.raises(Forbidden):
            call(acme, vera, by=bob)


def test_admins_do_not_touch_owners_nor_become_one(acme: Company, alice: Any) -> None:
    dave = member(acme, "dave@acme.example", "admin")
    for user, role in ((alice, "member"), (dave, "owner")):
        with pytest.raises(Forbidden):
            change(acme, user, role, by=dave)
    with pytest.raises(Forbidden):
        remove(acme, alice, by=dave)
    assert (role_of(acme, alice), role_of(acme, dave)) == ("owner", "admin")


def test_the_last_owner_neither_leaves_nor_steps_down(acme: Company, alice: Any) -> None:
    with pytest.raises(Conflict, match="needs an owner"):
        remove(acme, alice)
    with pytest.raises(Conflict, match="needs an owner"):
        change(acme, alice, "admin")
    member(acme, "dave@acme.example", "owner")
    remove(acme, alice)
    assert role_of(acme, alice) is None


def test_an_owner_who_can_not_sign_in_is_none(acme: Company, alice: Any) -> None:
    dave = member(acme, "dave@acme.example", "owner")
    dave.is_active = False
    dave.save(update_fields=["is_active"])
    with pytest.raises(Conflict):
        remove(acme, alice)


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_stays(acme: Company, alice: Any) -> None:
    dave = member(acme, "dave@acme.example", "owner")
    done = at_once(*(partial(remove, acme, user, by=user) for user in (alice, dave)))
    assert sorted(type(each).__name__ for each in done) == ["Conflict", "NoneType"]
    with acme.scope():
        assert Membership.objects.filter(role=OrganizationRole.OWNER).count() == 1


def test_who_leaves_loses_workspaces_and_personal_keys_and_service_keys_stay(acme: Company, bob: Any) -> None:
    with acme.scope():
        create_key(workspace=acme.workspace, name="bobs", user=bob)
        create_key(workspace=acme.workspace, name="ci", created_by=bob)
    remove(acme, bob, by=bob)
    assert workspaces_of(bob.id) == []
    with acme.scope():
        assert dict(ApiKey.objects.values_list("name", "revoked_at"))["ci"] is None
        assert ApiKey.objects.get(name="bobs").revoked_at
    assert actions(acme)[-1] == "person.left"


def test_an_organization_is_handed_over(acme: Company, alice: Any, bob: Any) -> None:
    with acme.scope():
        people.hand_over(user_id=bob.id, by=organization_actor(alice.id, "acme"))
    assert (role_of(acme, alice), role_of(acme, bob)) == ("admin", "owner")
    with acme.scope(), pytest.raises(Forbidden):
        people.hand_over(user_id=alice.id, by=organization_actor(alice.id, "acme"))


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_is_paged_and_searched(acme: Company, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "PAGE", 3)
    for number in range(5):
        member(acme, f"p{number}@acme.example", "member")
    client = browse(acme.owner)
    first = client.get("/o/acme/people")
    assert [each.membership.user.email[:2] for each in first.context["people"]] == ["al", "p0", "p1"]
    second = client.get("/o/acme/people", {"after": first.context["next"]})
    assert [each.membership.user.email[:2] for each in second.context["people"]] == ["p2", "p3", "p4"]
    assert second.context["next"] == ""
    found = client.get("/o/acme/people", {"q": "P3@"})
    assert [each.membership.user.email for each in found.context["people"]] == ["p3@acme.example"]


def test_a_person_is_changed_and_removed_by_the_page(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    client, path = browse(alice), f"/o/acme/people/{bob.id}"
    assert "bob@acme.example" in client.get(path).content.decode()
    field = f"workspace-{acme.workspace.id}"
    assert client.post(path, {"role": "member", field: "developer"}).status_code == 302
    assert browse(bob).get("/o/acme/main/variables/new").status_code == 200
    assert client.post(f"{path}/remove").status_code == 302
    assert browse(bob).get("/o/acme/main/").status_code == 404


def test_a_refusal_of_the_page_says_what_to_do(acme: Company, alice: Any, browse: Any) -> None:
    answer = browse(alice).post("/o/acme/people/leave")
    assert answer.status_code == 409
    assert "Make somebody else one first" in answer.content.decode()


def test_members_see_people_and_no_buttons(acme: Company, bob: Any, browse: Any) -> None:
    page = browse(bob).get("/o/acme/people").content.decode()
    assert "alice@acme.example" in page
    assert "Invite people" not in page
    assert browse(bob).get("/o/acme/people/invite").status_code == 403


def test_who_has_no_workspace_lands_on_the_organizations_pages(acme: Company, browse: Any) -> None:
    dora = member(acme, "dora@acme.example", "billing")
    assert browse(dora).get("/").headers["Location"] == "/o/acme/people"
