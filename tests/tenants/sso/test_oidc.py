"""Log-in by a company's OIDC provider: who is let in, and every answer that must open nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.utils import timezone

from orchestrator.ids import uuid7
from tenants.authentication import forget_secrets
from tenants.keys import create_key
from tenants.models import AuditEntry, Membership, SsoIdentity, SsoProvider, User, WorkspaceMembership
from tenants.sso import domains, flows, oidc, providers
from tests.cast import PASSWORD, Api, Company, person
from tests.tenants.sso.provider import OTHER_KEY, Idp, leave, serving
from tests.tenants.sso.setup import connect, own_domain, owner_of

pytestmark = pytest.mark.django_db

Changed = Callable[[Idp], None]


def who(client: Client) -> str:
    """The person that a browser is signed in as."""
    id = client.session.get("_auth_user_id")
    return User.objects.get(id=id).email if id else ""


def come(client: Client, idp: Idp, door: str, next: str = "") -> Any:
    asked = leave(client, idp, f"{door}/login?next={quote(next)}")
    return client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]})


def refused(response: Any, client: Client) -> str:
    """The refusal's text; nobody is signed in, nobody was made."""
    assert response.status_code in {403, 502}, (response.status_code, response.headers)
    assert who(client) == ""
    assert not User.objects.filter(email="nina@acme.example").exists()
    return response.content.decode()


def test_a_newcomer_is_a_member_with_the_roles_of_newcomers(acme: Company, idp: Idp, door: str, provider: Any) -> None:
    with acme.scope():
        roles = {str(acme.workspace.id): "developer"}
        providers.admit(role="billing", workspaces=roles, trusts_addresses=False, by=owner_of(acme))
    client = Client()

    response = come(client, idp, door, next="/o/acme/main/runs")

    assert (response.status_code, response.headers["Location"]) == (302, "/o/acme/main/runs")
    assert who(client) == "nina@acme.example"
    nina = User.objects.get(email="nina@acme.example")
    assert (nina.name, nina.has_usable_password()) == ("Nina Newcomer", False)
    with acme.scope():
        assert Membership.objects.get(user=nina).role == "billing"
        assert WorkspaceMembership.objects.get(user=nina).role == "developer"
        told = AuditEntry.objects.get(action="person.joined")
        assert (told.actor, told.object_name) == ("nina@acme.example", "Nina Newcomer")
    assert client.get("/o/acme/main/runs").status_code == 200


def test_a_newcomer_finds_no_seat_where_the_plan_is_full(
    acme: Company, idp: Idp, door: str, provider: Any, settings: Any
) -> None:
    """6.2: whom the provider vouches for is told whom to ask; nobody is made."""
    settings.BILLING = True
    with acme.scope():
        for number in range(4):
            Membership.objects.create(organization=acme.organization, user=person(f"p{number}@acme.example"))
    assert "no seat left for you" in refused(come(client := Client(), idp, door), client)


def test_the_code_is_exchanged_with_pkce_and_the_secret(idp: Idp, door: str, provider: Any) -> None:
    asked = leave(client := Client(), idp, f"{door}/login")
    client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]})
    assert asked["code_challenge_method"] == "S256"
    [given] = idp.asked
    assert given["redirect_uri"] == asked["redirect_uri"] == f"http://127.0.0.1:8000{door}/callback"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(given["code_verifier"].encode()).digest()).rstrip(b"=")
    assert challenge.decode() == asked["code_challenge"]


def test_an_account_that_is_there_is_found_by_its_address(
    acme: Company, bob: Any, idp: Idp, door: str, provider: Any
) -> None:
    idp.said = {"email": "Bob@ACME.example"}
    come(client := Client(), idp, door)
    assert who(client) == "bob@acme.example"
    with acme.scope():
        assert WorkspaceMembership.objects.get(user=bob).role == "runner"
    bob.refresh_from_db()
    assert bob.has_usable_password()


def test_a_changed_address_at_the_provider_changes_nobody(bob: Any, idp: Idp, door: str, provider: Any) -> None:
    idp.said = {"email": "bob@acme.example"}
    come(Client(), idp, door)
    for said in ({"email": "robert@acme.example"}, {"email": "alice@acme.example"}, {"email": None}):
        idp.said = said
        come(client := Client(), idp, door)
        assert who(client) == "bob@acme.example"
    assert not User.objects.filter(email="robert@acme.example").exists()


def test_an_address_that_moved_to_another_subject_opens_nothing(bob: Any, idp: Idp, door: str, provider: Any) -> None:
    """Somebody left, and their address was given to somebody else."""
    idp.said = {"email": "bob@acme.example"}
    come(Client(), idp, door)
    idp.said = {"email": "bob@acme.example", "sub": "u-2"}
    assert "another person" in refused(come(client := Client(), idp, door), client)


