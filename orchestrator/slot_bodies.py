"""What a process and a server say to each other about slots of limits and locks. Shared by every server."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from orchestrator.bodies import MAX_LIMIT
from orchestrator.wire import MAX_NAME

MAX_ASKS = 1_000  # of one exchange, and slots given back by one
MAX_NAMES = 100  # that are asked for at once
MAX_SECONDS = 366 * 86_400
MAX_RATE = 1_000_000.0  # slots a second
MIN_RATE = 1e-6
TAG = "tag:"  # + a tag: the name of the limit of the task runs that carry it


class AskInput(msgspec.Struct, omit_defaults=True):
    """Slots that a process wants. `id` is made by it, so that asking twice takes once.

    `kind` is `limit`, `lock` (a name with one slot, which nobody has to make) or `rate` (a place in time of limits that
    give slots back by themselves). `within` is for how long it would wait, in seconds; 0: not at all. With `strict` a
    limit that is not there is an error; else it is no limit. `run` is the root run that it is for, if the process holds
    none by its token.
    """

    id: UUID
    names: list[str]
    kind: str = "limit"
    occupy: int = 1
    within: float | None = None
    strict: bool = False
    label: str = ""
    run: UUID | None = None


class SlotsInput(msgspec.Struct, omit_defaults=True):
    """What a process wants of limits and locks, in one go.

    `session` stands for the process. `release` are asks whose slots it gives back, or that it wants no more. `keep` are
    all that it holds or waits for, now and then: they live on, others of its session are let go of.
    """

    session: UUID
    asks: list[AskInput] = []
    release: list[UUID] = []
    keep: list[UUID] | None = None


class SlotAnswer(msgspec.Struct):
    """What became of one ask. `state` is `held`, `waiting`, `busy` (it would not wait, or not so long) or `refused`.

    `seconds`: of a rate: for how long its turn is still ahead. `unknown` are limits that are not there.
    """

    state: str
    seconds: float = 0.0
    unknown: list[str] = []
    code: str = ""
    message: str = ""


class SlotsAnswer(msgspec.Struct):
    """The answer to an exchange: what became of each ask, and of those that waited and have their slots now.

    `kept` and `waiting` answer `keep`: what is held, and what still waits. `seconds` is for how long a process may be
    silent.
    """

    seconds: float
    asks: dict[UUID, SlotAnswer] = {}
    granted: list[UUID] = []
    kept: list[UUID] | None = None
    waiting: list[UUID] | None = None


class WaitAnswer(msgspec.Struct):
    """What a process hears that waits: asks that have their slots now, those whose slots were taken away, and where to
    go on from.
    """

    since: str
    granted: list[UUID] = []
    lost: list[UUID] = []


class LimitInput(msgspec.Struct, forbid_unknown_fields=True):
    """What a limit is to be; what is left out stays, or is what it is by default. `rate` gives slots back by itself, so
    many a second; 0: none. One that is not `active` limits nothing.
    """

    slots: int | UnsetType = UNSET
    rate: float | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class TakeAwayInput(msgspec.Struct, forbid_unknown_fields=True):
    """Whose slots are taken away; of all holders where none is named."""

    id: UUID | None = None


def wrong_of_limit(name: str, told: LimitInput, *, is_new: bool) -> dict[str, str]:
    """What of a limit can't be taken, by field."""
    fields: dict[str, str] = {}
    if not 0 < len(name) <= MAX_NAME or name != name.strip() or name == TAG:
        fields["name"] = f"1 to {MAX_NAME} characters, without spaces around them."
    if told.slots is UNSET:
        if is_new:
            fields["slots"] = "How many at once?"
    elif not 0 <= told.slots <= MAX_LIMIT:
        fields["slots"] = f"0 to {MAX_LIMIT:,}; 0 lets nobody pass."
    if told.rate is not UNSET and told.rate != 0 and not MIN_RATE <= told.rate <= MAX_RATE:
        fields["rate"] = f"0 for none, or up to {MAX_RATE:,.0f} a second."
    return fields


class Asked(Protocol):
    """What can be looked at by `wrong_of_ask`: the body of a request, or what code asks for before it is one."""

    names: list[str]
    kind: str
    occupy: int
    within: float | None


def wrong_of_ask(ask: Asked) -> dict[str, str]:
    """What of an ask can't be taken, by field."""
    fields: dict[str, str] = {}
    if not 0 < len(set(ask.names)) <= MAX_NAMES or any(not 0 < len(name) <= MAX_NAME for name in ask.names):
        fields["names"] = f"1 to {MAX_NAMES} names of 1 to {MAX_NAME} characters."
    if ask.kind not in ("limit", "lock", "rate"):
        fields["kind"] = "limit, lock or rate."
    if not 0 < ask.occupy <= MAX_LIMIT or (ask.kind == "lock" and ask.occupy != 1):
        fields["occupy"] = f"1 to {MAX_LIMIT:,}; a lock has one."
    if ask.within is not None and not 0 <= ask.within <= MAX_SECONDS:
        fields["within"] = "0 s to 366 days."
    return fields
