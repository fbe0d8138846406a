"""A notification becomes a message, once: read what it tells, send it, note how that went.

No transaction is open while it is sent. A worker that dies before it has sent leaves the outbox's claim to run out,
and another one sends. One that dies after it has sent, and before that is noted, is the one window in which a message
goes out twice: with the same Message-ID and Idempotency-Key, by which receivers know it again.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from blocks.blocks import find_block
from blocks.values import value
from orchestrator.storable import clean_text
from runs.automations import edit, outcomes, senders, templates, wording
from runs.automations.grouping import KIND
from runs.models import Automation, Firing, Notification
from tenants import outbox
from tenants.errors import Problem
from tenants.mail import message_id
from tenants.models import Organization, Workspace
from tenants.outbound import UnknownHost, guarded, without_secrets
from tenants.permissions import Actor
from tenants.scope import tenant_scope

SHOWN = 20  # firings that a message names one by one
SEND_SECONDS = 45.0
SECRET_FROM = 6  # characters: shorter values hide nothing, and would blot out half of a text


@dataclass(frozen=True, slots=True)
class _Task:
    """All that is needed to send, read in one transaction."""

    told: senders.Told
    block_type: str = ""
    block: dict[str, Any] | None = None
    to: tuple[str, ...] = ()


@outbox.delivers(KIND)
def deliver(message: outbox.Message) -> None:
    """Send a notification."""
    id = UUID(message.payload["notification"])
    task: _Task | None = None
    try:
        with tenant_scope(message.organization_id):
            task = _read(id)
        if task is None:
            return  # It was sent, or its automation is gone.
        with guarded(seconds=SEND_SECONDS, own=bool(task.to)):
            _send(task)
    except Exception as error:  # Whatever it is: it stands in the log of the automation.
        told = _without_values(_words(error), task.block if task else None)
        is_over = message.is_last_try or _is_final(error)
        outcomes.note(message.organization_id, id, error=told, failed=is_over)
        raise (outbox.GiveUp if is_over else ConnectionError)(told) from None
    outcomes.note(message.organization_id, id, error="")


def _read(id: UUID) -> _Task | None:
    row = Notification.objects.select_related("automation").filter(id=id, sent_at=None).first()
    if row is None:
        return None
    automation = row.automation
    if "run" in automation.action:
        raise outbox.GiveUp("The automation tells nobody any more.")
    told = _told(row)
    if automation.action.get("block"):
        type, _, name = automation.action["block"].partition("/")
        by = Actor("automation", automation.organization_id, automation.workspace_id, "", automation.name)
        return _Task(told, type, value(block=find_block(by, type, name), by=by)["data"])
    to = sorted(edit.members(automation.action.get("to", [])))
    if not to:
        raise outbox.GiveUp("None of the addresses belongs to a member any more.")
    return _Task(told, to=tuple(to))


def _told(row: Notification) -> senders.Told:
    values = _values(row, row.automation)
    action = row.automation.action
    try:
        subject = templates.render(action.get("subject") or templates.DEFAULT_SUBJECT, values)
        text = templates.render(action.get("body") or templates.DEFAULT_BODY, values)
    except templates.BadTemplate as error:
        subject, text = values["headline"], templates.render(templates.DEFAULT_BODY, values)
        text += f"\n(The automation's own text could not be rendered: {error})\n"
    if row.is_test:
        subject, text = f"[Test] {subject}", f"This is a test. Nothing has happened.\n\n{text}"
    data = {name: values[name] for name in ("automation", "automation_url", "workspace", "headline", "count", "more")}
    data |= {"id": str(row.id), "test": row.is_test, "subject": subject, "text": text, "events": values["what"]}
    return senders.Told(str(row.id), clean_text(" ".join(subject.split()), 200), text, data, message_id(row.id))


def _values(row: Notification, automation: Automation) -> dict[str, Any]:
    """What a template may name."""
    organization = Organization.objects.get(id=row.organization_id)
    workspace = Workspace.objects.get(id=row.workspace_id)
    portal = f"{settings.PUBLIC_URL}/o/{organization.slug}/{workspace.slug}"
    if row.is_test:
        what, count, events = [wording.example(automation, portal)], 1, Counter[str]()
    else:
        firings = Firing.objects.filter(notification=row).order_by("at", "id")
        what = [wording.of_firing(each, portal) for each in firings[:SHOWN]]
        count = row.firings
        events = Counter(firings.values_list("event", flat=True)) if count > 1 else Counter[str]()
    first = what[0] if what else wording.nothing()
    return {
        **first,
        "headline": wording.summary(events) if count > 1 else first["headline"],
        "count": count,
        "more": count - len(what),
        "what": what,
        "automation": automation.name,
        "automation_url": f"{portal}/automations/{automation.id}",
        "workspace": f"{organization.name}/{workspace.name}",
    }


def _send(task: _Task) -> None:
    if task.block is not None:
        senders.send(task.block_type, task.block, task.told)
        return
    headers = {"Message-ID": task.told.message_id, "Auto-Submitted": "auto-generated"}
    EmailMultiAlternatives(task.told.subject, task.told.text, to=list(task.to), headers=headers).send()


def _is_final(error: Exception) -> bool:
    """What is refused stays refused: an address inside our network, a block that is gone. A name may come back."""
    return isinstance(error, outbox.GiveUp | Problem) and not isinstance(error, UnknownHost)


def _words(error: Exception) -> str:
    if isinstance(error, outbox.GiveUp | Problem):
        return str(error)
    text = str(error) or type(error).__name__
    return text if isinstance(error, ConnectionError) else f"{type(error).__name__}: {text}"


def _without_values(text: str, block: dict[str, Any] | None) -> str:
    """A text without anything that the block says, in whatever form a library repeats it."""
    for secret in sorted(_values_of(block), key=len, reverse=True):
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], encoded):
            text = text.replace(form, "********")
    return clean_text(without_secrets(text), outcomes.MAX_ERROR)


def _values_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {text for name, item in value.items() if name not in _OPEN for text in _values_of(item)}
    if isinstance(value, list):
        return {text for item in value for text in _values_of(item)}
    return {value} if isinstance(value, str) and len(value) >= SECRET_FROM else set()


_OPEN = frozenset({"smtp_server", "smtp_type", "method", "sender", "recipients", "username"})
