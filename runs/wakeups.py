"""Who is woken when there is work: as many as there is work for, and others soon after if it was not taken.

A word says how much work came to a pool. Each word has a ticket for each piece, kept in Redis, so that of several web
processes no two wake somebody for the same piece. Whoever was woken may be gone, or may not serve that queue: when
fewer runs were claimed than agents were woken after a moment, the rest is said again, to twice as many others, with
pauses that double: of a hundred agents that wait for a pool one may serve the queue of a task. Whatever goes wrong with
that, an agent whose counter moved while it waited looks once when its wait is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections import defaultdict
from typing import Any

from redis.exceptions import RedisError

from runs.announcements import Announcements, announcements

COUNTER = "wake:"  # + pool id: how many words there were
TAKEN = "taken:"  # + pool id: how many runs were claimed
TICKETS = "tickets:"  # + a word's own id: how many of its wake-ups nobody has taken over yet
DUE = "due"  # a sorted set of "pool id|time" by time (s UTC)
DUE_NUMBERS = "due:numbers"  # of each of them: how many runs are due then
SEEN = "seen"  # a sorted set of agents by the time (s UTC) at which they came to wait
CHANNEL = "wake"
KEEP_SECONDS = 86_400 * 30
TICKETS_SECONDS = 60
LONGEST_PAUSE = 5.0
SECOND_THOUGHTS = 0.05  # seconds after which others are woken, if the first ones took nothing
TRIES = 6


def word(pipeline: Any, pool_id: str, number: int, tried: int = 0) -> None:
    """Say that there are `number` pieces of work in a pool, with a ticket for each."""
    id = os.urandom(8).hex()
    pipeline.set(TICKETS + id, number, ex=TICKETS_SECONDS)
    pipeline.publish(CHANNEL, json.dumps([pool_id, id, tried]))


class Waiters:
    """Those who wait in this process, by pool, longest first; and the clock that wakes when a planned time has come."""

    def __init__(self, heard: Announcements) -> None:
        self.redis = heard.client
        self.heard = heard
        self.of_pool: dict[str, dict[asyncio.Event, int]] = defaultdict(dict)  # each with the counter that it knows
        self.look_again = asyncio.Event()
        self._clock: asyncio.Task | None = None
        self._tasks: set[asyncio.Task] = set()
        heard.wake = self.hear

    # ── to wait ──

    async def counter(self, pool_id: str) -> int:
        """The pool's wake counter."""
        return int(await self.redis.get(COUNTER + pool_id) or 0)

    async def wait(self, pool_id: str, since: int, seconds: float) -> int:
        """The counter: at once if it is not `since`, else when this one is woken, or when the time is over."""
        self.heard.listen()
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._wake_in_time())
        event = asyncio.Event()
        self.of_pool[pool_id][event] = since  # Before the counter is read: a word may come in while that is under way.
        try:
            if (number := await self.counter(pool_id)) != since:
                return number
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
            return await self.counter(pool_id)
        finally:
            self._forget(pool_id, event)

    def _forget(self, pool_id: str, event: asyncio.Event) -> None:
        waiting = self.of_pool.get(pool_id, {})
        waiting.pop(event, None)
        if not waiting:
            self.of_pool.pop(pool_id, None)

    # ── to be woken ──

    def hear(self, message: str | None) -> None:
        """A word came in; an empty one: a time was planned; None: something may have been missed."""
        if message == "":
            self.look_again.set()
        elif message is None:
            for pool_id in list(self.of_pool):
                self._start(self._catch_up(pool_id))
        else:
            pool_id, id, tried = json.loads(message)
            if pool_id in self.of_pool:
                self._start(self._hand_out(pool_id, id, tried))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _catch_up(self, pool_id: str) -> None:
        """Wake those who wait for a counter that has moved."""
        with contextlib.suppress(RedisError, OSError):
            number = await self.counter(pool_id)
            for event, since in list(self.of_pool.get(pool_id, {}).items()):
                if since != number:
                    event.set()

    async def _hand_out(self, pool_id: str, id: str, tried: int) -> None:
        """Take tickets for those who wait here, wake as many, and see to it that the work was taken."""
        wanted = len(self.of_pool.get(pool_id, ()))
        try:
            left, taken = await self._take_tickets(pool_id, id, wanted)
            woken = self._wake_some(pool_id, max(0, min(wanted, left + wanted)))
            if woken and tried < TRIES:
                await asyncio.sleep(SECOND_THOUGHTS * 2**tried)
                await self._say_again(pool_id, woken, taken, tried + 1)
        except (RedisError, OSError):
            self._wake_some(pool_id, wanted)  # Nobody can be asked: too many are better than none.

    async def _take_tickets(self, pool_id: str, id: str, wanted: int) -> tuple[int, int]:
        """How many tickets are left (below zero: so many fewer were had), and what was claimed in the pool so far."""
        async with self.redis.pipeline(transaction=False) as pipeline:
            pipeline.decrby(TICKETS + id, wanted)
            pipeline.expire(TICKETS + id, TICKETS_SECONDS)
            pipeline.get(TAKEN + pool_id)
            left, _, taken = await pipeline.execute()
        return left, int(taken or 0)

    def _wake_some(self, pool_id: str, number: int) -> int:
        """Wake the first ones; the number of them. They are gone from the list at once, so nobody is woken twice."""
        waiting = self.of_pool.get(pool_id, {})
        chosen = list(waiting)[:number]
        for event in chosen:
            event.set()
            self._forget(pool_id, event)
        return len(chosen)

    async def _say_again(self, pool_id: str, woken: int, taken_before: int, tried: int) -> None:
        missing = woken - (int(await self.redis.get(TAKEN + pool_id) or 0) - taken_before)
        if missing > 0:
            async with self.redis.pipeline(transaction=False) as pipeline:
                word(pipeline, pool_id, 2 * missing, tried)
                await pipeline.execute()

    # ── planned times ──

    async def _wake_in_time(self) -> None:
        """Say the word for pools whose planned time has come. Of several processes one takes each time."""
        while self.of_pool:
            self.look_again.clear()
            try:
                pause = await self._take_due()
            except (RedisError, OSError):
                pause = 1.0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.look_again.wait(), pause)

    async def _take_due(self) -> float:
        for member, at in await self.redis.zrange(DUE, 0, 99, withscores=True):
            early = at - time.time()
            if early > 0:
                return min(early, LONGEST_PAUSE)
            if await self.redis.zrem(DUE, member):
                await self._say(member)
        return LONGEST_PAUSE

    async def _say(self, member: str) -> None:
        pool_id = member.partition("|")[0]
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.hget(DUE_NUMBERS, member)
            pipeline.hdel(DUE_NUMBERS, member)
            pipeline.incr(COUNTER + pool_id)
            pipeline.expire(COUNTER + pool_id, KEEP_SECONDS)
            number, *_ = await pipeline.execute()
            word(pipeline, pool_id, int(number or 1))
            await pipeline.execute()


_of_loop: dict[int, Waiters] = {}


def waiters() -> Waiters:
    """The ones of this event loop."""
    heard = announcements()
    if id(heard) not in _of_loop:
        _of_loop[id(heard)] = Waiters(heard)
    return _of_loop[id(heard)]
