"""Every page, empty and full, in both widths and themes: nothing for axe-core, nothing scrolls sideways."""

from __future__ import annotations

import json
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.agent_messages import AgentLine, Load
from runs import schedules
from runs.agents import note
from runs.models import Deployment, InputRequest, Schedule
from runs.webhooks.receiving import receive
from tenants import audit
from tenants.errors import Problem
from tenants.models import Organization
from tenants.sso.domains import claim_domain
from tests.browser.conftest import Portal
from tests.browser.looking import visit
from tests.browser.test_forms import deployed
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_artifacts import artifact
from tests.contract.test_assets import asset_of, materialized
from tests.contract.test_cache import cached, entry_of
from tests.contract.test_events import event
from tests.contract.test_pausing import SCHEMA, asks
from tests.runs.automating import automate
from tests.runs.test_input_links import path_of
from tests.runs.work import agent, deploy
from tests.server.things_of_acme import limit_of
from tests.tenants.sso.setup import arrive, connect, owner_of

# Relative to the workspace; `../` leads to pages of the organization.
EMPTY_PAGES = [
    "",
    "runs",
    "runs?flow=none",
    "deployments",
    "pools",
    "pools/new",
    "schedules",
    "quarantine",
    "variables",
    "variables/new",
    "blocks",
    "blocks?q=nothing",
    "blocks/new",
    "blocks/new?q=nothing",
    "blocks/new?type=secret",
    "artifacts",
    "events",
    "events?event=none",
    "assets",
    "cache",
    "waiting",
    "limits",
    "limits/new",
    "webhooks",
    "webhooks/new",
    "../limit",
    "../audit",
    "../audit?actor=nobody",
    "../../../api/docs",
    "../../../api/docs/flow-runs",
    "automations",
    "automations/new",
    "automations/new?start=failed",
]


@pytest.mark.usefixtures("acme")
def test_empty_pages(portal: Portal) -> None:
    assert visit(portal, EMPTY_PAGES) == []


def test_the_company_log_in(portal: Portal, acme: Company) -> None:
    doors = ["../../../login/sso", f"../../../sso/{acme.organization.id}/callback"]
    assert visit(portal, ["../sso", *doors]) == []
    portal.complaints.clear()  # The answer to nothing was 404.
    connect(acme, SimpleNamespace(url="https://login.acme.example", secret="s3cret"), "acme.example")
    with acme.scope():
        claim_domain(name="a-long-name.of-a-subsidiary.acme-international.example", by=owner_of(acme))
    arrive(acme)
    assert visit(portal, ["../sso"]) == []
    with acme.scope():
        Organization.objects.update(requires_sso=True)
    assert visit(portal, ["", *doors]) == []
    portal.complaints.clear()  # 403 each, as is right.


def told_automation(company: Company, api: Api) -> Any:
    """The id of an automation that has fired, and was tried in vain."""
    from runs.automations import edit

    automation = automate(company, "Failures", action={"to": ["alice@acme.example"], "subject": "{{ flow }} failed"})
    with company.scope():
        edit.send_test(automation, by=company.actor())
    journal = Journal(api)
    journal.send(journal.begin(), journal.state("FAILED", message="ValueError: no such month"))
    return automation.id


def test_usage_and_billing(portal: Portal, acme: Company, served_api: Api) -> None:
    from runs.usage.rollup import roll_up
    from tenants.billing.accounts import edit_limit

    assert visit(portal, ["../usage", "../billing"]) == []
    journal = Journal(served_api)
    journal.send(journal.begin(), *(journal.task() for _ in range(30)), journal.state("COMPLETED"))
    roll_up()
    with acme.scope():
        edit_limit(limit=32, at_limit="stop", under_way="finish", by=owner_of(acme))
    ways = [f"../usage?by={by}&meter=run_time" for by in ("workspace", "day", "deployment", "tag")]
    ways += ["../usage?meter=storage", "../usage?meter=seats"]
    assert visit(portal, ["../usage", *ways, "../billing"]) == []


