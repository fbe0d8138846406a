"""2.5: Agents that wait: woken by a counter, by a word, by a planned time; no wake-up is lost.

The ASGI application is called directly. What has to happen while somebody waits is done when the waiter is known to
wait; nobody sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from orchestrator.ids import uuid7
from runs import long_polls, waiting, wakeups
from runs.messenger import client, messenger
from runs.models import Agent
from tests.cast import Company
from tests.runs import doors
from tests.runs.doors import run
from tests.runs.work import agent, claim, deploy, in_seconds, limit, silence, start, sweep, trigger
from tests.threads import at_once

pytestmark = pytest.mark.django_db

LONG, SHORT = 20.0, 0.05


@pytest.fixture(autouse=True)
def fresh(valkey: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has an event loop of its own, and so subscribers of its own. Its transaction is not to be closed."""
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", LONG)
    if connection.in_atomic_block:
        monkeypatch.setattr("channels.db.close_old_connections", lambda: None)
    waiting._agents.clear()


def ask(path: str, key: str, query: str = "", method: str = "GET") -> Callable[[], Awaitable[tuple[int, dict]]]:
    return partial(doors.ask, waiting.wait_app, path, key, query, method)


def wait(agent_id: object, key: str, since: object = -1, **more: Any) -> Callable[[], Awaitable[tuple[int, dict]]]:
    return ask(f"/api/v1/agents/{agent_id}/wait", key, f"since={since}", **more)


async def until_somebody_waits(pool_id: UUID, number: int = 1) -> None:
    """A waiter has read the counter and waits for its event."""
    while len(wakeups.waiters().of_pool.get(str(pool_id), ())) < number:
        await asyncio.sleep(0.001)
    events = wakeups.waiters().of_pool[str(pool_id)]
    while not all(event._waiters for event in events):
        await asyncio.sleep(0.001)


def when_waiting(pool_id: UUID, deed: Callable[[], Any], number: int = 1) -> Callable[[], Awaitable[None]]:
    async def later() -> None:
        await until_somebody_waits(pool_id, number)
        await sync_to_async(deed)()

    return later


def work(since: int) -> tuple[int, dict]:
    """The answer to an agent that should claim."""
    return 200, {"since": since, "due": True}


NOTHING = 200, {"since": 0, "due": False}


# ── answers ──────────────────────────────────────────────────────────────────────────────────────


def test_many_who_come_back_at_once_wait_their_turn_at_redis() -> None:
    """After an outage all agents ask in the same moment; a pool of connections must not refuse some of them."""
    pool_id = str(uuid7())

    async def ask_counter() -> int:
        return await wakeups.waiters().counter(pool_id)

    assert run(*[ask_counter] * 500) == [0] * 500


def test_the_first_call_answers_the_counter_at_once(acme: Company) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    assert run(wait(by.id, key)) == [work(0)]
    waiting._wake(client(), {str(acme.pool.id): 1})
    assert run(wait(by.id, key)) == [work(1)]


def test_a_counter_that_moved_answers_at_once(acme: Company) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    waiting._wake(client(), {str(acme.pool.id): 1})
    assert run(wait(by.id, key, since=0)) == [work(1)]


