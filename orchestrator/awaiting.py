"""Waits for runs that other processes execute, a thousand by one request that the server holds until one has ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exceptions import ApiError, Forbidden, NotFound, Unauthorized
from orchestrator.exchange import exchange_at

if TYPE_CHECKING:
    from orchestrator.background import BackgroundFuture

WAIT_SECONDS = 30.0  # that one request is held at the server
SHORT_SECONDS = 1.0  # where nobody else can ask for those that come meanwhile
MOST = 4  # threads
GATHER = 0.005  # seconds in which others come that are waited for
ANSWER_WITHIN = 15.0
PAUSE, LONGEST_PAUSE = 0.2, 10.0
KEY_REFUSALS = 3  # in a row: the key was revoked, and asking on would help nobody
HERE = 0.02  # seconds between two looks at an API of this process


class Watcher:
    """Those that are waited for, and the threads that ask for them: mostly one, more where others come meanwhile."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._expected: dict[str, list[BackgroundFuture[Any]]] = {}
        self._new: list[str] = []  # nobody asks for them yet
        self._asking = 0  # threads
        self._gathering = False  # one of them is about to take the new ones

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
        with Client(self._api, timeout=WAIT_SECONDS + ANSWER_WITHIN) as client:
            while own:
                try:
                    told = self._ask(client, own)
                except ApiError as error:
                    failures += 1
                    refusals = refusals + 1 if isinstance(error, Unauthorized | Forbidden) else 0
                    if refusals < KEY_REFUSALS:
                        time.sleep(min(LONGEST_PAUSE, PAUSE * 2**failures))
                        continue
                    over = self._give_up(own, error)
                else:
                    over = self._settle(told["runs"])
                    over |= self._give_up(told.get("unknown", ()), NotFound("There is no such flow run here."))
                failures = refusals = 0
                own = self._more([id for id in own if id not in over])

    def _more(self, own: list[str]) -> list[str]:
        """What a thread asks for next: its own and the new ones; by turns, if one request can't name them all."""
        from orchestrator.wire import MAX_AWAITED

        with self._lock:
            self._gathering = False
            if len(own) + len(self._new) > MAX_AWAITED:
                asked = self._new + own
                own, self._new = asked[:MAX_AWAITED], asked[MAX_AWAITED:]
            else:
                own, self._new = own + self._new, []
            self._asking -= not own
        return own

    def _ask(self, client: Client, ids: list[str]) -> dict[str, Any]:
        here = exchange_at(self._api.url) is not None
        held = 0.0 if here else SHORT_SECONDS if self._new or self._asking >= MOST else WAIT_SECONDS
        told = client.post("/flow-runs/wait", {"runs": ids, "seconds": held})
        if here and not told["runs"]:
            time.sleep(HERE)
        return told

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
            return self._expected.pop(id, [])


_watchers: dict[Api, Watcher] = {}


def watcher_of(api: Api) -> Watcher:
    """The one of this process for an API."""
    return _watchers.get(api) or _watchers.setdefault(api, Watcher(api))


os.register_at_fork(after_in_child=_watchers.clear)
