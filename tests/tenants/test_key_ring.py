"""Keys as people make them: whose they are, what they may do, rotated and revoked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from tenants import audit, key_ring
from tenants.access import organization_actor, workspace_actor
from tenants.authentication import actor_of, forget_secrets
from tenants.errors import Conflict, Forbidden, Invalid
from tenants.models import ApiKey, Membership, WorkspaceMembership, WorkspaceRole
from tenants.organizations import add_workspace
from tenants.permissions import WORKSPACE_VERBS
from tenants.standing import Standing
from tests.cast import Api, Company

pytestmark = pytest.mark.django_db


def make(acme: Company, user: Any, name: str = "laptop", role: str = "developer", **options: Any) -> tuple[Any, str]:
    by = workspace_actor(user.id, "acme", "main")
    asked = {"personal": True, "expires_at": None, **options}
    with acme.scope():
        return key_ring.make(workspace=acme.workspace, name=name, role=role, by=by, **asked)


def role_now(secret: str) -> str | None:
    forget_secrets()
    actor = actor_of(secret)
    return actor.role if actor else None


def give(acme: Company, user: Any, role: str) -> None:
    with acme.scope():
        WorkspaceMembership.objects.filter(user=user).update(role=role)


# ── what a key may do ────────────────────────────────────────────────────────────────────────────


def test_a_personal_key_acts_for_its_person(acme: Company, bob: Any) -> None:
    key, secret = make(acme, bob, role="viewer")
    actor = actor_of(secret)
    assert (actor.role, actor.user_id, actor.key_id, actor.kind) == ("viewer", bob.id, key.id, "key")


def test_it_shrinks_and_grows_with_its_persons_role_up_to_its_own(acme: Company, bob: Any) -> None:
    give(acme, bob, "developer")
    _, secret = make(acme, bob)
    assert role_now(secret) == "developer"
    give(acme, bob, "viewer")
    assert role_now(secret) == "viewer"
    assert Api(secret).post("/flow-runs", {"deployment": "a/b"}).status_code == 403
    give(acme, bob, "owner")
    assert role_now(secret) == "developer"


def test_it_is_nobody_when_its_person_has_no_part_any_more(acme: Company, bob: Any) -> None:
    _, secret = make(acme, bob, role="viewer")
    with acme.scope():
        WorkspaceMembership.objects.filter(user=bob).delete()
    assert role_now(secret) is None
    with acme.scope():
        Membership.objects.filter(user=bob).update(role="admin")
    assert role_now(secret) == "viewer"
    bob.is_active = False
    bob.save(update_fields=["is_active"])
    assert role_now(secret) is None
    assert Api(secret).get("/me").status_code == 401


def test_an_agents_key_of_a_runner_does_what_both_may(acme: Company, bob: Any) -> None:
    give(acme, bob, "developer")
    _, secret = make(acme, bob, role="agent")
    assert role_now(secret) == "agent"
    give(acme, bob, "runner")
    forget_secrets()
    assert actor_of(secret).verbs == {"deployments.view", "limits.view", "pools.view"}


def test_two_roles_held_against_each_other_do_no_more_than_either() -> None:
    known = [Standing(role, verbs) for role, verbs in WORKSPACE_VERBS.items()]
    for key, person in product(known, repeat=2):
        assert key.within(person).verbs == key.verbs & person.verbs


def test_a_service_accounts_key_stands_for_itself(acme: Company, alice: Any) -> None:
    _, secret = make(acme, alice, personal=False)
    with acme.scope():
        Membership.objects.filter(user=alice).update(role="member")
    assert role_now(secret) == "developer"


@pytest.mark.parametrize(
    ("role", "kept"), [("runner", ["runner", "viewer"]), ("developer", None), ("viewer", ["viewer"])]
)
def test_no_key_is_above_its_maker(acme: Company, bob: Any, role: str, kept: list[str] | None) -> None:
    give(acme, bob, role)
    by = workspace_actor(bob.id, "acme", "main")
    with acme.scope():
        offered = [role.slug for role, _ in key_ring.roles_offered(by, [acme.workspace])]
    assert offered == (kept or ["developer", "runner", "viewer", "agent"])
    for asked in set(WorkspaceRole.values) - set(offered):
        with pytest.raises(Invalid) as refused:
            make(acme, bob, role=asked)
        assert list(refused.value.fields) == ["role"]


def test_members_make_no_service_account(acme: Company, bob: Any) -> None:
    give(acme, bob, "developer")
    with pytest.raises(Forbidden):
        make(acme, bob, personal=False)
    give(acme, bob, "owner")
    make(acme, bob, personal=False)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"role": "god"}, "role"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
def test_what_can_not_be_taken(acme: Company, alice: Any, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        make(acme, alice, **asked)
    assert list(refused.value.fields) == [field]


def test_a_name_is_free_for_others_and_after_its_end(acme: Company, alice: Any, bob: Any) -> None:
    key, _ = make(acme, alice, role="viewer")
    make(acme, bob, role="viewer")
    make(acme, alice, role="viewer", personal=False)
    with pytest.raises(Invalid):
        make(acme, alice, role="viewer")
    with acme.scope():
        key_ring.revoke(key=key, by=organization_actor(alice.id, "acme"))
    make(acme, alice, role="viewer")


def test_keys_of_a_workspace_are_bounded(acme: Company, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "MAX_KEYS", 1)
    make(acme, alice)
    with pytest.raises(Conflict):
        make(acme, alice, "second")


# ── their end ────────────────────────────────────────────────────────────────────────────────────


def test_a_rotated_key_works_beside_the_new_one_until_its_time(acme: Company, alice: Any) -> None:
    key, old = make(acme, alice)
    with acme.scope():
        new, secret = key_ring.rotate(key=key, overlap=timedelta(hours=1), by=workspace_actor(alice.id, "acme", "main"))
        former = ApiKey.objects.get(id=key.id)
        assert (new.name, new.role, new.user_id, new.expires_at) == ("laptop", "developer", alice.id, None)
        assert former.name.startswith("laptop until ")
        assert timedelta(minutes=59) < former.expires_at - datetime.now(UTC) < timedelta(minutes=61)
    assert (role_now(old), role_now(secret)) == ("developer", "developer")
    with acme.scope():
        ApiKey.objects.filter(id=key.id).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (role_now(old), role_now(secret)) == (None, "developer")


def test_rotating_at_once_ends_the_old_one(acme: Company, alice: Any) -> None:
    key, old = make(acme, alice)
    with acme.scope():
        key_ring.rotate(key=key, overlap=timedelta(0), by=workspace_actor(alice.id, "acme", "main"))
    assert role_now(old) is None


def test_a_key_that_would_end_sooner_keeps_its_end(acme: Company, alice: Any) -> None:
    ends = datetime.now(UTC) + timedelta(minutes=5)
    key, _ = make(acme, alice, expires_at=ends)
    with acme.scope():
        new, _ = key_ring.rotate(key=key, overlap=timedelta(days=1), by=workspace_actor(alice.id, "acme", "main"))
        assert new.expires_at == ApiKey.objects.get(id=key.id).expires_at == ends


def test_a_key_ends_once(acme: Company, alice: Any) -> None:
    key, secret = make(acme, alice)
    by = workspace_actor(alice.id, "acme", "main")
    with acme.scope():
        key_ring.revoke(key=key, by=by)
        with pytest.raises(Conflict):
            key_ring.revoke(key=key, by=by)
        with pytest.raises(Conflict):
            key_ring.rotate(key=key, overlap=timedelta(0), by=by)
    assert role_now(secret) is None


def test_all_of_it_is_written_down_and_no_secret_with_it(acme: Company, alice: Any) -> None:
    by = workspace_actor(alice.id, "acme", "main")
    key, first = make(acme, alice)
    with acme.scope():
        new, second = key_ring.rotate(key=key, overlap=timedelta(hours=1), by=by)
        key_ring.revoke(key=new, by=by)
        told = list(audit.entries(audit.Filter()).order_by("at", "id"))
    assert [entry.action for entry in told] == ["key.created", "key.rotated", "key.revoked"]
    assert not [entry for entry in told for secret in (first, second) if secret[10:] in str(vars(entry))]


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_makes_a_key_and_shows_it_once(acme: Company, alice: Any, browse: Any) -> None:
    client = browse(alice)
    asked = {"name": "laptop", "workspace": "main", "kind": "personal", "role": "developer", "days": "30"}
    answer = client.post("/o/acme/keys/new", asked)
    secret = answer.context["secret"]
    assert secret in answer.content.decode()
    assert answer.headers["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert Api(secret).get("/me").json()["workspace"] == "main"
    page = client.get("/o/acme/keys").content.decode()
    assert "laptop" in page
    assert secret[10:] not in page


def roles_in(page: Any) -> list[str]:
    """What the form lets one choose in the workspace that it shows."""
    return re.findall(r'<option value="(\w+)" data-for="[^"]*"(?: selected)?>', page.content.decode())


@pytest.mark.parametrize("part", WorkspaceRole.values)
def test_the_page_offers_the_roles_that_its_maker_may_give_there(
    acme: Company, bob: Any, browse: Any, part: str
) -> None:
    by_alice = organization_actor(acme.owner.id, "acme")
    with acme.scope():
        second = add_workspace(organization=acme.organization, name="Second", by=by_alice)
        WorkspaceMembership.objects.filter(user=bob).update(role=part)
        WorkspaceMembership.objects.create(organization=acme.organization, workspace=second, user=bob, role="viewer")
    client = browse(bob)
    for slug, own in (("main", part), ("second", "viewer")):
        offered = roles_in(client.get("/o/acme/keys/new", {"workspace": slug}))
        assert sorted(offered) == sorted(
            role for role in WorkspaceRole.values if WORKSPACE_VERBS[role] <= WORKSPACE_VERBS[own]
        )
        for role in WorkspaceRole.values:
            asked = {"name": f"as {role}", "workspace": slug, "kind": "personal", "role": role, "days": "30"}
            assert client.post("/o/acme/keys/new", asked).status_code == (200 if role in offered else 400), role


def test_owners_may_give_every_role_in_every_workspace(acme: Company, alice: Any, browse: Any) -> None:
    assert sorted(roles_in(browse(alice).get("/o/acme/keys/new"))) == sorted(WorkspaceRole.values)


def test_the_page_says_what_is_wrong_beside_its_field(acme: Company, bob: Any, browse: Any) -> None:
    asked = {"name": "laptop", "workspace": "main", "kind": "personal", "role": "developer", "days": "30"}
    answer = browse(bob).post("/o/acme/keys/new", asked)
    assert answer.status_code == 400
    assert "Your own role here is runner" in answer.content.decode()


def test_a_colleagues_key_is_not_there(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    key, secret = make(acme, alice)
    client = browse(bob)
    assert "laptop" not in client.get("/o/acme/keys").content.decode()
    for what in ("revoke", "rotate"):
        assert client.post(f"/o/acme/keys/{key.id}/{what}", {"overlap": "0"}).status_code == 404
    assert role_now(secret) == "developer"


def test_who_manages_keys_ends_anybodys(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    key, secret = make(acme, bob, role="viewer")
    assert browse(alice).post(f"/o/acme/keys/{key.id}/revoke").status_code == 302
    assert role_now(secret) is None


def test_the_list_is_paged_and_filtered(
    acme: Company, alice: Any, browse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.views.keys.PAGE", 2)
    for number in range(3):
        make(acme, alice, f"key-{number}")
    client = browse(alice)
    first = client.get("/o/acme/keys")
    second = client.get("/o/acme/keys", {"from": first.context["next"]})
    assert [key.name for key in [*first.context["keys"], *second.context["keys"]]] == ["key-0", "key-1", "key-2"]
    assert client.get("/o/acme/keys", {"workspace": "other"}).context["keys"] == []


def test_nobody_gets_a_key_in_anothers_name(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    """An owner may end Bob's key, not hold one that acts for Bob."""
    key, secret = make(acme, bob, role="viewer")
    with acme.scope(), pytest.raises(Forbidden, match="in their name"):
        key_ring.rotate(key=key, overlap=timedelta(0), by=workspace_actor(alice.id, "acme", "main"))
    assert role_now(secret) == "viewer"
    assert f'data-open="rotate-{key.id}"' not in browse(alice).get("/o/acme/keys").content.decode()