def runs_in_each_state(api: Api) -> Journal:
    """Runs with tasks and logs, the last of which goes on: its journal."""
    for state in ("COMPLETED", "FAILED", "RUNNING"):
        journal = Journal(api)
        journal.send(journal.begin(tags=["nightly"]), *(journal.task() for _ in range(10)), journal.task("FAILED"))
        journal.send(*(journal.log(f"line {number}", level=10 * (1 + number % 5)) for number in range(20)))
        if state != "RUNNING":
            journal.send(journal.state(state, run_count=1, message="ValueError: no such month"))
    return journal


def told_by_run(journal: Journal) -> tuple[Any, Any]:
    """Artifacts, an event, an asset and what can't be read, of a run: the table and the event."""
    table = artifact(journal, "table", {"columns": ["a", "b"], "rows": [[1, "x" * 300]] * 300}, key="rows")
    text = artifact(journal, data="# Hi\n\n[there](https://x.example) `code`", key="report", description="*Of the day*")
    journal.send(
        table, text, artifact(journal, "progress", 40), artifact(journal, "link", {"link": "https://x.example"})
    )
    paid = event(journal, payload={"total": 12.5}, related=[{"id": "customer.3", "role": "buyer"}])
    journal.send(paid)
    journal.send(materialized(journal, "s3://lake/flights.parquet", ["s3://lake/raw.csv"]))
    journal.send(
        cached(journal, "flights"), cached(journal, "old", expires=1), cached(journal, "flights", name="Cached")
    )
    journal.send(journal.raw(b'{"kind":"metric","seq":%d,"run":"%s"}' % (journal.seq + 1, str(journal.root).encode())))
    return table, paid


def asked_by_run(company: Company, journal: Journal) -> list[str]:
    """The forms of what a run asks: of anyone, with its link, and an approval."""
    anyone = asks(journal, title="How much?", description="*Nothing* is too much.", schema=SCHEMA, link="anyone")
    approval = asks(journal, "release", title="Release 2.0?", quorum=2, teams=["Finance"])
    journal.send(anyone, approval)
    with company.scope():
        link = path_of(InputRequest.objects.get(id=anyone.id))
    return ["waiting", f"waiting/{anyone.id}", f"waiting/{approval.id}", f"../../..{link}"]


def settings_of(api: Api) -> str:
    """A variable, blocks in versions, and a queue that is paused: the queue's id."""
    api.put("/variables/bucket", {"value": {"name": "flights"}, "tags": ["a"]})
    key = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "sesame"}
    for more in ({}, {"region_name": "eu-west-1"}):
        api.put("/blocks/aws-credentials/prod", {"data": {**key, **more}})
    lake = {"bucket_name": "flights-lake", "credentials": {"$block": "aws-credentials/prod"}}
    api.put("/blocks/s3-bucket/lake", {"data": lake})
    cards = {"name": "cards", "priority": 5, "concurrency_limit": 2, "description": "What needs a graphics card"}
    return api.post("/work-pools/default/queues", cards | {"paused": True}).json()["id"]


def paths_of_run(run: str) -> list[str]:
    """The page of a run, and what its tabs show."""
    return [run, *(f"{run}?tab={tab}" for tab in ("tasks", "log", "attempts", "artifacts"))]


def paths_of_pools(acme: Company, by: Any, queue: object) -> list[str]:
    """Where runs are executed."""
    pool = f"pools/{acme.pool.id}"
    return [
        "pools",
        f"agents/{by.id}",
        pool,
        f"{pool}/access",
        f"{pool}/edit",
        f"{pool}/template",
        f"{pool}/queues/new",
        f"queues/{queue}",
    ]


def paths_of_versions(company: Company, deployment: str) -> list[str]:
    """A version in force, one on trial, and what bringing a former one back will change."""
    more = {"git": {"commit": "c" * 40, "branch": "a-long-name-of-a-branch", "dirty": True}, "message": "Mended"}
    for number, share in ((2, None), (3, 10)):
        changed = {"parameters": {"city": "Oslo", "days": number}, "canary": share, **more}
        deploy(company, "daily", flow="weather", entrypoint=f"flows.py:v{number}", **changed)
    return [f"{deployment}?tab=versions", f"{deployment}/versions/3", f"{deployment}/versions/1/rollback"]


