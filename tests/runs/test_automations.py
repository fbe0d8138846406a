"""What happened fires the automations that wait for it, each once, and in the very transaction."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from runs import outages, tasks
from runs.automations import edit
from runs.automations.definitions import KNOWN_EVENTS, MAX_NAMES, Action, Trigger, Wanted
from runs.models import Agent, Automation, EventRow, Firing, FlowRun, Notification
from tenants.errors import Conflict, Invalid
from tests.cast import Api, Company, person
from tests.contract.journals import Journal
from tests.runs.automating import automate, fail, fail_at_once, firings, notifications, tell
from tests.runs.work import agent, claim, deploy, in_seconds, start, trigger

pytestmark = pytest.mark.django_db


# ── what fires ───────────────────────────────────────────────────────────────────────────────────


def test_a_failing_run_fires_with_its_causes(acme: Company) -> None:
    automation = automate(acme)
    [run] = fail(acme)

    [firing] = firings(acme)
    assert (firing.automation_id, firing.run_id, firing.event) == (automation.id, run, "flow-run.failed")
    with acme.scope():
        assert EventRow.objects.get(id=firing.event_id).run_id == run
        name = FlowRun.objects.get(id=run).name
    cause = {key: value for key, value in firing.cause.items() if key != "at"}
    assert cause == {
        "run": name, "flow": "etl", "deployment": "nightly", "pool": "default", "state": "FAILED", "name": "Failed",
        "message": "no such table", "attempt": 1,
    }  # fmt: skip


def test_a_batch_that_comes_twice_fires_once(acme: Company, api: Api) -> None:
    automate(acme)
    journal = Journal(api)
    lines = [journal.begin(), journal.state("FAILED")]
    journal.send(*lines)
    journal.send(*lines)
    assert len(firings(acme)) == 1


def test_what_is_rolled_back_has_not_fired(acme: Company) -> None:
    automate(acme, when={"events": ["flow-run.cancelled"]})
    ids = trigger(acme, deploy(acme))
    from runs.trigger import cancel_runs

    with acme.scope():
        place = transaction.savepoint()
        cancel_runs(ids, by=acme.actor())
        assert Firing.objects.count() == 1
        transaction.savepoint_rollback(place)
    assert firings(acme) == []


@pytest.mark.parametrize(
    ("when", "fires"),
    [
        ({}, True),
        ({"events": ["flow-run.completed", "flow-run.crashed"]}, False),
        ({"events": ["flow-run.completed", "flow-run.failed"]}, True),
        ({"flows": ["etl"]}, True),
        ({"flows": ["other", "etl"]}, True),
        ({"flows": ["et"]}, False),
        ({"deployments": ["etl/nightly"]}, True),
        ({"deployments": ["etl/hourly"]}, False),
        ({"pools": ["default"]}, True),
        ({"pools": ["gpu"]}, False),
        ({"tags": ["prod"]}, True),
        ({"tags": ["prod", "test"]}, True),
        ({"tags": ["prod", "test"], "match_tags": "all"}, False),
        ({"tags": ["prod", "eu"], "match_tags": "all"}, True),
        ({"tags": ["test"]}, False),
        ({"states": ["Failed"]}, True),
        ({"states": ["TimedOut"]}, False),
        ({"run_name": "load-*"}, True),
        ({"run_name": "load-0?"}, True),
        ({"run_name": "load-?"}, False),
        ({"run_name": "load_*"}, False),
        ({"run_name": "load-01"}, True),
        ({"flows": ["etl"], "tags": ["test"]}, False),
    ],
)
def test_a_trigger_asks_for_exactly_what_it_says(acme: Company, when: dict[str, Any], fires: bool) -> None:
    automate(acme, when=when)
    trigger(acme, deploy(acme, tags=["prod", "eu"]), name="load-01")
    [claimed] = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.state("FAILED"))
    assert len(firings(acme)) == fires


def test_a_run_without_a_deployment_can_fire_too(acme: Company, api: Api) -> None:
    automate(acme, "all")
    automate(acme, "deployed", when={"deployments": ["etl/nightly"]})
    journal = Journal(api)
    journal.send(journal.begin(), journal.state("FAILED"))
    assert [firing.automation.name for firing in firings(acme)] == ["all"]


def test_a_paused_one_and_another_workspaces_and_organizations_do_not_fire(acme: Company, globex: Company) -> None:
    from tenants.provisioning import create_workspace

    automation = automate(acme)
    with acme.scope():
        edit.set_enabled(automation, enabled=False, by=acme.actor())
        second = create_workspace(organization=acme.organization, name="Second")
        Automation.objects.create(
            organization=acme.organization, workspace=second, name="elsewhere", trigger={}, action={},
            events=["flow-run.failed"],
        )  # fmt: skip
    automate(globex, action={"to": ["eve@globex.example"]})
    fail(acme)
    assert firings(acme) == firings(globex) == []


def test_many_runs_of_one_batch_fire_in_one_statement(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    automate(acme)
    automate(acme, "again")
    fail_at_once(acme, 30)
    assert len(firings(acme)) == 60


def test_a_late_run_fires(acme: Company) -> None:
    automate(acme, when={"events": ["flow-run.late"]})
    [run] = trigger(acme, deploy(acme))
    with acme.scope():
        FlowRun.objects.filter(id=run).update(due_at=in_seconds(-60))
    outages.note_alive()
    tasks.mark_late_runs()
    tasks.mark_late_runs()
    assert [firing.run_id for firing in firings(acme)] == [run]


def test_a_deployment_that_is_made_or_changed_fires(acme: Company) -> None:
    when = {"events": ["deployment.created", "deployment.updated"], "flows": ["etl"], "tags": ["prod"]}
    automate(acme, when=when)
    deploy(acme, tags=["prod"])
    deploy(acme, tags=["prod"])
    deploy(acme, flow="other", tags=["prod"])
    assert [(firing.event, firing.cause["deployment"]) for firing in firings(acme)] == [
        ("deployment.created", "nightly"), ("deployment.updated", "nightly"),
    ]  # fmt: skip


# ── agents ───────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_that_is_gone_fires_once_and_once_when_it_is_back(acme: Company, valkey: Any) -> None:
    automate(acme, when={"events": ["agent.gone", "agent.back"], "pools": ["default"]})
    by = agent(acme, "box")
    tasks.notice_agents()
    assert firings(acme) == []

    seen(acme, by, in_seconds(-600))
    for _ in range(3):
        tasks.notice_agents()
    assert [(firing.event, firing.cause["agent"], firing.cause["pool"]) for firing in firings(acme)] == [
        ("agent.gone", "box", "default")
    ]
    seen(acme, by, now() + timedelta(seconds=1))
    for _ in range(3):
        tasks.notice_agents()
    assert [firing.event for firing in firings(acme)] == ["agent.gone", "agent.back"]
    with acme.scope():
        assert EventRow.objects.filter(event__startswith="agent.").count() == 2


def test_after_an_outage_of_our_own_nobody_is_gone(acme: Company, valkey: Any) -> None:
    automate(acme, when={"events": ["agent.gone"]})
    seen(acme, agent(acme), in_seconds(-600))
    valkey.set(outages.ALIVE, now().timestamp() - 500)
    outages.note_alive()
    tasks.notice_agents()
    assert firings(acme) == []


def seen(company: Company, by: Any, at: Any) -> None:
    with company.scope():
        Agent.objects.filter(id=by.id).update(last_seen_at=at)


# ── notifications ────────────────────────────────────────────────────────────────────────────────


def test_few_firings_are_told_one_by_one(acme: Company, mailoutbox: list) -> None:
    automate(acme)
    fail(acme, 2)
    tell(acme)
    tell(acme)
    assert len(mailoutbox) == 2
    assert [row.firings for row in notifications(acme)] == [1, 1]


def test_a_storm_is_told_in_a_handful_of_mails(acme: Company, mailoutbox: list) -> None:
    automation = automate(acme, most_per_minute=3)
    fail_at_once(acme, 500)
    tell(acme)
    fail_at_once(acme, 400)
    tell(acme)

    assert [row.firings for row in notifications(acme)] == [1, 1, 498]
    assert len(mailoutbox) == 3
    assert mailoutbox[-1].subject == "498 runs failed"
    assert "… and 478 more." in mailoutbox[-1].body
    a_minute_later(acme)
    tell(acme)
    assert [row.firings for row in notifications(acme)][3:] == [1, 1, 398]
    assert all(firing.notification_id for firing in firings(acme))
    assert len(firings(acme)) == 900
    with acme.scope():
        assert automation.notifications.count() == 6


def test_what_waits_is_found_by_the_index(acme: Company, globex: Company) -> None:
    """The tick asks for automations, not for firings; one whose allowance is used up is left alone."""
    automate(acme, most_per_minute=1)
    fail_at_once(acme, 300)
    with CaptureQueriesContext(connection) as first:
        tasks.notify_of_firings()
    fail_at_once(acme, 10)
    with CaptureQueriesContext(connection) as second:
        tasks.notify_of_firings()
    assert len(second) < len(first) <= 25
    assert len(notifications(acme)) == 1


def a_minute_later(company: Company) -> None:
    with company.scope():
        Notification.objects.update(created_at=now() - timedelta(seconds=61))


def test_the_log_is_forgotten_after_a_month(acme: Company, mailoutbox: list) -> None:
    automate(acme)
    fail(acme, 2)
    tell(acme)
    with acme.scope():
        Firing.objects.filter(id=firings(acme)[0].id).update(at=now() - timedelta(days=31))
        Notification.objects.filter(id=notifications(acme)[0].id).update(created_at=now() - timedelta(days=31))
    tasks.forget_firings()
    assert (len(firings(acme)), len(notifications(acme))) == (1, 1)


# ── what can't be taken ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("trigger", "action", "field"),
    [
        ({"events": []}, {"to": ["alice@acme.example"]}, "events"),
        ({"events": ["flow-run.exploded"]}, {"to": ["alice@acme.example"]}, "events"),
        ({"deployments": ["nightly"]}, {"to": ["alice@acme.example"]}, "deployments"),
        ({"tags": ["x"] * 60 + [str(n) for n in range(MAX_NAMES + 1)]}, {"to": ["alice@acme.example"]}, "tags"),
        ({"match_tags": "some"}, {"to": ["alice@acme.example"]}, "match_tags"),
        ({"events": ["agent.gone"], "flows": ["etl"]}, {"to": ["alice@acme.example"]}, "flows"),
        ({"run_name": "x" * 201}, {"to": ["alice@acme.example"]}, "run_name"),
        ({}, {}, "action"),
        ({}, {"to": ["alice@acme.example"], "block": "webhook/ops"}, "action"),
        ({}, {"to": ["alice"]}, "to"),
        ({}, {"to": ["eve@globex.example"]}, "to"),
        ({}, {"to": ["stranger@example.com"]}, "to"),
        ({}, {"block": "s3-bucket/data"}, "block"),
        ({}, {"block": "webhook/none"}, "block"),
        ({}, {"to": ["alice@acme.example"], "subject": "{{ nothing }}"}, "subject"),
        ({}, {"to": ["alice@acme.example"], "body": "{% for"}, "body"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(acme: Company, globex: Company, trigger, action, field: str) -> None:
    wanted = Wanted("Failures", Trigger(**{"events": ["flow-run.failed"], **trigger}), Action(**action))
    with acme.scope(), pytest.raises(Invalid) as refused:
        edit.save(wanted, by=acme.actor())
    assert field in (refused.value.fields or {})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": ""}, "name"), ({"name": "a/b"}, "name"), ({"name": "x" * 201}, "name"),
        ({"most_per_minute": 0}, "most_per_minute"),
    ],
)  # fmt: skip
def test_names_and_numbers_have_bounds(acme: Company, more: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        automate(acme, **more)
    assert list(refused.value.fields or {}) == [field]


def test_a_name_is_taken_once(acme: Company) -> None:
    automate(acme)
    with pytest.raises(Invalid, match="exists"):
        automate(acme)


def test_a_workspace_has_so_many_at_most(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit, "MAX_AUTOMATIONS", 1)
    automate(acme)
    with pytest.raises(Conflict):
        automate(acme, "one more")


def test_changes_are_audited(acme: Company) -> None:
    from tenants.models import AuditEntry

    automation = automate(acme)
    with acme.scope():
        edit.set_enabled(automation, enabled=False, by=acme.actor())
        edit.set_enabled(automation, enabled=False, by=acme.actor())
        edit.delete(automation, by=acme.actor())
        assert list(AuditEntry.objects.order_by("at", "id").values_list("action", flat=True))[-3:] == [
            "automation.created", "automation.paused", "automation.deleted",
        ]  # fmt: skip


def test_the_trail_says_to_whom_an_automation_was_turned(acme: Company, alice: Any, bob: Any) -> None:
    from tenants.models import AuditEntry

    automation = automate(acme)
    turned = Wanted(name="Failures", trigger=Trigger(events=["flow-run.failed"]), action=Action(to=[bob.email]))
    with acme.scope():
        edit.save(turned, by=acme.actor(), automation=automation)
        details = AuditEntry.objects.get(action="automation.updated").details
    assert (details["from"]["action"]["to"], details["to"]["action"]["to"]) == ([alice.email], [bob.email])


def test_every_event_has_words(acme: Company) -> None:
    from runs.automations import wording

    for event in KNOWN_EVENTS:
        assert wording.word(event) != event
        assert "happened" not in wording.headline(event, {"run": "r", "flow": "f"})


def test_who_left_gets_no_mail(acme: Company, mailoutbox: list) -> None:
    from tenants.models import Membership

    bob = person("bob@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=bob, role="member")
    automate(acme, action={"to": ["alice@acme.example", "bob@acme.example"]})
    with acme.scope():
        Membership.objects.filter(user=bob).delete()
    fail(acme)
    tell(acme)
    assert [mail.to for mail in mailoutbox] == [["alice@acme.example"]]