def test_whoever_waits_in_an_account_with_an_unproved_address_is_shut_out(idp: Idp, door: str, provider: Any) -> None:
    stranger = User.objects.create_user("nina@acme.example", "the stranger's own")
    waiting = Client()
    waiting.force_login(stranger)

    come(client := Client(), idp, door)

    assert who(client) == "nina@acme.example"
    stranger.refresh_from_db()
    assert not stranger.has_usable_password()
    assert waiting.get("/o/acme/main/").status_code == 302  # To the log-in: the session is over.


@pytest.mark.parametrize("is_member", [False, True])
def test_nothing_of_the_stranger_leads_into_the_account_any_more(
    acme: Company, globex: Company, bob: Any, idp: Idp, door: str, provider: Any, is_member: bool
) -> None:
    user = bob if is_member else person("nina@acme.example")
    SocialAccount.objects.create(user=user, provider="github", uid="7")
    EmailAddress.objects.create(user=user, email="stranger@evil.example", verified=True, primary=True)
    own = {"organization": globex.organization, "user": user}
    with globex.scope():
        Membership.objects.create(**own)
        WorkspaceMembership.objects.create(**own, workspace=globex.workspace, role="developer")
        key = create_key(workspace=globex.workspace, name="waiting", user=user)[1]
    waiting = Client()
    assert waiting.post("/login/", {"login": user.email, "password": PASSWORD}).status_code == 302
    assert waiting.get("/account").status_code == 200
    assert Api(key).get("/me").status_code == 200
    forget_secrets()
    idp.said = {"email": user.email}

    come(client := Client(), idp, door)

    assert who(client) == user.email
    assert client.get("/account").status_code == 200
    assert waiting.get("/account").status_code == 302
    assert Api(key).get("/me").status_code == 401
    assert not SocialAccount.objects.exists()
    assert EmailAddress.objects.get().email == user.email
    user.refresh_from_db()
    assert user.has_usable_password() is is_member
    for company, keys in ((acme, 0), (globex, 1)):
        with company.scope():
            told = AuditEntry.objects.get(action="person.cleared")
            assert (told.object_id, told.details["keys_revoked"]) == (user.id, keys)


def test_who_has_proved_their_address_keeps_what_they_have(
    acme: Company, bob: Any, browse: Any, idp: Idp, door: str, provider: Any
) -> None:
    EmailAddress.objects.create(user=bob, email=bob.email, verified=True, primary=True)
    SocialAccount.objects.create(user=bob, provider="github", uid="7")
    idp.said = {"email": bob.email}
    other = browse(bob)
    come(Client(), idp, door)
    assert other.get("/account").status_code == 200
    assert SocialAccount.objects.exists()
    with acme.scope():
        assert not AuditEntry.objects.filter(action="person.cleared").exists()


def test_an_account_of_the_staff_does_not_come_by_a_companys_log_in(
    bob: Any, idp: Idp, door: str, provider: Any
) -> None:
    User.objects.filter(id=bob.id).update(is_staff=True)
    idp.said = {"email": bob.email}
    assert "password" in refused(come(client := Client(), idp, door), client)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"email": "eve@globex.example"}, "no domain"),
        ({"email": "nina@sub.acme.example"}, "no domain"),
        ({"email": "nina@acme.example.evil.example"}, "no domain"),
        ({"email": "nina@acme.example@globex.example"}, "no e-mail"),
        ({"email": "nina@аcme.example"}, "no domain"),  # A Cyrillic letter.
        ({"email": None}, "no e-mail"),
        ({"email": "nina"}, "no e-mail"),
        ({"email_verified": False}, "not verified"),
        ({"email_verified": "false"}, "not verified"),
        ({"email_verified": None}, "does not say"),
        ({"sub": "s" * 256}, "no subject"),
    ],
)
def test_addresses_that_the_provider_can_not_vouch_for(
    said: dict[str, Any], why: str, idp: Idp, door: str, provider: Any
) -> None:
    idp.said = said
    assert why in refused(come(client := Client(), idp, door), client)


def test_an_owner_may_trust_a_provider_that_says_nothing_of_verification(
    acme: Company, idp: Idp, door: str, provider: Any
) -> None:
    with acme.scope():
        providers.admit(role="member", workspaces={}, trusts_addresses=True, by=owner_of(acme))
    idp.said = {"email_verified": False}
    refused(come(client := Client(), idp, door), client)
    idp.said = {"email_verified": None}
    come(client, idp, door)
    assert who(client) == "nina@acme.example"


