"""Slots of limits that code names, and locks: who holds them, and who waits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.slot_bodies import MAX_ASKS, MAX_SECONDS, AskInput, SlotAnswer, SlotsAnswer, SlotsInput, wrong_of_ask
from orchestrator.storable import clean_text
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.rows import Ask, Run
from orchestrator.testing.memory.store import Store

UNLIMITED = 1_000_000_000
SINCE = re.compile(r"([0-9]{1,20})-[0-9]{1,20}")

Key = tuple[str, str]


def exchange(store: Store, asked: Asked) -> SlotsAnswer:
    """Take slots back, keep what is kept, then give out what is free to those who have waited longest."""
    told = asked.read(SlotsInput)
    _check(told)
    answer = SlotsAnswer(seconds=store.lease_seconds / 2)
    mine = [ask for ask in store.asks.values() if ask.session == told.session]
    _forget(store, [ask for ask in mine if ask.id in set(told.release)])
    if told.keep is not None:
        _forget(store, [ask for ask in mine if ask.id not in set(told.keep)])
        for ask in mine:
            if ask.expires_at:
                ask.expires_at = clock.now() + store.lease_time // 2
    before = set(store.asks)
    for each in told.asks:
        answer.asks[each.id] = _judge(store, asked, told, each)
    granted = hand_on(store, to=told.session)
    answer.granted = sorted(granted & before)
    for each in told.asks:
        _conclude(store, each, answer)
    if told.keep is not None:
        own = [ask for ask in store.asks.values() if ask.session == told.session]
        answer.kept = sorted(ask.id for ask in own if ask.held_at)
        answer.waiting = sorted(ask.id for ask in own if not ask.held_at)
    return answer


def _check(told: SlotsInput) -> None:
    if len(told.asks) > MAX_ASKS or len(told.release) > MAX_ASKS:
        raise Refusal("invalid", f"{MAX_ASKS:,} asks at once at most.")
    fields = {f"asks[{n}].{name}": text for n, ask in enumerate(told.asks) for name, text in wrong_of_ask(ask).items()}
    if fields:
        [(field, text), *_] = fields.items()
        raise Refusal("invalid", f"{field}: {text}", fields)


def _judge(store: Store, asked: Asked, told: SlotsInput, ask: AskInput) -> SlotAnswer:
    """What can be said of an ask at once; it stands in its queues, if it has to."""
    names = sorted({clean_text(name) for name in ask.names})
    if ask.kind == "lock":
        return _queue(store, asked, told, ask, [("lock", name) for name in names])
    unknown = [name for name in names if name not in store.limits]
    known = [name for name in names if name in store.limits]
    if unknown and ask.strict:
        message = f"There is no limit {unknown[0]} in this workspace. Make it, or ask without strict=True."
        return SlotAnswer("refused", unknown=unknown, code="not_found", message=message)
    if ask.kind == "rate":
        return _reserve(store, ask, known, unknown)
    for limit in (store.limits[name] for name in known):
        if limit.active and ask.occupy > limit.slots > 0:
            message = f"The limit {limit.name} has {limit.slots} slots: {ask.occupy} are never free."
            return SlotAnswer("refused", unknown=unknown, code="conflict", message=message)
    if not known:
        return SlotAnswer("held", unknown=unknown)
    answer = _queue(store, asked, told, ask, [("limit", name) for name in known])
    answer.unknown = unknown
    return answer


def _queue(store: Store, asked: Asked, told: SlotsInput, ask: AskInput, keys: list[Key]) -> SlotAnswer:
    leased, at = asked.by.kind == "run", clock.now()
    run = asked.by.run_id if leased else ask.run
    label = clean_text(ask.label, 200)
    expires_at = at + store.lease_time // 2
    own = Ask(ask.id, keys, ask.occupy, told.session, run, asked.by.attempt, leased, label, at, expires_at)
    store.asks.setdefault(ask.id, own)
    return SlotAnswer("waiting")


def _conclude(store: Store, ask: AskInput, answer: SlotsAnswer) -> None:
    told, own = answer.asks[ask.id], store.asks.get(ask.id)
    if own is None or told.state != "waiting":
        return
    told.state = "held" if own.held_at else "waiting"
    if told.state == "waiting" and ask.within == 0:
        del store.asks[ask.id]
        told.state = "busy"


# Rates.


def _reserve(store: Store, ask: AskInput, known: list[str], unknown: list[str]) -> SlotAnswer:
    """A place in time, by the generic cell rate algorithm (ITU-T I.371)."""
    limits, at, turn = [store.limits[name] for name in known if store.limits[name].active], clock.now(), 0
    for limit in limits:
        if limit.rate <= 0:
            message = f"The limit {limit.name} gives no slots back by itself. Give it a rate, or use concurrency()."
            return SlotAnswer("refused", unknown=unknown, code="conflict", message=message)
        if ask.occupy > limit.slots:
            message = f"The limit {limit.name} has {limit.slots} slots: {ask.occupy} are never free."
            return SlotAnswer("refused", unknown=unknown, code="conflict", message=message)
        end = max(limit.reserved_until, at) + int(ask.occupy / limit.rate * 1_000_000)
        turn = max(turn, end - int(limit.slots / limit.rate * 1_000_000))
    seconds = max(0, turn - at) / 1_000_000
    if ask.within is not None and seconds > ask.within:
        return SlotAnswer("busy", unknown=unknown)
    if seconds > MAX_SECONDS:
        message = "So many wait for slots of this rate that the turn would come in more than a year."
        return SlotAnswer("refused", unknown=unknown, code="conflict", message=message)
    for limit in limits:
        begins = max(limit.reserved_until, at, turn)
        limit.reserved_until = begins + int(ask.occupy / limit.rate * 1_000_000)
    return SlotAnswer("held", seconds=seconds, unknown=unknown)


# To hand on.


def hand_on(store: Store, *, to: UUID | None = None) -> set[UUID]:
    """Clear who is dead, and give what is free to those who have waited longest; what was granted to one session.

    Everybody else is told.
    """
    _forget(store, [ask for ask in store.asks.values() if _is_dead(store, ask)])
    used = Counter[Key]()
    for ask in store.asks.values():
        used.update({key: ask.occupy for key in ask.keys if ask.held_at})
    own: set[UUID] = set()
    blocked: set[Key] = set()
    for ask in [each for each in store.asks.values() if not each.held_at]:
        if any(ask.occupy > _slots(store, key) for key in ask.keys):
            continue  # It stands aside until the limit is raised.
        if blocked.isdisjoint(ask.keys) and all(used[key] + ask.occupy <= _slots(store, key) for key in ask.keys):
            used.update(dict.fromkeys(ask.keys, ask.occupy))
            ask.held_at = clock.now()
            ask.expires_at = 0 if ask.leased else clock.now() + store.lease_time // 2
            if ask.session == to:
                own.add(ask.id)
            else:
                tell(store, ask, "granted")
        else:
            blocked.update(ask.keys)
    return own


def tell(store: Store, ask: Ask, word: str) -> None:
    """Write to a session's log that an ask was `granted`, or is `lost`."""
    store.slot_logs.setdefault(ask.session, []).append((word, ask.id))
    store.changed.notify_all()


