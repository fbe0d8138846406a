"""What runs wait for: pause, suspend, resume, requests for people and their answers, messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import AnswerInput, MessageInput
from runs.api import paging
from runs.api.flow_runs import FlowRunView
from runs.api.shown_runs import FlowRunWithTasks
from runs.inputs import answers, messages, pausing, requests
from runs.models import InputRequest, RunMessage
from tenants.api import TenantView
from tenants.declared import Page, PageQuery, Query, operation
from tenants.errors import Conflict, LimitReached, NotFound
from tenants.messages import answer


class GivenAnswer(msgspec.Struct):
    """What somebody has said to a request."""

    actor: str
    verdict: str
    comment: str
    at: datetime


class RequestShown(msgspec.Struct):
    """A request for people, and what came of it. `schema` describes the values that it asks for; `quorum` is how many
    have to approve, 0: it asks for no approval.
    """

    id: UUID
    run: UUID
    run_name: str
    flow: str
    key: str
    pause: str
    title: str
    description: str
    schema: Any
    initial: Any
    quorum: int
    roles: list[str]
    teams: list[str]
    link: str
    state: str
    value: Any
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    answers: list[GivenAnswer]


class MessagesAsked(Query):
    """Which messages."""

    after: Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18, description="The number of the last one known.")] = 0
    key: Annotated[str, msgspec.Meta(max_length=500, description="Of one kind.")] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="How many.")] = messages.PAGE


class MessageShown(msgspec.Struct):
    """A message to a run."""

    number: int
    key: str
    sender: str
    value: Any
    sent_at: datetime


class MessagesShown(msgspec.Struct):
    """Messages. `next` is where to go on, also when there are none yet."""

    items: list[MessageShown]
    next: int


class Pause(FlowRunView):
    """POST: ask a run to wait, in its process."""

    verbs = {"POST": "runs.pause"}
    suspend = False

    @operation(FlowRunWithTasks, refuses=[Conflict])
    def post(self, request: Request, id: UUID) -> HttpResponse:
        pausing.pause(self.found(), by=self.actor, suspend=self.suspend)
        return self.described()


class Suspend(Pause):
    """POST: ask a run to end its process until it is resumed."""

    suspend = True


class Resume(FlowRunView):
    """POST: let a run go on that waits, with an answer if it asks for one."""

    verbs = {"POST": "runs.answer"}

    @operation(FlowRunWithTasks, refuses=[Conflict, LimitReached])
    def post(self, request: Request, id: UUID, told: AnswerInput) -> HttpResponse:
        answers.resume(self.found(), _said(told), by=self.actor, key=told.key)
        return self.described()


def _said(told: AnswerInput) -> answers.Said:
    return answers.Said(told.verdict, told.value, told.comment)


class Inputs(TenantView):
    """GET: what the workspace's runs wait for, the newest first."""

    verbs = {"GET": "runs.view"}

    @operation(Page[RequestShown])
    def get(self, request: Request, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, requests.waiting(self.actor).prefetch_related("answers"), "created_at")
        return answer(Page([describe(each) for each in items], cursor))


class InputsOfRun(FlowRunView):
    """GET: what a run asked so far, the newest first."""

    @operation(Page[RequestShown])
    def get(self, request: Request, id: UUID, asked: PageQuery) -> HttpResponse:
        items, cursor = paging.page(asked, requests.of_run(self.found()).prefetch_related("answers"), "created_at")
        return answer(Page([describe(each) for each in items], cursor))


class InputOfKey(FlowRunView):
    """GET: what a run asked at one place, and what came of it."""

    @operation(RequestShown)
    def get(self, request: Request, id: UUID, key: str) -> HttpResponse:
        found = requests.of_run(self.found()).filter(key=key).first()
        if found is None:
            raise NotFound("The run has not asked for that.")
        return answer(describe(found))


class Answers(TenantView):
    """POST: answer a request."""

    verbs = {"POST": "runs.answer"}

    @operation(RequestShown, refuses=[Conflict, LimitReached])
    def post(self, request: Request, id: UUID, told: AnswerInput) -> HttpResponse:
        found = requests.find(id, by=self.actor)
        return answer(describe(answers.answer(found, _said(told), by=self.actor)))


class Messages(FlowRunView):
    """GET: messages after a number, oldest first; of one kind with `key`. POST: send one."""

    verbs = {"GET": "runs.view", "POST": "runs.answer"}

    @operation(MessagesShown)
    def get(self, request: Request, id: UUID, asked: MessagesAsked) -> HttpResponse:
        found = messages.after(self.found(), key=asked.key, number=asked.after, limit=asked.limit)
        next = found[-1].number if found else asked.after
        return answer(MessagesShown([_message(each) for each in found], next))

    @operation(MessageShown, 201, refuses=[Conflict])
    def post(self, request: Request, id: UUID, told: MessageInput) -> HttpResponse:
        sent = messages.send(self.found(), key=told.key, value=told.value, sender=told.sender, by=self.actor)
        return answer(_message(sent), status=201)


def describe(request: InputRequest) -> RequestShown:
    """A request as the API shows it, with its answers."""
    given = sorted(request.answers.all(), key=lambda each: (each.at, each.id))
    return RequestShown(
        id=request.id,
        run=request.run_id,
        run_name=request.run.name,
        flow=request.run.flow.name,
        key=request.key,
        pause=request.pause,
        title=request.title,
        description=request.description,
        schema=request.schema,
        initial=request.initial,
        quorum=request.quorum,
        roles=request.roles,
        teams=request.teams,
        link=request.link,
        state=request.state,
        value=request.value,
        created_at=request.created_at,
        expires_at=request.expires_at,
        ended_at=request.ended_at,
        answers=[GivenAnswer(each.actor, each.verdict, each.comment, each.at) for each in given],
    )


def _message(message: RunMessage) -> MessageShown:
    return MessageShown(
        number=message.number,
        key=message.key,
        sender=message.sender,
        value=message.value,
        sent_at=message.sent_at,
    )
