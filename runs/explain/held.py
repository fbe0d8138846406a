"""What a run waits for that somebody has claimed: its process, an agent that is silent, slots, people, its own end."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.causes import Cause, Code, asked_words, cause
from orchestrator.states import WISHES, StateType
from runs.explain.reader import Reader
from runs.explain.slots import slots_wanted
from runs.inputs import requests
from runs.models import Attempt, FlowRun, InputRequest, Lease

ASKED = 20  # requests that are told of


def holder_waits(run: FlowRun, reader: Reader) -> list[Cause]:
    """Why a root that was claimed, or begun by a program, does not go on."""
    if run.state_type == StateType.RUNNING:
        return [*_running(run, reader), *slots_wanted(run, reader)]
    if run.state_type == StateType.PAUSED:
        silent = [_silent(run, reader)] if run.state_name == "Unreachable" else []
        return [*silent, *_asked(run, reader)]
    if run.state_type == StateType.CANCELLING:
        return [_told_to(run, reader, Code.CANCELLING)]
    return [_starting(run, reader)]


def _running(run: FlowRun, reader: Reader) -> Iterator[Cause]:
    if run.state_name == "Unreachable":
        yield _silent(run, reader)
    elif run.state_name in WISHES:
        yield cause(Code.PAUSING, since=run.state_at)
    elif run.state_name == "AwaitingRetry":
        yield cause(Code.RETRY_DELAY, since=run.state_at)


def _attempt(run: FlowRun) -> Attempt | None:
    own = Attempt.objects.filter(run_id=run.id, number=run.attempt).select_related("agent__pool")
    return own.defer("history").first()


def _told_to(run: FlowRun, reader: Reader, code: Code) -> Cause:
    """A cause that lies with the holder: who that is, and until when its lease goes if it says nothing."""
    attempt = _attempt(run)
    lease = Lease.objects.filter(run_id=run.id, limit=None).first()
    agent = attempt.agent if attempt else None
    things = reader.agent(agent, agent.pool) if agent else []
    who = f"the agent {agent.name}" if things and agent else "its agent" if run.pool_id else _host(attempt)
    return cause(code, since=run.state_at, until=lease.expires_at if lease else None, things=things, agent=who)


def _host(attempt: Attempt | None) -> str:
    return f"the process on {attempt.host}" if attempt and attempt.host else "its process"


def _silent(run: FlowRun, reader: Reader) -> Cause:
    return _told_to(run, reader, Code.UNREACHABLE)


def _starting(run: FlowRun, reader: Reader) -> Cause:
    attempt = _attempt(run)
    is_there = attempt is None or attempt.agent is None or attempt.agent.is_connected
    return _told_to(run, reader, Code.STARTING if is_there else Code.AGENT_SILENT)


def _asked(run: FlowRun, reader: Reader) -> Iterator[Cause]:
    for request in requests.of_run(run).filter(state=InputRequest.State.WAITING).reverse()[:ASKED]:
        if requests.is_open(request, run):
            yield _request(request, reader)


def _request(request: InputRequest, reader: Reader) -> Cause:
    label, words = asked_words(
        title=request.title, schema=request.schema, quorum=request.quorum, roles=request.roles, teams=request.teams
    )
    action = reader.may("runs.answer", request.run.deployment, label, f"waiting/{request.id}")
    return cause(Code.ASKED, since=request.created_at, until=request.expires_at, action=action, **words)
