"""A forgotten password: asked for, mailed, set by a link that works once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from tenants.models import AuditEntry, User
from tests.cast import PASSWORD, Company
from tests.tenants.test_second_factor import sign_in

pytestmark = pytest.mark.django_db
NEW = "another horse battery"


@pytest.fixture(autouse=True)
def mails(settings: Any) -> list[Any]:
    """An installation that sends mails; what it sent."""
    settings.MAIL_CONFIGURED = settings.ACCOUNT_EMAIL_NOTIFICATIONS = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    mail.outbox = []
    return mail.outbox


def ask(email: str, client: Client | None = None) -> Any:
    return (client or Client()).post("/password/reset/", {"email": email})


def link(sent: Any) -> str:
    return re.search(r"http://testserver(/password/reset/key/\S+/)", sent.body)[1]


def save(path: str, password: str = NEW) -> Any:
    """Follow the link as a browser does and send the form that it shows."""
    client = Client()
    shown = client.get(path)
    page = shown.headers["Location"] if shown.status_code == 302 else path
    return client.post(page, {"password1": password, "password2": password})


def logs_in(user: User, password: str) -> bool:
    client = Client()
    client.post("/login/", {"login": user.email, "password": password})
    return client.get("/account").status_code == 200


def test_a_link_by_mail_sets_a_new_password(alice: User, mails: list[Any]) -> None:
    assert ask("Alice@Acme.example").headers["Location"] == "/password/reset/done/"
    [sent] = mails
    assert (sent.to, sent.subject) == (["alice@acme.example"], "Set a new password")
    assert save(link(sent)).headers["Location"] == "/password/reset/key/done/"
    alice.refresh_from_db()
    assert (alice.check_password(NEW), alice.check_password(PASSWORD)) == (True, False)


def test_the_new_one_opens_the_door_and_the_old_one_no_more(alice: User, mails: list[Any], settings: Any) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "none"
    assert logs_in(alice, PASSWORD)
    ask(alice.email)
    save(link(mails[0]))
    assert (logs_in(alice, NEW), logs_in(alice, PASSWORD)) == (True, False)


def test_a_link_works_once_and_the_earlier_ones_no_more(alice: User, mails: list[Any]) -> None:
    ask(alice.email)
    ask(alice.email)
    first, second = (link(sent) for sent in mails)
    save(second)
    for path in (first, second):
        assert "has been used" in Client().get(path).content.decode()
        save(path, "a third horse battery")
    alice.refresh_from_db()
    assert alice.check_password(NEW)


def test_a_link_for_somebody_else_does_not_fit(alice: User, eve: User, mails: list[Any]) -> None:
    ask(alice.email)
    ask(eve.email)
    of_alice, of_eve = (re.search(r"/key/([^-]+)-(\S+)/", link(sent)).groups() for sent in mails)
    save(f"/password/reset/key/{of_alice[0]}-{of_eve[1]}/")
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_a_weak_password_is_refused_and_the_link_stays_good(alice: User, mails: list[Any]) -> None:
    ask(alice.email)
    assert "at least 10 characters" in save(link(mails[0]), "short").content.decode()
    assert save(link(mails[0])).status_code == 302


def test_sessions_elsewhere_end(alice: User, mails: list[Any], settings: Any) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "none"
    elsewhere, _ = sign_in(alice)
    assert elsewhere.get("/account").status_code == 200
    ask(alice.email)
    save(link(mails[0]))
    assert elsewhere.get("/account").headers["Location"].startswith("/login/")


def test_the_owner_of_the_address_is_told_and_the_trail_too(acme: Company, alice: User, mails: list[Any]) -> None:
    ask(alice.email)
    save(link(mails[0]))
    assert mails[1].to == [alice.email]
    assert "Set a new password at once" in mails[1].body
    assert NEW not in mails[1].body
    with acme.scope():
        [entry] = AuditEntry.objects.filter(action__startswith="account.")
    assert (entry.action, entry.user_id, entry.actor) == ("account.password_reset", alice.id, alice.email)


def test_nobody_learns_who_has_an_account(alice: User, mails: list[Any]) -> None:
    answers = [ask(email) for email in (alice.email, "nobody@north.example")]
    assert len({(answer.status_code, answer.headers["Location"]) for answer in answers}) == 1
    pages = [Client().get(answer.headers["Location"]).content for answer in answers]
    assert len({re.sub(rb'nonce="[^"]*"', b"", page) for page in pages}) == 1
    assert [sent.to for sent in mails] == [[alice.email]]


def test_who_is_shut_out_gets_no_link(alice: User, mails: list[Any], settings: Any) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "none"
    ask(alice.email)
    User.objects.filter(id=alice.id).update(is_active=False)
    ask(alice.email)
    assert len(mails) == 1
    save(link(mails[0]))
    assert not logs_in(alice, NEW)


def test_a_mailbox_is_not_flooded(alice: User, mails: list[Any]) -> None:
    statuses = [ask(email).status_code for email in [alice.email, "ALICE@acme.example"] * 3]
    assert statuses == [302] * 3 + [429] * 3
    assert len(mails) == 3


def test_addresses_are_not_tried_in_bulk(mails: list[Any]) -> None:
    statuses = [ask(f"n{number}@north.example").status_code for number in range(22)]
    assert statuses == [302] * 20 + [429] * 2
    assert mails == []
