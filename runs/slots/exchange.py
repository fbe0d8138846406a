"""What a process asks of limits and locks, in one request and one transaction: slots back first, then slots wanted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils.timezone import now

from orchestrator.ids import uuid7
from orchestrator.slot_bodies import MAX_ASKS, AskInput, SlotAnswer, SlotsAnswer, SlotsInput, wrong_of_ask
from orchestrator.storable import clean_text
from runs import live
from runs.models import Slot
from runs.slots import rates, words
from runs.slots.queue import Key, Queues, Waiter, lock, slot_time
from runs.statements import Statement, raw_cursor
from tenants.errors import Invalid, Problem
from tenants.permissions import Actor

RATE = "rate"
MAX_SESSION = 20_000  # asks of one process
MAX_KEYS = 1_000  # names that it uses at once
Asked = tuple[AskInput, list[Key]]


def exchange(told: SlotsInput, *, by: Actor) -> SlotsAnswer:
    """Take slots back, keep what is kept, then give out what is free to those who have waited longest.

    Raises:
        Invalid: `fields` says which ask can't be taken; nothing has happened then.
    """
    assert by.workspace_id is not None
    _check(told)
    answer = SlotsAnswer(seconds=slot_time().total_seconds())
    asks = [_cleaned(ask) for ask in told.asks]
    keys = _names_of(told, by.workspace_id) | {(_kind(ask), name) for ask in asks for name in ask.names}
    if len(keys) > MAX_KEYS:
        raise Invalid(f"A process uses {MAX_KEYS:,} names at once at most.", fields={"asks": "Too many names."})
    if keys:
        _take(lock(by.workspace_id, keys, _changes(told, by.workspace_id)), asks, told, by, answer)
    if told.keep is not None:
        answer.kept, answer.waiting = _standing(told.session, by.workspace_id)
    return answer


def _check(told: SlotsInput) -> None:
    if max(len(told.asks), len(told.release), len(told.keep or ()) // (MAX_SESSION // MAX_ASKS)) > MAX_ASKS:
        raise Invalid(f"{MAX_ASKS:,} asks at once, {MAX_SESSION:,} of one process at most.")
    fields = {
        f"asks[{number}].{field}": text
        for number, ask in enumerate(told.asks)
        for field, text in wrong_of_ask(ask).items()
    }
    if fields:
        [(field, text), *_] = fields.items()
        raise Invalid(f"{field}: {text}", fields=fields)


def _cleaned(ask: AskInput) -> AskInput:
    ask.names = sorted({clean_text(name) for name in ask.names})
    return ask


def _kind(ask: AskInput) -> str:
    return Slot.Kind.LOCK.value if ask.kind == Slot.Kind.LOCK else Slot.Kind.LIMIT.value


# ── back ─────────────────────────────────────────────────────────────────────────────────────────

_OF_ASKS = """
    SELECT DISTINCT kind, name FROM slot
    WHERE workspace_id = %s AND session_id = %s AND (%s::bool OR ask = ANY(%s::uuid[]))
