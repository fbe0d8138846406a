"""Waits for runs that other processes execute, a thousand by one request that the server holds until one has ended."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exceptions import ApiError
from orchestrator.exchange import exchange_at

if TYPE_CHECKING:
    from orchestrator.background import BackgroundFuture

WAIT_SECONDS = 30.0  # that one request is held at the server
SHORT_SECONDS = 1.0  # where nobody else can ask for those that come meanwhile
MOST = 4  # threads
GATHER = 0.005  # seconds in which others come that are waited for
ANSWER_WITHIN = 15.0
PAUSE, LONGEST_PAUSE = 0.2, 10.0
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
        failures, own = 0, self._more([])
        with Client(self._api, timeout=WAIT_SECONDS + ANSWER_WITHIN) as client:
            while own:
                try:
                    ended = self._ask(client, own)
                except ApiError:
                    failures += 1
                    time.sleep(min(LONGEST_PAUSE, PAUSE * 2**failures))
                    continue
                failures = 0
                self._settle(ended)
                over = {str(run["id"]) for run in ended}
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

    def _ask(self, client: Client, ids: list[str]) -> list[dict[str, Any]]:
        here = exchange_at(self._api.url) is not None
        held = 0.0 if here else SHORT_SECONDS if self._new or self._asking >= MOST else WAIT_SECONDS
        told = client.post("/flow-runs/wait", {"runs": ids, "seconds": held})
        if here and not told["runs"]:
            time.sleep(HERE)
        return told["runs"]

    def _settle(self, ended: list[dict[str, Any]]) -> None:
        for run in ended:
            with self._lock:
                futures = self._expected.pop(str(run["id"]), [])
            for future in futures:
                future._hear(run)


_watchers: dict[Api, Watcher] = {}


def watcher_of(api: Api) -> Watcher:
    """The one of this process for an API."""
    return _watchers.get(api) or _watchers.setdefault(api, Watcher(api))


os.register_at_fork(after_in_child=_watchers.clear)
