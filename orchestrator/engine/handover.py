"""A life that another thread goes on with, when the thread that performs it is stuck in user code.

Between two steps of a life its generator stands still, so any thread may take the next one. The thread that was left
behind finds out when its effect is over after all, and does nothing more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.engine.drivers import Life, drive, throwable

if TYPE_CHECKING:
    from orchestrator.engine.run import Run


class Offer(Protocol):
    """Whoever can have a life gone on with."""

    life: Handover | None

    def go_on(self, rest: Callable[[], None]) -> None:
        """Perform the rest of the life in another thread."""
        ...


class LeftBehind(BaseException):
    """Raised in a thread whose work others have gone on with."""


class _Here(threading.local):
    offer: Offer | None = None
    life: Handover | None = None


_here = _Here()


def of(run: Run) -> Handover | None:
    """The life of this run, if this thread may be relieved of it."""
    life = _here.life
    return life if life is not None and life.run is run else None


def offer(offered: Offer) -> tuple[Offer | None, Handover | None]:
    """The next life of this thread may be handed over. Returns what was so before, for `restore`."""
    before = _here.offer, _here.life
    _here.offer, _here.life = offered, None
    return before


def restore(before: tuple[Offer | None, Handover | None]) -> None:
    """The offer is over."""
    _here.offer, _here.life = before


def perform(run: Run, life: Life) -> None:
    """Perform the life of a run in sync code; where that is offered, so that it may be handed over.

    Raises:
        LeftBehind: Another thread has gone on with it.
    """
    offered, _here.offer = _here.offer, None  # What is called within is this thread's own affair.
    if offered is None:
        drive(life)
        return
    offered.life = Handover(run, life, offered)
    offered.life.perform(partial(next, life))


class Handover:
    """One life, and whose turn it is."""

    def __init__(self, run: Run, life: Life, offered: Offer) -> None:
        self.run = run
        self._life = life
        self._offer = offered
        self._lock = threading.Lock()
        self._turn = 0
        self._in_effect = False

    def perform(self, step: Callable[[], Any]) -> None:
        """Go on from the next step, as `drive` does."""
        turn, _here.life = self._turn, self
        try:
            while True:
                effect = step()
                self._in_effect = True
                try:
                    step = partial(self._life.send, effect.run())
                except BaseException as error:
                    step = partial(self._life.throw, throwable(error))
                with self._lock:
                    if self._turn != turn:
                        raise LeftBehind
                    self._in_effect = False
        except StopIteration:
            return

    def leave_behind(self, error: BaseException) -> bool:
        """Have another thread go on, as if the present effect had raised `error`. False when there is none."""
        with self._lock:
            if not self._in_effect:
                return False
            self._turn += 1
            self._in_effect = False
        self._offer.go_on(partial(self.perform, partial(self._life.throw, error)))
        return True
