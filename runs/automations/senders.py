"""How a message reaches people, by the type of the block that says where. Called outside of any transaction.

Every sender is told the notification's id, which is the same at each try: receivers that know such a thing (mail
servers and readers, webhooks that look at `Idempotency-Key`) take a message that comes twice for one.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

from runs.automations.services import service_of
from tenants.outbound import check_host, check_url
from tenants.outbox import GiveUp

SECONDS = 10.0  # for one step; `outbound.guarded` bounds all of them
AGAIN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Told:
    """A message: what people read, and the same as data for programs."""

    id: str
    subject: str
    text: str
    data: dict[str, Any]
    message_id: str  # of the mail, if it becomes one


def send(type: str, block: dict[str, Any], told: Told) -> None:
    """Send a message by a block's value.

    Raises:
        GiveUp: It is of no use to try again.
        Exception: Whatever kept it from being sent.
    """
    if type not in _SENDERS:
        raise GiveUp(f"Nobody is told by blocks of the type {type}.")
    _SENDERS[type](block, told)


def webhook(block: dict[str, Any], told: Told) -> None:
    """Hand the data over as JSON."""
    headers = {str(name): str(value) for name, value in (block.get("headers") or {}).items()}
    headers.setdefault("Idempotency-Key", told.id)
    _request(block.get("method") or "POST", str(block["url"]), headers, told.data)


def slack(block: dict[str, Any], told: Told) -> None:
    """Write to a channel. What the runs said must not address people or become links."""
    text = f"*{_plain(told.subject)}*\n{_plain(told.text)}"
    _request("POST", str(block["url"]), {}, {"text": text})


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _request(method: str, url: str, headers: dict[str, str], data: dict[str, Any]) -> None:
    import httpx

    check_url(url)
    # Redirects are not followed, and of the answer only its head is read.
    with (
        httpx.Client(timeout=SECONDS, trust_env=False) as client,
        client.stream(method, url, headers=headers, json=data) as answer,
    ):
        status = answer.status_code
    if 200 <= status < 300:
        return
    problem = f"{urlsplit(url).hostname} answered {status}."
    if 400 <= status < 500 and status not in AGAIN:
        raise GiveUp(problem)
    raise ConnectionError(problem)


def mail(block: dict[str, Any], told: Told) -> None:
    """Write a mail through the block's own server."""
    origin, addresses = block.get("sender") or block.get("username"), block.get("recipients") or []
    if not origin or not addresses:
        raise GiveUp("The block lacks a sender or recipients.")
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = told.subject, origin, ", ".join(addresses)
    message["Date"], message["Message-ID"] = formatdate(), told.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(told.text)
    with _server(block) as server:
        refused = server.send_message(message)
    if refused:
        raise GiveUp(
            f"{block['smtp_server']} refused {len(refused)} of {len(addresses)} addresses; it took the others."
        )


def _server(block: dict[str, Any]) -> smtplib.SMTP:
    host, type = str(block["smtp_server"]), block.get("smtp_type") or "SSL"
    port = int(block.get("smtp_port") or {"SSL": 465, "STARTTLS": 587}.get(type, 25))
    check_host(host, port)
    context = ssl.create_default_context()
    if block.get("verify") is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if type == "SSL":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=SECONDS)
    try:
        if type == "STARTTLS":
            server.starttls(context=context)
        if block.get("username") and block.get("password"):
            server.login(str(block["username"]), str(block["password"]))
    except BaseException:
        server.close()
        raise
    return server


def apprise(block: dict[str, Any], told: Told) -> None:
    """Let Apprise tell one of the services it knows."""
    service = service_of(str(block["url"]))
    if not service.notify(body=told.text, title=told.subject):
        raise ConnectionError(f"{service.service_name} did not take the message.")


_SENDERS: dict[str, Callable[[dict[str, Any], Told], None]] = {
    "apprise-notification": apprise,
    "email-server-credentials": mail,
    "slack-webhook": slack,
    "webhook": webhook,
}
