"""Log-in by GitHub, where the installation has an id of it; its answers are played by this file."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.test import Client, RequestFactory
from django.urls import clear_url_caches

from orchestrator.server import environment, urls
from tenants.access import organization_actor
from tenants.accounts import SocialAdapter
from tenants.invitations import invite
from tenants.models import Membership, User
from tests.cast import PASSWORD, Company

pytestmark = pytest.mark.django_db
PROFILE = {"id": 7, "login": "nora", "name": "Nora North", "email": "Nora@north.example"}


class Answer:
    """What GitHub says."""

    status_code, headers = 200, {"content-type": "application/json"}

    def __init__(self, told: Any) -> None:
        self.told, self.text = told, ""

    def json(self) -> Any:
        return self.told

    def raise_for_status(self) -> None:
        """It is well."""


class GitHub:
    """Its three addresses, in the place of a session of HTTP."""

    def __init__(self) -> None:
        self.emails = [{"email": "Nora@north.example", "primary": True, "verified": True}]

    def __enter__(self) -> GitHub:
        return self

    def __exit__(self, *_: Any) -> None:
        """Nothing is open."""

    def request(self, method: str, url: str, **_: Any) -> Answer:
        assert (method, url) == ("POST", "https://github.com/login/oauth/access_token")
        return Answer({"access_token": "t0ken", "token_type": "bearer"})

    def get(self, url: str, **_: Any) -> Answer:
        return Answer(self.emails if url.endswith("/emails") else dict(PROFILE))


@pytest.fixture
def github(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """An installation that has an id of GitHub."""
    played = GitHub()
    settings.SOCIALACCOUNT_PROVIDERS = environment.social_providers(
        google=("", "", {}), github=("our-id", "our-secret", {})
    )
    monkeypatch.setattr(SocialAdapter, "get_requests_session", lambda self: played)
    importlib.reload(urls)
    clear_url_caches()
    yield played
    settings.SOCIALACCOUNT_PROVIDERS = {}
    importlib.reload(urls)
    clear_url_caches()


def come_back(client: Client, path: str = "/social/github/login/?process=login") -> Any:
    asked = client.post(path)
    query = parse_qs(urlsplit(asked.headers["Location"]).query)
    assert (query["client_id"], query["scope"]) == (["our-id"], ["user:email"])
    assert "code_challenge" in query
    return client.get("/social/github/login/callback/", {"code": "c0de", "state": query["state"][0]})


def test_only_what_is_configured_is_offered(client: Client, github: GitHub) -> None:
    for path in ("/login/", "/signup/"):
        page = client.get(path).content.decode()
        assert "Continue with GitHub" in page
        assert "Continue with Google" not in page


def test_without_ids_nothing_is_offered(client: Client) -> None:
    assert "Continue with" not in client.get("/login/").content.decode()
    assert client.get("/social/github/login/").status_code == 404


def test_a_new_person_comes_in_and_founds_an_organization(client: Client, github: GitHub) -> None:
    assert come_back(client).headers["Location"] == "/"
    user = User.objects.get()
    assert (user.email, user.name, user.has_usable_password()) == ("nora@north.example", "Nora North", False)
    assert client.get("/").headers["Location"] == "/organizations/new"
    assert "t0ken" not in str(list(SocialAccount.objects.values()))
    again = Client()
    assert come_back(again).headers["Location"] == "/"
    assert User.objects.count() == 1


def test_an_address_that_has_an_account_is_not_taken_over(client: Client, github: GitHub, acme: Any) -> None:
    github.emails[0]["email"] = acme.owner.email
    answer = come_back(client)
    assert answer.headers["Location"] == "/social/signup/"
    page = client.get("/social/signup/").content.decode()
    assert "sign in and connect GitHub" in page
    assert client.get("/account").status_code == 302
    assert not SocialAccount.objects.exists()


def test_somebody_who_is_signed_in_connects_it(github: GitHub, acme: Any, browse: Any) -> None:
    client = browse(acme.owner)
    come_back(client, "/social/github/login/?process=connect")
    assert SocialAccount.objects.get().user == acme.owner
    assert come_back(Client()).headers["Location"] == "/"


def test_where_sign_up_is_closed_a_stranger_stays_outside(client: Client, github: GitHub, settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    answer = come_back(client)
    assert "by invitation" in answer.content.decode()
    assert not User.objects.exists()


def test_an_invitation_opens_its_own_form_only(client: Client, github: GitHub, settings: Any, acme: Company) -> None:
    settings.SIGNUP_OPEN = False
    by = organization_actor(acme.owner.id, "acme")
    with acme.scope():
        link = invite(email="ivy@acme.example", role="member", parts={}, by=by)[1]
    token = link.rstrip("/").rsplit("/", 1)[1]
    assert client.get(f"/signup/?invitation={token}").status_code == 200
    assert "by invitation" in come_back(client).content.decode()
    pending(client, "mallory@evil.example", verified=True)
    answer = client.post(f"/social/signup/?invitation={token}", {"email": "mallory@evil.example"})
    assert "by invitation" in answer.content.decode()
    assert not User.objects.exclude(id=acme.owner.id).exists()


def pending(client: Client, email: str, *, verified: bool) -> None:
    """Somebody came from GitHub, and has not said yet which address their account shall have."""
    known = SocialLogin(
        provider=get_adapter().get_provider(RequestFactory().get("/"), "github"),
        user=User(email=email),
        account=SocialAccount(provider="github", uid="8", extra_data={}),
        email_addresses=[EmailAddress(email=email, verified=verified)],
    )
    session = client.session
    session["socialaccount_sociallogin"] = known.serialize()
    session.save()


def test_an_invitation_in_the_address_is_followed_as_one_in_the_form(client: Client, acme: Company) -> None:
    by = organization_actor(acme.owner.id, "acme")
    with acme.scope():
        link = invite(email="ivy@acme.example", role="member", parts={}, by=by)[1]
    token = link.rstrip("/").rsplit("/", 1)[1]
    answer = client.post(f"/signup/?invitation={token}", {"password1": PASSWORD})
    assert answer.status_code == 302
    with acme.scope():
        assert Membership.objects.filter(user__email="ivy@acme.example").exists()


@pytest.mark.parametrize("verified", [False, True])
def test_without_mail_an_address_that_is_not_proved_makes_no_account(
    client: Client, github: GitHub, verified: bool
) -> None:
    """Microsoft tells whatever the person's own administrator has written."""
    github.emails[0]["verified"] = verified
    answer = come_back(client)
    assert User.objects.exists() is verified
    if not verified:
        assert answer.status_code == 403
        assert "not proved" in answer.content.decode()
        pending(client, "mallory@evil.example", verified=False)
        assert client.post("/social/signup/", {"email": "mallory@evil.example"}).status_code == 403


