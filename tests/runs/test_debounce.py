"""2.7: Triggers that follow each other closely become one run: what only many at once show."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.debouncing import Debounce
from runs import trigger
from runs.models import FlowRun
from runs.trigger import RunRequest
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, make_due, run_row
from tests.threads import at_once

MINUTE = Debounce(60)


def push(company: Company, deployment: Any, number: int = 0, **more: Any) -> tuple[FlowRun, bool]:
    request = RunRequest(deployment=deployment, parameters={"n": number}, debounce=MINUTE, **more)
    with company.scope():
        return trigger.create_run(request, by=company.actor())


@pytest.mark.django_db(transaction=True)
def test_2_7_eight_triggers_at_once_make_one_run(acme: Company) -> None:
    deployment = deploy(acme)
    told = at_once(*(lambda n=n: push(acme, deployment, n, idempotency_key=f"key-{n % 7}") for n in range(8)))

    assert sorted(new for _, new in told) == [*[False] * 7, True]
    (id,) = {run.id for run, _ in told}
    run = run_row(acme, id)
    assert run.debounced == 7  # Two were the same trigger, sent twice.
    assert run.due_at < run.debounce_until


@pytest.mark.django_db(transaction=True)
def test_2_7_triggers_while_it_is_claimed_are_one_more_run(acme: Company) -> None:
    """Whoever comes first, the claim or the triggers: nothing that runs is changed, and nothing that came is lost."""
    deployment, by = deploy(acme), agent(acme)
    first, _ = push(acme, deployment, -1)
    make_due(acme, first.id)
    claimed, *told = at_once(
        lambda: claim(acme, by), *(lambda n=n: push(acme, deployment, n) for n in range(4))
    )  # fmt: skip

    assert [each.run for each in claimed] == [first.id]
    assert claimed[0].parameters == run_row(acme, first.id).parameters == {"n": -1}
    (second,) = {run.id for run, _ in told} - {first.id}
    assert run_row(acme, second).debounced == 4


@pytest.mark.django_db
def test_2_7_each_trigger_is_in_the_trail(acme: Company) -> None:
    from tenants.models import AuditEntry

    deployment = deploy(acme)
    run, _ = push(acme, deployment)
    push(acme, deployment)
    with acme.scope():
        assert AuditEntry.objects.filter(action="run.triggered", object_id=run.id).count() == 2
