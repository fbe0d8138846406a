"""Automations, what makes them fire, and the ticks and workers that tell of it, without waiting."""

from __future__ import annotations

from typing import Any

from orchestrator.states import By, StateType
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, start, trigger

MINE = {"to": ["alice@acme.example"]}


def automate(company: Company, name: str = "Failures", *, when: dict[str, Any] | None = None, **more: Any) -> Any:
    """An automation; by default a mail to Alice whenever a run fails."""
    from runs.automations.definitions import Action, Trigger, Wanted
    from runs.automations.edit import save

    asked, action = {"events": ["flow-run.failed"], **(when or {})}, more.pop("action", MINE)
    with company.scope():
        wanted = Wanted(name=name, trigger=Trigger(**asked), action=Action(**action), **more)
        return save(wanted, by=company.actor())[0]


def block(company: Company, path: str, data: dict[str, Any]) -> Any:
    """A block of this type and name."""
    from blocks.blocks import save

    type, _, name = path.partition("/")
    with company.scope():
        return save(type=type, name=name, data=data, by=company.actor())[0]


def fail(company: Company, number: int = 1, *, message: str = "no such table", **deployment: Any) -> list[Any]:
    """Runs that an agent has taken and that failed; their ids."""
    made = deploy(company, **deployment)
    trigger(company, made, number)
    failed = []
    for claimed in claim(company, agent(company), number):
        journal = start(claimed)
        journal.send(journal.state("FAILED", message=message))
        failed.append(claimed.run)
    return failed


def fail_at_once(company: Company, number: int) -> None:
    """Many runs that fail in one transaction."""
    from runs.transitions import lock_runs, move, save

    ids = trigger(company, deploy(company, f"storm-{number}"), number)
    with company.scope():
        rows = lock_runs(ids)
        for row in rows.values():
            assert move(row, StateType.PENDING, by=By.SERVER)
            assert move(row, StateType.FAILED, by=By.HOLDER, message="the disk is full")
        save(rows.values())


def firings(company: Company) -> list[Any]:
    """All of them, oldest first."""
    from runs.models import Firing

    with company.scope():
        return list(Firing.objects.select_related("automation", "notification").order_by("at", "id"))


def notifications(company: Company) -> list[Any]:
    """All of them, oldest first."""
    from runs.models import Notification

    with company.scope():
        return list(Notification.objects.order_by("created_at", "id"))


def tell(company: Company) -> None:
    """What the ticks and the worker do."""
    from runs import tasks
    from tenants.tasks import deliver_messages

    tasks.notify_of_firings()
    deliver_messages(str(company.organization.id))