def test_another_organizations_provider_takes_over_nobody(
    acme: Company, globex: Company, alice: Any, bob: Any, idp: Idp, provider: Any
) -> None:
    """Globex's provider asserts addresses of Acme, and subjects that Acme's provider has used."""
    idp.said = {"email": "bob@acme.example"}
    come(Client(), idp, f"/sso/{acme.organization.id}")
    with serving() as evil:
        connect(globex, evil, "globex.example")
        for said in ({"email": "alice@acme.example"}, {"email": "bob@acme.example"}):
            evil.said = said
            assert "no domain" in refused(come(client := Client(), evil, f"/sso/{globex.organization.id}"), client)
    with globex.scope():
        assert not SsoIdentity.objects.exists()


def test_one_organizations_answer_is_none_to_another(acme: Company, globex: Company, idp: Idp, provider: Any) -> None:
    """Both use one provider; the state of a log-in at Globex is brought to Acme's door."""
    connect(globex, idp, "globex.example")
    asked = leave(client := Client(), idp, f"/sso/{globex.organization.id}/login")
    response = client.get(f"/sso/{acme.organization.id}/callback", {"code": "c0de", "state": asked["state"]})
    assert "not begun in this browser" in refused(response, client)
    assert idp.asked == []


def a_foreign_key(idp: Idp) -> None:
    idp.key = OTHER_KEY


def a_shared_secret(idp: Idp) -> None:
    """The classic: the public key, or the client's secret, as the key of an HMAC."""
    idp.key, idp.algorithm = "s3cret" * 6, "HS256"
    idp.keys = [{"kty": "oct", "kid": "one", "k": "czNjcmV0" * 6, "alg": "HS256"}]


def no_signature(idp: Idp) -> None:
    idp.key, idp.algorithm = "", "none"


def an_unknown_key(idp: Idp) -> None:
    idp.headers = {"kid": "two"}


def says(**claims: Any) -> Changed:
    def change(idp: Idp) -> None:
        idp.said = claims

    return change


PAST = timezone.now() - timedelta(hours=2)


@pytest.mark.parametrize(
    "change",
    [
        a_foreign_key, a_shared_secret, no_signature, an_unknown_key,
        says(iss="https://elsewhere.example"), says(aud="another-client"), says(aud=["orchestrator", "x"], azp="x"),
        says(exp=int(PAST.timestamp())), says(exp=None), says(iat=None), says(sub=None),
        says(nonce="of another log-in"), says(nonce=None),
    ],
)  # fmt: skip
def test_tokens_that_do_not_stand_the_check(change: Changed, idp: Idp, door: str, provider: Any) -> None:
    change(idp)
    refused(come(client := Client(), idp, door), client)


def test_a_token_of_another_log_in_is_refused(idp: Idp, door: str, provider: Any) -> None:
    """A token that was overheard has the nonce of its own log-in."""
    leave(Client(), idp, f"{door}/login")
    overheard = idp.nonce
    asked = leave(client := Client(), idp, f"{door}/login")
    idp.nonce = overheard
    response = client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]})
    assert "another log-in" in refused(response, client)


def test_a_key_without_a_name_is_taken_where_it_is_the_only_one(idp: Idp, door: str, provider: Any) -> None:
    [key] = idp.published()["keys"]
    idp.keys, idp.headers = [{name: value for name, value in key.items() if name != "kid"}], {}
    come(client := Client(), idp, door)
    assert who(client) == "nina@acme.example"


def test_userinfo_counts_for_the_same_subject_only(idp: Idp, door: str, provider: Any) -> None:
    idp.said = {"email": None, "email_verified": None}
    idp.userinfo = {"sub": "somebody else", "email": "nina@acme.example", "email_verified": True}
    refused(come(client := Client(), idp, door), client)
    idp.userinfo["sub"] = "u-1"
    come(client, idp, door)
    assert who(client) == "nina@acme.example"


def test_a_state_is_good_once_and_in_its_own_browser(idp: Idp, door: str, provider: Any) -> None:
    asked = leave(client := Client(), idp, f"{door}/login")
    answer = {"code": "c0de", "state": asked["state"]}
    refused(stranger := Client().get(f"{door}/callback", answer), Client())
    assert "not begun in this browser" in stranger.content.decode()
    assert client.get(f"{door}/callback", answer).status_code == 302
    assert client.get(f"{door}/callback", answer).status_code == 403
    for state in ("", "x"):
        assert Client().get(f"{door}/callback", {"code": "c0de", "state": state}).status_code == 403


def test_a_log_in_that_took_too_long(idp: Idp, door: str, provider: Any, monkeypatch: Any) -> None:
    asked = leave(client := Client(), idp, f"{door}/login")
    later = flows.time.time() + flows.SECONDS + 1
    monkeypatch.setattr(flows.time, "time", lambda: later)
    refused(client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]}), client)


