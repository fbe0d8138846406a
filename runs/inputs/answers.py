"""What people say to runs that wait: an answer that fits the form, approvals up to a quorum, or a no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.timezone import now

from orchestrator.states import By, StateType
from orchestrator.storable import clean_text, json_value
from orchestrator.wire import MAX_INPUT, encode
from runs import events
from runs.hidden import check_run
from runs.inputs import doorbell, requests
from runs.models import FlowRun, InputAnswer, InputRequest
from runs.schema import check_answer
from runs.statements import run_together
from runs.transitions import RunRow, lock_root, move, save
from tenants import audit
from tenants.errors import Conflict, Invalid
from tenants.permissions import Actor

State, Verdict = InputRequest.State, InputAnswer.Verdict
MAX_COMMENT = 2_000  # characters
BY_LINK = "link"  # The kind of actor that is whoever has the link of the request.


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says: a verdict, values for the form, a comment."""

    verdict: str = Verdict.ANSWER
    value: dict[str, Any] | None = None
    comment: str = ""


def resume(run: FlowRun, said: Said, *, by: Actor, key: str | None = None) -> InputRequest | None:
    """Answer what a run waits for, and let it go on. None for a suspended run that asks nothing.

    Raises:
        Conflict: It does not wait, or for several things at once and `key` names none of them.
        Forbidden: Others were asked.
        Invalid: The values don't fit; `fields` says where.
    """
    check_run(run, by, "runs.answer")
    root = lock_root(run.root_id)
    open_ones = _open_ones(run, root, key)
    if not open_ones and key is None and root.state_type == StateType.PAUSED and not root.is_held:
        _let_go_on(root, by)
        return None
    if not open_ones:
        raise Conflict(f"The run does not wait for an answer ({root.state_name}).")
    if len(open_ones) > 1:
        keys = ", ".join(repr(each.key) for each in open_ones[:10])
        raise Conflict(f"The run waits for several things: name one by its key, of {keys}.")
    _answer(open_ones[0], root, said, by=by)
    return open_ones[0]


def answer(found: InputRequest, said: Said, *, by: Actor) -> InputRequest:
    """Answer one request.

    Raises:
        Conflict: It is answered, or its time or its run is over.
        Forbidden: Others were asked.
        Invalid: The values don't fit; `fields` says where.
    """
    if by.kind != BY_LINK:
        check_run(found.run, by, "runs.answer")
    root = lock_root(found.root_id)
    rows = InputRequest.objects.select_for_update(no_key=True, of=("self",)).select_related("run__flow")
    request = rows.get(id=found.id)
    if not requests.is_open(request, root):
        raise Conflict(f"This was {request.state} already." if request.state != State.WAITING else requests.LATE)
    _answer(request, root, said, by=by)
    return request


def approval_of(request: InputRequest, by: Actor) -> InputAnswer | None:
    """What this person has said to a request that waits for others as well."""
    return InputAnswer.objects.filter(request=request, actor_id=_identity(by)).first() if request.quorum else None


def _open_ones(run: FlowRun, root: RunRow, key: str | None) -> list[InputRequest]:
    """What waits of a run, or, where itself waits for nothing, of what it called; locked after the root."""
    rows = InputRequest.objects.filter(root_id=run.root_id, state=State.WAITING)
    rows = rows if key is None else rows.filter(key=key)
    found = [each for each in rows.order_by("id").select_for_update(no_key=True) if requests.is_open(each, root)]
    return [each for each in found if each.run_id == run.id] or (found if run.is_root else [])


def _let_go_on(root: RunRow, by: Actor) -> None:
    at = now()
    move(root, StateType.SCHEDULED, by=By.SERVER, name="Resuming", message=f"Resumed by {by.label}.", at=at, due_at=at)
    save([root])
    audit.record(by, "run.resumed", name=root.name, details={"run": str(root.id)})


def _answer(request: InputRequest, root: RunRow, said: Said, *, by: Actor) -> None:
    requests.check_asked(request, by)
    said = _checked(request, said)
    if approval_of(request, by) is not None:
        raise Conflict("You have answered this already.")
    InputAnswer.objects.create(
        organization_id=by.organization_id, request=request, actor_kind=by.kind, actor_id=_identity(by),
        actor=clean_text(by.label, 254), verdict=said.verdict, value=said.value, comment=said.comment,
    )  # fmt: skip
    state = _came_to(request, said)
    told = {"run": str(request.run_id), "key": request.key, "verdict": str(said.verdict), "came_to": state}
    audit.record(by, "run.answered", name=root.name, details={**told, "comment": said.comment})
    if state == State.WAITING:
        doorbell.ring([root.id])
        return
    request.value = said.value
    message = f"{_did(said)} by {by.label}." + (f" {said.comment}" if said.comment else "")
    requests.close(request, root, state, at=now(), message=message)
    _tell(request, root, message)


def _identity(by: Actor) -> UUID | None:
    """Whom a personal key, and the portal, both stand for."""
    return by.user_id or by.key_id or by.run_id


def _checked(request: InputRequest, said: Said) -> Said:
    if request.quorum and said.verdict == Verdict.ANSWER:
        raise Invalid("An approval is asked for.", fields={"verdict": "approve or reject."})
    if not request.quorum and said.verdict != Verdict.ANSWER:
        raise Invalid("No approval is asked for.", fields={"verdict": "answer."})
    if len(said.comment) > MAX_COMMENT:
        raise Invalid("The comment is too long.", fields={"comment": f"{MAX_COMMENT:,} characters at most."})
    return Said(said.verdict, _value(request, said), clean_text(said.comment.strip()))


def _value(request: InputRequest, said: Said) -> dict[str, Any] | None:
    """The values for the form, checked; those that nobody gave are the initial ones."""
    if request.schema is None:
        if said.value:
            raise Invalid("Nothing is asked for here.", fields={"value": "Leave it out."})
        return None
    if said.verdict == Verdict.REJECT:
        return None
    value = json_value({**request.initial, **(said.value or {})})
    if len(encode(value)) > MAX_INPUT:
        raise Invalid("The answer is too large.", fields={"value": f"{MAX_INPUT >> 10} KiB at most."})
    check_answer(request.schema, value)
    return value


def _came_to(request: InputRequest, said: Said) -> str:
    """The state of the request with this answer: an approval is complete with the last of its quorum."""
    if said.verdict == Verdict.REJECT:
        return State.REJECTED
    approvals = InputAnswer.objects.filter(request=request, verdict=Verdict.APPROVE).count()
    return State.ANSWERED if approvals >= request.quorum else State.WAITING


def _did(said: Said) -> str:
    return {Verdict.APPROVE: "Approved", Verdict.REJECT: "Rejected"}.get(Verdict(said.verdict), "Answered")


def _tell(request: InputRequest, root: RunRow, message: str) -> None:
    payload = {"key": request.key, "title": request.title, "name": request.state, "input": str(request.id)}
    told = events.of_input(
        "flow-run.answered", workspace_id=request.workspace_id, run_id=request.run_id,
        place=(root.retention, root.bucket), at=request.ended_at or now(),
        payload={**payload, "message": message[: events.MAX_MESSAGE]},
    )  # fmt: skip
    run_together(events.writing([told]))
