"""One thread that hears of all that the agent's processes do: words on their lines, output, births and ends."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable

Call = Callable[[], object]


class Watch:
    """Calls back when there is something to read. What is called must not block."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._asked: deque[Call] = deque()
        self._thread = threading.Thread(target=self._run, name="agent-watch", daemon=True)
        self._ended = False
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake)
        self._thread.start()

    def add(self, descriptor: int, call: Call) -> None:
        """Call whenever this descriptor has something to read, or has come to its end."""
        self._do(lambda: self._selector.register(descriptor, selectors.EVENT_READ, call))

    def remove(self, descriptor: int, then: Call | None = None) -> None:
        """Watch a descriptor no more; `then` may close it."""
        self._do(lambda: self._remove(descriptor, then))

    def close(self) -> None:
        """End the thread, when it has done what was asked before."""
        self._ended = True
        self._do(lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def _remove(self, descriptor: int, then: Call | None) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)
        if then is not None:
            then()

    def _do(self, call: Call) -> None:
        if threading.current_thread() is self._thread:
            call()
            return
        self._asked.append(call)
        with contextlib.suppress(OSError):
            self._waker.send(b"x")

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(1 << 12)
        self._do_what_was_asked()

    def _do_what_was_asked(self) -> None:
        while self._asked:
            self._asked.popleft()()

    def _run(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select():
                if key.fd in self._selector.get_map():  # Else removed by a call just before.
                    key.data()
        # The end may overtake what was asked before it. What hangs up there is all that tells a process to end.
        self._do_what_was_asked()
        self._selector.close()
        self._woken.close()
        self._waker.close()
