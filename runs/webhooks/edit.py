"""Webhooks are made, changed, rotated, paused and deleted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from orchestrator.debouncing import Debounce
from runs import live
from runs.automations import templates
from runs.deployments import find_deployment
from runs.hidden import hidden_deployments
from runs.models import Deployment, Webhook
from runs.webhooks import signatures
from runs.webhooks.reading import NAMES
from tenants.audit import record
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.keys import digest, new_secret
from tenants.permissions import Actor, require
from tenants.restrictions.rules import check_allowed

PREFIX = "orh_"
MAX_WEBHOOKS = 200  # of one workspace
MAX_NAME = 100
MAX_SECRET = 1_000  # characters
OVERLAP = 3_600.0  # seconds for which the former token is good
LONGEST_OVERLAP = 7 * 86_400.0
HEADER = re.compile(r"[A-Za-z0-9_-]{1,100}")
TEMPLATES = ("parameters", "filter", "idempotency", "debounce_key")
TOLD = (*TEMPLATES, "parameter", "signature", "signature_header", "debounce")
TRIED = (*TEMPLATES, "parameter", "debounce")  # what a delivery is read by


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a webhook is to be. `secret` is None where the former one stays."""

    name: str
    deployment: str
    signature: str = ""
    signature_header: str = ""
    secret: str | None = None
    parameters: str = ""
    parameter: str = ""
    filter: str = ""
    idempotency: str = ""
    debounce: float | None = None
    debounce_key: str = ""


def in_workspace(by: Actor) -> QuerySet[Webhook]:
    """The workspace's webhooks, of deployments that the actor may see."""
    rows = Webhook.objects.filter(workspace_id=by.workspace_id).select_related("deployment__flow")
    return rows.exclude(deployment_id__in=hidden_deployments(by))


def find(by: Actor, *, id: UUID | None = None, name: str = "") -> Webhook:
    """The webhook of this id or name.

    Raises:
        NotFound: There is none here.
    """
    own = in_workspace(by)
    found = (own.filter(id=id) if id else own.filter(name=name)).first()
    if found is None:
        raise NotFound("There is no such webhook here.")
    return found


def save(wanted: Wanted, *, by: Actor, only_new: bool = False) -> tuple[Webhook, str]:
    """Make the webhook of this name, or change it; answer it, and the token of a new one, which is shown this once.

    Who changes it is whom it acts as from now on: its templates are theirs. `only_new`: one that is there stays.

    Raises:
        Invalid: `fields` says what can't be taken.
        Conflict: The workspace has as many as it may have.
        Forbidden: Nobody stands behind the actor who could be asked for at each delivery, or may not trigger.
    """
    deployment = find_deployment(by, wanted.deployment)
    _check_actor(deployment, by)
    webhook = in_workspace(by).filter(name=wanted.name).first()
    new, token = webhook is None, ""
    if webhook is None:
        if Webhook.objects.filter(workspace_id=by.workspace_id).count() >= MAX_WEBHOOKS:
            raise Conflict(f"A workspace has {MAX_WEBHOOKS} webhooks at most. Delete one first.")
        webhook, token = Webhook(organization_id=by.organization_id, workspace_id=by.workspace_id), new_secret(PREFIX)
        webhook.token_hash, webhook.prefix = digest(token), token[:12]
    elif only_new:
        raise Invalid("A webhook of this name exists.", fields={"name": "Choose another name."})
    else:
        check_allowed(webhook.deployment, by, "deployments.edit")
    _check(_wrong(wanted, has_secret=webhook.sealed is not None))
    before = {name: getattr(webhook, name) for name in TOLD}
    changed = _take(webhook, wanted, deployment, by)
    try:
        with transaction.atomic():
            webhook.save(force_insert=True) if new else webhook.save(update_fields=changed)
    except IntegrityError as error:
        raise Invalid("A webhook of this name exists.", fields={"name": "Choose another name."}) from error
    details = {"deployment": str(deployment)} | ({} if new else {"changed": _changed(before, wanted)})
    record(by, "webhook.created" if new else "webhook.updated", webhook, details=details)
    _tell(webhook)
    return webhook, token


def unsaved(wanted: Wanted, *, by: Actor) -> Webhook:
    """The webhook that is wanted, as far as a delivery can be tried with it. Neither name nor secret is asked for.

    Raises:
        Invalid: `fields` says what can't be taken.
        Forbidden: The actor may not make it.
    """
    deployment = find_deployment(by, wanted.deployment)
    _check_actor(deployment, by)
    _check({name: told for name, told in _wrong(wanted, has_secret=True).items() if name in TRIED})
    webhook = Webhook(organization_id=by.organization_id, workspace_id=by.workspace_id)
    _take(webhook, replace(wanted, secret=None), deployment, by)
    return webhook