def test_nothing_new_answers_after_a_while(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", SHORT)
    by, key = agent(acme), acme.key("agent", "agent")
    assert run(wait(by.id, key, since=0)) == [NOTHING]


@pytest.fixture
def nothing_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits hears every word: nobody waits before this process has subscribed, so nobody has to catch up."""

    subscribed: set[wakeups.Waiters] = set()
    hear, counter = wakeups.Waiters.hear, wakeups.Waiters.counter

    def hear_words_alone(self: wakeups.Waiters, message: str | None) -> None:
        if message is None:
            subscribed.add(self)
        else:
            hear(self, message)

    async def after_subscribing(self: wakeups.Waiters, pool_id: str) -> int:
        while self not in subscribed:
            await asyncio.sleep(0.001)
        return await counter(self, pool_id)

    monkeypatch.setattr(wakeups.Waiters, "hear", hear_words_alone)
    monkeypatch.setattr(wakeups.Waiters, "counter", after_subscribing)


@pytest.mark.usefixtures("nothing_missed")
def test_a_word_wakes_as_many_as_there_is_work(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "SECOND_THOUGHTS", LONG)
    by, key = agent(acme), acme.key("agent", "agent")
    left: list[int] = []

    async def wake() -> None:
        await until_somebody_waits(acme.pool.id, 3)
        await sync_to_async(waiting._wake)(client(), {str(acme.pool.id): 2})
        while len(waiting_events(acme.pool.id)) > 1:
            await asyncio.sleep(0.001)
        left.append(len(waiting_events(acme.pool.id)))
        for event in waiting_events(acme.pool.id):
            event.set()

    answers = run(*[wait(by.id, key, since=0)] * 3, wake)[:3]
    assert answers == [work(1)] * 3  # The last one's time was over; its counter had moved, so it looks as well.
    assert left == [1]


def waiting_events(pool_id: UUID) -> list[asyncio.Event]:
    return list(wakeups.waiters().of_pool.get(str(pool_id), ()))


def test_when_nobody_takes_the_work_others_are_woken(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "SECOND_THOUGHTS", 0.001)
    by, key = agent(acme), acme.key("agent", "agent")
    wake = when_waiting(acme.pool.id, lambda: waiting._wake(client(), {str(acme.pool.id): 1}), number=3)
    assert run(*[wait(by.id, key, since=0)] * 3, wake)[:3] == [work(1)] * 3


@pytest.mark.usefixtures("nothing_missed")
def test_the_one_who_serves_a_queue_is_woken_behind_many_who_do_not(
    acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.19: background tasks wait in the default pool, in queues of their own."""
    monkeypatch.setattr(wakeups, "SECOND_THOUGHTS", 0.001)
    pool_id, woken = str(acme.pool.id), list[int]()

    async def hundred() -> None:
        waiters = wakeups.waiters()
        waiters.of_pool[pool_id] = {asyncio.Event(): 0 for _ in range(100)}
        await waiters.redis.set(f"{wakeups.TICKETS}word", 1)
        said: list[tuple[int, int]] = []
        monkeypatch.setattr(wakeups, "word", lambda _, pool, number, tried: said.append((number, tried)))
        await waiters._hand_out(pool_id, "word", 0)
        while said:
            number, tried = said.pop()
            await waiters.redis.set(f"{wakeups.TICKETS}{tried}", number)
            await waiters._hand_out(pool_id, str(tried), tried)
        woken.append(100 - len(waiters.of_pool.get(pool_id, ())))

    run(hundred)
    assert woken == [100]


@pytest.mark.usefixtures("nothing_missed")
@pytest.mark.django_db(transaction=True)
def test_when_the_work_was_taken_nobody_else_is_woken(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    deployment = deploy(acme)
    said: list[str] = []
    thoughts = wakeups.Waiters._say_again

    async def say_again(self: wakeups.Waiters, *values: Any) -> None:
        await sync_to_async(claim)(acme, by)
        assert await sync_to_async(messenger.flush)()
        await thoughts(self, *values)
        said.extend(["again"] * len(waiting_events(acme.pool.id)))
        for event in waiting_events(acme.pool.id):
            event.set()

    monkeypatch.setattr(wakeups.Waiters, "_say_again", say_again)
    wake = when_waiting(acme.pool.id, lambda: trigger(acme, deployment), number=2)
    run(*[wait(by.id, key, since=0)] * 2, wake)
    assert said == ["again"]


def test_of_two_web_processes_one_hands_out_a_piece_of_work(acme: Company) -> None:
    """Each hears the word; the tickets say who wakes."""
    pool_id = str(acme.pool.id)
    woken: list[int] = []

    async def two_processes() -> None:
        heard = wakeups.announcements()
        first, second = wakeups.Waiters(heard), wakeups.Waiters(heard)
        for each in (first, second):
            each.of_pool[pool_id] = {asyncio.Event(): 0 for _ in range(3)}
        await heard.client.set(wakeups.TICKETS + "id", 4)
        await asyncio.gather(*(each._hand_out(pool_id, "id", wakeups.TRIES) for each in (first, second)))
        woken.extend(3 - len(each.of_pool.get(pool_id, ())) for each in (first, second))

    run(two_processes)
    assert sum(woken) == 4


def test_after_redis_was_away_those_look_again_whose_counter_moved(acme: Company) -> None:
    by, key = agent(acme), acme.key("agent", "agent")

    async def come_back() -> None:
        await until_somebody_waits(acme.pool.id, 1)
        await wakeups.announcements().client.incr(wakeups.COUNTER + str(acme.pool.id))
        wakeups.waiters().hear(None)

    assert run(wait(by.id, key, since=0), come_back)[0] == work(1)


def test_who_waits_is_seen(acme: Company) -> None:
    from runs.tasks import note_waiting_agents

    by, key = agent(acme), acme.key("agent", "agent")
    with acme.scope():
        Agent.objects.update(last_seen_at=in_seconds(-1_000))
    run(wait(by.id, key))
    note_waiting_agents()
    with acme.scope():
        assert Agent.objects.get().last_seen_at > in_seconds(-60)
    assert waiting.take_seen(limit=10) == []


def test_a_word_for_another_pool_wakes_nobody(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", 0.3)
    by, key = agent(acme), acme.key("agent", "agent")
    wake = when_waiting(acme.pool.id, lambda: waiting._wake(client(), {str(uuid7()): 1}))
    assert run(wait(by.id, key, since=0), wake)[0] == NOTHING


def test_a_word_between_reading_the_counter_and_waiting_is_not_lost(
    acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message overtakes the answer about the counter: the event is set before anybody waits for it."""
    by, key = agent(acme), acme.key("agent", "agent")
    answers = iter([0, 1])

    async def counter(self: wakeups.Waiters, pool_id: str) -> int:
        self._wake_some(pool_id, 1)
        return next(answers)

    monkeypatch.setattr(wakeups.Waiters, "counter", counter)
    monkeypatch.setattr(wakeups.Announcements, "listen", lambda self: None)
    assert run(wait(by.id, key, since=0)) == [work(1)]


def test_a_planned_time_wakes(acme: Company) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    waiting._plan(client(), {(str(acme.pool.id), in_seconds(0.2).timestamp()): 1})
    assert run(wait(by.id, key, since=0)) == [work(1)]


def test_a_time_that_is_planned_while_one_waits(acme: Company) -> None:
    by, key = agent(acme), acme.key("agent", "agent")

    def plan() -> None:
        waiting._plan(client(), {(str(acme.pool.id), in_seconds(0.1).timestamp()): 1})

    assert run(wait(by.id, key, since=0), when_waiting(acme.pool.id, plan))[0] == work(1)


def test_a_planned_time_is_taken_once(acme: Company, valkey) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    waiting._plan(client(), {(str(acme.pool.id), in_seconds(-1).timestamp()): 1})
    assert run(wait(by.id, key, since=0), wait(by.id, key, since=0)) == [work(1)] * 2
    assert valkey.zcard(wakeups.DUE) == 0


def test_nobody_is_left_behind_who_waits(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_polls, "WAIT_SECONDS", SHORT)
    by, key = agent(acme), acme.key("agent", "agent")
    left: list[int] = []

    async def look() -> None:
        await wait(by.id, key, since=0)()
        left.append(len(wakeups.waiters().of_pool))

    run(look)
    assert left == [0]


# ── who may wait ─────────────────────────────────────────────────────────────────────────────────


def test_who_may_not_wait(acme: Company, globex: Company) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    foreign, unknown = wait(by.id, globex.key("k")), wait(uuid7(), globex.key("k2"))
    answers = run(
        wait(by.id, ""), wait(by.id, "orc_nonsense"), wait(by.id, acme.key("v", "viewer")), foreign, unknown,
        wait("nonsense", key), wait(by.id, key, since="x"), wait(by.id, key, since="9" * 30),
        wait(by.id, key, since="%00"), wait(by.id, key, method="POST"), wait(by.id, "\xe9"),
    )  # fmt: skip
    codes = [(status, body["error"]["code"]) for status, body in answers]

    assert codes == [
        (401, "unauthorized"), (401, "unauthorized"), (403, "forbidden"), (404, "not_found"), (404, "not_found"),
        (404, "not_found"), (400, "invalid"), (400, "invalid"), (400, "invalid"), (405, "method_not_allowed"),
        (401, "unauthorized"),
    ]  # fmt: skip
    assert answers[3] == answers[4]


def test_a_runs_own_token_does_not_wait_for_work(acme: Company) -> None:
    by = agent(acme)
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, by)
    assert run(wait(by.id, claimed.token))[0][0] == 403


def test_an_agent_in_another_workspace_is_unknown(acme: Company) -> None:
    from tenants.keys import create_key
    from tenants.provisioning import create_workspace

    by = agent(acme)
    with acme.scope():
        other = create_key(workspace=create_workspace(organization=acme.organization, name="Second"), name="k")[1]
    assert run(wait(by.id, other))[0][0] == 404


def test_a_wait_asks_the_database_once(acme: Company, django_assert_num_queries) -> None:
    by, key = agent(acme), acme.key("agent", "agent")
    run(wait(by.id, key))
    with django_assert_num_queries(0):
        run(wait(by.id, key))


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_to_the_database_is_opened_again(acme: Company) -> None:
    """Nothing outside of requests does that by itself: after a restart of the database agents would never get in."""
    by, key = agent(acme), acme.key("agent", "agent")
    assert run(wait(by.id, key))[0][0] == 200
    lose_connection()
    from tenants.authentication import forget_secrets

    forget_secrets()
    waiting._agents.clear()
    assert run(wait(by.id, key))[0][0] == 200
    connection.close()  # This thread's own one was lost, too; the next test opens another.


def lose_connection() -> None:
    """End the connection from the other side, as a restart of the server does."""
    import os

    import psycopg

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("SELECT pg_terminate_backend(%s, 2000)", [connection.connection.info.backend_pid])


# ── what raises the counter ──────────────────────────────────────────────────────────────────────


def counter(company: Company, valkey: Any) -> int:
    assert messenger.flush()
    return int(valkey.get(wakeups.COUNTER + str(company.pool.id)) or 0)


@pytest.mark.django_db(transaction=True)
def test_new_runs_raise_it_and_later_ones_plan_a_time(acme: Company, valkey) -> None:
    deployment = deploy(acme)
    trigger(acme, deployment, 5)
    assert (counter(acme, valkey), valkey.zcard(wakeups.DUE)) == (1, 0)
    later = in_seconds(3_600)
    trigger(acme, deployment, scheduled_at=later)
    assert counter(acme, valkey) == 1
    [(member, at)] = valkey.zrange(wakeups.DUE, 0, -1, withscores=True)
    assert (member.decode().partition("|")[0], at) == (str(acme.pool.id), pytest.approx(later.timestamp()))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("others", [0, 1])
def test_a_slot_that_is_free_again_raises_it_when_somebody_waits_for_one(acme: Company, valkey, others: int) -> None:
    deployment = deploy(acme)
    limit(acme, "deployment", deployment, 1)
    trigger(acme, deployment, 1 + others)
    (claimed,) = claim(acme, agent(acme))
    before = counter(acme, valkey)
    journal = start(claimed)
    assert counter(acme, valkey) == before
    journal.send(journal.state("COMPLETED", run_count=1))
    assert counter(acme, valkey) == before + others


@pytest.mark.django_db(transaction=True)
def test_the_next_attempt_is_planned(acme: Company, valkey) -> None:
    trigger(acme, deploy(acme, retries=1, retry_delay=100))
    (claimed,) = claim(acme, agent(acme))
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    assert messenger.flush()
    assert valkey.zcount(wakeups.DUE, in_seconds(90).timestamp(), in_seconds(101).timestamp()) == 1


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_wakes_nobody(acme: Company, valkey) -> None:
    deployment = deploy(acme)

    def fail() -> None:
        with acme.scope():
            trigger(acme, deployment)
            raise ZeroDivisionError

    assert isinstance(at_once(fail)[0], ZeroDivisionError)
    assert counter(acme, valkey) == 0


@pytest.mark.django_db(transaction=True)
def test_without_redis_runs_are_made_all_the_same(acme: Company, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    import redis

    from runs import messenger as the_messenger

    deployment = deploy(acme)
    away = redis.Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=1)
    monkeypatch.setattr(the_messenger, "client", lambda: away)
    assert len(trigger(acme, deployment)) == 1
    assert len(claim(acme, agent(acme))) == 1
    assert messenger.flush()
    assert caplog.text.count("Redis is away") == 1
