"""Organizations and workspaces: founded, renamed with their old addresses, deleted and restored."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from orchestrator.ids import uuid7
from tenants import deletion, organizations
from tenants.access import organization_actor, workspace_actor, workspaces_of
from tenants.authentication import forget_secrets
from tenants.errors import Forbidden, Invalid
from tenants.models import FormerSlug, Membership, Organization, Workspace
from tests.cast import Api, Company, found_company, person
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def rename(acme: Company, slug: str, name: str = "Acme") -> None:
    with acme.scope():
        by = organization_actor(acme.owner.id, Organization.objects.get().slug)
        organizations.rename_organization(organization=acme.organization, name=name, slug=slug, by=by)


def rename_workspace(acme: Company, slug: str, workspace: Any = None) -> None:
    with acme.scope():
        place = workspace or Workspace.objects.get()
        by = workspace_actor(acme.owner.id, "acme", Workspace.objects.get(id=place.id).slug)
        organizations.rename_workspace(workspace=place, name="Main", slug=slug, by=by)


def add(acme: Company, name: str) -> Workspace:
    with acme.scope():
        by = organization_actor(acme.owner.id, "acme")
        return organizations.add_workspace(organization=acme.organization, name=name, by=by)


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


def test_old_addresses_lead_to_the_new_ones(acme: Company, alice: Any, browse: Any) -> None:
    rename_workspace(acme, "flights")
    rename(acme, "acme-air")
    client = browse(alice)
    answer = client.get("/o/acme/main/runs?range=7d")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/o/acme-air/flights/runs?range=7d")
    assert client.get("/o/acme/flights/").headers["Location"] == "/o/acme-air/flights/"
    assert client.get("/o/acme-air/main/").headers["Location"] == "/o/acme-air/flights/"
    assert client.get("/o/acme/people").headers["Location"] == "/o/acme-air/people"
    posted = client.post("/o/acme/people/leave")
    assert (posted.status_code, posted.headers["Location"]) == (307, "/o/acme-air/people/leave")


def test_for_others_an_old_address_is_nothing(acme: Company, bob: Any, eve: Any, browse: Any) -> None:
    rename(acme, "acme-air")
    assert browse(eve).get("/o/acme/main/").status_code == 404
    second = add_to_renamed(acme)
    assert browse(bob).get(f"/o/acme/{second}/").status_code == 404
    assert browse(bob).get("/o/acme/main/").status_code == 302


def add_to_renamed(acme: Company) -> str:
    with acme.scope():
        by = organization_actor(acme.owner.id, "acme-air")
        return organizations.add_workspace(organization=acme.organization, name="Secret", by=by).slug


def test_an_old_address_stays_its_owners(acme: Company, globex: Company) -> None:
    rename(acme, "acme-air")
    by = organization_actor(globex.owner.id, "globex")
    with globex.scope(), pytest.raises(Invalid, match="taken"):
        organizations.rename_organization(organization=globex.organization, name="Globex", slug="acme", by=by)
    founded, _ = organizations.found(name="Acme", owner=globex.owner)
    assert founded.slug == "acme-2"
    rename(acme, "acme")  # It may go back.
    with acme.scope():
        assert Organization.objects.get().slug == "acme"


def test_of_old_addresses_the_last_twenty_are_kept(acme: Company, globex: Company) -> None:
    for number in range(organizations.MAX_FORMER + 1):
        rename(acme, f"acme-{number}")
    with acme.scope():
        kept = set(FormerSlug.objects.filter(workspace=None).values_list("slug", flat=True))
    assert kept == {f"acme-{number}" for number in range(organizations.MAX_FORMER)}
    by = organization_actor(globex.owner.id, "globex")
    with globex.scope():  # The first one is free.
        organizations.rename_organization(organization=globex.organization, name="Globex", slug="acme", by=by)


def test_of_a_workspaces_old_addresses_the_last_twenty_are_kept(acme: Company) -> None:
    for number in range(organizations.MAX_FORMER + 1):
        rename_workspace(acme, f"main-{number}")
    with acme.scope():
        kept = set(FormerSlug.objects.values_list("slug", flat=True))
    assert kept == {f"main-{number}" for number in range(organizations.MAX_FORMER)}


def test_an_old_workspaces_address_is_not_given_to_another_one(acme: Company) -> None:
    rename_workspace(acme, "flights")
    with pytest.raises(Invalid):
        add(acme, "Main")
    second = add(acme, "Second")
    with pytest.raises(Invalid, match="taken"):
        rename_workspace(acme, "main", second)
    rename_workspace(acme, "main", acme.workspace)


@pytest.mark.parametrize("slug", ["", "Ä", "a b", "x" * 61, "people", "new", "a/b", "-a", "a--"])
def test_addresses_that_can_not_be(acme: Company, slug: str) -> None:
    for change in (rename, rename_workspace):
        with pytest.raises(Invalid) as refused:
            change(acme, slug)
        assert list(refused.value.fields) == ["slug"]


def test_the_api_is_not_touched_by_a_rename(acme: Company, api: Api) -> None:
    rename(acme, "acme-air")
    assert api.get("/me").json()["organization"] == "acme-air"


def test_members_rename_nothing(acme: Company, bob: Any, browse: Any) -> None:
    client = browse(bob)
    assert client.post("/o/acme/settings", {"name": "x", "slug": "x"}).status_code == 403
    assert client.post("/o/acme/main/settings", {"name": "x", "slug": "x"}).status_code == 403
    assert client.get("/o/acme/settings").status_code == 200


# ── founding ─────────────────────────────────────────────────────────────────────────────────────


def test_one_person_has_many(acme: Company, alice: Any, browse: Any) -> None:
    answer = browse(alice).post("/organizations/new", {"name": "Second company"})
    assert answer.headers["Location"] == "/o/second-company/main/welcome"
    assert browse(alice).post("/o/acme/new", {"name": "Staging"}).headers["Location"] == "/o/acme/staging/welcome"
    places = [(owner.slug, place.slug) for owner, place in workspaces_of(alice.id)]
    assert places == [("acme", "main"), ("acme", "staging"), ("second-company", "main")]


def test_numbers_are_bounded(acme: Company, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organizations, "MAX_OWNED", 1)
    monkeypatch.setattr(organizations, "MAX_WORKSPACES", 1)
    with pytest.raises(Invalid):
        organizations.found(name="Second", owner=alice)
    with pytest.raises(Invalid):
        add(acme, "Second")


def test_members_make_no_workspace(acme: Company, bob: Any, browse: Any) -> None:
    assert browse(bob).post("/o/acme/new", {"name": "x"}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_of_two_that_found_the_same_name_at_once_both_get_an_address() -> None:
    people = [person(f"p{number}@north.example") for number in range(4)]
    done = at_once(*(partial(organizations.found, name="North", owner=each) for each in people))
    assert sorted(each[0].slug for each in done) == ["north", "north-2", "north-3", "north-4"]


# ── the end ──────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_workspace_has_no_way_in(acme: Company, alice: Any, api: Api, browse: Any) -> None:
    client = browse(alice)
    assert client.post("/o/acme/main/settings/delete", {"typed": "Main"}).status_code == 400
    assert api.get("/me").status_code == 200
    assert client.post("/o/acme/main/settings/delete", {"typed": "main"}).status_code == 302
    assert client.get("/o/acme/main/").status_code == 404
    forget_secrets()
    assert api.get("/me").status_code == 401
    assert workspaces_of(alice.id) == []


def test_it_is_restored_within_its_time(acme: Company, alice: Any, browse: Any) -> None:
    client = browse(alice)
    client.post("/o/acme/main/settings/delete", {"typed": "main"})
    restore = f"/o/acme/settings/workspaces/{acme.workspace.id}/restore"
    with acme.scope():
        deleted_at = Workspace.objects.get().deleted_at
        Workspace.objects.update(deleted_at=deleted_at - deletion.GRACE - timedelta(seconds=1))
    assert client.post(restore).status_code == 404
    with acme.scope():
        Workspace.objects.update(deleted_at=deleted_at)
    assert client.post(restore).headers["Location"] == "/o/acme/main/"
    assert client.get("/o/acme/main/").status_code == 200


def test_a_deleted_organization_is_restored_by_its_owner_alone(
    acme: Company, alice: Any, bob: Any, browse: Any
) -> None:
    with acme.scope():
        Membership.objects.filter(user=bob).update(role="admin")
    assert browse(bob).post("/o/acme/settings/delete", {"typed": "acme"}).status_code == 403
    client = browse(alice)
    assert client.post("/o/acme/settings/delete", {"typed": "acme"}).headers["Location"] == "/"
    assert client.get("/o/acme/people").status_code == 404
    assert browse(bob).get("/o/acme/main/").status_code == 404
    assert restored(browse(bob), acme.organization.id) == restored(client, uuid7()) == 403
    assert "Acme was deleted" in client.get("/organizations/new").content.decode()
    assert restored(client, acme.organization.id) == 302
    assert browse(bob).get("/o/acme/main/").status_code == 200


def restored(client: Any, id: UUID) -> int:
    return client.post(f"/organizations/{id}/restore").status_code


def test_who_is_no_owner_restores_nothing(acme: Company) -> None:
    other = found_company("Initech", "peter@initech.example")
    with pytest.raises(Forbidden):
        deletion.restore_organization(id=acme.organization.id, by=organization_actor(other.owner.id, "initech"))
