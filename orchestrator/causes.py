"""Why a run waits: the causes that there are, and how each is said. Shared by every server."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

MOST = 10_000  # Beyond, nobody counts who goes before a run.


class Code(StrEnum):
    """What keeps a run waiting."""

    PART_OF = "part_of"  # It lives in the process of its root.
    NOT_DUE = "not_due"
    DEBOUNCED = "debounced"  # Triggers are gathered.
    RETRY_DELAY = "retry_delay"
    GIVEN_BACK = "given_back"  # It was claimed in vain, and waits a moment.
    TOO_LATE = "too_late"  # Its schedule gives it up.
    POOL_PAUSED = "pool_paused"
    QUEUE_PAUSED = "queue_paused"
    NO_AGENT = "no_agent"  # The pool never had one.
    AGENTS_LOST = "agents_lost"
    NOT_SERVED = "not_served"  # The process that served its deployment or task is gone.
    QUEUE_NOT_SERVED = "queue_not_served"
    OTHER_PYTHON = "other_python"
    POOL_LIMIT = "pool_limit"
    QUEUE_LIMIT = "queue_limit"
    DEPLOYMENT_LIMIT = "deployment_limit"
    KEY_LIMIT = "key_limit"
    ORGANIZATION_LIMIT = "organization_limit"
    AGENTS_BUSY = "agents_busy"
    NEXT_CLAIM = "next_claim"  # Nothing holds it back.
    STARTING = "starting"
    AGENT_SILENT = "agent_silent"  # Whoever claimed it is not heard of.
    UNREACHABLE = "unreachable"
    SLOT = "slot"
    LOCK = "lock"
    PAUSING = "pausing"
    ASKED = "asked"  # People have to say something.
    CANCELLING = "cancelling"


PARTED = frozenset({Code.NOT_SERVED, Code.QUEUE_NOT_SERVED, Code.OTHER_PYTHON, Code.NO_AGENT, Code.AGENTS_LOST})
"""Nobody who is there takes the run: whether a slot is free somewhere says nothing."""

LEASED = frozenset({
    Code.POOL_LIMIT, Code.QUEUE_LIMIT, Code.DEPLOYMENT_LIMIT, Code.KEY_LIMIT, Code.ORGANIZATION_LIMIT, Code.STARTING,
    Code.CANCELLING,
})  # fmt: skip
"""Of these `until` is the end of a lease, which whoever holds it moves on for as long as they are heard of."""

STUCK = PARTED | {Code.POOL_PAUSED, Code.QUEUE_PAUSED}
"""With one of these nothing moves until somebody does something."""

WORDS: dict[Code, tuple[str, str]] = {
    Code.PART_OF: ("It is executed by the process of {root}, which waits.", "See what that run waits for."),
    Code.NOT_DUE: ("Its time has not come.", "Wait, or run it now by another run."),
    Code.DEBOUNCED: (
        "Debounced until {quiet} UTC, and {latest} at the latest: so far {triggers} became this run.",
        "Wait. Another trigger postpones it.",
    ),
    Code.RETRY_DELAY: ("Its last execution failed; the next one waits out the delay.", "Wait."),
    Code.GIVEN_BACK: (
        "It was claimed {times} without reaching the flow, and is given out again after a moment.",
        "Read the log of the agent that had it: the third such claim ends the run.",
    ),
    Code.TOO_LATE: (
        "It was to start by {by} UTC or not at all, and is given up in a moment.",
        "Run it once more if it is needed all the same.",
    ),
    Code.POOL_PAUSED: ("{pool} is paused{by}.", "Resume the pool."),
    Code.QUEUE_PAUSED: ("The queue {queue} of {pool} is paused{by}.", "Resume the queue."),
    Code.NO_AGENT: ("No agent was ever started for {pool}.", "Start one: {command}"),
    Code.AGENTS_LOST: ("No agent of {pool} is heard of; the last one was {agent}.", "Start one: {command}"),
    Code.NOT_SERVED: ("Only a process that serves it takes its runs, and none is there.", "Start that process again."),
    Code.QUEUE_NOT_SERVED: (
        "No connected agent of {pool} takes runs of the queue {queue}.",
        "Start one that does: {command}",
    ),
    Code.OTHER_PYTHON: (
        "Its code is pickled for Python {python}; the agents have {found}.",
        "Start an agent with Python {python}, or deploy the flow from the agents' Python.",
    ),
    Code.POOL_LIMIT: (
        "{pool} runs {slots} at once, and {used} under way.",
        "Wait for one to end, or raise the pool's limit.",
    ),
    Code.QUEUE_LIMIT: (
        "The queue {queue} of {pool} runs {slots} at once, and {used} under way.",
        "Wait for one to end, or raise the queue's limit.",
    ),
    Code.DEPLOYMENT_LIMIT: (
        "The deployment {deployment} runs {slots} at once, and {used} under way.",
        "Wait for one to end, or deploy it with a higher concurrency limit.",
    ),
    Code.KEY_LIMIT: (
        "The deployment {deployment} runs {slots} of the key {key} at once, and {used} under way.",
        "Wait for one to end, or give the deployment's keys more slots.",
    ),
    Code.ORGANIZATION_LIMIT: (
        "The organization runs {slots} at once, and {used} under way.",
        "Wait for one to end, or have the organization's limit raised.",
    ),
    Code.AGENTS_BUSY: (
        "All {slots} of the connected agents that could take it are used.",
        "Wait for one to end, or start another agent: {command}",
    ),
    Code.NEXT_CLAIM: ("Nothing holds it back: an agent has a free slot, and is about to claim it.", "Wait a moment."),
    Code.STARTING: (
        "{agent} has claimed it, and makes its process ready: the code is fetched and imported.",
        "If that takes long, read the agent's log.",
    ),
    Code.AGENT_SILENT: (
        "{agent} has claimed it, and is not heard of since.",
        "See whether the agent runs. When the claim runs out, the run goes back to its queue.",
    ),
    Code.UNREACHABLE: (
        "{agent} is not heard of. The run may still be going on, and be heard of again until its time is over.",
        "See whether the machine runs and reaches the server.",
    ),
    Code.SLOT: (
        "{who} waits for {wanted} of the limit {limit}: {used} of {slots} are held, {before} before it.",
        "Wait, raise the limit, or take a slot away from a holder that is stuck.",
    ),
    Code.LOCK: ("{who} waits for the lock {limit}, with {before} before it.", "Wait for its holder."),
    Code.PAUSING: ("It was asked to pause, and does so at its next call of a task or a flow.", "Wait."),
    Code.ASKED: ("{whom} asked: {what}.", "Answer it."),
    Code.CANCELLING: (
        "{agent} was told to stop it, and has not said that it has.",
        "Wait: when nothing is heard for the time of a lease, the run is cancelled all the same.",
    ),
}


class Thing(Struct, frozen=True):
    """What a cause names: `path` is its page within the workspace; empty where there is none, or not for the reader."""

    kind: str
    id: UUID | None
    name: str
    path: str = ""


class Action(Struct, frozen=True):
    """What the reader may do about a cause: on a page within the workspace, or at once by an empty form to `form`."""

    label: str
    page: str
    form: str = ""


class Cause(Struct, frozen=True, kw_only=True):
    """One reason why a run waits: since when, until when (see `LEASED`), what it names, what can be done."""

    code: Code
    text: str
    todo: str
    since: datetime | None = None
    until: datetime | None = None
    things: Sequence[Thing] = ()
    action: Action | None = None

    @property
    def is_leased(self) -> bool:
        """Whether `until` moves on while its holder is heard of."""
        return self.code in LEASED


def cause(
    code: Code,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    things: Sequence[Thing] = (),
    action: Action | None = None,
    **facts: Any,
) -> Cause:
    """A cause in words; `facts` fill the places of its sentences.

    >>> cause(Code.POOL_PAUSED, pool="The work pool gpu", by=" by bob@acme.example").text
    'The work pool gpu is paused by bob@acme.example.'
    """
    text, todo = (sentence.format_map(facts) for sentence in WORDS[code])
    text = text[:1].upper() + text[1:]
    return Cause(code=code, text=text, todo=todo, since=since, until=until, things=things, action=action)


def call_of(task: str) -> str:
    """Whose call of a limit or a lock it is, for the begin of a sentence.

    >>> call_of("load-3"), call_of("")
    ('The task load-3', 'Its code')
    """
    return f"The task {task}" if task else "Its code"


def number(count: int, one: str, many: str = "") -> str:
    """A count and its noun.

    >>> number(1, "slot"), number(1200, "slot")
    ('1 slot', '1,200 slots')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def under_way(count: int) -> str:
    """How many runs hold slots.

    >>> under_way(1), under_way(2)
    ('1 is', '2 are')
    """
    return f"{count:,} {'is' if count == 1 else 'are'}"


