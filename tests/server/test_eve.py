"""Eve belongs to another organization. She tries every page and every API route with Acme's names and ids.

For her there is nothing: what she asks for answers exactly as what does not exist. A route that this file can't fill
makes it fail, so that a new one is not forgotten.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils.timezone import now
from rest_framework.views import APIView

from orchestrator.ids import uuid7
from tenants.access import workspace_actor
from tenants.invitations import invite
from tenants.keys import create_key
from tenants.models import Workspace
from tenants.provisioning import create_workspace
from tests.cast import Api, Company, person
from tests.contract.journals import Journal
from tests.runs.automating import automate
from tests.runs.work import agent, claim, deploy, start, trigger
from tests.sql import ask
from tests.tenants.sso.setup import arrive, own_domain

pytestmark = pytest.mark.django_db

BUNDLE = b"PK acme's own code"
SECRETS = [
    "secret-plan", "acme-etl", "acme-nightly", "alice@acme.example", "carol@acme.example", "acme-key",
    "acme-agent", "what acme logs", "acme-vault",
    "acme-crm", "open sesame", "acme-alarm",
]  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

# Routes without a tenant in their address, and why nothing of Acme can be found there.
WITHOUT_TENANT = {
    "health-live", "health-ready",  # numbers of nobody
    "home",  # leads to one's own workspace
    "staff-admin", "staff-admin-page",  # of no tenant, and for staff alone: tests/server/test_staff_admin.py
    "sso-ask",  # leads from a verified domain to its provider
    "sso-login", "sso-test", "sso-callback", "sso-acs", "sso-finish",  # lead to a provider and back: tests/tenants/sso
    "sso-saml",  # answers the same for every id
    "sso-break-glass",  # for owners
    "account", "new-organization", "restore-organization",  # one's own
    "invitation",  # who has the link may know who invites
}  # fmt: skip
ACCOUNT = re.compile(
    r"account_|mfa_|usersessions_|socialaccount_|(google|github|microsoft)_"
)  # allauth's: about the person who is signed in

# Routes of the API that show the key's own workspace: asked, they may name nothing of Acme's.
OWN = {
    "api-me", "api-journal", "api-variables", "api-deployments", "api-flow-runs", "api-work-pools", "api-agents",
    "api-blocks", "api-block-types", "api-automations",
}  # fmt: skip


# What she may make under any name: it is hers then, though something of Acme's is called the same.
MAKES_HER_OWN = {("api-variable", "PUT"), ("api-block", "PUT"), ("api-block-type", "PUT")}


@dataclass
class Thing:
    """How to fill a parameter of an address: with Acme's own, or with what nobody has."""

    acmes: Any
    nobodys: Any


