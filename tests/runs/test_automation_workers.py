"""A worker that dies between its claim and what it is to do: another one does it, and nothing is done twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils.timezone import now

from orchestrator.bodies import EventInput
from orchestrator.server.celery import app  # noqa: F401 - so that tasks are sent to our broker
from runs import events, tasks
from runs.models import FlowRun
from tenants.models import OutboxMessage
from tenants.tasks import deliver_messages
from tests.cast import Api, Company
from tests.runs.automating import automate, block, fail, notifications
from tests.runs.receivers import webhook
from tests.runs.work import deploy
from tests.workers import until, worker

pytestmark = pytest.mark.django_db(transaction=True)


def row(company: Company) -> Any:
    with company.scope():
        return OutboxMessage.objects.get()


def test_a_worker_that_is_killed_before_it_sends(acme: Company, tmp_path: Path) -> None:
    with webhook() as hook:
        block(acme, "webhook/ops", {"url": hook.url})
        automate(acme, action={"block": "webhook/ops"})
        fail(acme)
        tasks.notify_of_firings()

        # What the worker reads next, after its claim was committed, is locked: there it stands when it is killed.
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner, worker(tmp_path) as first:
            owner.execute("LOCK TABLE automation_notification IN ACCESS EXCLUSIVE MODE")
            deliver_messages.apply_async([str(acme.organization.id)])
            until("the claim", lambda: row(acme).tries == 1)
            first.kill()
            first.wait(30)
            owner.rollback()
        assert hook.asked == []
        assert row(acme).done_at is None

        with acme.scope():
            OutboxMessage.objects.update(next_try_at=now())  # The claim has run out.
        with worker(tmp_path):
            deliver_messages.apply_async([str(acme.organization.id)])
            deliver_messages.apply_async([str(acme.organization.id)])
            until("the sending", lambda: row(acme).done_at)
        assert len(hook.asked) == 1
        assert [error for _, error in notifications(acme)[0].tries] == [""]
        assert row(acme).tries == 2


def test_a_worker_that_is_killed_before_its_run_is_made(acme: Company, tmp_path: Path) -> None:
    deploy(acme)
    Api(acme.key("developer")).put(
        "/automations/On", {"trigger": {"events": ["it.came"]}, "action": {"run": {"deployment": "etl/nightly"}}}
    )
    with acme.scope():
        events.emit(EventInput("it.came", {"id": "it"}), by=acme.actor())
    tasks.notify_of_firings()

    # Where runs are written to, nobody may write: there it stands when it is killed.
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner, worker(tmp_path) as first:
        owner.execute("LOCK TABLE flow_run IN EXCLUSIVE MODE")
        deliver_messages.apply_async([str(acme.organization.id)])
        until("the claim", lambda: row(acme).tries == 1)
        first.kill()
        first.wait(30)
        owner.rollback()
    with acme.scope():
        assert not FlowRun.objects.exists()
        OutboxMessage.objects.update(next_try_at=now())  # The claim has run out.
    with worker(tmp_path):
        deliver_messages.apply_async([str(acme.organization.id)])
        deliver_messages.apply_async([str(acme.organization.id)])
        until("the run", lambda: row(acme).done_at)
    with acme.scope():
        assert [run.id for run in FlowRun.objects.all()] == [notifications(acme)[0].run_id]