def times(count: int) -> str:
    """How often.

    >>> times(1), times(2)
    ('once', '2 times')
    """
    return "once" if count == 1 else f"{count} times"


def start_command(pool: str, queue: str = "") -> str:
    """How an agent is started for a pool, and for one of its queues.

    >>> start_command("two words", "gpu")
    "orchestrator agent start --pool 'two words' --queue gpu"
    """
    return shlex.join(["orchestrator", "agent", "start", "--pool", pool, *(["--queue", queue] if queue else [])])


def debounced(until: datetime, latest: datetime, triggers: int) -> Cause:
    """Why a run waits that gathers triggers.

    >>> print(debounced(datetime(2026, 1, 1, 12), datetime(2026, 1, 1, 12, 5), 3).text)
    Debounced until 12:00:00 UTC, and 12:05:00 at the latest: so far 3 triggers became this run.
    """
    quiet, last = _clock(until, until), _clock(latest, until)
    return cause(Code.DEBOUNCED, until=until, quiet=quiet, latest=last, triggers=number(triggers, "trigger"))


def _clock(moment: datetime, beside: datetime) -> str:
    day = "" if moment.date() == beside.date() else f"{moment:%Y-%m-%d} "
    return f"{day}{moment:%H:%M:%S}"


def asked_words(
    *, title: str, schema: object, quorum: int, roles: Sequence[str], teams: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """What a run asks of whom: the name of the button that answers, and the facts of the sentence.

    >>> asked_words(title="Pay 40 €", schema=None, quorum=2, roles=["owner"], teams=["Finance"])
    ('Approve or reject', {'whom': 'the role owner and the team Finance are', 'what': 'Pay 40 € (2 approvals wanted)'})
    """
    whom = [*(f"the role {role}" for role in roles), *(f"the team {team}" for team in teams)]
    named = f"{' and '.join(whom)} {'are' if len(whom) > 1 else 'is'}" if whom else "whoever may answer is"
    if quorum:
        label, what = "Approve or reject", f"{title or 'an approval'} ({number(quorum, 'approval')} wanted)"
    elif schema:
        label, what = "Answer", title or "input"
    else:
        label, what = "Resume", title or "to let it go on"
    return label, {"whom": named, "what": what}


def pace(before: int, started: int, seconds: float, whose: str) -> tuple[timedelta | None, str]:
    """How long a run waits behind `before` others, when so many were started in the last `seconds`; and why so.

    >>> pace(2, 10, 600.0, "its pool")
    (datetime.timedelta(seconds=180), 'Runs of its pool were started at 1.0 a minute lately.')
    """
    if before >= MOST:
        return None, "Unknown: too many wait."
    if started < 2:
        return None, f"Unknown: too few runs of {whose} were started lately."
    each = max(seconds, 1.0) / started
    rate = f"{60 / each:,.0f}" if each <= 6 else f"{60 / each:.1f}"
    return timedelta(seconds=each * (before + 1)), f"Runs of {whose} were started at {rate} a minute lately."


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a run waits: the causes, the one that decides first; empty for one that doesn't wait.

    `before` is how many due runs of its pool are claimed before it, MOST at most; None where it stands in no queue.
    `expected_at` is when it will start as far as can be told, `estimate` the same in words.
    """

    causes: Sequence[Cause] = ()
    before: int | None = None
    expected_at: datetime | None = None
    estimate: str = ""


def shown(told: Explanation, *, run: UUID, state: str, name: str, portal: str) -> dict[str, Any]:
    """An explanation as the API shows it."""
    return {
        "run": run,
        "state": {"type": state, "name": name},
        "waits": bool(told.causes),
        **explained(told, portal),
    }


def explained(told: Explanation, portal: str) -> dict[str, Any]:
    """What an explanation says, as the API shows it."""
    return {
        "causes": [_shown(each, portal) for each in told.causes],
        "before": told.before,
        "expected_at": told.expected_at,
        "estimate": told.estimate,
    }


def _shown(each: Cause, portal: str) -> dict[str, Any]:
    action = each.action
    return {
        "code": each.code,
        "text": each.text,
        "todo": each.todo,
        "since": each.since,
        "until": each.until,
        "things": [_thing(thing, portal) for thing in each.things],
        # A form is on the page of what it is about: an address that is opened changes nothing.
        "action": None if action is None else {"label": action.label, "url": f"{portal}/{action.page}"},
    }


def _thing(thing: Thing, portal: str) -> dict[str, Any]:
    url = f"{portal}/{thing.path}" if thing.path else None
    return {"kind": thing.kind, "id": thing.id, "name": thing.name, "url": url}
