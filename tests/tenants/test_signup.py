"""New people: with an organization of their own, with an invitation, and too many of them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from orchestrator.server.management.commands.bootstrap import bootstrap
from runs.models import WorkPool
from tenants import audit
from tenants.access import organization_actor, workspaces_of
from tenants.invitations import invite
from tenants.models import Membership, Organization, User
from tenants.scope import tenant_scope, user_scope
from tests.cast import PASSWORD, Company, person

pytestmark = pytest.mark.django_db

NEW = {"email": "Nora@north.example", "password1": PASSWORD, "organization": "North & Sons"}


def sign_up(client: Client | None = None, **fields: str) -> Any:
    return (client or Client()).post("/signup/", {**NEW, **fields})


@pytest.fixture
def mails(settings: Any) -> list[Any]:
    """An installation that sends mails; what it sent."""
    settings.MAIL_CONFIGURED = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    mail.outbox = []
    return mail.outbox


def organization_of(user: User) -> Organization:
    with user_scope(user.id):
        return Membership.objects.select_related("organization").get(user=user).organization


def test_a_sign_up_founds_organization_workspace_and_pool_and_leads_to_the_welcome_page() -> None:
    client = Client()
    answer = sign_up(client)
    assert answer.headers["Location"] == "/o/north-sons/main/welcome"
    assert client.get("/o/north-sons/main/welcome").status_code == 200
    user = User.objects.get()
    assert (user.email, user.name, user.check_password(PASSWORD)) == ("nora@north.example", "", True)
    organization = organization_of(user)
    assert organization.name == "North & Sons"
    with tenant_scope(organization.id):
        assert WorkPool.objects.get().name == "default"
        told = [entry.action for entry in audit.entries(audit.Filter()).order_by("at", "id")]
    assert told == ["organization.created", "workspace.created"]


def test_the_name_is_kept_when_given() -> None:
    sign_up(name="  Nora   North ")
    assert User.objects.get().name == "Nora North"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"email": "nora"}, "Enter a valid email address"),
        ({"password1": "short"}, "at least 10 characters"),
        ({"password1": "nora@north.example"}, "too similar"),
        ({"organization": "…"}, "Use letters or digits"),
        ({"organization": ""}, "This field is required"),
        ({"organization": "settings"}, "Choose another name"),
    ],
)
def test_what_can_not_be_taken_is_told_beside_its_field_and_nothing_is_made(fields: dict[str, str], told: str) -> None:
    answer = sign_up(**fields)
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not User.objects.exists()


def test_an_organization_that_can_not_be_made_leaves_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the pool could not be made")

    monkeypatch.setattr("tenants.organizations._furnishers", [lambda workspace: fail()])
    with pytest.raises(RuntimeError):
        sign_up()
    assert not User.objects.exists()


def test_two_organizations_of_one_name_have_two_addresses() -> None:
    assert sign_up().headers["Location"] == "/o/north-sons/main/welcome"
    assert sign_up(email="other@north.example").headers["Location"] == "/o/north-sons-2/main/welcome"


def test_without_mail_a_known_address_is_told_so(alice: User) -> None:
    answer = sign_up(email="Alice@acme.example")
    assert "already registered" in answer.content.decode()
    assert User.objects.count() == 1


def test_where_mail_is_configured_the_address_is_confirmed_first(mails: list[Any]) -> None:
    client = Client()
    assert sign_up(client).headers["Location"] == "/confirm-email/"
    assert client.get("/").headers["Location"].startswith("/login/")
    [sent] = mails
    assert sent.to == ["nora@north.example"]
    path = re.search(r"http://testserver(/confirm-email/\S+/)", sent.body)[1]
    assert client.get(path).status_code == 200
    assert client.post(path).headers["Location"] == "/o/north-sons/main/welcome"
    assert client.get("/o/north-sons/main/welcome").status_code == 200


def test_a_confirmation_by_somebody_else_signs_nobody_in(mails: list[Any]) -> None:
    sign_up()
    path = re.search(r"http://testserver(/confirm-email/\S+/)", mails[0].body)[1]
    stranger = Client()
    stranger.post(path)
    assert stranger.get("/").headers["Location"].startswith("/login/")


def test_whom_the_operator_made_needs_no_confirmation(mails: list[Any], settings: Any, tmp_path: Any) -> None:
    settings.DATA_DIR = tmp_path
    bootstrap("ada@north.example", "North", "Main", PASSWORD)
    answer = Client().post("/login/", {"login": "ada@north.example", "password": PASSWORD})
    assert answer.headers["Location"] == "/"
    assert mails == []


def test_where_mail_is_configured_nobody_learns_who_has_an_account(alice: User, mails: list[Any]) -> None:
    known, unknown = sign_up(email="alice@acme.example"), sign_up()
    assert (known.status_code, known.headers["Location"]) == (unknown.status_code, unknown.headers["Location"])
    assert "there is one" in mails[0].body
    assert User.objects.count() == 2


def test_who_fills_what_people_do_not_see_gets_no_account() -> None:
    assert sign_up(fax="0800").status_code == 302
    assert not User.objects.exists()


def test_a_flood_from_one_address_is_answered_429() -> None:
    statuses = [sign_up(email=f"nora{number}@north.example").status_code for number in range(12)]
    assert statuses == [302] * 10 + [429] * 2


def test_behind_a_proxy_the_flood_of_one_is_not_another_ones(settings: Any) -> None:
    settings.PROXY_HOPS = 1
    for number in range(11):
        answer = Client(headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}).post(
            "/signup/", {**NEW, "email": f"n{number}@north.example"}
        )
    assert answer.status_code == 429
    other = Client(headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.10"})
    assert sign_up(other).status_code == 302


def test_a_closed_installation_says_so_and_takes_nobody(settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    assert "by invitation" in Client().get("/signup/").content.decode()
    assert sign_up().status_code == 200
    assert not User.objects.exists()
    assert "Create an account" not in Client().get("/login/").content.decode()


# ── by invitation ────────────────────────────────────────────────────────────────────────────────


def invited(acme: Company, email: str = "nora@north.example") -> str:
    """The token of a new invitation as a runner."""
    by = organization_actor(acme.owner.id, "acme")
    with acme.scope():
        _, link = invite(email=email, role="member", parts={acme.workspace.id: "runner"}, by=by)
    return link.rpartition("/")[2]


def test_an_invited_person_joins_on_signing_up_also_where_it_is_closed(acme: Company, settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    token, client = invited(acme), Client()
    page = client.get(f"/signup/?invitation={token}").content.decode()
    assert "Join Acme" in page
    assert 'name="organization"' not in page
    answer = client.post("/signup/", {"password1": PASSWORD, "invitation": token, "email": "evil@example.com"})
    assert answer.headers["Location"] == "/"
    user = User.objects.get(email="nora@north.example")
    assert [(owner.slug, place.slug) for owner, place in workspaces_of(user.id)] == [("acme", "main")]
    assert client.get("/").headers["Location"] == "/o/acme/main/"


def test_the_mailed_link_confirms_the_address(acme: Company, mails: list[Any]) -> None:
    answer = Client().post("/signup/", {"password1": PASSWORD, "invitation": invited(acme)})
    assert answer.headers["Location"] == "/"
    assert mails == []


def test_a_used_invitation_opens_no_closed_door(acme: Company, settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    token = invited(acme)
    Client().post("/signup/", {"password1": PASSWORD, "invitation": token})
    assert "by invitation" in Client().get(f"/signup/?invitation={token}").content.decode()


def test_without_an_organization_the_bare_address_offers_to_found_one(browse: Any) -> None:
    user = person("lone@north.example")
    client = browse(user)
    assert client.get("/").headers["Location"] == "/organizations/new"
    assert "Name your organization" in client.get("/organizations/new").content.decode()
    answer = client.post("/organizations/new", {"name": "Lone"})
    assert answer.headers["Location"] == "/o/lone/main/welcome"
    assert organization_of(user).slug == "lone"
