"""Whose turn it is, for whom a slot is free, and what deployments cancel for which they have none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from orchestrator import clock
from orchestrator.states import By, StateType
from orchestrator.testing.memory.definitions import Deployment
from orchestrator.testing.memory.rows import Run
from orchestrator.testing.memory.states import move, settle
from orchestrator.testing.memory.store import Store

_UNDER_WAY = {StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING}


def has_room(store: Store, run: Run) -> bool:
    """Say whether a slot is free of each limit that the run counts against."""
    deployment = run.deployment
    assert deployment is not None
    held = [each for each in store.runs.values() if each.deployment is not None and store.held(each)]
    in_pool = [each for each in held if each.deployment and each.deployment.pool == deployment.pool]
    own = [each for each in held if each.deployment is deployment]
    counts = (
        (deployment.facts["concurrency_limit"], len(own)),
        (deployment.facts["key_slots"] if run.key else None, sum(each.key == run.key for each in own)),
        (store.pools[deployment.pool].limit, len(in_pool)),
        (store.queues[deployment.pool, run.queue].limit, sum(each.queue == run.queue for each in in_pool)),
    )
    return all(limit is None or taken < limit for limit, taken in counts)


def in_turn(store: Store, runs: Iterable[Run]) -> list[Run]:
    """Runs that are due in the order of their turns: by queue, priority and age; keys of a deployment take turns."""
    places: dict[tuple[str, int, Deployment | None], list[Run]] = defaultdict(list)
    for run in runs:
        if has_room(store, run):
            places[run.queue, run.priority, run.deployment].append(run)
    line = [each for place in places.values() for each in _take_turns(store, place)]
    priority = {queue.name: queue.priority for queue in store.queues.values()}
    return [run for *_, run in sorted(line, key=lambda each: (priority[each[3].queue], -each[3].priority, *each[:3]))]


def _take_turns(store: Store, place: list[Run]) -> list[tuple[int, int, str, Run]]:
    """Of one place each run with its turn. A key that has more under way, or before in the line, comes later."""
    counts: dict[str, int] = defaultdict(int)
    if len({run.key for run in place}) > 1:
        for run in store.runs.values():
            counts[run.key] += run.deployment is place[0].deployment and run.state_type in _UNDER_WAY
    fair: list[tuple[int, int, str, Run]] = []
    for run in sorted(place, key=lambda run: (run.due_at or 0, run.id)):
        counts[run.key] += 1
        fair.append((counts[run.key], run.due_at or 0, str(run.id), run))
    turn, line = 0, []
    for nth, (*_, run) in enumerate(sorted(fair, key=lambda each: each[:3])):
        turn = max(turn, run.due_at or 0)
        line.append((turn, nth, str(run.id), run))
    return line


# What a deployment has no slot for.


def cancel_surplus(store: Store, deployments: Iterable[Deployment]) -> None:
    """Cancel runs of these deployments that are too many, where they want that."""
    for deployment in deployments:
        facts = deployment.facts
        if facts["on_limit"] != "ENQUEUE":
            _cancel(store, deployment, facts["concurrency_limit"], "", lambda run: "")
            _cancel(store, deployment, facts["key_slots"], " of each key", lambda run: run.key or None)


def _cancel(
    store: Store, deployment: Deployment, slots: int | None, whose: str, group: Callable[[Run], str | None]
) -> None:
    if slots is None:
        return
    policy = deployment.facts["on_limit"]
    what = "A newer one came" if policy == "CANCEL_OLD" else "As many were there before it"
    why = f"{what}: the deployment has {slots} slot{'s' * (slots != 1)} for runs{whose}, and says {policy}."
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(store.runs.values(), key=lambda run: (run.scheduled_at or 0, run.id)):
        if run.deployment is deployment and _is_there(store, run) and (name := group(run)) is not None:
            groups[name].append(run)
    for alive in groups.values():
        for run in _surplus(store, alive, slots, policy):
            if run.state_name == "Unreachable" and run.lease is not None:
                run.lease.expires_at = min(run.lease.expires_at, clock.now() + store.lease_time)
            to = StateType.CANCELLING if run.is_held else StateType.CANCELLED
            if move(run, to, by=By.SERVER, message=why):
                settle(store, [run])


def _is_there(store: Store, run: Run) -> bool:
    due = run.state_type == StateType.SCHEDULED and run.due_at is not None and run.due_at <= clock.now()
    return due or store.held(run)


def _surplus(store: Store, alive: Sequence[Run], slots: int, policy: str) -> Sequence[Run]:
    """Which are too many, of runs in the order of their age."""
    if policy == "CANCEL_OLD":
        return alive[: max(len(alive) - slots, 0)]
    new = [run for run in alive if not store.held(run) and run.attempt == 0]
    return new[max(slots - (len(alive) - len(new)), 0) :]
