"""Waits for runs that other processes execute, a thousand by one request that the server holds until one has ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from orchestrator.client import shared
from orchestrator.config import Api
from orchestrator.exceptions import ApiError, Forbidden, NotFound, Unauthorized
from orchestrator.exchange import exchange_at, is_over

if TYPE_CHECKING:
    from orchestrator.background import BackgroundFuture

WAIT_SECONDS = 30.0  # that one request is held at the server
SHORT_SECONDS = 1.0  # where nobody else can ask for those that come meanwhile
MOST = 4  # threads
GATHER = 0.005  # seconds in which others come that are waited for
ANSWER_WITHIN = 15.0
MAX_OTHERS = 100  # asked about with those that are waited for
TOGETHER = 0.05  # seconds in which more of them may end, while none that is waited for has
PAUSE, LONGEST_PAUSE = 0.2, 10.0
KEY_REFUSALS = 3  # in a row: the key was revoked, and asking on would help nobody
HERE = 0.02  # seconds between two looks at an API of this process


class Watcher:
    """Those that are waited for, and the threads that ask for them: mostly one, more where others come meanwhile.

    Whoever waits for one of many calls waits for the next one soon, so they are asked about together.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._expected: dict[str, list[BackgroundFuture[Any]]] = {}
        self._new: list[str] = []  # nobody asks for them yet
        self._queued: WeakValueDictionary[str, BackgroundFuture[Any]] = WeakValueDictionary()  # here; not ended so far
        self._asking = 0  # threads
        self._gathering = False  # one of them is about to take the new ones

    def note(self, futures: Iterable[BackgroundFuture[Any]]) -> None:
        """These were queued by this process."""
        with self._lock:
            for future in futures:
                self._queued[future.run_id] = future

    def expect(self, future: BackgroundFuture[Any]) -> None:
        """Settle it as soon as its run has ended."""
        with self._lock:
            waiting = self._expected.setdefault(future.run_id, [])
            if not waiting:
                self._new.append(future.run_id)
            if not any(each is future for each in waiting):
                waiting.append(future)
            start = bool(self._new) and not self._gathering and self._asking < MOST
            self._asking += start
            self._gathering = self._gathering or start
        if start:
            threading.Thread(target=self._run, name="orchestrator-awaiting", daemon=True).start()

    def _run(self) -> None:
        time.sleep(GATHER)
        failures = refusals = 0
        own = self._more([])
        while own:
            try:
                told = self._ask(own)
            except ApiError as error:
                failures += 1
                refusals = refusals + 1 if isinstance(error, Unauthorized | Forbidden) else 0
                if refusals < KEY_REFUSALS and not is_over(self._api.url):
                    time.sleep(min(LONGEST_PAUSE, PAUSE * 2 ** min(failures, 10)))
                    continue
                over = self._give_up(own, error)
            else:
                over = self._settle(told["runs"])
                over |= self._give_up(told.get("unknown", ()), NotFound("There is no such flow run here."))
                if over and over.isdisjoint(own):
                    time.sleep(TOGETHER)
            failures = refusals = 0
            own = self._more([id for id in own if id not in over])

    def _more(self, own: list[str]) -> list[str]:
        """What a thread asks for next: its own and the new ones; by turns, if one request can't name them all."""
        from orchestrator.wire import MAX_AWAITED

        with self._lock:
            self._gathering = False
            # Another thread may have heard of some meanwhile.
            own, self._new = ([id for id in some if id in self._expected] for some in (own, self._new))
            if len(own) + len(self._new) > MAX_AWAITED:
                asked = self._new + own
                own, self._new = asked[:MAX_AWAITED], asked[MAX_AWAITED:]
            else:
                own, self._new = own + self._new, []
            self._asking -= not own
        return own

    def _ask(self, own: list[str]) -> dict[str, Any]:
        here = exchange_at(self._api.url) is not None
        held = 0.0 if here else SHORT_SECONDS if self._new or self._asking >= MOST else WAIT_SECONDS
        body = {"runs": own + self._others(MAX_OTHERS - len(own)), "seconds": held}
        told = shared(self._api).post("/flow-runs/wait", body, timeout=held + ANSWER_WITHIN)
        if here and not told["runs"]:
            time.sleep(HERE)
        return told

    def _others(self, number: int) -> list[str]:
        """The first ones that were queued here and are not waited for yet."""
        with self._lock:
            others = (id for id, each in self._queued.items() if id not in self._expected and not each._done)
            return list(islice(others, max(0, number)))

    def _settle(self, ended: list[dict[str, Any]]) -> set[str]:
        for run in ended:
            for future in self._taken(str(run["id"])):
                future._hear(run)
        return {str(run["id"]) for run in ended}

    def _give_up(self, ids: Iterable[str], error: ApiError) -> set[str]:
        """Nobody will hear of the end of these."""
        lost = set(map(str, ids))
        for id in lost:
            for future in self._taken(id):
                future.give_up(error)
        return lost

    def _taken(self, id: str) -> list[BackgroundFuture[Any]]:
        with self._lock:
            futures, queued = self._expected.pop(id, []), self._queued.pop(id, None)
        return futures if queued is None or any(each is queued for each in futures) else [*futures, queued]


_watchers: dict[Api, Watcher] = {}


def watcher_of(api: Api) -> Watcher:
    """The one of this process for an API."""
    return _watchers.get(api) or _watchers.setdefault(api, Watcher(api))


os.register_at_fork(after_in_child=_watchers.clear)
