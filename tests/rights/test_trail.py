"""Each change of a person or key stands in the audit trail: every route that writes is asked, then an entry looked for.

A new route that writes fails here until it leaves an entry, or says why it needs none.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from runs.models import JournalQuarantine
from tenants.models import AuditEntry, Invitation, Membership
from tests.cast import Api, Company, person
from tests.rights.test_matrix import APIS, declared, quiet, world  # noqa: F401
from tests.runs.test_automations_api import BODY as AUTOMATION
from tests.runs.test_quarantine_page import kept
from tests.server.asking import address, body
from tests.server.routes import PAGES
from tests.server.things_of_acme import Thing
from tests.tenants.test_switches import on_plan

pytestmark = pytest.mark.django_db
SAFE = {"GET", "HEAD", "OPTIONS"}

# What is no decision of anybody about what there is, or is tried elsewhere, where the other side of the wire stands.
WITHOUT_ENTRY = {
    "api-agent-claim": "an agent's work: the run's own history tells of it",
    "api-agent-ended": "an agent's work: the run's own history tells of it",
    "api-agent-heartbeat": "an agent's work: many times a minute",
    "api-agents": "an agent says that it is there; its page tells when",
    "api-flow-runs-wait": "a question",
    "api-background-arguments": "a question",
    "api-deployment-estimate": "a question",
    "api-schedule-preview": "a question",
    "api-webhook-try": "a question",
    "webhook-try": "a question",
    "schedule-preview": "a question",
    "deployment-backfill-preview": "a question",
    "pool-template-preview": "a question",
    "api-events": "an event is its own record, and stands in the feed",
    "api-journal": "a run's work: the journal is its own record",
    "api-result": "a run's work: the state of the run tells where its value is",
    "api-bundle": "code under its own hash; the deployment that names it leaves the entry",
    "api-slots": "a run's work: many times a second; who holds what is on the page of the limit",
    "organization-move-workspace": "refused while runs are under way: tests/tenants/test_transfer.py",
    "organization-sso": "asks the provider: tests/tenants/sso/test_page.py",
    "organization-sso-domain-check": "asks the DNS: tests/tenants/sso/test_page.py",
}

MAIL = {"name": "told", "events": "flow-run.failed", "tell": "mail", "to": "alice@acme.example", "most_per_minute": "5"}

# What a route takes instead of what most of them take.
FORMS: dict[str, dict[str, Any]] = {
    "automation-edit": MAIL,
    "automation-new": MAIL,
    "block": {"version": "1", "p.value": "another", "description": ""},
    "block-new": {"version": "0", "name": "told", "p.value": "sesame"},
    "block-access": {"restricted": "on"},
    "bulk-operation-new": {"delay": "60"},
    "cache-invalidate": {"key": "acme-cached"},
    "deployment-access": {"restricted": "on"},
    "backfill-drip": {"at_once": "7"},
    "deployment-backfill": {"of": "sets", "sets": "[{}]", "existing": "skip", "order": "oldest"},
    "deployment-canary": {"share": "5"},
    "deployment-limits": {"concurrency_limit": "7", "on_limit": "ENQUEUE"},
    "deployment-schedule": {"kind": "interval", "interval": "5", "catch_up": "skip"},
    "deployment-schedule-new": {"kind": "rrule", "rrule": "FREQ=DAILY", "slug": "told", "catch_up": "skip"},
    "pool-access": {"restricted": "on"},
    "limit-edit": {"slots": "7", "rate": "2"},
    "limit-new": {"name": "told", "slots": "3"},
    "input": {"verdict": "answer"},
    "organization-limit": {"slots": "7"},
    "organization-billing-limit": {"limit": "50000", "at_limit": "stop", "under_way": "finish"},
    "organization-billing-plan": {"plan": "pro"},
    "organization-delete": {"typed": "acme"},
    "organization-invite": {"email": "nora@north.example", "role": "member"},
    "organization-key-new": {"name": "told", "workspace": "main", "kind": "personal", "role": "viewer", "days": "90"},
    "organization-person": {"role": "admin"},
    "organization-role": {"name": "told", "verbs": ["runs.cancel"]},
    "organization-role-new": {"name": "told", "verbs": ["runs.view"]},
    "organization-team": {"name": "told"},
    "organization-team-add": {"email": "bob@acme.example"},
    "organization-teams": {"name": "told"},
    "organization-settings": {"name": "Acme & Co", "slug": "acme"},
    "organization-sso-domains": {"domain": "acme-two.example"},
    "organization-sso-newcomers": {"role": "billing"},
    "organization-sso-switch": {"mode": "on"},
    "pool-edit": {"description": "told"},
    "pool-new": {"name": "told"},
    "pool-template": {"part": "defaults", "d~mode": "form", "d.memory_mib": "64"},
    "pool-queue-new": {"name": "told", "priority": "5"},
    "queue": {"priority": "7"},
    "webhook-edit": {"deployment": "acme-etl/acme-nightly", "how": "parameter", "parameter": "told"},
    "webhook-new": {"deployment": "acme-etl/acme-nightly", "name": "told", "how": "body"},
    "workspace-delete": {"typed": "main"},
    "workspace-people": {"email": "bob@acme.example", "role": "viewer"},
    "workspace-settings": {"name": "Renamed", "slug": "main"},
}
BODIES: dict[str, dict[str, Any]] = {
    "api-automation": AUTOMATION,
    "api-backfill": {"at_once": 7},
    "api-backfill-cancel": {"runs": "all"},
    "api-backfills": {"deployment": "acme-etl/acme-nightly", "sets": [{}]},
    "api-background-runs": {
        "deployment": "mail/background",
        "task": {"entrypoint": "a.py:mail", "queue": "serve mail-background"},
        "calls": [{}],
    },
    "api-cache-invalidate": {"key": "acme-cached"},
    "api-deployment": {"concurrency_limit": 7},
    "api-deployment-canary": {"share": 5},
    "api-deployment-rollback": {"version": 1},
    "api-deployments": {"flow": "f", "name": "n", "entrypoint": "a:b", "source": {"type": "path", "path": "/x"}},
    "api-deployment-schedule": {"interval": 60},
    "api-deployment-schedules": {"rrule": "FREQ=DAILY", "slug": "told"},
    "api-flow-runs": {"deployment": "acme-etl/acme-nightly"},
    "api-flow-runs-cancel": {"filter": {}},
    "api-flow-runs-retry": {"filter": {}},
    "api-flow-runs-delete": {"filter": {}},
    "api-flow-runs-pause": {"filter": {}},
    "api-flow-runs-resume": {"filter": {}},
    "api-flow-run-retry": {"parameters": {}},
    "api-limit": {"slots": 7},
    "api-limit-reset": {},
    "api-slots": {"session": "0192f0c1-2d3e-7f40-8a5b-6c7d8e9f0a1b"},
    "api-flow-run-messages": {"key": "told", "value": 1},
    "api-flow-run-resume": {"comment": "told"},
    "api-input-answer": {"comment": "told"},
    "api-webhook": {"deployment": "acme-etl/acme-nightly"},
    "api-webhook-rotate": {},
    "api-webhook-try": {"body": "{}"},
    "api-work-pool": {"description": "told"},
    "api-work-pools": {"name": "told"},
    "api-work-queue": {"priority": 7},
    "api-work-queues": {"name": "told"},
}
QUERY = {"block-new": "?type=secret", "bulk-operation-new": "?of=filter&kind=cancel"}
OF_PEOPLE = ("organization-person", "organization-hand-over")
BEFORE = {
    "api-backfill-resume": "api-backfill-pause",
    "backfill-resume": "backfill-pause",
    "api-deployment-schedule-resume": "api-deployment-schedule-pause",
    "api-webhook-resume": "api-webhook-pause",
    "automation-resume": "automation-pause",
    "deployment-schedule-resume": "deployment-schedule-pause",
    "pool-resume": "pool-pause",
    "pool-template-reset": "pool-template",
    "queue-resume": "queue-pause",
    "webhook-resume": "webhook-pause",
}


@pytest.fixture
def full(acme: Company, api: Api, bob: Any, world: dict, settings: Any) -> dict:  # noqa: F811
    """The world, with what some routes need to have something to do: Bob is a member, Olga a second owner."""
    settings.BILLING = True
    kept(api)
    on_plan(acme, "enterprise")  # Which has everything that could be refused for money.
    with acme.scope():
        Invitation.objects.update(sent_at=Invitation.objects.get().sent_at - timedelta(hours=1))
        Membership.objects.create(organization=acme.organization, user=person("olga@acme.example"), role="owner")
    return world | {name: {"id": Thing(bob.id, None)} for name in world if name.startswith(OF_PEOPLE)}


def entries(company: Company) -> int:
    with company.scope():
        return AuditEntry.objects.count()


def silent(company: Company, ask: Any, name: str, method: str) -> str:
    """What is wrong with a write: it was refused, or has left no entry. What it changed is undone."""
    with transaction.atomic():
        if name in BEFORE:
            ask(BEFORE[name], "POST")
        before = entries(company)
        response = ask(name, method)
        told = entries(company) - before
        transaction.set_rollback(True)
    if response.status_code >= 400:
        return f"{method} {name} answers {response.status_code}: {response.content[-300:]!r}"
    return "" if told else f"{method} {name} ({response.status_code}) leaves no entry in the audit trail"


def writes(routes: list[str]) -> list[tuple[str, str]]:
    return [(name, method) for name in routes for method in declared(name) if method not in SAFE]


def failures(company: Company, ask: Any, routes: list[str]) -> list[str]:
    asked = [(name, method) for name, method in writes(routes) if name not in WITHOUT_ENTRY]
    return [problem for name, method in asked if (problem := silent(company, ask, name, method))]


def test_each_write_by_a_page_is_told(acme: Company, alice: Any, browse: Any, full: dict) -> None:
    data = {key: value for key, value in body(full).items() if isinstance(value, str | int)} | {"overlap": "0"}
    with acme.scope():
        data["id"] = str(JournalQuarantine.objects.get().id)

    def ask(name: str, method: str) -> Any:
        path = address(name, full, "acmes") + QUERY.get(name, "")
        return browse(alice).post(path, FORMS.get(name, data))

    wrong = failures(acme, ask, PAGES)
    assert not wrong, "\n".join(wrong)


def test_each_write_by_the_api_is_told(acme: Company, full: dict) -> None:
    api = Api(acme.key("owner", "owner"))

    def ask(name: str, method: str) -> Any:
        data = json.dumps(BODIES.get(name, body(full))) if method != "DELETE" else ""
        path = address(name, full, "acmes")
        return api.client.generic(method, path, data=data, content_type="application/json")

    wrong = failures(acme, ask, APIS)
    assert not wrong, "\n".join(wrong)


def test_the_exceptions_are_routes_that_write() -> None:
    known = {name for name, _ in writes([*PAGES, *APIS])}
    assert not WITHOUT_ENTRY.keys() - known
    assert not (FORMS.keys() | BODIES.keys() | BEFORE.keys()) - known