def test_without_mail_only_the_proved_address_can_be_chosen(client: Client, github: GitHub) -> None:
    pending(client, "nora@north.example", verified=True)
    page = client.post("/social/signup/", {"email": "ceo@north.example"})
    assert "has verified can be taken" in page.content.decode()
    assert not User.objects.exists()
    assert client.post("/social/signup/", {"email": "nora@north.example"}).status_code == 302
    assert User.objects.get().email == "nora@north.example"


def test_with_mail_an_address_that_is_not_proved_is_confirmed_first(
    client: Client, github: GitHub, settings: Any
) -> None:
    settings.MAIL_CONFIGURED, settings.ACCOUNT_EMAIL_VERIFICATION = True, "mandatory"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    github.emails[0]["verified"] = False
    assert come_back(client).headers["Location"] == "/social/signup/"
    client.post("/social/signup/", {"email": "nora@north.example"})
    assert not EmailAddress.objects.filter(verified=True).exists()
    assert client.get("/account").status_code == 302


def test_a_state_of_somebody_else_is_refused(client: Client, github: GitHub) -> None:
    answer = client.get("/social/github/login/callback/", {"code": "c0de", "state": "forged"})
    assert "did not work" in answer.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["google", "github", "microsoft"])
def test_forms_may_lead_to_their_hosts(name: str) -> None:
    assert environment.SOCIAL_HOSTS[name].startswith("https://")
    assert environment.SOCIAL_SCOPES[name]