def routes(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from routes(pattern)
        else:
            yield pattern


def names() -> list[str]:
    return sorted({pattern.name or str(pattern.pattern) for pattern in routes()})


def pattern_of(name: str) -> URLPattern:
    return next(pattern for pattern in routes() if (pattern.name or str(pattern.pattern)) == name)


def parameters_of(name: str) -> set[str]:
    """The parameters of a route, those of the routes around it too."""
    [(_, parameters), *_] = get_resolver().reverse_dict.getlist(name)[0][0]
    return set(parameters)


@pytest.fixture
def things(acme: Company, api: Api, globex: Company) -> dict[str, dict[str, Thing]]:
    """Something of everything that Acme can have, by route and parameter; "" stands for any route."""
    deployment = deploy(acme, "acme-nightly", flow="acme-etl")
    trigger(acme, deployment, 2)
    by = agent(acme, "acme-agent")
    claimed = claim(acme, by, 1)[0]
    journal = start(claimed)
    task = journal.task()
    journal.send(task, journal.log("what acme logs"))
    assert api.put("/variables/secret-plan", {"value": "sesame"}).status_code == 201
    assert api.put("/blocks/secret/acme-vault", {"data": {"value": "open sesame"}}).status_code == 201
    assert api.put("/block-types/acme-crm", {"name": "Acme's CRM", "schema": {}}).status_code == 201
    sha256 = hashlib.sha256(BUNDLE).hexdigest()
    assert api.put(f"/bundles/{sha256}", BUNDLE).status_code == 201
    with acme.scope():
        key, _ = create_key(workspace=acme.workspace, name="acme-key")
        by_alice = workspace_actor(acme.owner.id, "acme", "main")
        invitation, _ = invite(email="carol@acme.example", role="member", parts={}, by=by_alice)
        former = create_workspace(organization=acme.organization, name="acme-former")
        Workspace.objects.filter(id=former.id).update(deleted_at=now())
    alarm = automate(acme, "acme-alarm")
    people = Thing(acme.owner.id, uuid7())
    run, deployments = Thing(claimed.run, uuid7()), Thing(deployment.id, uuid7())
    agents = Thing(by.id, uuid7())
    domain = own_domain(acme, "acme.example")
    link = arrive(acme)
    found: dict[str, dict[str, Thing]] = {
        "organization-sso-domain-check": {"id": Thing(domain.id, uuid7())},
        "organization-sso-domain-remove": {"id": Thing(domain.id, uuid7())},
        "organization-sso-unlink": {"id": Thing(link.id, uuid7())},
        "organization-invoice": {"number": Thing(invoice_of(acme), 99)},
        "organization-admin-page": {
            "rest": Thing(*(f"runs/deployment/{id}/change/" for id in (deployment.id, uuid7())))
        },
        "": {"organization": Thing("acme", "nobody"), "workspace": Thing("main", "nothing")},
        "api-deployment-named": {"flow": Thing("acme-etl", "no-flow"), "name": Thing("acme-nightly", "none")},
        "api-bundle": {"sha256": Thing(sha256, "0" * 64)},
        "api-variable": {"name": Thing("secret-plan", "no-plan")},
        "variable": {"name": Thing("secret-plan", "no-plan")},
        "variable-remove": {"name": Thing("secret-plan", "no-plan")},
        "run-task": {"id": run, "task_id": Thing(task.id, uuid7())},
    }
    block = {"type": Thing("secret", "secret"), "name": Thing("acme-vault", "no-vault")}
    slug = {"slug": Thing("acme-crm", "no-crm")}
    for name in names():
        if re.fullmatch("api-automation(-.*)?", name):
            found[name] = {"name": Thing("acme-alarm", "no-alarm")}
        if re.fullmatch("(api-)?block(-.*)?", name):
            found.setdefault(name, block if "type" in parameters_of(name) else slug)
        for prefix, thing in (
            ("deployment", deployments), ("flow-run", run), ("run", run), ("agent", agents),
            ("automation", Thing(alarm.id, uuid7())),
            ("organization-person", people), ("organization-hand-over", people),
            ("organization-invitation", Thing(invitation.id, uuid7())), ("organization-key", Thing(key.id, uuid7())),
            ("organization-restore", Thing(former.id, uuid7())),
        ):  # fmt: skip
            if re.fullmatch(f"(api-)?{prefix}(-.*)?", name):
                found.setdefault(name, {"id": thing})
    return found


def invoice_of(company: Company) -> int:
    """A closed month; its number."""
    from tenants.billing.models import Invoice

    nobody = {"company": "Acme", "address": "", "tax_id": "", "email": ""}
    with company.scope():
        return Invoice.objects.create(
            organization=company.organization, number=17, month="2026-05-01", plan="pro", customer=nobody, lines=[],
            usage={"task_runs": 0}, currency="USD", subtotal=0, credit=0, total=0,
        ).number  # fmt: skip


def address(name: str, things: dict[str, dict[str, Thing]], whose: str) -> str:
    """The address of a route, filled with things of `whose`."""
    known = things[""] | things.get(name, {})
    wanted = parameters_of(name)
    if missing := wanted - known.keys():
        pytest.fail(f"Tell tests/server/test_eve.py how to fill {', '.join(sorted(missing))} of the route {name!r}.")
    return reverse(name, kwargs={parameter: getattr(known[parameter], whose) for parameter in wanted})


def body(things: dict[str, dict[str, Thing]]) -> dict[str, Any]:
    """A body that some route or other would take, with Acme's ids in it."""
    run = things["api-flow-run"]["id"].acmes
    return {
        "deployment": "acme-etl/acme-nightly", "value": 1, "slots": 5, "name": "x", "flow": "acme-etl",
        "run": str(run), "attempt": 1, "leases": [{"run": str(run), "attempt": 1}], "parent": str(run),
        "entrypoint": "a:b", "source": {"type": "path", "path": "/x"},
        "data": {"value": "hers"}, "schema": {}, "version": 1,
    }  # fmt: skip


def asked(client: Client, method: str, path: str, things: dict[str, dict[str, Thing]]) -> tuple[int, str]:
    data = json.dumps(body(things)) if method in {"POST", "PUT", "PATCH"} else ""
    response = client.generic(method, path, data=data, content_type="application/json")
    text = response.headers.get("Location", "") + response.content.decode()
    return response.status_code, text


def without_names(text: str, name: str, things: dict[str, dict[str, Thing]]) -> str:
    """An answer may repeat the address that was asked for."""
    values = {str(v) for thing in (things[""] | things.get(name, {})).values() for v in (thing.acmes, thing.nobodys)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "…")
    return re.sub(r'(csrfmiddlewaretoken" value|nonce)="[^"]*"', "", text)


# An alias that no column has: else it would stand for that column alone.
_ALL_ROWS = "SELECT coalesce(string_agg(every::text, '|' ORDER BY every::text), '') FROM {} every"


def rows_of(company: Company) -> str:
    """A fingerprint of all that a company has."""
    tables = ask(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
        " AND c.relname <> 'api_key' ORDER BY 1"
    )
    with company.scope():
        texts = [ask(_ALL_ROWS.format(table)) for (table,) in tables]
    return hashlib.sha256(repr(texts).encode()).hexdigest()


def is_page_of_a_tenant(name: str) -> bool:
    return "organization" in parameters_of(name)


def is_api(name: str) -> bool:
    return name.startswith("api-")


PAGES = [name for name in names() if is_page_of_a_tenant(name)]
APIS = [name for name in names() if is_api(name)]


def test_every_route_has_its_place_here() -> None:
    for name in names():
        assert (
            name in WITHOUT_TENANT or ACCOUNT.match(name) or name in OWN or is_api(name) or is_page_of_a_tenant(name)
        ), f"{name}: is it a tenant's, and if so, of which organization?"
        kind = getattr(pattern_of(name).callback, "cls", object)
        assert is_api(name) == issubclass(kind, APIView), name


def test_own_routes_have_no_parameters() -> None:
    assert [name for name in OWN if parameters_of(name)] == []


def nothing_is_found(client: Client, name: str, things: dict[str, dict[str, Thing]]) -> None:
    theirs, nobodys = address(name, things, "acmes"), address(name, things, "nobodys")
    seen: list[int] = []
    for method in METHODS:
        (status, text), (unknown, unknown_text) = (asked(client, method, path, things) for path in (theirs, nobodys))
        if (name, method) in MAKES_HER_OWN:
            assert status in {200, 201}
            for path in (theirs, nobodys):
                client.generic("DELETE", path)
            continue
        assert (status, without_names(text, name, things)) == (unknown, without_names(unknown_text, name, things)), (
            name,
            method,
        )
        assert status in {302, 400, 403, 404, 405, 415}, (name, method, status, text[:300])
        seen.append(status)
    assert 404 in seen, (name, seen)


def test_the_api_knows_nothing_for_eve(acme: Company, eve_api: Api, things: dict) -> None:
    before = rows_of(acme)
    for name in APIS:
        if name not in OWN:
            nothing_is_found(eve_api.client, name, things)
    assert rows_of(acme) == before


def test_the_api_shows_eve_her_own(acme: Company, eve_api: Api, things: dict) -> None:
    before = rows_of(acme)
    for name in OWN:
        for method in METHODS:
            status, text = asked(eve_api.client, method, address(name, things, "acmes"), things)
            text = text.replace("acme-etl/acme-nightly", "what she asked for")
            if status == 201 or name == "api-deployments":
                text = text.replace("acme-etl", "what she named so")
            assert not [secret for secret in SECRETS if secret in text], (name, method, text[:300])
            assert status != 500
    assert rows_of(acme) == before


def test_the_portal_knows_nothing_for_eve(acme: Company, eve: Any, browse: Any, things: dict) -> None:
    before = rows_of(acme)
    for name in PAGES:
        nothing_is_found(browse(eve), name, things)
    assert rows_of(acme) == before


def test_nor_for_a_colleague_without_a_part_in_the_workspace(acme: Company, browse: Any, things: dict) -> None:
    from tenants.models import Membership
    from tenants.provisioning import create_workspace

    mallory = person("mallory@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=mallory, role="member")
        create_workspace(organization=acme.organization, name="Second")
    things[""]["organization"] = Thing("acme", "acme")
    for name in (name for name in PAGES if "workspace" in parameters_of(name)):
        nothing_is_found(browse(mallory), name, things)


def test_who_is_not_signed_in_is_sent_to_the_door(acme: Company, things: dict) -> None:
    for name in PAGES:
        for whose in ("acmes", "nobodys"):
            response = Client().get(address(name, things, whose))
            assert response.status_code == 302
            assert response.headers["Location"].startswith("/login/?next=")


def test_the_api_asks_for_a_key(acme: Company, alice: Any, browse: Any, things: dict) -> None:
    """A session is none: or a page elsewhere could use it."""
    for name in set(APIS) - {"api-no-such-address"}:  # Which is nobody's, and says so to everybody.
        for method in METHODS:
            for client in (Client(), browse(alice)):
                status, text = asked(client, method, address(name, things, "acmes"), things)
                assert status == 401, (name, method)
                assert method == "HEAD" or json.loads(text)["error"]["code"] == "unauthorized"


def test_her_agent_takes_nothing_of_acmes(acme: Company, globex: Company, eve_api: Api, things: dict) -> None:
    own = eve_api.post("/agents", {"name": "acme-agent", "pool": "default", "slots": 5}).json()
    run = str(things["api-flow-run"]["id"].acmes)
    before = rows_of(acme)
    assert eve_api.post(f"/agents/{own['id']}/claim", {"slots": 5}).json() == {"runs": []}
    ref = {"run": run, "attempt": 1}
    nothing = {"lost": [ref], "signals": [], "replaceable": []}
    assert eve_api.post(f"/agents/{own['id']}/heartbeat", {"leases": [ref]}).json() == nothing
    assert eve_api.post(f"/agents/{own['id']}/ended", {**ref, "reason": "killed"}).status_code == 404
    assert rows_of(acme) == before


def test_a_journal_of_hers_reaches_no_run_of_acmes(acme: Company, eve_api: Api, things: dict) -> None:
    before = rows_of(acme)
    run: UUID = things["api-flow-run"]["id"].acmes
    own = Journal(eve_api)
    answer = own.send(own.begin(), own.log("here", run=run), own.subflow(run), own.state("CANCELLED", run=run))
    assert {refused["code"] for refused in answer["rejected"]} <= {"unknown_run", "refused"}
    assert rows_of(acme) == before
