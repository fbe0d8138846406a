"""The second factor: set up with an app, asked for at the door, seeds sealed in the database."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.test import Client

from tests.cast import PASSWORD

pytestmark = pytest.mark.django_db


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


def sign_in(user: Any) -> tuple[Client, Any]:
    client = Client()
    return client, client.post("/login/", {"login": user.email, "password": PASSWORD})


def set_up(user: Any) -> tuple[str, list[str]]:
    """Turn it on; answers the seed and the recovery codes that were shown."""
    client, _ = sign_in(user)
    client.post("/reauthenticate/", {"password": PASSWORD})
    page = client.get("/second-factor/totp/activate/")
    secret = page.context["form"].secret
    assert "data:image/svg+xml" in page.content.decode()
    answer = client.post("/second-factor/totp/activate/", {"code": code_of(secret)})
    assert answer.headers["Location"] == "/second-factor/recovery-codes/"
    codes = client.get(answer.headers["Location"]).context["unused_codes"]
    assert "****" not in codes
    return secret, codes


def test_it_is_set_up_with_a_code_and_shows_recovery_codes_once(alice: Any) -> None:
    _, codes = set_up(alice)
    assert len(set(codes)) == 10
    client, _ = sign_in(alice)
    client.post("/second-factor/authenticate/", {"code": codes[0]})
    shown = client.get("/second-factor/recovery-codes/")
    assert not [code for code in codes if code in shown.content.decode()]


def test_seeds_and_recovery_codes_are_sealed(alice: Any) -> None:
    secret, codes = set_up(alice)
    stored = str(list(Authenticator.objects.values()))
    assert not [each for each in (secret, *codes) if each in stored]


def test_the_door_asks_for_it(alice: Any) -> None:
    set_up(alice)
    client, answer = sign_in(alice)
    assert answer.headers["Location"] == "/second-factor/authenticate/"
    assert client.get("/").headers["Location"].startswith("/login/")
    wrong = client.post("/second-factor/authenticate/", {"code": "000000"})
    assert "Incorrect code" in wrong.content.decode()
    assert client.get("/").headers["Location"].startswith("/login/")


def test_a_recovery_code_lets_in_once(alice: Any) -> None:
    _, codes = set_up(alice)
    client, _ = sign_in(alice)
    assert client.post("/second-factor/authenticate/", {"code": codes[0]}).headers["Location"] == "/"
    again, _ = sign_in(alice)
    assert again.post("/second-factor/authenticate/", {"code": codes[0]}).status_code == 200


def test_changing_it_asks_who_it_is(alice: Any, browse: Any) -> None:
    client = browse(alice)
    answer = client.get("/second-factor/totp/activate/")
    assert answer.headers["Location"].startswith("/reauthenticate/")
    page = client.get(answer.headers["Location"])
    assert "Confirm it is you" in page.content.decode()
    answer = client.post(answer.headers["Location"], {"password": PASSWORD})
    assert answer.headers["Location"] == "/second-factor/totp/activate/"


def test_the_account_page_names_and_leads(alice: Any, browse: Any) -> None:
    client = browse(alice)
    assert client.post("/account", {"name": " Alice   Adams "}).headers["Location"] == "/account"
    page = client.get("/account").content.decode()
    assert 'value="Alice Adams"' in page
    assert client.post("/account", {"name": "x" * 151}).status_code == 400


def test_other_sessions_are_ended(alice: Any) -> None:
    here, _ = sign_in(alice)
    elsewhere, _ = sign_in(alice)
    page = here.get("/sessions/")
    assert page.context["session_count"] == 2
    here.post("/sessions/")
    assert here.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302


def test_without_mail_a_forgotten_password_names_who_can_help(client: Any) -> None:
    assert "manage.py changepassword" in client.get("/password/reset/").content.decode()