def _take(webhook: Webhook, wanted: Wanted, deployment: Deployment, by: Actor) -> list[str]:
    """Set what is wanted; answer the fields. What somebody rotates, pauses or seals anew meanwhile is none of them."""
    webhook.deployment, webhook.name = deployment, wanted.name
    webhook.created_by, webhook.user_id, webhook.key_id = by.label[:254], by.user_id, by.key_id
    for name in TOLD:
        setattr(webhook, name, getattr(wanted, name))
    told = [*TOLD, "deployment", "name", "created_by", "user_id", "key_id"]
    if wanted.signature and not wanted.secret:
        return told
    webhook.sealed = signatures.seal(webhook, wanted.secret) if wanted.signature and wanted.secret else None
    return [*told, "sealed"]


def _changed(before: dict[str, Any], wanted: Wanted) -> list[str]:
    """What the trail tells of a change: names alone, since templates may be long."""
    changed = [name for name in TOLD if before[name] != getattr(wanted, name)]
    return [*changed, "secret"] if wanted.signature and wanted.secret else changed


def _check_actor(deployment: Deployment, by: Actor) -> None:
    if by.key_id is None and by.user_id is None:
        raise Forbidden("A webhook acts as a person or a key, so one of them makes it.")
    require(by, "runs.trigger")
    for about in (deployment, deployment.pool):
        check_allowed(about, by, "runs.trigger")
    check_allowed(deployment, by, "deployments.edit")


def _check(fields: dict[str, str]) -> None:
    if fields:
        raise Invalid("The webhook can't be taken; see fields.", fields=fields)


def _wrong(wanted: Wanted, *, has_secret: bool) -> dict[str, str]:
    """What of it can't be taken, by field."""
    fields: dict[str, str] = {}
    if not 0 < len(wanted.name) <= MAX_NAME or "/" in wanted.name or not wanted.name.isprintable():
        fields["name"] = f"1 to {MAX_NAME} printable characters without a slash."
    if wanted.signature not in Webhook.Signature.values:
        fields["signature"] = "github, stripe or header, or nothing."
    elif wanted.signature and not (wanted.secret or (wanted.secret is None and has_secret)):
        fields["secret"] = "Give the secret that the sender signs with."
    if len(wanted.secret or "") > MAX_SECRET:
        fields["secret"] = f"{MAX_SECRET:,} characters at most."
    if wanted.signature == Webhook.Signature.HEADER and not wanted.signature_header:
        fields["signature_header"] = "Name the header that holds the secret."
    if wanted.signature_header and not HEADER.fullmatch(wanted.signature_header):
        fields["signature_header"] = "The name of a header: 1 to 100 letters, digits and -."
    if wanted.parameter and wanted.parameters:
        fields["parameter"] = "Either a template of the parameters, or one parameter for the whole body."
    if len(wanted.parameter) > 200:
        fields["parameter"] = "200 characters at most."
    if wanted.debounce:
        fields |= Debounce(wanted.debounce).wrong()
    elif wanted.debounce_key:
        fields["debounce"] = "A key gathers nothing without a window. Give seconds."
    for name in TEMPLATES:
        if problem := templates.unreadable(getattr(wanted, name), NAMES):
            fields[name] = problem
    return fields


def rotate(webhook: Webhook, *, by: Actor, overlap: float = OVERLAP) -> str:
    """Give it another token, shown this once; the former one is good for `overlap` seconds more.

    Raises:
        Invalid: That is too long.
        NotFound: It was deleted in this moment.
    """
    check_allowed(webhook.deployment, by, "deployments.edit")
    if not 0 <= overlap <= LONGEST_OVERLAP:
        told = f"0 to {LONGEST_OVERLAP:,.0f} seconds."
        raise Invalid(f"The former token is good for {told}", fields={"overlap": told})
    _lock(webhook)
    token = new_secret(PREFIX)
    webhook.former_hash = bytes(webhook.token_hash) if overlap else None
    webhook.former_until = now() + timedelta(seconds=overlap) if overlap else None
    webhook.token_hash, webhook.prefix = digest(token), token[:12]
    webhook.save(update_fields=["former_hash", "former_until", "token_hash", "prefix"])
    record(by, "webhook.rotated", webhook, details={"overlap": overlap})
    _tell(webhook)
    return token


def _lock(webhook: Webhook) -> None:
    """Have it as it is now: of two who rotate it at once, each is shown a token that was good."""
    try:
        webhook.refresh_from_db(from_queryset=Webhook.objects.select_for_update(no_key=True))
    except Webhook.DoesNotExist:
        raise NotFound("There is no such webhook here.") from None


def set_paused(webhook: Webhook, *, paused: bool, by: Actor) -> None:
    """Take no deliveries for a while, or take them again."""
    check_allowed(webhook.deployment, by, "schedules.edit")
    if Webhook.objects.filter(id=webhook.id).exclude(paused=paused).update(paused=paused):
        webhook.paused = paused
        record(by, "webhook.paused" if paused else "webhook.resumed", webhook)
        _tell(webhook)


def delete(webhook: Webhook, *, by: Actor) -> None:
    """Delete a webhook and what is kept of its deliveries."""
    check_allowed(webhook.deployment, by, "deployments.edit")
    record(by, "webhook.deleted", webhook)
    _tell(webhook)
    webhook.delete()


def _tell(webhook: Webhook) -> None:
    live.changed(workspace_id=webhook.workspace_id, what="webhooks")
