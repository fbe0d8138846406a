"""Eve belongs to another organization. She tries every page and every API route with Acme's names and ids.

For her there is nothing: what she asks for answers exactly as what does not exist. A route that
tests/server/things_of_acme.py can't fill makes it fail, so that a new one is not forgotten.
"""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from rest_framework.views import APIView

from tests.cast import Api, Company, person
from tests.contract.journals import Journal
from tests.server.asking import address, asked, without_names
from tests.server.routes import APIS, PAGES, is_api, is_page_of_a_tenant, names, parameters_of, pattern_of
from tests.server.things_of_acme import Thing
from tests.sql import rows_of

pytestmark = pytest.mark.django_db

SECRETS = [
    "secret-plan", "acme-etl", "acme-nightly", "alice@acme.example", "carol@acme.example", "acme-key",
    "acme-agent", "what acme logs", "what acme computed", "acme-vault",
    "acme-crm", "open sesame", "acme-alarm", "acme-pool", "acme-queue", "what acme pools", "acme-team", "acme-deployer",
    "acme-report", "acme.paid", "acme-order", "acme-lake",
    "acme-limit", "acme-holder",
    "acme-cached", "acme-hook",
]  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

# Routes without a tenant in their address, and why nothing of Acme can be found there.
WITHOUT_TENANT = {
    "health-live", "health-ready",  # numbers of nobody
    "openapi-json", "openapi-yaml", "reference", "reference-subject",  # the same for everybody
    "home",  # leads to one's own workspace
    "staff-admin", "staff-admin-page",  # of no tenant, and for staff alone: tests/server/test_staff_admin.py
    "sso-ask",  # leads from a verified domain to its provider
    "sso-login", "sso-test", "sso-callback", "sso-acs", "sso-finish",  # lead to a provider and back: tests/tenants/sso
    "sso-saml",  # answers the same for every id
    "sso-break-glass",  # for owners
    "account", "new-organization", "restore-organization",  # one's own
    "invitation",  # who has the link may know who invites
    "hook",  # who has the token may trigger by it: tests/runs/test_webhooks.py
    "input-link",  # who has the link may answer what it is for: tests/runs/test_input_links.py
}  # fmt: skip
ACCOUNT = re.compile(
    r"account_|mfa_|usersessions_|socialaccount_|(google|github|microsoft)_"
)  # allauth's: about the person who is signed in

# Routes of the API that show the key's own workspace: asked, they may name nothing of Acme's.
OWN = {
    "api-me", "api-journal", "api-variables", "api-deployments", "api-flow-runs", "api-work-pools", "api-agents",
    "api-blocks", "api-block-types", "api-automations", "api-artifacts", "api-events", "api-assets", "api-slots",
    "api-cache-entries", "api-cache-invalidate", "api-background-runs", "api-background-arguments",
    "api-flow-runs-wait", "api-limits", "api-inputs", "api-schedules", "api-bulk-operations", "api-flow-runs-cancel",
    "api-flow-runs-retry", "api-flow-runs-delete", "api-flow-runs-pause", "api-flow-runs-resume",
    "api-schedule-preview", "api-backfills", "api-webhooks",
}  # fmt: skip


# What she may make under any name: it is hers then, though something of Acme's is called the same.
MAKES_HER_OWN = {(name, "PUT") for name in ("api-variable", "api-block", "api-block-type", "api-result", "api-limit")}


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


def no_page_is_found(client: Client, name: str, things: dict[str, dict[str, Thing]]) -> None:
    """A page that asks who is there before it looks at the method needs no comparison of each method."""

    def answer(method: str, whose: str) -> tuple[int, str]:
        status, text = asked(client, method, address(name, things, whose), things)
        return status, without_names(text, name, things)

    nothing = {answer(method, "nobodys") for method in ("GET", "POST")}
    for method in METHODS:
        theirs = answer(method, "acmes")
        assert theirs in nothing or theirs == answer(method, "nobodys"), (name, method)
        assert theirs[0] in {302, 400, 403, 404, 405, 415}, (name, method, theirs)
    assert 404 in {status for status, _ in nothing}, (name, nothing)


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
    browser = browse(eve)
    for name in PAGES:
        no_page_is_found(browser, name, things)
    assert rows_of(acme) == before


def test_nor_for_a_colleague_without_a_part_in_the_workspace(acme: Company, browse: Any, things: dict) -> None:
    from tenants.models import Membership
    from tenants.provisioning import create_workspace

    mallory = person("mallory@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=mallory, role="member")
        create_workspace(organization=acme.organization, name="Second")
    things[""]["organization"] = Thing("acme", "acme")
    browser = browse(mallory)
    for name in (name for name in PAGES if "workspace" in parameters_of(name)):
        no_page_is_found(browser, name, things)


def test_who_is_not_signed_in_is_sent_to_the_door(acme: Company, things: dict) -> None:
    for name in PAGES:
        for whose in ("acmes", "nobodys"):
            response = Client().get(address(name, things, whose))
            assert response.status_code == 302
            assert response.headers["Location"].startswith("/login/?next=")


def test_the_api_asks_for_a_key(acme: Company, alice: Any, browse: Any, things: dict) -> None:
    """A session is none: or a page elsewhere could use it."""
    clients = Client(), browse(alice)
    for name in set(APIS) - {"api-no-such-address"}:  # Which is nobody's, and says so to everybody.
        for method in METHODS:
            for client in clients:
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