def test_the_provider_says_no(idp: Idp, door: str, provider: Any) -> None:
    asked = leave(client := Client(), idp, f"{door}/login")
    response = client.get(f"{door}/callback", {"error": "access_denied", "state": asked["state"]})
    assert "access_denied" in refused(response, client)


@pytest.mark.parametrize(
    "next", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "http:evil.example"]
)
def test_nobody_is_led_elsewhere(next: str, idp: Idp, door: str, provider: Any) -> None:
    response = come(Client(), idp, door, next=next)
    assert response.headers["Location"] == "/"


def test_a_provider_that_is_switched_off(acme: Company, idp: Idp, door: str, provider: Any) -> None:
    asked = leave(client := Client(), idp, f"{door}/login")
    with acme.scope():
        providers.switch(enabled=False, required=False, by=owner_of(acme))
    assert Client().get(f"{door}/login").status_code == 404
    response = client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]})
    assert "switched off" in refused(response, client)
    assert Client().post("/login/sso", {"email": "nina@acme.example"}).status_code == 400


def test_an_organization_without_a_provider_answers_as_none_does(globex: Company) -> None:
    for id in (globex.organization.id, uuid7()):
        for part in ("login", "callback?code=c&state=s", "finish?answer=a"):
            assert Client().get(f"/sso/{id}/{part}").status_code == 404
        assert Client().post(f"/sso/{id}/acs").status_code == 404


def test_a_person_who_is_switched_off_stays_out(bob: Any, idp: Idp, door: str, provider: Any) -> None:
    User.objects.filter(id=bob.id).update(is_active=False)
    idp.said = {"email": "bob@acme.example"}
    refused(come(client := Client(), idp, door), client)


def test_who_moved_their_account_away_is_the_companys_no_more(bob: Any, idp: Idp, door: str, provider: Any) -> None:
    idp.said = {"email": "bob@acme.example"}
    come(Client(), idp, door)
    User.objects.filter(id=bob.id).update(email="bob@home.example")
    assert "no verified domain any more" in refused(come(client := Client(), idp, door), client)


def test_the_session_of_another_person_ends(
    acme: Company, eve: Any, browse: Any, idp: Idp, door: str, provider: Any
) -> None:
    client = browse(eve)
    come(client, idp, door)
    assert who(client) == "nina@acme.example"
    assert client.get("/o/globex/main/").status_code == 404


def test_the_address_leads_to_the_provider_of_its_domain(idp: Idp, provider: Any) -> None:
    page = Client().get("/login/sso")
    assert "form-action 'self' https: http:" in page.headers["Content-Security-Policy"]
    response = Client().post("/login/sso", {"email": "Nina@Acme.Example"})
    assert response.headers["Location"].startswith(f"{idp.url}/authorize?")
    assert "login_hint=Nina%40Acme.Example" in response.headers["Location"]


def test_the_answer_for_an_unknown_address_tells_nothing(acme: Company, globex: Company, idp: Idp) -> None:
    """Neither a domain that is claimed but not verified, nor a provider without one, is told from nothing at all."""
    connect(acme, idp)
    with acme.scope():
        domains.claim_domain(name="acme.example", by=owner_of(acme))
    own_domain(globex, "globex.example")
    answers = set()
    for email in ("x@acme.example", "x@globex.example", "x@nowhere.example", "x", ""):
        response = Client().post("/login/sso", {"email": email})
        text = response.content.decode().replace(f'value="{email}"', "").replace(' value=""', "")
        answers.add(
            (response.status_code, text.split("<form")[1].split("</form>")[0].split("csrfmiddlewaretoken")[1][80:])
        )
    assert len(answers) == 1


# ── discovery ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"issuer": "https://elsewhere.example"}, "calls itself"),
        ({"token_endpoint": None}, "token_endpoint"),
        ({"jwks_uri": 1}, "jwks_uri"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint"),
        ({"authorization_endpoint": "https:///x"}, "authorization_endpoint"),
    ],
)
def test_discovery_refuses(found: dict[str, Any], why: str, idp: Idp) -> None:
    idp.discovery = found
    with pytest.raises(oidc.Invalid, match=why) as refusal:
        oidc.discover(idp.url)
    assert set(refusal.value.fields) == {"issuer"}


def test_discovery_reaches_no_private_address(idp: Idp, settings: Any) -> None:
    settings.OUTBOUND_PRIVATE = False
    for issuer in (idp.url, "http://localhost:1", "http://169.254.169.254", "file:///etc/passwd", "x"):
        with pytest.raises(oidc.Invalid):
            oidc.discover(issuer)


def test_the_secret_is_sealed(acme: Company, idp: Idp) -> None:
    connect(acme, idp)
    with acme.scope():
        assert b"s3cret" not in bytes(SsoProvider.objects.get().client_secret)
