"""What runs wait for: pause, suspend, resume, requests for people and their answers, messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from orchestrator import clock
from orchestrator.bodies import AnswerInput, MessageInput
from orchestrator.cleaned import asked_of
from orchestrator.states import WISHES, By, StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.testing.memory import runs
from orchestrator.testing.memory.asked import Asked, Refusal, invalid
from orchestrator.testing.memory.paging import newest
from orchestrator.testing.memory.rows import Given, Input, Message, Run
from orchestrator.testing.memory.shown import show_input, show_message, show_run_with_tasks
from orchestrator.testing.memory.states import move, settle
from orchestrator.testing.memory.store import Actor, Store
from orchestrator.wire import MAX_INPUT, MAX_KEY, InputRequest, encode

MAX_COMMENT = 2_000
MAX_MESSAGES = 10_000
PAGE = 100
LATE = "Nobody answered in time."
_NAMES = {word: name for name, word in WISHES.items()}


# What runs tell.


def write(store: Store, entry: InputRequest, *, run: UUID, root: Run, at: int, expires: int | None) -> bool:
    """Note what a run asks; False if it asks for what can't be asked."""
    from orchestrator.schema import SchemaRefusal, check_schema

    asked = asked_of(entry)
    if asked is None:
        return False
    try:
        check_schema(asked["schema"] or {})
    except SchemaRefusal:
        return False
    known = store.inputs.get((root.id, asked["key"]))
    if known is None:
        store.inputs[root.id, asked["key"]] = Input(
            entry.id, run, root.id, root.attempt, created_at=at, expires_at=expires, **asked
        )
    elif known.state in {"expired", "over"} or known.attempt < root.attempt:
        known.attempt, known.run, known.pause = root.attempt, run, asked["pause"]
        if known.state not in {"answered", "rejected"}:
            for name, value in {**asked, "expires_at": expires, "state": "waiting", "ended_at": None}.items():
                setattr(known, name, value)
    store.ring(root.id)
    return True


# Pause and suspend.


def pause(store: Store, asked: Asked) -> dict[str, Any]:
    """Ask a run to wait, in its process."""
    return _wish(store, asked, "pause")


def suspend(store: Store, asked: Asked) -> dict[str, Any]:
    """Ask a run to end its process until it is resumed."""
    return _wish(store, asked, "suspend")


def _wish(store: Store, asked: Asked, word: str) -> dict[str, Any]:
    run = runs.find(store, asked.id)
    root = store.runs[run.root_id]
    if word == "suspend" and root.is_local:
        raise Refusal("conflict", "This run was not started by an agent, so no agent could start it again.")
    if root.state_type == StateType.PAUSED or root.state_name == _NAMES[word]:
        raise Refusal("conflict", f"The run is {root.state_name} already.")
    if root.state_type != StateType.RUNNING or root.state_name == "Unreachable":
        raise Refusal("conflict", f"Only a run whose code runs can {word}; this one is {root.state_name}.")
    message = f"Asked to {word} by {asked.by.label}: it does so at its next call of a task or a flow."
    move(root, StateType.RUNNING, by=By.SERVER, name=_NAMES[word], message=message)
    return show_run_with_tasks(run)


# Answers.


def resume(store: Store, asked: Asked) -> dict[str, Any]:
    """Let a run go on that waits, with an answer if it asks for one."""
    told, run = asked.read(AnswerInput), runs.find(store, asked.id)
    root = store.runs[run.root_id]
    found = [each for each in store.inputs.values() if each.root == root.id and told.key in (None, each.key)]
    found = [each for each in found if is_open(store, each)]
    found = [each for each in found if each.run == run.id] or (found if run.is_root else [])
    if not found and told.key is None and root.state_type == StateType.PAUSED and not root.is_held:
        _go_on(store, root, f"Resumed by {asked.by.label}.")
        return show_run_with_tasks(run)
    if not found:
        raise Refusal("conflict", f"The run does not wait for an answer ({root.state_name}).")
    if len(found) > 1:
        raise Refusal("conflict", "The run waits for several things: name one by its key.")
    _answer(store, found[0], told, asked.by)
    return show_run_with_tasks(run)


