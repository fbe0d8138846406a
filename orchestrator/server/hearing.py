"""A worker that hears nothing any more ends itself, and whoever looks after it starts another one.

After its connection to Redis was lost a Celery worker may connect again and yet never take a message (celery issues
8030 and 10205 describe it). It looks alive to everybody else, and all that the ticks do would wait for ever.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import redis
from celery import signals
from django.conf import settings

LOOK_EVERY = 5.0  # seconds
DEAF_AFTER = 60.0  # seconds in which there was something to hear
STOP_WITHIN = 10.0  # seconds that an orderly end may take
TIMEOUT = 5.0
TICKS = "ticks"
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Ear:
    """What one worker has heard. `waiting`: there is something to hear; `heard`: how many tasks so far; `busy`: now."""

    waiting: Callable[[], bool]
    heard: Callable[[], int]
    busy: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _since: float | None = None
    _count: int = 0

    def is_deaf(self) -> bool:
        """Whether it has heard nothing for a minute although it had nothing to do and there was something to hear."""
        count, former = self.heard(), self._count
        self._count = count
        if count != former or self.busy() or not self.waiting():
            self._since = None
            return False
        if self._since is None:
            self._since = self.clock()
        return self.clock() - self._since >= DEAF_AFTER


@signals.worker_ready.connect
def listen(sender: object, **_: object) -> None:
    """Look after this worker from a thread of its own."""
    from celery.worker import state

    queues = list(sender.app.amqp.queues.consume_from)  # type: ignore[attr-defined]
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    ear = Ear(
        waiting=lambda: something_waits(client, queues),
        heard=lambda: sum(state.total_count.values()),
        busy=lambda: bool(state.active_requests or state.reserved_requests),
    )
    threading.Thread(target=_watch, args=(ear,), name="hearing", daemon=True).start()


def something_waits(client: redis.Redis, queues: Collection[str]) -> bool:
    """Whether a worker of these queues would hear something if it could. A tick comes each second, or should."""
    try:
        return (TICKS in queues and bool(client.ping())) or any(client.llen(queue) for queue in queues)
    except redis.RedisError:
        return False


def _watch(ear: Ear) -> None:
    while not ear.is_deaf():
        time.sleep(LOOK_EVERY)
    logger.critical("This worker hears nothing any more, though Redis answers. It ends, to be started anew.")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_WITHIN)
    _end_beat()
    os._exit(os.EX_TEMPFAIL)


def _end_beat() -> None:
    """The beat within this worker, which nobody else would stop."""
    from billiard import active_children

    for child in active_children():
        child.terminate()
