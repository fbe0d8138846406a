"""1.17: what people see of runs that wait for them, and what their answers come to."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import msgspec
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from runs import tasks
from runs.claims import end_attempt
from runs.inputs import requests
from runs.models import EventRow, FlowRun, InputAnswer, InputRequest, RunMessage
from runs.partitions import kept_until
from tenants.models import AuditEntry, Team, TeamMember
from tests.cast import Company
from tests.contract.journals import Journal
from tests.contract.test_pausing import SCHEMA, asks
from tests.runs.work import agent, claim, claimed_run, deploy, moment, start, trigger

pytestmark = pytest.mark.django_db


def waiting(company: Company, *, suspend: bool = False, **more: Any) -> InputRequest:
    """A run of a deployment that waits for people."""
    _, claimed = claimed_run(company)
    journal = start(claimed)
    entry = asks(journal, pause="suspend" if suspend else "pause", **more)
    journal.send(entry, journal.state("PAUSED", name="Suspended" if suspend else None, run_count=1))
    with company.scope():
        return InputRequest.objects.get(id=entry.id)


def state(company: Company, request: InputRequest) -> tuple[str, str]:
    """Of the request, and of its run."""
    with company.scope():
        found = InputRequest.objects.select_related("run").get(id=request.id)
        return found.state, found.run.state_name


def test_what_is_waited_for_stands_in_a_list_and_on_the_runs_page(acme: Company, alice: Any, browse: Any) -> None:
    """1.17: and the dashboard says how many."""
    asked = waiting(acme, title="Release 2.0?", quorum=1)
    page = browse(alice)
    for path, text in (
        ("waiting", "Release 2.0?"),
        (f"runs/{asked.run_id}", "Approve or reject"),
        ("", "run waits for people"),
        (f"waiting/{asked.id}", "0 of 1"),
    ):
        assert text in " ".join(page.get(acme.path + path).content.decode().split()), path


def test_a_person_answers_by_the_form(acme: Company, alice: Any, browse: Any) -> None:
    """1.17: what does not fit is said beside its field, and nothing happens."""
    asked = waiting(acme, schema=SCHEMA, initial=msgspec.Raw(b'{"amount": 3}'), suspend=True)
    page, path = browse(alice), f"{acme.path}waiting/{asked.id}"
    assert 'value="3"' in page.get(path).content.decode()
    assert page.post(path, {"p.amount": "0", "verdict": "answer"}).status_code == 400
    assert state(acme, asked) == ("waiting", "Suspended")
    assert page.post(path, {"p.amount": "7", "verdict": "answer", "comment": "so be it"}).status_code == 302
    assert state(acme, asked) == ("answered", "Resuming")
    with acme.scope():
        answer = InputAnswer.objects.get()
        assert (answer.actor, answer.value, answer.comment) == ("alice@acme.example", {"amount": 7}, "so be it")
        assert AuditEntry.objects.filter(action="run.answered").count() == 1
        told = EventRow.objects.filter(event__in=["flow-run.waiting", "flow-run.answered"]).order_by("t")
        assert [row.event for row in told] == ["flow-run.waiting", "flow-run.answered"]


def test_a_quorum_is_of_different_people(acme: Company, alice: Any, bob: Any, browse: Any) -> None:
    """1.17: who has approved can't do so again."""
    asked = waiting(acme, quorum=2)
    path = f"{acme.path}waiting/{asked.id}"
    for _ in range(2):
        browse(alice).post(path, {"verdict": "approve"})
    assert state(acme, asked)[0] == "waiting"
    hers, his = (" ".join(browse(each).get(path).content.decode().split()) for each in (alice, bob))
    assert "1 more approval by other people is needed" in hers
    assert ['value="approve"' in page for page in (hers, his)] == [False, True]
    browse(bob).post(path, {"verdict": "approve"})
    assert state(acme, asked)[0] == "answered"


def test_one_who_rejects_ends_a_suspended_run(acme: Company, bob: Any, browse: Any) -> None:
    """1.17."""
    asked = waiting(acme, quorum=2, suspend=True)
    browse(bob).post(f"{acme.path}waiting/{asked.id}", {"verdict": "reject", "comment": "too early"})
    assert state(acme, asked) == ("rejected", "Rejected")


def test_only_those_who_are_asked_answer(acme: Company, alice: Any, bob: Any, vera: Any, browse: Any) -> None:
    """1.17: by role or by team; who may only look never does."""
    asked = waiting(acme, quorum=1, roles=["owner"], teams=["Finance"])
    path = f"{acme.path}waiting/{asked.id}"
    assert browse(vera).post(path, {"verdict": "approve"}).status_code == 403
    browse(bob).post(path, {"verdict": "approve"})
    assert state(acme, asked)[0] == "waiting"
    assert "Others are asked here" in browse(bob).get(path).content.decode()
    with acme.scope():
        team = Team.objects.create(organization=acme.organization, name="Finance")
        TeamMember.objects.create(organization=acme.organization, team=team, user=bob)
    browse(bob).post(path, {"verdict": "approve"})
    assert state(acme, asked)[0] == "answered"


