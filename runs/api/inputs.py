"""What runs wait for: pause, suspend, resume, requests for people and their answers, messages."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from orchestrator.bodies import AnswerInput, MessageInput
from runs.api import paging
from runs.api.flow_runs import FlowRunView
from runs.inputs import answers, messages, pausing, requests
from runs.models import InputRequest, RunMessage
from tenants.api import TenantView
from tenants.errors import NotFound
from tenants.messages import answer, number, page_size, read


class Pause(FlowRunView):
    """POST: ask a run to wait, in its process."""

    verbs = {"POST": "runs.pause"}
    suspend = False

    def post(self, request: Request, id: UUID) -> HttpResponse:
        pausing.pause(self.found(), by=self.actor, suspend=self.suspend)
        return self.described()


class Suspend(Pause):
    """POST: ask a run to end its process until it is resumed."""

    suspend = True


class Resume(FlowRunView):
    """POST: let a run go on that waits, with an answer if it asks for one."""

    verbs = {"POST": "runs.answer"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        run, told = self.found(), read(request, AnswerInput)
        answers.resume(run, _said(told), by=self.actor, key=told.key)
        return self.described()


def _said(told: AnswerInput) -> answers.Said:
    return answers.Said(told.verdict, told.value, told.comment)


class Inputs(TenantView):
    """GET: what the workspace's runs wait for, the newest first."""

    verbs = {"GET": "runs.view"}

    def get(self, request: Request) -> HttpResponse:
        items, cursor = paging.page(request, requests.waiting(self.actor).prefetch_related("answers"), "created_at")
        return answer({"items": [describe(each) for each in items], "next": cursor})


class InputsOfRun(FlowRunView):
    """GET: what a run asked so far, the newest first."""

    def get(self, request: Request, id: UUID) -> HttpResponse:
        items, cursor = paging.page(request, requests.of_run(self.found()).prefetch_related("answers"), "created_at")
        return answer({"items": [describe(each) for each in items], "next": cursor})


class InputOfKey(FlowRunView):
    """GET: what a run asked at one place, and what came of it."""

    def get(self, request: Request, id: UUID, key: str) -> HttpResponse:
        found = requests.of_run(self.found()).filter(key=key).first()
        if found is None:
            raise NotFound("The run has not asked for that.")
        return answer(describe(found))


class Answers(TenantView):
    """POST: answer a request."""

    verbs = {"POST": "runs.answer"}

    def post(self, request: Request, id: UUID) -> HttpResponse:
        found = requests.find(id, by=self.actor)
        return answer(describe(answers.answer(found, _said(read(request, AnswerInput)), by=self.actor)))


class Messages(FlowRunView):
    """GET: messages after a number, oldest first; of one kind with `key`. POST: send one."""

    verbs = {"GET": "runs.view", "POST": "runs.answer"}

    def get(self, request: Request, id: UUID) -> HttpResponse:
        after, key = number(request, "after", 0), request.query_params.get("key", "")
        found = messages.after(self.found(), key=key, number=after, limit=page_size(request, messages.PAGE))
        return answer({"items": [_message(each) for each in found], "next": found[-1].number if found else after})

    def post(self, request: Request, id: UUID) -> HttpResponse:
        run, told = self.found(), read(request, MessageInput)
        sent = messages.send(run, key=told.key, value=told.value, sender=told.sender, by=self.actor)
        return answer(_message(sent), status=201)


def describe(request: InputRequest) -> dict[str, Any]:
    """A request as the API shows it, with its answers."""
    given = sorted(request.answers.all(), key=lambda each: (each.at, each.id))
    names = ("actor", "verdict", "comment", "at")
    return {
        "id": request.id,
        "run": request.run_id,
        "run_name": request.run.name,
        "flow": request.run.flow.name,
        "key": request.key,
        "pause": request.pause,
        "title": request.title,
        "description": request.description,
        "schema": request.schema,
        "initial": request.initial,
        "quorum": request.quorum,
        "roles": request.roles,
        "teams": request.teams,
        "link": request.link,
        "state": request.state,
        "value": request.value,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "ended_at": request.ended_at,
        "answers": [{name: getattr(each, name) for name in names} for each in given],
    }


def _message(message: RunMessage) -> dict[str, Any]:
    return {
        "number": message.number,
        "key": message.key,
        "sender": message.sender,
        "value": message.value,
        "sent_at": message.sent_at,
    }