def paths_of_webhooks(acme: Company, api: Api, deployment: str) -> list[str]:
    """One that is signed and has templates, to which something came of each kind."""
    told = {"deployment": deployment.rpartition("/")[2], "filter": "{{ not body.skip }}", "debounce": 60}
    made = api.put("/webhooks/push", {**told, "parameters": '{"city": {{ body.city|tojson }}}'}).json()
    for body in ({"city": "Oslo"}, {"skip": True}, {"city": 7}):
        with suppress(Problem):
            receive(made["address"].rpartition("/")[2], json.dumps(body).encode(), {})
    api.put("/webhooks/signed", {**told, "signature": "github", "secret": "s3cret"})
    hook = f"webhooks/{made['id']}"
    return ["webhooks", "webhooks?q=none", hook, f"{hook}/edit", f"{deployment}?tab=webhooks"]


def paths_of_schedules(acme: Company, deployment: str) -> list[str]:
    """Schedules of each kind, one of which is paused and one makes no runs; and the form of one."""
    own = [
        {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin", "slug": "mornings"},
        {"interval": 900, "slug": "a-long-name-of-a-schedule-" * 3, "active": False},
        {"rrule": "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", "slug": "months-end", "catch_up": "all", "skip_if_late": 600},
    ]
    with acme.scope():
        of = Deployment.objects.get(id=deployment.removeprefix("deployments/"))
        for told in own:
            schedules.create(of, told | {"parameters": {"city": "Oslo"}}, by=acme.actor())
        Schedule.objects.filter(slug="months-end").update(refusal="The runs of this plan are used up.")
    form = f"{deployment}/schedules/months-end"
    return ["schedules", f"{deployment}?tab=schedules", form]


PATHS_OF_SETTINGS = [
    "variables",
    "variables/bucket",
    "blocks",
    "blocks/s3-bucket/lake",
    "blocks/aws-credentials/prod",
    "blocks/aws-credentials/prod/access",
    "blocks/aws-credentials/prod?tab=versions",
    "blocks/aws-credentials/prod?tab=users",
    "blocks/new?type=s3-bucket",
]


def test_full_pages(portal: Portal, acme: Company, served_api: Api) -> None:
    deployment = f"deployments/{deployed(acme).id}"
    deploy(acme, "a-long-name-of-a-deployment-" * 3, concurrency_limit=1)
    journal = runs_in_each_state(served_api)
    table, paid = told_by_run(journal)
    forms = asked_by_run(acme, journal)
    by = agent(acme, "box")
    with acme.scope():
        note(by, load=Load(cpu=1.5, memory=1 << 28), lines=[AgentLine(0, "is away", 40), AgentLine(0, "is back")])
    queue = settings_of(served_api)
    alarm = f"automations/{told_automation(acme, served_api)}"
    paths = [
        *("", "?range=30d", "runs", *paths_of_run(f"runs/{journal.root}"), *forms),
        *("automations", alarm, f"{alarm}/edit"),
        *("artifacts", "artifacts?view=all", f"artifacts/{table.id}", "artifacts/by-key/report"),
        *("events", f"events/{paid.id}"),
        *("assets", f"assets/{asset_of(served_api, 's3://lake/flights.parquet')}"),
        *("cache", f"cache/{entry_of(served_api, 'flights')['id']}"),
        *("limits", f"limits/{limit_of(acme, served_api)}"),
        *paths_of_webhooks(acme, served_api, deployment),
        *("deployments", deployment, f"{deployment}/run", f"{deployment}/access", f"{deployment}/limits"),
        *(*paths_of_schedules(acme, deployment), *paths_of_versions(acme, deployment)),
        *paths_of_pools(acme, by, queue),
        *("quarantine", "quarantine?code=invalid"),
        *PATHS_OF_SETTINGS,
        "../audit",
    ]
    with acme.scope():
        audit.record(acme.actor(), "bucket.emptied", acme.workspace, details={"objects": 3})
    assert visit(portal, paths) == []


def test_the_ways_to_run_a_run_again(portal: Portal, acme: Company, served_api: Api) -> None:
    journal = Journal(served_api)
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    again = f"runs/{journal.root}/again"
    assert visit(portal, [again]) == []  # What to do: no deployment is there.
    for name in ("nightly", "hourly"):
        deploy(acme, name)
    assert visit(portal, [again]) == []  # Which of them.
