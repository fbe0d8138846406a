"""Something of everything that Acme can have, and how to fill the addresses of all routes with it.

A new route with a parameter has its line in one of the tables here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.timezone import now

from orchestrator.ids import uuid7
from runs.models import NamedLimit
from tenants.access import workspace_actor
from tenants.invitations import invite
from tenants.keys import create_key
from tenants.models import CustomRole, Team, TeamMember, TeamPart, Workspace
from tenants.provisioning import create_workspace
from tests.cast import Api, Company
from tests.contract.test_artifacts import artifact
from tests.contract.test_assets import asset_of, materialized
from tests.contract.test_cache import cached, entry_of
from tests.contract.test_events import event
from tests.contract.test_pausing import asks
from tests.runs.automating import automate
from tests.runs.work import agent, claim, deploy, start, trigger
from tests.server.routes import names, parameters_of
from tests.tenants.sso.setup import arrive, own_domain

BUNDLE = b"PK acme's own code"


@dataclass
class Thing:
    """How to fill a parameter of an address: with Acme's own, or with what nobody has."""

    acmes: Any
    nobodys: Any


# What fills parameters, by a pattern of the names of the routes that have them.
Table = dict[str, dict[str, Thing]]


def furnish(company: Company, api: Api) -> dict[str, dict[str, Thing]]:
    """Make something of everything; how to fill each route, by parameter. "" stands for any route."""
    found: dict[str, dict[str, Thing]] = {
        "": {"organization": Thing("acme", "nobody"), "workspace": Thing("main", "nothing")}
    }
    of_workspace = (work(company, api), pools(company, api), settings(company, api))
    for table in (*of_workspace, people(company), log_in(company), bills(company)):
        for pattern, things in table.items():
            for name in (name for name in names() if re.fullmatch(pattern, name)):
                own = {parameter: thing for parameter, thing in things.items() if parameter in parameters_of(name)}
                found.setdefault(name, {}).update(own)
    return found


def work(company: Company, api: Api) -> Table:
    """A deployment in three versions, an agent, a run that it has claimed, and what that run told."""
    deploy(company, "acme-nightly", flow="acme-etl", entrypoint="flows.py:former")
    deployment = deploy(company, "acme-nightly", flow="acme-etl", schedule={"interval": 31_536_000})
    trigger(company, deployment, 3)
    deploy(company, "acme-nightly", flow="acme-etl", entrypoint="flows.py:tried", canary=1)
    by = agent(company, "acme-agent")
    claimed, ended = claim(company, by, 2)
    journal, over = start(claimed), start(ended)
    over.send(over.task(), over.state("FAILED"))
    task, line = journal.task(), journal.log("what acme logs")
    made = artifact(journal, "link", {"link": "https://acme.example/secret-plan"}, key="acme-report")
    happened = event(journal, "acme.paid", "acme-order")
    journal.send(task, line, made, happened, materialized(journal, "s3://acme-lake/flights", ["s3://acme-lake/raw"]))
    journal.send(cached(journal, "acme-cached"))
    asked = asks(journal, "acme-question", title="what acme asks")
    journal.send(asked)
    bulk = api.post("/flow-runs/cancel", {"filter": {"flow": "acme-etl"}, "delay": 3_600}).json()["operation"]
    wanted = {"deployment": "acme-etl/acme-nightly", "sets": [{}, {}], "name": "acme-again"}
    backfill = api.post("/backfills", wanted).json()["backfill"]
    sha256 = hashlib.sha256(BUNDLE).hexdigest()
    assert api.put(f"/bundles/{sha256}", BUNDLE).status_code == 201
    assert api.put("/results/acme-secret-plan", b"what acme computed").status_code == 201
    pages = (f"runs/deployment/{id}/change/" for id in (deployment.id, uuid7()))
    return {
        "(api-)?deployment(-.*)?": {"id": Thing(deployment.id, uuid7()), "number": Thing(1, 99)},
        "(api-)?deployment-schedule(-.*)?": {"slug": Thing("default", "no-schedule")},
        "api-deployment-named": {"flow": Thing("acme-etl", "no-flow"), "name": Thing("acme-nightly", "none")},
        "organization-admin-page": {"rest": Thing(*pages)},
        "(api-)?(flow-)?run(-.*)?": {"id": Thing(claimed.run, uuid7()), "task_id": Thing(task.id, uuid7())},
        "(api-flow-)?run-retry(-calls)?|api-flow-run|run-delete": {"id": Thing(ended.run, uuid7())},
        "(api-)?agent(-.*)?": {"id": Thing(by.id, uuid7())},
        "(api-)?asset(-.*)?": {"id": Thing(asset_of(api, "s3://acme-lake/flights"), uuid7())},
        "(api-)?cache-entry(-now)?": {"id": Thing(entry_of(api, "acme-cached")["id"], uuid7())},
        "api-flow-run-input": {"key": Thing("acme-question", "no-question")},
        "(api-)?input(-.*)?": {"id": Thing(asked.id, uuid7())},
        "api-cache-entry-of-key": {"key": Thing("acme-cached", "not-cached")},
        "(api-)?event": {"id": Thing(happened.id, uuid7())},
        "(api-)?artifact(-.*)?": {"id": Thing(made.id, uuid7())},
        "(api-)?artifacts-of-key(-now)?": {"key": Thing("acme-report", "no-report")},
        "api-result": {"key": Thing("acme-secret-plan", "no-plan")},
        "(api-)?bulk-operation(-.*)?": {"id": Thing(bulk["id"], uuid7())},
        "(api-)?backfill(-.*)?": {"id": Thing(backfill["id"], uuid7())},
        "api-bundle": {"sha256": Thing(sha256, "0" * 64)},
    }