def _slots(store: Store, key: Key) -> int:
    kind, name = key
    if kind == "lock":
        return 1
    limit = store.limits.get(name)
    return limit.slots if limit is not None and limit.active else UNLIMITED


def _is_dead(store: Store, ask: Ask) -> bool:
    if ask.expires_at:
        return ask.expires_at <= clock.now()
    run = store.runs.get(ask.run) if ask.run else None
    return run is None or not store.held(run) or run.lease is None or run.lease.attempt != ask.attempt


def _forget(store: Store, asks: Iterable[Ask]) -> None:
    for ask in asks:
        store.asks.pop(ask.id, None)


def free_run(store: Store, run: Run, *, leased_only: bool = False) -> None:
    """The holder of a run is gone: its slots are free, and it waits no more."""
    own = [ask for ask in store.asks.values() if ask.run == run.id and (ask.leased or not leased_only)]
    if own:
        _forget(store, own)
        hand_on(store)


# To wait.


def wait(store: Store, asked: Asked, tick: Any) -> dict[str, Any]:
    """Answer when there is something new in the log of a session, or after some time."""
    session = asked.uuid("session")
    if session is None:
        raise invalid("session is an id.", "session", "A UUID.")
    since = SINCE.fullmatch(asked.query.get("since", "0-0"))
    if since is None:
        raise invalid("since is what the last answer said.", "since", "Like 0-0.")
    known = int(since[1])
    store.changed.wait_for(lambda: _told(store, session, known, tick), store.wait_seconds)
    lines = store.slot_logs.get(session, [])[known:]
    told = {word: [id for each, id in lines if each == word] for word in ("granted", "lost")}
    return {"since": f"{known + len(lines)}-0", **told}


def _told(store: Store, session: UUID, known: int, tick: Any) -> bool:
    tick()
    return len(store.slot_logs.get(session, ())) > known
