"""Automations are made, changed, paused, deleted and tested."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from blocks.models import Block
from blocks.references import User, tells_users
from runs import live
from runs.automations import grouping, triggering
from runs.automations.definitions import Wanted, as_json, as_like, checked, split_events
from runs.hidden import hidden_deployments
from runs.models import Automation, Deployment, Notification
from tenants.audit import record
from tenants.errors import Conflict, Invalid, NotFound, RateLimited
from tenants.models import Membership
from tenants.permissions import Actor

MAX_AUTOMATIONS = 200  # of one workspace: each of its events is compared with all of them
TESTS_A_MINUTE = 5
MAX_USERS = 100


def in_workspace(by: Actor) -> QuerySet[Automation]:
    """The workspace's automations, without those that run a deployment which the actor may not see."""
    own = Automation.objects.filter(workspace_id=by.workspace_id)
    if not (hidden := hidden_deployments(by)):
        return own
    names = [str(each) for each in Deployment.objects.filter(id__in=hidden).select_related("flow")]
    return own.exclude(id__in=own.filter(action__run__deployment__in=names).values("id"))


def find(by: Actor, *, id: UUID | None = None, name: str = "") -> Automation:
    """The automation of this id or name.

    Raises:
        NotFound: There is none here.
    """
    own = in_workspace(by)
    found = (own.filter(id=id) if id else own.filter(name=name)).first()
    if found is None:
        raise NotFound("There is no such automation here.")
    return found


def save(wanted: Wanted, *, by: Actor, automation: Automation | None = None) -> tuple[Automation, bool]:
    """Make an automation, or change this one; answer it, and whether it is new.

    Who changes it is whom it runs deployments as from now on.

    Raises:
        Invalid: `fields` says what can't be taken.
        Forbidden: It is to run what the actor may not run.
        Conflict: The workspace has as many as it may have.
    """
    wanted = checked(wanted)
    _check_action(wanted, by)
    new, before = automation is None, _told(automation)
    if automation is None:
        if Automation.objects.filter(workspace_id=by.workspace_id).count() >= MAX_AUTOMATIONS:
            raise Conflict(f"A workspace has {MAX_AUTOMATIONS} automations at most. Delete one first.")
        automation = Automation(organization_id=by.organization_id, workspace_id=by.workspace_id)
    automation.name, automation.enabled = wanted.name, wanted.enabled
    automation.trigger, automation.action = as_json(wanted.trigger), as_json(wanted.action)
    automation.events, automation.events_like = split_events(wanted.trigger.events)
    automation.resources_like = [as_like(pattern) for pattern in wanted.trigger.resources]
    automation.name_like = as_like(wanted.trigger.run_name)
    automation.most_per_minute = wanted.most_per_minute
    automation.updated_at, automation.updated_by = now(), by.label[:254]
    automation.user_id, automation.key_id = by.user_id, by.key_id
    try:
        with transaction.atomic():
            automation.save(force_insert=new)
    except IntegrityError as error:
        raise Invalid("An automation of this name exists.", fields={"name": "Choose another name."}) from error
    changes = {"from": before, "to": _told(automation)} if before else _told(automation)
    record(by, "automation.created" if new else "automation.updated", automation, details=changes)
    live.changed(workspace_id=automation.workspace_id, what="automations")
    return automation, new


def _told(automation: Automation | None) -> dict[str, Any]:
    """What the trail keeps of one: when it fires, and who is told by what. Its texts may be long and are left out."""
    if automation is None:
        return {}
    action = {name: value for name, value in automation.action.items() if name in {"block", "to"}}
    if run := automation.action.get("run"):
        action["run"] = {name: value for name, value in run.items() if name in {"deployment", "tags"}}
    return {"name": automation.name, "enabled": automation.enabled, "trigger": automation.trigger, "action": action}


def _check_action(wanted: Wanted, by: Actor) -> None:
    """The block is there, mails go to members, runs are those that one may trigger: it is no way around any rule."""
    action = wanted.action
    if action.run:
        triggering.check(action.run, by)
    if action.block:
        type, _, name = action.block.partition("/")
        own = Block.objects.filter(workspace_id=by.workspace_id, type=type, name=name)
        if not own.allowing(by, "blocks.use").exists():
            told = f"There is no block {action.block} in this workspace."
            raise Invalid("The automation can't be taken; see fields.", fields={"block": told})
    strangers = sorted(set(action.to) - members(action.to))
    if strangers:
        told = f"{', '.join(strangers[:3])}: no member of this organization. To write to others, use a block."
        raise Invalid("The automation can't be taken; see fields.", fields={"to": told})


def members(addresses: list[str]) -> set[str]:
    """Those of the addresses that belong to people of this organization."""
    own = Membership.objects.filter(user__email__in=addresses, user__is_active=True)
    return set(own.values_list("user__email", flat=True))


def set_enabled(automation: Automation, *, enabled: bool, by: Actor) -> None:
    """Pause an automation, or let it go on. What happens meanwhile fires nothing."""
    if Automation.objects.filter(id=automation.id).exclude(enabled=enabled).update(enabled=enabled):
        automation.enabled = enabled
        record(by, "automation.resumed" if enabled else "automation.paused", automation)
        live.changed(workspace_id=automation.workspace_id, what="automations")


def delete(automation: Automation, *, by: Actor) -> None:
    """Delete an automation and its log."""
    record(by, "automation.deleted", automation)
    automation.delete()
    live.changed(workspace_id=automation.workspace_id, what="automations")


def send_test(automation: Automation, *, by: Actor) -> Notification:
    """Have a message sent that says it is a test; of a run, see whether it could be triggered, and trigger none.

    Raises:
        RateLimited: There were several within the last minute.
    """
    at = now()
    lately = automation.notifications.filter(is_test=True, created_at__gt=at - grouping.WINDOW).count()
    if lately >= TESTS_A_MINUTE:
        raise RateLimited(f"{TESTS_A_MINUTE} tests a minute are possible. Try again in a minute.", retry_after=60)
    record(by, "automation.tested", automation)
    return grouping.post(automation, at=at, is_test=True)


@tells_users
def automations_using(workspace_id: UUID, paths: Collection[str], by: Actor | None = None) -> list[tuple[str, User]]:
    """The automations that tell by one of these blocks."""
    own = Automation.objects.filter(workspace_id=workspace_id, action__block__in=list(paths)).order_by("name")
    return [(each.action["block"], User("automation", each.name, "automation", (each.id,))) for each in own[:MAX_USERS]]