"""
_OWN = "s.kind = k.kind AND s.name = k.name AND s.workspace_id = %s AND s.session_id = %s"
_RELEASE = f"DELETE FROM slot s USING k WHERE {_OWN} AND s.ask = ANY(%s::uuid[])"
_LET_GO = f"DELETE FROM slot s USING k WHERE {_OWN} AND NOT s.ask = ANY(%s::uuid[])"
_KEEP = f"UPDATE slot s SET expires_at = %s FROM k WHERE {_OWN} AND s.expires_at IS NOT NULL"


def _names_of(told: SlotsInput, workspace_id: UUID) -> set[Key]:
    """The names of what is given back; of all that a process has, when it says what it keeps.

    So, should ever a word have been lost, or a holder of theirs have died, this is when it is noticed.
    """
    if not told.release and told.keep is None:
        return set()
    own = [workspace_id, told.session, told.keep is not None, told.release]
    with connection.wrap_database_errors:
        return set(raw_cursor().execute(_OF_ASKS, own).fetchall())


def _changes(told: SlotsInput, workspace_id: UUID) -> list[Statement]:
    """Give back; let what is kept live on, and be rid of what the process knows nothing of: its answer was lost."""
    own = [workspace_id, told.session]
    changes: list[Statement] = [(_RELEASE, [*own, told.release])] if told.release else []
    if told.keep is not None:
        changes += [(_LET_GO, [*own, told.keep]), (_KEEP, [now() + slot_time(), *own])]
    return changes


def _standing(session: UUID, workspace_id: UUID) -> tuple[list[UUID], list[UUID]]:
    """The asks of a process that hold their slots, and those that wait."""
    own = Slot.objects.filter(workspace_id=workspace_id, session_id=session)
    held: set[UUID] = set()
    waiting: set[UUID] = set()
    for ask, held_at in own.values_list("ask", "held_at"):
        (waiting if held_at is None else held).add(ask)
    return sorted(held), sorted(waiting)


# ── forth ────────────────────────────────────────────────────────────────────────────────────────


def _take(queues: Queues, asks: Sequence[AskInput], told: SlotsInput, by: Actor, answer: SlotsAnswer) -> None:
    queued = _placed(queues, asks, told, by, answer)
    granted = queues.grant()
    _tell_others(queues.workspace_id, granted, told.session)
    if any(kind == Slot.Kind.LIMIT for kind, _ in queues.names):
        live.changed(workspace_id=queues.workspace_id, what="limits")
    own = {waiter.ask for waiter in granted if waiter.session_id == told.session}
    new = {ask.id for ask, _ in queued}
    answer.granted = sorted(own - new)
    if queued:
        mine = Slot.objects.filter(workspace_id=queues.workspace_id, session_id=told.session)
        held = own | _held_before(mine, new - own)
        for ask, _ in queued:
            answer.asks[ask.id].state = "held" if ask.id in held else "waiting"
        _withdraw(mine, [ask.id for ask, _ in queued if ask.within == 0 and ask.id not in held], answer)


def _placed(queues: Queues, asks: Sequence[AskInput], told: SlotsInput, by: Actor, answer: SlotsAnswer) -> list[Asked]:
    """Note each ask; those of which it is to be seen what they come to. What is free, and waited for by nobody, is
    taken at once.
    """
    taken: list[Asked] = []
    queued: list[Asked] = []
    for ask in asks:
        answer.asks[ask.id], keys = _judge(queues, ask)
        if keys:
            is_free = not queued and queues.take(keys, ask.occupy)
            (taken if is_free else queued).append((ask, keys))
    written = _write(queues, taken, told, by, held=True)
    _write(queues, queued, told, by, held=False)
    for ask, _ in taken:
        answer.asks[ask.id].state = "held"
    # One that was not written was asked before, or its id is somebody else's.
    return [*queued, *(each for each in taken if each[0].id not in written)]


def _judge(queues: Queues, ask: AskInput) -> tuple[SlotAnswer, list[Key]]:
    """What can be said of an ask at once, and the names in whose queues it has to stand."""
    keys: list[Key] = [(_kind(ask), name) for name in ask.names]
    if ask.kind == Slot.Kind.LOCK:
        return SlotAnswer("waiting"), keys
    known = [key for key in keys if queues.names[key].limit_id]
    unknown = [name for kind, name in keys if (kind, name) not in known]
    if unknown and ask.strict:
        message = f"There is no limit {unknown[0]} in this workspace. Make it, or ask without strict=True."
        return SlotAnswer("refused", unknown=unknown, code="not_found", message=message), []
    if ask.kind == RATE:
        return _reserved(queues, ask, [name for _, name in known], unknown), []
    for key in known:
        if ask.occupy > queues.names[key].slots > 0:
            message = f"The limit {key[1]} has {queues.names[key].slots} slots: {ask.occupy} are never free."
            return SlotAnswer("refused", unknown=unknown, code="conflict", message=message), []
    return SlotAnswer("waiting" if known else "held", unknown=unknown), known


def _reserved(queues: Queues, ask: AskInput, known: list[str], unknown: list[str]) -> SlotAnswer:
    try:
        seconds = rates.reserve(queues.workspace_id, names=known, occupy=ask.occupy, within=ask.within)
    except Problem as problem:
        return SlotAnswer("refused", unknown=unknown, code=problem.code, message=problem.message)
    if seconds is None:
        return SlotAnswer("busy", unknown=unknown)
    return SlotAnswer("held", seconds=seconds, unknown=unknown)


_QUEUE = """
    INSERT INTO slot (organization_id, workspace_id, id, ask, kind, name, names, occupy, place, session_id, run_id,
        attempt, leased, label, asked_at, held_at, expires_at)
    SELECT %s::uuid, %s::uuid, n.id, n.ask, n.kind, n.name, n.names, n.occupy, n.place, %s::uuid, n.run_id, %s::int,
        %s::bool, n.label, %s::timestamptz, %s::timestamptz, %s::timestamptz
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::int[], %s::int[], %s::bigint[],
        %s::text[]) n (id, ask, run_id, kind, name, names, occupy, place, label)
    ON CONFLICT DO NOTHING RETURNING ask
"""


def _write(queues: Queues, asks: Sequence[Asked], told: SlotsInput, by: Actor, *, held: bool) -> set[UUID]:
    """Note asks that have taken their slots, or put them at the ends of their queues; those that were not known. What a
    run asks for with its own token lives and dies with its lease.
    """
    if not asks:
        return set()
    place = max(name.last for name in queues.names.values())
    leased = by.kind == "run"
    rows = [
        (
            uuid7(), ask.id, by.run_id if leased else ask.run, kind, name, len(keys), ask.occupy, place + number,
            clean_text(ask.label, 200),
        )
        for number, (ask, keys) in enumerate(asks, 1)
        for kind, name in keys
    ]  # fmt: skip
    if not held:
        for _, keys in asks:
            for key in keys:
                queues.names[key].last = place + len(asks)
    at: datetime = now()
    times = [at, at if held else None, None if held and leased else at + slot_time()]
    whose = [by.organization_id, by.workspace_id, told.session, by.attempt, leased, *times]
    with connection.wrap_database_errors:
        written = raw_cursor().execute(_QUEUE, [*whose, *(list(column) for column in zip(*rows, strict=True))])
        return {ask for (ask,) in written.fetchall()}


def _held_before(mine: QuerySet[Slot], asks: Collection[UUID]) -> set[UUID]:
    """Of asks that are waiting as far as we know: those that hold their slots, because they were asked twice."""
    if not asks:
        return set()
    return set(mine.filter(ask__in=list(asks), held_at__isnull=False).values_list("ask", flat=True))


def _withdraw(mine: QuerySet[Slot], asks: Collection[UUID], answer: SlotsAnswer) -> None:
    if asks:
        mine.filter(ask__in=list(asks)).delete()
        for ask in asks:
            answer.asks[ask].state = "busy"


def _tell_others(workspace_id: UUID, granted: Sequence[Waiter], session: UUID) -> None:
    others = [(waiter.session_id, waiter.ask) for waiter in granted if waiter.session_id != session]
    words.tell(workspace_id, granted=others)
