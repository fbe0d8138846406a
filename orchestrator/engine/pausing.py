"""A flow run that waits for people: in its process, which is paused, or in none, when it is suspended.

A paused process tells what it asks and enters PAUSED, with all flows around the one that asks; an answer reaches it
through the doorbell. A suspended one tells the same as its last words; the next attempt comes to the same place, finds
the answer there, and goes on. What was answered once is never asked again, in whatever execution of the run.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator import clock
from orchestrator.engine.doorbell import Doorbell, Waiter
from orchestrator.engine.waiting import wait, wait_async
from orchestrator.exceptions import ApprovalRejected, FlowPauseTimeout, NotFound, PauseRefused, RunSuspended
from orchestrator.ids import uuid7
from orchestrator.journal.records import InputAsked, Resumed
from orchestrator.wire import MAX_KEY

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.engine.flow_run import FlowRun

GRACE = 15.0  # seconds
_lock = threading.Lock()


class Asked:
    """What a flow asks of people at one place.

    Args:
        key: The place within the run; numbered where none is given.
        timeout: Seconds; None for no end.
        schema: JSON Schema of the object that is wanted; None where nothing is, but to go on.
        quorum: How many have to approve; 0 where no approval is asked for.
    """

    def __init__(
        self,
        *,
        key: str | None = None,
        timeout: float | None = None,
        schema: dict[str, Any] | None = None,
        initial: dict[str, Any] | None = None,
        title: str = "",
        description: str = "",
        quorum: int = 0,
        roles: list[str] | None = None,
        teams: list[str] | None = None,
        link: str = "login",
    ) -> None:
        self.id = uuid7()
        self.key = self.own_key = key
        self.pause = "pause"
        self.timeout = timeout
        self.expires = None if timeout is None else clock.now() + int(timeout * 1_000_000)
        self.schema = schema
        self.initial = initial or {}
        self.title = title
        self.description = description
        self.quorum = quorum
        self.roles = roles or []
        self.teams = teams or []
        self.link = link

    @property
    def patience(self) -> float | None:
        """Seconds after which a process gives up by itself: the server says before that the time is over."""
        return None if self.timeout is None else self.timeout + GRACE

    @property
    def words(self) -> str:
        """What the state says."""
        what = "for an approval" if self.quorum else "for input" if self.schema else "until it is resumed"
        return self.title or f"Waits {what}."


def ask(run: FlowRun, asked: Asked) -> dict[str, Any] | None:
    """Wait for the answer in this thread; what was answered before is there at once.

    Raises:
        FlowPauseTimeout, ApprovalRejected: So it ended.
        RunSuspended: It is waited for without a process.
    """
    place(run, asked)
    known = _known(run, asked)
    if known is not None:
        return _answer_of(known)
    if asked.pause == "suspend":
        raise _suspended(run, asked)
    waiter = Waiter(lambda client: _ended(client, run, asked))
    with _paused(run, asked), bell_of(run).listening(waiter):
        return _answer_of(wait(run, waiter, asked.patience))


async def ask_async(run: FlowRun, asked: Asked) -> dict[str, Any] | None:
    """What `ask` does, for a coroutine."""
    import asyncio

    place(run, asked)
    known = await asyncio.to_thread(_known, run, asked)
    if known is not None:
        return _answer_of(known)
    if asked.pause == "suspend":
        raise _suspended(run, asked)
    waiter = Waiter(lambda client: _ended(client, run, asked))
    with _paused(run, asked), bell_of(run).listening(waiter):
        return _answer_of(await wait_async(waiter, asked.patience))


# ── where, and what is known already ─────────────────────────────────────────────────────────────


def place(run: FlowRun, asked: Asked) -> None:
    """Name the place where a flow asks, so that each execution of the run comes to the same name."""
    asked.own_key = asked.key or f"pause-{run.count('pause_flow_run()')}"
    asked.key = run.place + asked.own_key
    if len(asked.key) > MAX_KEY:
        import hashlib

        asked.key = f"{asked.key[: MAX_KEY - 20]}…{hashlib.sha256(asked.key.encode()).hexdigest()[:16]}"


def _known(run: FlowRun, asked: Asked) -> dict[str, Any] | None:
    """What was answered here before, in another execution or by the same key; None if nobody could have."""
    from orchestrator.client import Client

    places = run.root.stopping_state.places
    if run.root.attempt == 1 and run.root.run_count <= 1 and run.run_count <= 1 and asked.key not in places:
        places.add(asked.key)
        return None
    with Client() as client:
        told = _look_up(client, run, asked)
    return told if told is not None and told["state"] in {"answered", "rejected"} else None


def _look_up(client: Client, run: FlowRun, asked: Asked) -> dict[str, Any] | None:
    try:
        return client.get(f"/flow-runs/{run.root.id}/inputs/{quote(asked.key or '', safe='')}")
    except NotFound:
        return None


def _ended(client: Client, run: FlowRun, asked: Asked) -> dict[str, Any] | None:
    told = _look_up(client, run, asked)
    return told if told is not None and told["state"] != "waiting" else None


def _answer_of(told: dict[str, Any] | None) -> dict[str, Any] | None:
    if told is not None and told["state"] == "answered":
        return {"value": told["value"], "answers": told["answers"]}
    if told is not None and told["state"] == "rejected":
        last = told["answers"][-1]
        comment = f": {last['comment']}" if last["comment"] else "."
        raise ApprovalRejected(f"{last['actor']} rejected {told['title'] or 'it'}{comment}")
    raise FlowPauseTimeout("Nobody answered in time.")


# ── paused ───────────────────────────────────────────────────────────────────────────────────────


def bell_of(run: FlowRun) -> Doorbell:
    """The doorbell of the execution."""
    stopping = run.root.stopping_state
    with _lock:
        if stopping.bell is None:
            stopping.bell = Doorbell(run.root.id)
        return stopping.bell


@contextmanager
def _paused(run: FlowRun, asked: Asked) -> Generator[None]:
    """Tell what is asked, and be PAUSED meanwhile, with all flows around."""
    tell(run, asked)
    around = _around(run)
    with _lock:
        for each in around:
            each.waits += 1
            if each.waits == 1:
                each.pause(asked.words if each is run else f"{run.name} waits: {asked.words}")
    run.log.info("Flow run %r is paused: %s", run.name, asked.words)
    try:
        yield
    finally:
        stopping = run.root.stopping_state
        stopping.wishes += stopping.wish is not None
        stopping.wish = None
        with _lock:
            stopping.resumed += 1
            for each in reversed(around):
                each.waits -= 1
                if not each.waits:
                    each.go_on()
            tell_resumed(run, stopping.resumed)


def tell_resumed(run: FlowRun, number: int) -> None:
    """Have it noted when the server has heard that a pause is over."""
    if run.stream is not None:
        run.stream.put(Resumed(number))


def tell(run: FlowRun, asked: Asked) -> None:
    """Tell the server what is asked."""
    if run.stream is not None:
        run.stream.put(InputAsked(run, asked, clock.now()))


def _around(run: FlowRun) -> list[FlowRun]:
    """The run and the flows that have called it, up to the root."""
    found, each = [run], run.parent
    while each is not None:
        found.append(each)
        each = each.parent
    return found


# ── suspended ────────────────────────────────────────────────────────────────────────────────────


def _suspended(run: FlowRun, asked: Asked) -> RunSuspended:
    if not run.root.is_suspendable:
        raise PauseRefused(
            "This run was not started by an agent, so no agent could start it again: it can't be suspended. Call "
            "pause_flow_run, which waits in this process, or deploy the flow and run the deployment."
        )
    error = RunSuspended(asked.words)
    error.asked = (run, asked)
    return error


def tell_suspended(root: FlowRun, error: RunSuspended) -> None:
    """The last words of a suspended execution: what it asks, and its state."""
    if isinstance(error.asked, tuple):
        run, asked = error.asked
        tell(run, asked)
    root.log.info("Flow run %r is suspended: %s", root.name, root.message)
    root.report_end()


# ── asked from outside ───────────────────────────────────────────────────────────────────────────


def wished(root: FlowRun) -> Asked | None:
    """What somebody outside has asked for, if it can be done here: a run is suspended by its own thread alone."""
    stopping = root.stopping_state
    word = stopping.wish
    if word is None or (word == "suspend" and not stopping.is_own_thread):
        return None
    asked = Asked(key=f"asked-{root.attempt}-{root.run_count}-{stopping.wishes}")
    asked.pause = word
    return asked
