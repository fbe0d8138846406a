"""Mails leave by the outbox and can be recognised."""

from __future__ import annotations

import smtplib
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from tenants import mail, tasks
from tenants.models import OutboxMessage
from tests.cast import Company

pytestmark = pytest.mark.django_db


def send(company: Company, **more: Any) -> Any:
    with company.scope():
        return mail.send(
            organization_id=company.organization.id,
            **{"to": "bob@acme.example", "subject": "Hello", "text": "A line.", **more},
        )


def deliver_all(company: Company) -> None:
    tasks.deliver_messages(str(company.organization.id))


def test_a_mail_arrives_once_with_an_id_that_stays(acme: Company, mailoutbox: list) -> None:
    id = send(acme, html="<p>A line.</p>")
    assert mailoutbox == []
    deliver_all(acme)
    deliver_all(acme)

    [arrived] = mailoutbox
    assert (arrived.to, arrived.subject, arrived.body) == (["bob@acme.example"], "Hello", "A line.")
    assert arrived.message()["Message-ID"] == mail.message_id(id)
    assert str(id) in mail.message_id(id)
    assert arrived.alternatives[0][1] == "text/html"


def test_a_key_sends_once(acme: Company, mailoutbox: list) -> None:
    send(acme, key="welcome")
    send(acme, key="welcome")
    deliver_all(acme)
    assert len(mailoutbox) == 1


def test_a_subject_is_one_short_line(acme: Company, mailoutbox: list) -> None:
    send(acme, subject="Hi\r\nBcc: everybody@example.com " + "x" * 500, text="y" * 50_000)
    deliver_all(acme)
    [arrived] = mailoutbox
    assert arrived.subject.startswith("Hi Bcc: everybody@example.com xxx")
    assert len(arrived.subject) <= mail.MAX_SUBJECT
    assert len(arrived.body) == mail.MAX_BODY
    assert arrived.recipients() == ["bob@acme.example"]


def test_an_address_that_is_none_is_refused(acme: Company) -> None:
    for address in ("", "bob", "bob@acme.example\nBcc: x@y.example", "a" * 400 + "@acme.example"):
        with pytest.raises(ValidationError):
            send(acme, to=address)


def test_what_a_mail_says_is_not_in_the_row(acme: Company) -> None:
    id = send(acme, text="https://portal.example/invitation/sesame")
    with acme.scope():
        row = OutboxMessage.objects.get(id=id)
    assert "sesame" not in str(row.payload)
    assert b"sesame" not in bytes(row.sealed)


@pytest.mark.parametrize(("code", "is_over"), [(550, True), (450, False)])
def test_an_address_that_is_refused_for_good_is_not_tried_again(
    acme: Company, monkeypatch: pytest.MonkeyPatch, code: int, is_over: bool
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise smtplib.SMTPRecipientsRefused({"bob@acme.example": (code, b"no such person")})

    monkeypatch.setattr(mail.EmailMultiAlternatives, "send", refuse)
    id = send(acme)
    deliver_all(acme)
    with acme.scope():
        assert OutboxMessage.objects.get(id=id).failed is is_over
