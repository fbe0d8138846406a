"""What the code of a run waits for: slots of limits, and locks."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.causes import MOST, Cause, Code, Thing, call_of, cause, number
from runs.explain.reader import UNSEEN, Reader
from runs.models import FlowRun, NamedLimit, Slot
from runs.reads.limits import shown
from tenants.permissions import can

TOLD = 10  # asks of one run that are explained
HOLDERS = 3
LOOKED_AT = 30  # slots; a run may hold many of one limit


def slots_wanted(root: FlowRun, reader: Reader) -> list[Cause]:
    """The slots that the calls of an execution wait for, whoever has waited longest first."""
    own = Slot.objects.filter(run_id=root.id, held_at=None, workspace_id=root.workspace_id)
    waiting = list(own.order_by("asked_at", "place")[:TOLD])
    names = [slot.name for slot in waiting if slot.kind == Slot.Kind.LIMIT]
    found = NamedLimit.objects.filter(workspace_id=root.workspace_id, name__in=names) if names else ()
    limits = {limit.name: limit for limit in found}
    return [_waits(slot, limits.get(slot.name), reader) for slot in waiting]


def _waits(slot: Slot, limit: NamedLimit | None, reader: Reader) -> Cause:
    own = Slot.objects.filter(workspace_id=slot.workspace_id, kind=slot.kind, name=slot.name)
    held = own.filter(held_at__isnull=False).order_by("held_at", "id")
    holders = list(dict.fromkeys(_holders(list(held[:LOOKED_AT]), reader)))[:HOLDERS]
    ahead = own.filter(held_at=None, place__lt=slot.place)[:MOST].count()
    names = {"who": call_of(slot.label), "limit": slot.name, "before": number(ahead, "call")}
    if limit is None:
        return cause(Code.LOCK, since=slot.asked_at, things=holders, **names)
    seen = can(reader.by, "limits.view")
    things = [Thing("limit", limit.id, limit.name, f"limits/{limit.id}" if seen else ""), *holders]
    action = reader.may("limits.edit", limit, "Look at the limit", f"limits/{limit.id}")
    used = sum(held.values_list("occupy", flat=True)[:MOST])
    return cause(
        Code.SLOT, since=slot.asked_at, things=things, action=action, wanted=number(slot.occupy, "slot"), used=used,
        slots=limit.slots, **names,
    )  # fmt: skip


def _holders(slots: list[Slot], reader: Reader) -> Iterator[Thing]:
    for each in shown(slots, reader.by):
        if each.hidden:
            yield Thing("flow-run", None, UNSEEN)
        elif each.run:
            yield Thing("flow-run", each.run.id, each.run.name, f"runs/{each.run.id}")
        else:
            yield Thing("process", None, each.who)
