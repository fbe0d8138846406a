"""Invitations: for one address, seven days long, used once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tenants import audit, invitations
from tenants.access import organization_actor, workspace_actor, workspaces_of
from tenants.errors import Conflict, Forbidden, Invalid, NotFound, RateLimited
from tenants.keys import digest
from tenants.models import Invitation, Membership, OutboxMessage, Workspace
from tests.cast import Company, person
from tests.threads import at_once

pytestmark = pytest.mark.django_db
NORA = "nora@north.example"


def invite(acme: Company, email: str = NORA, role: str = "member", part: str = "runner", *, by: Any = None) -> str:
    """The token."""
    actor = organization_actor((by or acme.owner).id, "acme")
    with acme.scope():
        _, link = invitations.invite(email=email, role=role, parts={acme.workspace.id: part}, by=actor)
    return link.rpartition("/")[2]


def only(acme: Company) -> Invitation:
    with acme.scope():
        return Invitation.objects.get()


def test_the_token_is_stored_as_its_hash_alone(acme: Company) -> None:
    token = invite(acme, "  Nora@North.example ")
    found = only(acme)
    assert (found.email, bytes(found.hash)) == (NORA, digest(token))
    assert token not in str(vars(found))
    assert timedelta(days=6, hours=23) < found.expires_at - datetime.now(UTC) <= timedelta(days=7)


def test_joining_gives_the_roles_that_were_chosen(acme: Company) -> None:
    token, nora = invite(acme), person(NORA)
    organization, workspace = invitations.accept(token=token, user=nora)
    assert (organization.slug, workspace.slug) == ("acme", "main")
    actor = workspace_actor(nora.id, "acme", "main")
    assert (actor.role, actor.organization_role) == ("runner", "member")
    with acme.scope():
        told = [entry.action for entry in audit.entries(audit.Filter()).order_by("at", "id")]
    assert told == ["person.invited", "person.workspace_role_changed", "person.joined"]


def test_a_link_is_for_its_address_and_for_once(acme: Company, globex: Company) -> None:
    token, nora = invite(acme), person(NORA)
    with pytest.raises(Conflict, match=NORA):
        invitations.accept(token=token, user=globex.owner)
    invitations.accept(token=token, user=nora)
    with pytest.raises(NotFound):
        invitations.accept(token=token, user=nora)
    assert workspaces_of(globex.owner.id) == [(globex.organization, globex.workspace)]


@pytest.mark.django_db(transaction=True)
def test_used_twice_at_once_it_is_used_once(acme: Company) -> None:
    token, nora = invite(acme), person(NORA)
    done = at_once(*(partial(invitations.accept, token=token, user=nora) for _ in range(2)))
    assert sorted(type(each).__name__ for each in done) == ["NotFound", "tuple"]


@pytest.mark.parametrize("end", ["expires_at", "revoked_at", "accepted_at"])
def test_an_invitation_that_is_over_leads_nowhere(acme: Company, end: str) -> None:
    token = invite(acme)
    with acme.scope():
        Invitation.objects.update(**{end: datetime.now(UTC) - timedelta(seconds=1)})
    with pytest.raises(NotFound):
        invitations.find(token)
    with pytest.raises(NotFound):
        invitations.find("x" * 43)


def test_who_belongs_already_keeps_their_role(acme: Company) -> None:
    token, nora = invite(acme), person(NORA)
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=nora, role="admin")
    invitations.accept(token=token, user=nora)
    assert organization_actor(nora.id, "acme").organization_role == "admin"


def test_a_workspace_that_is_gone_by_then_is_passed_over(acme: Company) -> None:
    token, nora = invite(acme), person(NORA)
    with acme.scope():
        Workspace.objects.update(deleted_at=datetime.now(UTC))
    assert invitations.accept(token=token, user=nora)[1] is None
    assert workspaces_of(nora.id) == []


# ── what can't be sent ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"email": "nora"}, "email"),
        ({"email": "alice@acme.example"}, "email"),
        ({"email": "a" * 250 + "@north.example"}, "email"),
        ({"role": "god"}, "role"),
        ({"part": "agent"}, "role"),
    ],
)
def test_what_can_not_be_taken(acme: Company, asked: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        invite(acme, **asked)
    assert list(refused.value.fields) == [field]


def test_an_address_is_invited_once_until_that_is_over(acme: Company) -> None:
    invite(acme)
    with pytest.raises(Conflict, match="invited already"):
        invite(acme)
    with acme.scope():
        Invitation.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    invite(acme)


def test_members_invite_nobody_and_admins_no_owner(acme: Company, bob: Any) -> None:
    with pytest.raises(Forbidden):
        invite(acme, by=bob)
    with acme.scope():
        Membership.objects.filter(user=bob).update(role="admin")
    with pytest.raises(Forbidden):
        invite(acme, role="owner", by=bob)
    invite(acme, role="admin", by=bob)


def test_a_day_has_its_bound(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_A_DAY", 1)
    invite(acme)
    with pytest.raises(RateLimited):
        invite(acme, "second@north.example")


# ── mail, again, revoked ─────────────────────────────────────────────────────────────────────────


def test_where_mail_is_configured_a_sealed_mail_waits_to_leave(acme: Company, settings: Any) -> None:
    settings.MAIL_CONFIGURED = True
    token = invite(acme)
    with acme.scope():
        row = OutboxMessage.objects.get()
    assert (row.kind, row.payload["to"]) == ("mail", NORA)
    assert row.payload["subject"] == "alice@acme.example invites you to Acme"
    assert token not in str(vars(row))


def test_sending_again_makes_a_new_link_and_ends_the_old_one(acme: Company) -> None:
    old, by = invite(acme), organization_actor(acme.owner.id, "acme")
    with acme.scope():
        with pytest.raises(RateLimited):
            invitations.send_again(id=only(acme).id, by=by)
        Invitation.objects.update(sent_at=datetime.now(UTC) - timedelta(minutes=2))
        _, link = invitations.send_again(id=only(acme).id, by=by)
    invitations.find(link.rpartition("/")[2])
    with pytest.raises(NotFound):
        invitations.find(old)


def again(acme: Company, user: Any) -> None:
    """Sent again, when the minute since the last mail is over."""
    with acme.scope():
        Invitation.objects.update(sent_at=datetime.now(UTC) - timedelta(minutes=2))
        invitations.send_again(id=Invitation.objects.latest("created_at").id, by=organization_actor(user.id, "acme"))


def test_one_invitation_is_five_mails_at_most(acme: Company) -> None:
    invite(acme)
    for _ in range(4):
        again(acme, acme.owner)
    with pytest.raises(Conflict, match="often enough"):
        again(acme, acme.owner)


def test_an_address_is_invited_five_times_a_day_at_most(acme: Company) -> None:
    for _ in range(5):
        invite(acme)
        with acme.scope():
            Invitation.objects.update(revoked_at=datetime.now(UTC))
    with pytest.raises(RateLimited, match="5 times today"):
        invite(acme)


def test_mails_that_are_sent_again_count_for_the_day(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitations, "MAX_A_DAY", 2)
    invite(acme)
    again(acme, acme.owner)
    with pytest.raises(RateLimited, match="a day at most"):
        again(acme, acme.owner)
    with pytest.raises(RateLimited, match="a day at most"):
        invite(acme, "second@north.example")


def test_one_person_has_a_bound_over_all_organizations(
    acme: Company, globex: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAX_A_DAY_OF_ONE", 2)
    with globex.scope():
        Membership.objects.create(organization=globex.organization, user=acme.owner, role="owner")
    invite(acme)
    by = organization_actor(acme.owner.id, "globex")
    with globex.scope():
        invitations.invite(email=NORA, role="member", parts={}, by=by)
        with pytest.raises(RateLimited, match="One person"):
            invitations.invite(email="second@north.example", role="member", parts={}, by=by)
        other = organization_actor(globex.owner.id, "globex")
        invitations.invite(email="second@north.example", role="member", parts={}, by=other)


def test_no_link_lives_longer_than_two_weeks(acme: Company) -> None:
    invite(acme)
    first = datetime.now(UTC) - timedelta(days=10)
    with acme.scope():
        Invitation.objects.update(created_at=first)
    again(acme, acme.owner)
    assert only(acme).expires_at == first + timedelta(days=14)
    with acme.scope():
        Invitation.objects.update(created_at=first - timedelta(days=5))
    with pytest.raises(Conflict):
        again(acme, acme.owner)


def test_an_admin_gets_at_no_link_of_an_owner(acme: Company, bob: Any) -> None:
    invite(acme, role="owner")
    with acme.scope():
        Membership.objects.filter(user=bob).update(role="admin")
    with pytest.raises(Forbidden):
        again(acme, bob)
    with acme.scope(), pytest.raises(Forbidden):
        invitations.revoke(id=only(acme).id, by=organization_actor(bob.id, "acme"))
    again(acme, acme.owner)


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_invites_and_shows_the_link_once(acme: Company, alice: Any, browse: Any) -> None:
    client = browse(alice)
    answer = client.post(
        "/o/acme/people/invite", {"email": NORA, "role": "member", f"workspace-{acme.workspace.id}": "viewer"}
    )
    link = answer.context["link"]
    assert link in answer.content.decode()
    page = client.get("/o/acme/people").content.decode()
    assert NORA in page
    assert link not in page
    assert only(acme).workspaces == {str(acme.workspace.id): "viewer"}
    client.post(f"/o/acme/people/invitations/{only(acme).id}/revoke")
    assert NORA not in client.get("/o/acme/people").context["invitations"]


def test_the_form_comes_back_with_what_was_typed(acme: Company, alice: Any, browse: Any) -> None:
    answer = browse(alice).post("/o/acme/people/invite", {"email": "nobody", "role": "admin"})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert 'value="nobody"' in page
    assert "An address like ada@example.com." in page


def test_the_link_shows_everybody_their_way(acme: Company, globex: Company, browse: Any, client: Any) -> None:
    path = f"/invitations/{invite(acme)}"
    assert "Make your account" in client.get(path).content.decode()
    assert client.post(path).status_code == 200
    nora = person(NORA)
    assert f"/login/?next={path.replace('/', '%2F')}" in client.get(path).content.decode()
    assert "Log out" in browse(globex.owner).get(path).content.decode()
    assert browse(globex.owner).post(path).status_code == 409
    assert browse(nora).post(path).headers["Location"] == "/o/acme/main/"
    assert browse(nora).get(path).status_code == 404


@pytest.mark.parametrize(("role", "left_as"), [("member", None), ("member", "billing"), ("owner", "admin")])
def test_an_invitation_is_worth_no_more_than_who_sent_it(acme: Company, role: str, left_as: str | None) -> None:
    """Who is removed or demoted leaves no door open for themselves."""
    mallory = person("mallory@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=mallory, role="owner")
    token, nora = invite(acme, role=role, by=mallory), person(NORA)
    with acme.scope():
        own = Membership.objects.filter(user=mallory)
        own.update(role=left_as) if left_as else own.delete()
    with pytest.raises(NotFound):
        invitations.accept(token=token, user=nora)
    with acme.scope():
        assert not Membership.objects.filter(user=nora).exists()
