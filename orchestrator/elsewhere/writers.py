"""A process that no pipe leads to, on another machine perhaps: it is a writer of its own in the run's journal.

`pack` a call here, let `work` perform it there, `unpack` what came of it here. There the journal is written to a file
first, as everywhere, and shipped to the API that the run talks to. States of flow runs are writer 0's to tell, so
flows can't be called there.
"""

from __future__ import annotations

import random
from contextvars import copy_context
from typing import Any
from uuid import UUID

from orchestrator import journal, masking
from orchestrator.config import use_api
from orchestrator.elsewhere import calls, outcomes
from orchestrator.elsewhere.bodies import perform
from orchestrator.elsewhere.pickling import dumps, loads
from orchestrator.engine.task_run import TaskRun
from orchestrator.exceptions import NotPicklable
from orchestrator.journal.stream import Stream

WRITE_SECONDS = 10.0
HIGHEST = 2**31 - 1  # of the numbers of writers; 0 is the holder's

_streams: dict[tuple[UUID, int], Stream] = {}


def pack(introduction: bytes, run: TaskRun) -> bytes:
    """A call with all that it takes.

    Raises:
        NotPicklable: The function, or an argument, can't be sent. The message names it.
    """
    return dumps((introduction, calls.pack(run)))


def work(packed: bytes) -> bytes:
    """Perform a call, and say what came of it. In any process that can import the code; one flow run at a time."""
    introduction, call = loads(packed)
    told = loads(introduction)
    before = use_api(told["api"])
    try:
        return copy_context().run(_work, told, call)
    finally:
        use_api(before)


def _work(told: dict[str, Any], call: bytes) -> bytes:
    known = set(masking.hidden()) | set(told["secrets"])
    flow_run = calls.enter({**told, "adopts": False}, _stream(told), calls.FlowRunFarAway)
    try:
        outcome = perform(calls.unpack(call, flow_run))
    except NotPicklable as error:
        outcome = outcomes.of_error(error)
    if told["api"] is not None:
        journal.hub_of(told["api"]).write_out(WRITE_SECONDS)
    return dumps((outcome, sorted(set(masking.hidden()) - known)))


def _stream(told: dict[str, Any]) -> Stream | None:
    """The stream of this process in an execution; those of others are over."""
    if told["token"] is None or told["api"] is None:
        return None
    root = told["flows"][0]
    key = root["id"], root["attempt"]
    if key not in _streams:
        for stream in _streams.values():
            stream.finish()
        _streams.clear()
        _streams[key] = journal.hub_of(told["api"]).open(
            root=root["id"],
            attempt=root["attempt"],
            writer=random.SystemRandom().randint(1, HIGHEST),
            token=told["token"],
            stopping=None,
            local=False,
        )
    return _streams[key]


def unpack(run: TaskRun, answer: bytes) -> Any:
    """Return what the body returned, raise what it raised.

    Raises:
        NotPicklable: It can't be read here.
    """
    outcome, secrets = loads(answer)
    masking.hide(secrets)
    return outcomes.open_outcome(run, outcome)
