"""Messages to Redis leave this process by one thread: who commits waits for nobody.

Requests hand over what is to be sent; the thread sends all that has come meanwhile in one go. While Redis is away,
messages are lost and requests are not held up: the rows are committed, and who listens looks again (`runs/live.py`).
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
WAITING = 10_000  # messages at most; the oldest are lost first
AT_ONCE = 1_000
LAST_SECONDS = 2.0  # for what is left when the process ends

Fill = Callable[[Any], None]
"""Puts commands into a pipeline."""


@functools.cache
def client() -> redis.Redis:
    """This process's Redis client, for those who need an answer. Short timeouts."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


class Messenger:
    """A bounded queue and the thread that empties it, started by the first message (again after a fork)."""

    def __init__(self) -> None:
        self._waiting: deque[Fill] = deque(maxlen=WAITING)
        self._changed = threading.Condition()
        self._pid = 0
        self._sending = False
        self._away = False

    def send(self, fill: Fill) -> None:
        """Have commands sent soon. Never waits."""
        with self._changed:
            self._waiting.append(fill)
            if self._pid != os.getpid():
                self._start()
            self._changed.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything handed over so far was tried; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, timeout)

    def _start(self) -> None:
        self._pid, self._sending = os.getpid(), False
        threading.Thread(target=self._run, name="messenger", daemon=True).start()
        atexit.register(self.flush, LAST_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._sending = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                some = [self._waiting.popleft() for _ in range(min(len(self._waiting), AT_ONCE))]
                self._sending = True
            self._send(some)

    def _send(self, some: list[Fill]) -> None:
        try:
            with client().pipeline(transaction=False) as pipeline:
                for fill in some:
                    fill(pipeline)
                pipeline.execute()
        except (RedisError, OSError) as error:
            if not self._away:
                logger.warning("Redis is away; pages poll and agents look by themselves meanwhile: %s", error)
            self._away = True
        except Exception:  # Whatever it is: the thread is the only one, and has to go on.
            logger.exception("messages could not be sent")
        else:
            self._away = False


messenger = Messenger()