def answer(store: Store, asked: Asked) -> dict[str, Any]:
    """Answer a request."""
    found = next((each for each in store.inputs.values() if each.id == asked.id), None)
    if found is None:
        raise Refusal("not_found", "There is no such request here.")
    told = asked.read(AnswerInput)
    if not is_open(store, found):
        raise Refusal("conflict", f"This was {found.state} already." if found.state != "waiting" else LATE)
    _answer(store, found, told, asked.by)
    return show_input(store, found)


def is_open(store: Store, each: Input) -> bool:
    """Whether an answer would still change anything."""
    late = each.expires_at is not None and each.expires_at <= clock.now()
    root = store.runs[each.root]
    return each.state == "waiting" and not late and not root.is_final and root.state_type != StateType.CANCELLING


def _answer(store: Store, each: Input, told: AnswerInput, by: Actor) -> None:
    if (each.quorum or each.roles or each.teams) and by.kind != "user":
        raise Refusal("forbidden", "A person is asked here: sign in, or use a key of your own.")
    if each.roles and by.role not in each.roles:
        raise Refusal("forbidden", "Others are asked here.")
    value = _checked(each, told)
    if each.quorum and any(given.by == by.label for given in each.answers):
        raise Refusal("conflict", "You have answered this already.")
    each.answers.append(Given(by.label, told.verdict, clean_text(told.comment.strip()), clock.now()))
    approvals = sum(given.verdict == "approve" for given in each.answers)
    if told.verdict != "reject" and approvals < each.quorum:
        return
    did = {"approve": "Approved", "reject": "Rejected"}.get(told.verdict, "Answered")
    each.value = value
    close(store, each, "rejected" if told.verdict == "reject" else "answered", f"{did} by {by.label}.")


def _checked(each: Input, told: AnswerInput) -> dict[str, Any] | None:
    from orchestrator.schema import SchemaRefusal, check_parameters

    if bool(each.quorum) == (told.verdict == "answer"):
        wanted = "approve or reject." if each.quorum else "answer."
        raise invalid("An approval is asked for." if each.quorum else "No approval is asked for.", "verdict", wanted)
    if len(told.comment) > MAX_COMMENT:
        raise invalid("The comment is too long.", "comment", f"{MAX_COMMENT:,} characters at most.")
    if each.schema is None and told.value:
        raise invalid("Nothing is asked for here.", "value", "Leave it out.")
    if each.schema is None or told.verdict == "reject":
        return None
    value = json_value({**each.initial, **(told.value or {})})
    if len(encode(value)) > MAX_INPUT:
        raise invalid("The answer is too large.", "value", f"{MAX_INPUT >> 10} KiB at most.")
    try:
        check_parameters(each.schema, value)
    except SchemaRefusal as refusal:
        raise Refusal("invalid", str(refusal), refusal.fields) from refusal
    return value


def close(store: Store, each: Input, state: str, message: str) -> None:
    """End a request, and let its run go on or end."""
    each.state, each.ended_at = state, clock.now()
    _conclude(store, store.runs[each.root], state, message)
    store.ring(each.root)


def _conclude(store: Store, root: Run, state: str, message: str) -> None:
    if root.state_type != StateType.PAUSED or root.is_held:
        return
    if state == "answered":
        _go_on(store, root, message)
    else:
        name = "Rejected" if state == "rejected" else "PauseTimedOut"
        move(root, StateType.FAILED, by=By.SERVER, name=name, message=message)
        settle(store, [root])


def was_suspended(store: Store, root: Run) -> None:
    """A run has just told that it is suspended. If what it waits for has ended meanwhile, nobody would let it go on."""
    asked = [each for each in store.inputs.values() if each.root == root.id and each.attempt == root.attempt]
    own = [each for each in asked if each.pause == "suspend"]
    if own and own[-1].state != "waiting":
        _conclude(store, root, own[-1].state, f"This was {own[-1].state} before the run was suspended.")