def pools(company: Company, api: Api) -> Table:
    """A pool with a queue that nothing names."""
    assert api.post("/work-pools", {"name": "acme-pool", "description": "what acme pools"}).status_code == 201
    queue = api.post("/work-pools/acme-pool/queues", {"name": "acme-queue"}).json()
    pool = api.get("/work-pools/acme-pool").json()
    return {
        "pool(-.*)?": {"id": Thing(pool["id"], uuid7())},
        "queue(-.*)?": {"id": Thing(queue["id"], uuid7())},
        "api-work-.*": {"pool": Thing("acme-pool", "no-pool"), "queue": Thing("acme-queue", "no-queue")},
    }


def settings(company: Company, api: Api) -> Table:
    """A variable, a block, a block type, an automation."""
    assert api.put("/variables/secret-plan", {"value": "sesame"}).status_code == 201
    assert api.put("/blocks/secret/acme-vault", {"data": {"value": "open sesame"}}).status_code == 201
    assert api.put("/block-types/acme-crm", {"name": "Acme's CRM", "schema": {}}).status_code == 201
    limit = limit_of(company, api)
    alarm = automate(company, "acme-alarm")
    webhook = api.put("/webhooks/acme-hook", {"deployment": "acme-etl/acme-nightly"}).json()
    hook = webhook["address"].rpartition("/")[2]
    block = {"type": Thing("secret", "secret"), "name": Thing("acme-vault", "no-vault")}
    return {
        "(api-)?variable(-.*)?": {"name": Thing("secret-plan", "no-plan")},
        "(api-)?block(-.*)?": {**block, "slug": Thing("acme-crm", "no-crm")},
        "(api-)?limit(-.*)?": {"id": Thing(limit, uuid7()), "name": Thing("acme-limit", "no-limit")},
        "(api-)?webhook(-.*)?": {"id": Thing(webhook["id"], uuid7()), "name": Thing("acme-hook", "no-hook")},
        "hook": {"token": Thing(hook, "orh_nobody")},
        "(api-)?automation(-.*)?": {"id": Thing(alarm.id, uuid7()), "name": Thing("acme-alarm", "no-alarm")},
    }


def limit_of(company: Company, api: Api) -> UUID:
    """A limit with a holder and a waiter."""
    assert api.put("/limits/acme-limit", {"slots": 1}).status_code == 201
    asks = [{"id": str(uuid7()), "names": ["acme-limit"], "label": f"acme-holder {number}"} for number in range(2)]
    assert api.post("/slots", {"session": str(uuid7()), "asks": asks}).status_code == 200
    with company.scope():
        return NamedLimit.objects.get(name="acme-limit").id


def people(company: Company) -> Table:
    """Who is there and who is invited, a key, a workspace that was deleted."""
    by = workspace_actor(company.owner.id, "acme", "main")
    with company.scope():
        key, _ = create_key(workspace=company.workspace, name="acme-key")
        invitation, _ = invite(email="carol@acme.example", role="member", parts={}, by=by)
        former = create_workspace(organization=company.organization, name="acme-former")
        Workspace.objects.filter(id=former.id).update(deleted_at=now())
        team, role = team_and_role(company)
    return {
        "organization-team(-.*)?": {"id": Thing(team.id, uuid7()), "person": Thing(company.owner.id, uuid7())},
        "organization-role(-.*)?": {"id": Thing(role.id, uuid7())},
        "organization-(person|hand-over)(-.*)?": {"id": Thing(company.owner.id, uuid7())},
        "organization-invitation(-.*)?": {"id": Thing(invitation.id, uuid7())},
        "organization-key(-.*)?": {"id": Thing(key.id, uuid7())},
        "organization-restore(-.*)?": {"id": Thing(former.id, uuid7())},
        "organization-move-workspace": {"id": Thing(company.workspace.id, uuid7())},
        "organization-export-download": {"id": Thing(export_of(company), uuid7())},
    }


def team_and_role(company: Company) -> tuple[Team, CustomRole]:
    """A team of the owner, who has a part in the workspace by it, too; and a role that nobody has."""
    own = {"organization": company.organization}
    team = Team.objects.create(**own, name="acme-team")
    TeamMember.objects.create(**own, team=team, user=company.owner)
    TeamPart.objects.create(**own, team=team, workspace=company.workspace, role="viewer")
    role = CustomRole.objects.create(**own, slug="acme-deployer", name="acme-deployer", verbs=["deployments.view"])
    return team, role


def export_of(company: Company) -> UUID:
    """A zip that is ready; its id."""
    from tenants.leaving.models import Export, ExportChunk

    own = {"organization": company.organization}
    with company.scope():
        made = Export.objects.create(**own, asked_by="alice", email="alice@acme.example", ready_at=now(), size=2)
        ExportChunk.objects.create(**own, export=made, number=0, content=b"PK")
    return made.id


def log_in(company: Company) -> Table:
    """A domain, and somebody who came by the company's provider."""
    domain, link = own_domain(company, "acme.example"), arrive(company)
    return {
        "organization-sso-domain-.*": {"id": Thing(domain.id, uuid7())},
        "organization-sso-unlink": {"id": Thing(link.id, uuid7())},
    }


def bills(company: Company) -> Table:
    """A closed month."""
    return {"organization-invoice": {"number": Thing(invoice_of(company), 99)}}


def invoice_of(company: Company) -> int:
    """The number of an invoice."""
    from tenants.billing.models import Invoice

    nobody = {"company": "Acme", "address": "", "tax_id": "", "email": ""}
    with company.scope():
        return Invoice.objects.create(
            organization=company.organization, number=17, month="2026-05-01", plan="pro", customer=nobody, lines=[],
            usage={"task_runs": 0}, currency="USD", subtotal=0, credit=0, total=0,
        ).number  # fmt: skip