def test_a_run_is_resumed_by_its_button(acme: Company, alice: Any, browse: Any) -> None:
    """1.17: and what waits no more says so."""
    asked = waiting(acme, suspend=True)
    page: Client = browse(alice)
    assert page.post(f"{acme.path}runs/{asked.run_id}/resume").status_code == 302
    assert state(acme, asked) == ("answered", "Resuming")
    assert "It was answered" in page.get(f"{acme.path}waiting/{asked.id}").content.decode()


def test_the_list_costs_the_same_however_long_it_is(acme: Company, django_assert_max_num_queries: Any) -> None:
    """1.17."""
    asked = waiting(acme)
    with acme.scope():
        run = FlowRun.objects.get(id=asked.run_id)
        InputRequest.objects.bulk_create(
            InputRequest(
                organization_id=run.organization_id, workspace_id=run.workspace_id, run=run, root_id=run.id, attempt=1,
                key=f"k{number}", pause="pause", keep_until=asked.keep_until,
            )
            for number in range(30)
        )  # fmt: skip
        with django_assert_max_num_queries(1):
            assert len([each.run.flow.name for each in requests.waiting(acme.actor("owner"))]) == 31


def test_a_page_of_the_api_costs_the_same_however_long_it_is(
    acme: Company, api: Any, django_assert_max_num_queries: Any
) -> None:
    """1.17: with what was answered."""
    waiting(acme)
    api.get("/inputs")
    with CaptureQueriesContext(connection) as asked:
        assert len(api.get("/inputs").json()["items"]) == 1
    few = len(asked)  # Now: the next request forgets what was captured.
    waiting(acme, quorum=2)
    waiting(acme)
    with django_assert_max_num_queries(few):
        assert len(api.get("/inputs").json()["items"]) == 3


def test_the_answer_of_a_schema_is_json(acme: Company, api: Any) -> None:
    """1.17: as the API gives it."""
    asked = waiting(acme, schema=SCHEMA)
    told = api.post(f"/inputs/{asked.id}/answer", {"value": {"amount": 2}})
    assert (told.status_code, json.loads(told.content)["value"]) == (200, {"amount": 2})


def test_who_is_told_of_a_question_that_is_asked_again_is_led_to_it(acme: Company) -> None:
    """1.17: by its own address, which the first attempt gave it."""
    deployment = deploy(acme, crash_retries=1)
    (id,), by = trigger(acme, deployment), agent(acme)
    for number in range(2):
        (claimed,) = claim(acme, by)
        journal = start(claimed)
        journal.send(asks(journal), journal.state("PAUSED", run_count=1))
        if number == 0:
            with acme.scope():
                end_attempt(by, run_id=id, attempt=1, started=True, message="Gone.")
                FlowRun.objects.filter(id=id).update(due_at=moment())
    with acme.scope():
        asked = InputRequest.objects.get(root_id=id)
        told = EventRow.objects.filter(event="flow-run.waiting").values_list("payload", flat=True)
        assert [payload["input"] for payload in told] == [str(asked.id)] * 2


def test_questions_go_with_the_rows_of_their_run(acme: Company, alice: Any, browse: Any) -> None:
    """1.17: with what was answered; those without an end of their own, too. Never while the run lives."""
    answered, waits = waiting(acme, quorum=1, suspend=True), waiting(acme, suspend=True)
    browse(alice).post(f"{acme.path}waiting/{answered.id}", {"verdict": "reject"})
    with acme.scope():
        run = FlowRun.objects.get(id=waits.run_id)
        InputRequest.objects.filter(id=waits.id).update(expires_at=None)
        assert {row.keep_until for row in InputRequest.objects.all()} == {kept_until((run.retention, run.bucket))}
        InputRequest.objects.update(keep_until=date(2026, 1, 1))
    tasks.forget_artifacts()
    with acme.scope():
        assert [row.id for row in InputRequest.objects.all()] == [waits.id]
        assert not InputAnswer.objects.exists()


def test_messages_go_with_the_rows_of_their_run(acme: Company, api: Any) -> None:
    """1.17: by the run's retention, and not while it lives."""
    ended, live = Journal(api), Journal(api)
    for journal in (ended, live):
        journal.send(journal.begin())
        assert api.post(f"/flow-runs/{journal.root}/messages", {"key": "k", "value": 1}).status_code == 201
    ended.send(ended.state("COMPLETED"))
    with acme.scope():
        run = FlowRun.objects.get(id=live.root)
        assert {row.keep_until for row in RunMessage.objects.all()} == {kept_until((run.retention, run.bucket))}
        RunMessage.objects.update(keep_until=date(2026, 1, 1))
    tasks.forget_artifacts()
    with acme.scope():
        assert [row.run_id for row in RunMessage.objects.all()] == [live.root]
