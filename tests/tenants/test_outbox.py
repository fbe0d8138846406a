"""Messages are written with what they tell of, and delivered after it: once, fairly, with patience."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils.timezone import now

from tenants import outbox, tasks
from tenants.models import OutboxMessage
from tenants.scope import NoTenantScope, current_scope
from tests.cast import Company
from tests.sql import ask
from tests.threads import at_once

pytestmark = pytest.mark.django_db


class Receiver:
    """Takes messages of the kind "test", or fails as it is told."""

    def __init__(self) -> None:
        self.got: list[outbox.Message] = []
        self.failure: Exception | None = None

    def __call__(self, message: outbox.Message) -> None:
        with pytest.raises(NoTenantScope):
            current_scope()
        self.got.append(message)
        if self.failure:
            raise self.failure


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    found = Receiver()
    monkeypatch.setitem(outbox._deliverers, "test", found)
    return found


def post(company: Company, **more: Any) -> Any:
    with company.scope():
        return outbox.post(
            organization_id=company.organization.id, kind="test", payload=more.pop("payload", {"n": 1}), **more
        )


def row(company: Company, id: Any) -> OutboxMessage:
    with company.scope():
        return OutboxMessage.objects.get(id=id)


def change(company: Company, id: Any, **changes: Any) -> None:
    with company.scope():
        OutboxMessage.objects.filter(id=id).update(**changes)


def deliver_all(company: Company) -> None:
    tasks.deliver_messages(str(company.organization.id))


def test_a_message_is_delivered_once_and_noted(acme: Company, receiver: Receiver) -> None:
    id = post(acme, payload={"n": 7})
    deliver_all(acme)
    deliver_all(acme)

    assert [(message.id, message.payload, message.tries) for message in receiver.got] == [(id, {"n": 7}, 1)]
    assert row(acme, id).done_at is not None
    assert not row(acme, id).failed


def test_a_key_is_taken_once_by_each_organization(acme: Company, globex: Company) -> None:
    assert post(acme, key="monthly") is not None
    assert post(acme, key="monthly") is None
    assert post(globex, key="monthly") is not None


def test_what_is_secret_lies_sealed_in_the_row_and_not_even_so_afterwards(acme: Company, receiver: Receiver) -> None:
    id = post(acme, payload={"n": 1}, secret={"link": "https://portal/invitation/sesame"})
    with acme.scope():
        [(text, sealed)] = ask("SELECT m::text, encode(m.sealed, 'escape') FROM outbox_message m")
    assert "sesame" not in text + sealed
    deliver_all(acme)

    assert receiver.got[0].payload == {"n": 1, "link": "https://portal/invitation/sesame"}
    assert row(acme, id).sealed is None


def test_a_message_that_is_too_large_is_refused(acme: Company) -> None:
    with pytest.raises(ValueError, match="more than"):
        post(acme, payload={"text": "x" * outbox.MAX_PAYLOAD})


def test_a_message_waits_for_its_time(acme: Company, receiver: Receiver) -> None:
    post(acme, after=now() + timedelta(minutes=1))
    deliver_all(acme)
    assert receiver.got == []


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_tried_again_later_and_told_without_tokens(acme: Company, receiver: Receiver) -> None:
    receiver.failure = ConnectionError("POST https://hooks.slack.com/services/T0/B0/sesame failed")
    id = post(acme)
    deliver_all(acme)

    told = row(acme, id)
    assert told.error == "ConnectionError: POST https://hooks.slack.com/… failed"
    assert (told.done_at, told.claimed_at, told.tries) == (None, None, 1)
    assert told.next_try_at > now()
    deliver_all(acme)
    assert len(receiver.got) == 1

    receiver.failure = None
    change(acme, id, next_try_at=now())
    deliver_all(acme)
    assert row(acme, id).done_at is not None


def test_waiting_grows_up_to_an_hour() -> None:
    longest = [max(outbox.delay(tries) for _ in range(50)) for tries in (1, 3, 20)]
    assert longest[0] <= 7.5 < longest[1] <= 30 < longest[2] <= 5400


def test_the_last_try_fails_for_good_and_is_kept(acme: Company, receiver: Receiver) -> None:
    receiver.failure = ConnectionError("no route")
    id = post(acme)
    change(acme, id, tries=outbox.MAX_TRIES - 1)
    deliver_all(acme)
    told = row(acme, id)
    assert (told.failed, told.error, told.tries) == (True, "ConnectionError: no route", outbox.MAX_TRIES)


def test_who_gives_up_is_not_asked_again(acme: Company, receiver: Receiver) -> None:
    receiver.failure = outbox.GiveUp("The block is gone.")
    id = post(acme)
    deliver_all(acme)
    assert (row(acme, id).failed, row(acme, id).error) == (True, "The block is gone.")


def test_an_unknown_kind_waits_for_a_worker_that_knows_it(acme: Company) -> None:
    with acme.scope():
        id = outbox.post(organization_id=acme.organization.id, kind="of-tomorrow", payload={})
    deliver_all(acme)
    assert "of-tomorrow" in row(acme, id).error
    assert row(acme, id).done_at is None


def test_a_message_that_kills_its_workers_ends_some_day(acme: Company, receiver: Receiver) -> None:
    id = post(acme)
    change(acme, id, tries=outbox.MAX_TRIES)
    deliver_all(acme)
    assert receiver.got == []
    assert row(acme, id).failed


# ── claims ───────────────────────────────────────────────────────────────────────────────────────


def test_the_message_of_a_dead_worker_is_taken_again_when_its_claim_runs_out(acme: Company, receiver: Receiver) -> None:
    id = post(acme)
    dead = outbox.claim(acme.organization.id)
    assert dead is not None
    assert outbox.claim(acme.organization.id) is None
    change(acme, id, next_try_at=now())
    deliver_all(acme)

    assert [message.tries for message in receiver.got] == [2]
    outbox.deliver(dead)  # It was not dead, only slow: what it notes no longer counts.
    assert row(acme, id).tries == 2


def test_one_organization_holds_few_workers(acme: Company, globex: Company) -> None:
    for _ in range(outbox.AT_ONCE + 2):
        post(acme)
    post(globex)
    held = [outbox.claim(acme.organization.id) for _ in range(outbox.AT_ONCE + 2)]
    assert sum(message is not None for message in held) == outbox.AT_ONCE
    assert outbox.claim(globex.organization.id) is not None


@pytest.mark.django_db(transaction=True)
def test_workers_side_by_side_take_different_messages(acme: Company) -> None:
    ids = {post(acme) for _ in range(6)}
    got: list[Any] = []
    while len(got) < 6:
        found = [m for m in at_once(*[lambda: outbox.claim(acme.organization.id)] * 4) if m is not None]
        got += [message.id for message in found]
        for message in found:
            change(acme, message.id, done_at=now())
    assert sorted(got) == sorted(ids)


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_sent(acme: Company, receiver: Receiver) -> None:
    with acme.scope():
        outbox.post(organization_id=acme.organization.id, kind="test", payload={})
        transaction.set_rollback(True)
    deliver_all(acme)
    assert receiver.got == []


# ── ticks ────────────────────────────────────────────────────────────────────────────────────────


def test_the_tick_finds_each_organization_that_waits(
    acme: Company, globex: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        post(acme)
    post(globex, after=now() + timedelta(hours=1))
    sent: list[Any] = []
    monkeypatch.setattr(tasks.deliver_messages, "apply_async", lambda arguments, **more: sent.append(arguments))
    tasks.find_messages()
    assert sent == [[str(acme.organization.id)]]


def test_finding_reads_one_row_an_organization(acme: Company, globex: Company) -> None:
    """However many wait: each step of the recursion is an index look-up."""
    with acme.scope():
        for n in range(300):
            outbox.post(organization_id=acme.organization.id, kind="test", payload={"n": n})
    post(globex)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE system")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {outbox._DUE}", [now()])
        [plan] = cursor.fetchone()
        cursor.execute("SET LOCAL ROLE app")
    plan = json.loads(plan) if isinstance(plan, str) else plan
    assert rows_read(plan[0]["Plan"]) < 30


def rows_read(plan: dict[str, Any]) -> float:
    own = plan["Actual Rows"] * plan["Actual Loops"] + plan.get("Rows Removed by Filter", 0)
    return own + sum(rows_read(part) for part in plan.get("Plans", []))


def test_old_messages_are_forgotten_and_failed_ones_later(acme: Company) -> None:
    week, month = now() - outbox.KEPT, now() - outbox.KEPT_FAILED
    old, failed, fresh, waiting = (post(acme) for _ in range(4))
    very_old = post(acme)
    for id, at, has_failed in [
        (old, week, False),
        (failed, week, True),
        (fresh, now(), False),
        (very_old, month, True),
    ]:
        change(acme, id, done_at=at, failed=has_failed)
    tasks.forget_messages()
    with acme.scope():
        assert set(OutboxMessage.objects.values_list("id", flat=True)) == {failed, fresh, waiting}