def _go_on(store: Store, root: Run, message: str) -> None:
    move(root, StateType.SCHEDULED, by=By.SERVER, name="Resuming", message=message, due_at=clock.now())
    settle(store, [root])


def expire(store: Store) -> None:
    """End what runs have waited for in vain."""
    at = clock.now()
    for each in list(store.inputs.values()):
        if each.state == "waiting" and each.expires_at is not None and each.expires_at < at:
            close(store, each, "over" if store.runs[each.root].is_final else "expired", LATE)


# Read.


def waiting(store: Store, asked: Asked) -> dict[str, Any]:
    """What the runs wait for, the newest first."""
    return _page(store, asked, lambda each: is_open(store, each))


def of_run(store: Store, asked: Asked) -> dict[str, Any]:
    """What a run asked so far, the newest first."""
    run = runs.find(store, asked.id)
    return _page(store, asked, lambda each: run.id in (each.run, each.root))


def _page(store: Store, asked: Asked, wanted: Callable[[Input], bool]) -> dict[str, Any]:
    rows, cursor = newest([each for each in store.inputs.values() if wanted(each)], asked, "created_at")
    return {"items": [show_input(store, each) for each in rows], "next": cursor}


def of_key(store: Store, asked: Asked) -> dict[str, Any]:
    """What a run asked at one place, and what came of it."""
    run = runs.find(store, asked.id)
    found = store.inputs.get((run.root_id, asked.names["key"]))
    if found is None or (found.run != run.id and not run.is_root):
        raise Refusal("not_found", "The run has not asked for that.")
    return show_input(store, found)


# Messages.


def send(store: Store, asked: Asked) -> tuple[dict[str, Any], int]:
    """Put a message into a run's mailbox."""
    run, told = runs.find(store, asked.id), asked.read(MessageInput)
    if not 0 < len(told.key) <= MAX_KEY:
        raise invalid("A message needs a key.", "key", f"1 to {MAX_KEY} characters.")
    value = json_value(told.value)
    if len(encode(value)) > MAX_INPUT:
        raise invalid("The message is too large.", "value", f"{MAX_INPUT >> 10} KiB of JSON at most.")
    if run.is_final or store.runs[run.root_id].is_final:
        raise Refusal("conflict", f"The run has ended already ({run.state_name}): nobody would read it.")
    if len(run.messages) >= MAX_MESSAGES:
        raise Refusal("conflict", f"The run was sent {MAX_MESSAGES:,} messages: no more can be taken.")
    sender = clean_text(told.sender, 254) or (f"flow-run.{asked.by.run_id}" if asked.by.run_id else asked.by.label)
    message = Message(len(run.messages) + 1, clean_text(told.key), sender, value, clock.now())
    run.messages.append(message)
    store.ring(run.root_id)
    return show_message(message), 201


def messages(store: Store, asked: Asked) -> dict[str, Any]:
    """Messages after a number, oldest first; of one kind with `key`."""
    run, after, key = runs.find(store, asked.id), asked.number("after", 0), asked.query.get("key", "")
    found = [each for each in run.messages if each.number > after and key in ("", each.key)][: asked.limit(PAGE)]
    return {"items": [show_message(each) for each in found], "next": found[-1].number if found else after}


def wait(store: Store, asked: Asked, tick: Any) -> dict[str, Any]:
    """Answer when something has come for the run's execution since the counter was `since`, or after some time."""
    since = asked.query.get("since", "-1")
    if not since.lstrip("-").isdecimal() or len(since) > 19:
        raise invalid("since is a whole number.", "since", "A whole number.")
    root = runs.find(store, asked.id).root_id

    def moved() -> bool:
        tick()
        return store.bells.get(root, 0) != int(since)

    store.changed.wait_for(moved, store.wait_seconds)
    return {"since": store.bells.get(root, 0)}
