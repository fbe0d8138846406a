"""All asks of this process for slots of one API: one thread tells the server, one waits for its word.

User threads put their asks here and wait. While a request is under way, others gather for the next one: so a thousand
waiters need two connections, and who gives slots back and takes others in the same moment needs one request. Requests
may be made twice: the ids of asks are made here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Iterable
from uuid import UUID

import msgspec

from orchestrator.chance import chance
from orchestrator.concurrency.asks import Ask
from orchestrator.config import Api
from orchestrator.exceptions import (
    ApiError,
    Forbidden,
    RateLimited,
    SlotError,
    SlotTimeout,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from orchestrator.ids import uuid7
from orchestrator.journal.transport import Transport
from orchestrator.slot_bodies import MAX_ASKS, AskInput, SlotAnswer, SlotsAnswer, SlotsInput, WaitAnswer

IDLE = 10.0  # seconds without anything to do after which the thread ends
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LENIENT_SECONDS = 5.0  # without an answer after which those go on that may
STRICT_SECONDS = 60.0  # after which the others give up
END_SECONDS = 2.0  # for what is to be given back at the end of the process
MAX_USED = 500  # names held or waited for at a time: the server takes twice as many in one exchange; others wait here
GATHER = 0.002  # seconds for which a lock that is given back waits for another one that is asked for
KEEP_SHARE = 3  # times that the server is told of what is held before it would be lost
WAIT_TIMEOUT = 75.0

_AWAY = (Unreachable, Unavailable, RateLimited)
_JSON = {"Content-Type": "application/json"}
_read_answer = msgspec.json.Decoder(SlotsAnswer).decode
_read_word = msgspec.json.Decoder(WaitAnswer).decode
_encode = msgspec.json.Encoder().encode


class Desk:
    """The asks of this process."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._session = uuid7()
        self._changed = threading.Condition()
        self._new: list[Ask] = []
        self._known: dict[UUID, Ask] = {}  # what the server has been told of
        self._release: list[UUID] = []
        self._release_by = 0.0  # when it is told, though nothing else is to be
        self._running = self._listening = False
        self._transport = Transport(api)
        self._seconds = 30.0  # for which the server lets us be silent
        self._kept_at = time.monotonic()
        self._heard_at = time.monotonic()
        self._failures = 0
        self._not_before = 0.0
        self._since = "0-0"
        atexit.register(self._at_exit)

    # User threads.

    def ask(self, ask: Ask) -> None:
        """Ask for slots. Wait for the ask, then give it back, whatever became of it."""
        with self._changed:
            ask.state = "sent"
            if not self._known and not self._new:
                self._kept_at = self._heard_at = time.monotonic()
            self._new.append(ask)
            self._wake()

    def give_back(self, ask: Ask) -> None:
        """Give slots back, or wait for them no more."""
        with self._changed:
            if ask in self._new:
                self._new.remove(ask)
            if self._known.pop(ask.id, None) is not None or ask.told:
                by = time.monotonic() + (GATHER if ask.kind == "lock" else 0.0)
                self._release_by = min(by, self._release_by) if self._release else by
                self._release.append(ask.id)
                self._wake()
        ask.settle("over")

    def _wake(self) -> None:
        if not self._running:
            threading.Thread(target=self._run, name="orchestrator-slots", daemon=True).start()
            self._running = True  # There may be no more threads to be had.
        self._changed.notify_all()

    # The thread that asks.

    def _run(self) -> None:
        while self._wait_for_work():
            self._exchange()
        self._transport.close()

    def _wait_for_work(self) -> bool:
        """Wait until there is something to tell; False when there was nothing for a while: the thread is over."""
        idle_until = time.monotonic() + IDLE
        with self._changed:
            while (seconds := self._due(time.monotonic(), idle_until)) > 0:
                self._changed.wait(seconds)
            if self._new or self._release or self._known:
                return True
            self._running = False
            return False

    def _due(self, now: float, idle_until: float) -> float:
        """Seconds until the next request, or until the thread ends."""
        if self._next():
            return self._not_before - now
        if self._release:
            return max(self._release_by, self._not_before) - now
        if self._known:
            return max(self._kept_at + self._seconds / KEEP_SHARE, self._not_before) - now
        return idle_until - now

    def _next(self) -> list[Ask]:
        """The asks that come next, in their order, as far as their names are few enough."""
        used = {name for ask in self._known.values() for name in ask.names} if self._new else set()
        for number, ask in enumerate(self._new[:MAX_ASKS]):
            used.update(ask.names)
            if len(used) > MAX_USED:
                return self._new[:number]
        return self._new[:MAX_ASKS]

    def _exchange(self) -> None:
        asks, told = self._take()
        try:
            answer = _read_answer(self._transport.request("POST", "/slots", _encode(told), _JSON))
        except _AWAY as error:
            self._try_again(asks, told.release, error)
        except Exception as error:  # Whatever it is: those who wait have to hear of it.
            self._refused(asks, error)
        else:
            self._apply(answer)

    def _take(self) -> tuple[list[Ask], SlotsInput]:
        """What is to be told now."""
        with self._changed:
            asks = self._next()
            del self._new[: len(asks)]
            release, self._release = self._release[:MAX_ASKS], self._release[MAX_ASKS:]
            keep = None
            if time.monotonic() >= self._kept_at + self._seconds / KEEP_SHARE:
                keep = [*self._known, *(ask.id for ask in asks)]
            self._known |= {ask.id: ask for ask in asks}
        for ask in asks:
            ask.told = True
        asked = [_input(ask) for ask in asks]
        return asks, SlotsInput(session=self._session, asks=asked, release=release, keep=keep)

    def _apply(self, answer: SlotsAnswer) -> None:
        self._failures, self._heard_at, self._not_before = 0, time.monotonic(), 0.0
        self._seconds = answer.seconds
        for id, told in answer.asks.items():
            if (ask := self._known.get(id)) is not None:
                self._settle(ask, told)
        self._grant(answer.granted)
        if answer.kept is not None:
            self._kept_at = time.monotonic()
            self._compare(set(answer.kept), set(answer.waiting or ()))
        self._listen()

    def _settle(self, ask: Ask, told: SlotAnswer) -> None:
        """Take the server's word on a new ask."""
        ask.unknown, ask.seconds = told.unknown, told.seconds
        if told.state == "waiting":
            return
        if told.state == "held" and (ask.kind == "rate" or len(set(told.unknown)) == len(set(ask.names))):
            self._drop([ask])  # It occupies nothing.
        elif told.state != "held":
            self._drop([ask])
            error = SlotTimeout() if told.state == "busy" else SlotError(told.message)
            ask.settle("over", error)
        ask.settle("held")

    def _grant(self, ids: Iterable[UUID]) -> None:
        for id in ids:
            if (ask := self._known.get(id)) is not None:
                ask.settle("held")

    def _compare(self, kept: set[UUID], waiting: set[UUID]) -> None:
        """What the server knows of us is the truth: of words that were lost, and of slots that were."""
        self._grant(kept)
        with self._changed:
            gone = [ask for id, ask in self._known.items() if id not in kept and id not in waiting]
            again = [ask for ask in gone if not ask.settled]
            self._new += again
        self._drop(gone)
        for ask in gone:
            ask.lose()

    def _drop(self, asks: Iterable[Ask]) -> None:
        with self._changed:
            for ask in asks:
                self._known.pop(ask.id, None)
            self._changed.notify_all()  # There may be room for others.

    # Errors.

    def _try_again(self, asks: list[Ask], release: list[UUID], error: ApiError) -> None:
        """Nobody answers. What was told may have arrived: it is told again, under the same ids."""
        with self._changed:
            self._new = [ask for ask in asks if ask.id in self._known] + self._new
            self._release = release + self._release
            for ask in self._new:
                self._known.pop(ask.id, None)
            self._failures += 1
        delay = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 10)) * chance.uniform(0.5, 1)
        self._not_before = time.monotonic() + max(delay, min(error.retry_after or 0.0, 30.0))
        self._give_up(error)

    def _give_up(self, error: ApiError) -> None:
        """Let those go on, or fail, who have waited long enough for a server that is away."""
        now = time.monotonic()
        with self._changed:
            waiting = [ask for ask in [*self._new, *self._known.values()] if not ask.settled]
        for ask in waiting:
            away = now - max(ask.asked_at, self._heard_at)
            if away >= (STRICT_SECONDS if ask.strict else LENIENT_SECONDS):
                self._abandon(ask)
                ask.unguarded = not ask.strict
                ask.settle("held" if ask.unguarded else "over", error if ask.strict else None)

    def _abandon(self, ask: Ask) -> None:
        with self._changed:
            if ask in self._new:
                self._new.remove(ask)
            self._known.pop(ask.id, None)
            self._release.append(ask.id)

    def _refused(self, asks: list[Ask], error: Exception) -> None:
        """The server has answered, and will not: asking again makes no sense."""
        if isinstance(error, Unauthorized | Forbidden):
            asks = self._forget_all(asks)  # Nothing will be heard of the others either.
        self._drop(asks)
        self._not_before, self._kept_at = time.monotonic() + FIRST_PAUSE, time.monotonic()
        refusal = error if isinstance(error, ApiError) else SlotError(f"The answer can't be read: {error!r}")
        for ask in asks:
            ask.lose()
            ask.settle("over", refusal)

    def _forget_all(self, asks: list[Ask]) -> list[Ask]:
        """Everything that the server was told of, or is to be."""
        with self._changed:
            known, self._known, new, self._new = self._known, {}, self._new, []
        return list({ask.id: ask for ask in [*asks, *known.values(), *new]}.values())

    # The thread that waits.

    def _listen(self) -> None:
        with self._changed:
            if not self._listening and self._waiting():
                self._listening = True
                threading.Thread(target=self._hear, name="orchestrator-slots-wait", daemon=True).start()

    def _waiting(self) -> bool:
        return any(not ask.settled for ask in self._known.values())

    def _hear(self) -> None:
        transport = Transport(self._api, WAIT_TIMEOUT)
        failures = 0
        while self._goes_on_listening():
            try:
                path = f"/slots/wait?session={self._session}&since={self._since}"
                word = _read_word(transport.request("GET", path))
            except (ApiError, msgspec.DecodeError):
                failures += 1
                time.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10)))
                self._keep_now()
            else:
                failures, self._since = 0, word.since
                self._grant(word.granted)
                self._lose(word.lost)
        transport.close()

    def _goes_on_listening(self) -> bool:
        with self._changed:
            self._listening = self._waiting()
            return self._listening

    def _keep_now(self) -> None:
        """Something may have been missed: ask how things stand."""
        with self._changed:
            self._kept_at = 0.0
            self._wake()

    def _lose(self, ids: Iterable[UUID]) -> None:
        gone = [ask for id in ids if (ask := self._known.get(id)) is not None]
        self._drop(gone)
        for ask in gone:
            ask.lose()

    # The end.

    def _at_exit(self) -> None:
        """Give back what is held. What can't be told in time runs out."""
        with self._changed:
            if not self._known and not self._release:
                return
            told = SlotsInput(session=self._session, release=self._release, keep=[])
        with contextlib.suppress(Exception):
            Transport(self._api, END_SECONDS).request("POST", "/slots", _encode(told), _JSON)

    def abandon(self) -> None:
        """In a forked child: what is held belongs to the parent."""
        atexit.unregister(self._at_exit)


def _input(ask: Ask) -> AskInput:
    return AskInput(
        id=ask.id, names=ask.names, kind=ask.kind, occupy=ask.occupy, within=ask.within, strict=ask.strict,
        label=ask.label, run=ask.run,
    )  # fmt: skip


_desks: dict[Api, Desk] = {}
_making = threading.Lock()


def desk_of(api: Api) -> Desk:
    """The one of this API."""
    with _making:
        found = _desks.get(api)
        if found is None:
            found = _desks[api] = Desk(api)
        return found


def _begin_anew() -> None:
    """In a forked child there are no such threads, and no slots."""
    global _making
    _making = threading.Lock()
    for desk in _desks.values():
        desk.abandon()
    _desks.clear()


os.register_at_fork(after_in_child=_begin_anew)
