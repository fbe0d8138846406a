"""Mails of tenants: rows of the outbox, sent by a worker through the installation's mail server.

A mail that is sent twice, because a worker died after it had handed it over, carries the same Message-ID: mail servers
and readers know it again. Mails without a tenant (a forgotten password) go straight through Django's mail.
"""

from __future__ import annotations

import smtplib
from email.utils import parseaddr
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email

from orchestrator.storable import clean_text
from tenants import outbox
from tenants.outbound import guarded

MAX_SUBJECT = 200
MAX_BODY = 20_000  # characters
SEND_SECONDS = 60.0


def send(
    *, organization_id: UUID, to: str, subject: str, text: str, html: str | None = None, key: str | None = None
) -> UUID | None:
    """Have a mail sent once the caller's transaction is committed. Call it inside the tenant's scope.

    Args:
        text: Plain text; what is over 20,000 characters is cut.
        key: Of several mails with one key only the first is sent.

    Returns:
        The id of the row in the outbox; None when the key was known.
    """
    validate_email(to)
    payload = {"to": to, "subject": _one_line(subject)}
    body = {"text": _cut(text)}  # Sealed: it may carry an invitation's link.
    if html is not None and len(html) <= MAX_BODY:
        body["html"] = html
    return outbox.post(organization_id=organization_id, kind="mail", payload=payload, secret=body, key=key)


@outbox.delivers("mail")
def deliver(message: outbox.Message) -> None:
    """Hand a mail over to the mail server."""
    mail = _mail(message.id, message.payload)
    try:
        with guarded(seconds=SEND_SECONDS, own=True):
            mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        if codes and min(codes) >= 500:
            raise outbox.GiveUp(f"The mail server refuses the address: {sorted(codes)}.") from error
        raise


def message_id(id: UUID) -> str:
    """The Message-ID of the row of a mail: the same at every try."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    return f"<{id}@{domain}>"


def _mail(id: UUID, payload: dict[str, Any]) -> EmailMultiAlternatives:
    headers = {"Message-ID": message_id(id), "Auto-Submitted": "auto-generated"}
    mail = EmailMultiAlternatives(payload["subject"], payload["text"], to=[payload["to"]], headers=headers)
    if "html" in payload:
        mail.attach_alternative(payload["html"], "text/html")
    return mail


def _one_line(subject: str) -> str:
    return clean_text(" ".join(subject.split()), MAX_SUBJECT)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_BODY else text[: MAX_BODY - 1] + "…"
