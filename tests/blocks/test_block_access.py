"""4.4, 5.1: a restricted block is for those whom its rules name; for others it is not there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import transaction

from blocks import blocks, values
from blocks.models import Block
from orchestrator.ids import uuid7
from runs.trigger import RunRequest, create_run
from tenants import audit, key_ring, people
from tenants.access import organization_actor
from tenants.errors import Forbidden, Invalid, NotFound
from tenants.models import AccessRule, ApiKey
from tenants.permissions import Actor
from tenants.restrictions import access
from tenants.restrictions.access import Subject
from tenants.restrictions.models import Level
from tests import restricted
from tests.cast import Api, Company
from tests.restricted import here, plain
from tests.runs.work import deploy, running
from tests.tenants.test_key_ring import give, make
from tests.tenants.test_teams import team_of

pytestmark = pytest.mark.django_db
PAGE = "/o/acme/main/blocks/secret/vault"
VERBS = ("blocks.view", "blocks.use", "blocks.edit")


@pytest.fixture
def vault(acme: Company, api: Api) -> Block:
    """A restricted secret that nobody is named for."""
    for name in ("vault", "other"):
        assert api.put(f"/blocks/secret/{name}", {"data": {"value": "open sesame"}}).status_code == 201
    restrict(acme)
    return block_of(acme)


def block_of(acme: Company, name: str = "vault") -> Block:
    with acme.scope():
        return Block.objects.get(name=name)


def restrict(acme: Company, *rules: tuple[str, Any, Level], runs: bool = False, name: str = "vault") -> None:
    restricted.restrict(acme, block_of(acme, name), *rules, runs=runs)


def may(acme: Company, by: Actor) -> list[str]:
    return restricted.may(acme, by, block_of(acme))


def test_who_is_not_named_finds_nothing(acme: Company, api: Api, vault: Block, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    page = browse(bob)
    for ask in (
        lambda name: api.get(f"/blocks/secret/{name}"),
        lambda name: api.delete(f"/blocks/secret/{name}"),
        lambda name: api.post(f"/blocks/secret/{name}/value"),
        lambda name: api.get(f"/blocks/secret/{name}/versions"),
        lambda name: api.post(f"/blocks/secret/{name}/rollback", {"version": 1}),
        lambda name: page.get(PAGE.replace("vault", name)),
        lambda name: page.post(PAGE.replace("vault", name), {"version": "1", "p.value": "mine"}),
        lambda name: page.post(f"{PAGE.replace('vault', name)}/rename", {"name": "mine"}),
        lambda name: page.post(f"{PAGE.replace('vault', name)}/delete"),
    ):
        hidden, unknown = ask("vault"), ask("nowhere")
        assert hidden.status_code == unknown.status_code == 404
        assert plain(hidden, "vault") == plain(unknown, "nowhere")
    assert [each["name"] for each in api.get("/blocks").json()["items"]] == ["other"]
    listed = page.get("/o/acme/main/blocks").content.decode()
    assert "other" in listed
    assert "vault" not in listed
    assert block_of(acme).version == 1


def test_owners_always_may(acme: Company, vault: Block, alice: Any, browse: Any) -> None:
    assert may(acme, here(alice)) == list(VERBS)
    shown = browse(alice).get(PAGE).content.decode()
    assert "Restricted" in shown
    assert f"{PAGE}/access" in shown
    assert Api(acme.key("owners", "owner")).get("/blocks/secret/vault").status_code == 200


@pytest.mark.parametrize(("by_team", "level"), list(product((False, True), Level)))
def test_a_person_may_what_a_rule_says(acme: Company, vault: Block, bob: Any, by_team: bool, level: Level) -> None:
    give(acme, bob, "developer")
    restrict(acme, ("team", team_of(acme, bob).id, level) if by_team else ("user", bob.id, level))
    assert may(acme, here(bob)) == list(VERBS[:level])


def test_a_rule_gives_nobody_more_than_their_role(acme: Company, vault: Block, bob: Any) -> None:
    restrict(acme, ("user", bob.id, Level.EDIT))
    assert may(acme, here(bob)) == ["blocks.view"]


def test_a_key_may_what_a_rule_says_of_it_or_of_its_person(acme: Company, vault: Block, api: Api) -> None:
    with acme.scope():
        key = ApiKey.objects.get(name="developer")
    restrict(acme, ("key", key.id, Level.VIEW))
    assert api.get("/blocks/secret/vault").status_code == 200
    assert api.post("/blocks/secret/vault/value").status_code == 403
    assert api.put("/blocks/secret/vault", {"data": {"value": "mine"}}).status_code == 403
    assert api.delete("/blocks/secret/vault").status_code == 403
    restrict(acme, ("key", key.id, Level.EDIT))
    assert api.post("/blocks/secret/vault/value").status_code == 200
    assert api.put("/blocks/secret/vault", {"data": {"value": "mine"}}).status_code == 200


def test_a_key_that_is_rotated_may_what_the_former_one_may(acme: Company, vault: Block, alice: Any) -> None:
    key, _ = make(acme, alice, "ci", personal=False)
    restrict(acme, ("key", key.id, Level.USE))
    owner = here(alice)
    assert owner.granted
    manager = replace(owner, organization_role="member", granted=owner.granted - {"access.edit"})
    with acme.scope(), pytest.raises(Forbidden, match=r"access\.edit"), transaction.atomic():
        key_ring.rotate(key=key, overlap=timedelta(0), by=manager)  # Its secret would be shown to them.
    with acme.scope():
        _, secret = key_ring.rotate(key=key, overlap=timedelta(0), by=owner)
    assert Api(secret).post("/blocks/secret/vault/value").status_code == 200


def test_a_run_may_use_what_is_open_to_its_deployment(acme: Company, vault: Block) -> None:
    nightly, other = deploy(acme, "nightly", flow="etl"), deploy(acme, "other", flow="etl")
    mine, others = (running(acme, each) for each in (nightly, other))
    assert [each.post("/blocks/secret/vault/value").status_code for each in (mine, others)] == [404, 404]
    restrict(acme, ("deployment", nightly.id, Level.USE))
    assert [each.post("/blocks/secret/vault/value").status_code for each in (mine, others)] == [200, 404]
    assert mine.get("/blocks/secret/vault").status_code == 200
    restrict(acme, runs=True)
    assert [each.post("/blocks/secret/vault/value").status_code for each in (mine, others)] == [200, 200]


def test_2_7_who_may_not_use_a_block_gives_it_to_no_run(acme: Company, vault: Block, bob: Any, browse: Any) -> None:
    """Not even to one of a deployment that may read it: the run would use it for them."""
    secret = {"type": "string", "format": "password", "writeOnly": True}
    nightly = deploy(acme, "nightly", parameter_schema={"type": "object", "properties": {"password": secret}})
    give(acme, bob, "developer")
    of_deployment = ("deployment", nightly.id, Level.USE)
    for rules, told in (
        ([], "no block secret/vault here"),
        ([("user", bob.id, Level.VIEW)], "no block secret/vault here"),
        ([("user", bob.id, Level.USE)], ""),
    ):
        restrict(acme, of_deployment, *rules)
        request = RunRequest(deployment=nightly, parameters={"password": {"$block": "secret/vault"}})
        with acme.scope():
            assert offered(browse(bob), nightly) == (not told)
            try:
                create_run(request, by=here(bob))
                refused = ""
            except Invalid as problem:
                refused = str(problem.fields)
        assert told in refused
        assert bool(told) == bool(refused)


def offered(browser: Any, deployment: Any) -> bool:
    """Whether the run form lets one choose the block."""
    return "secret/vault" in browser.get(f"/o/acme/main/deployments/{deployment.id}/run").content.decode()


def test_a_block_within_a_block_is_asked_for_itself(acme: Company, api: Api, vault: Block) -> None:
    credentials = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "planted"}
    assert api.put("/blocks/aws-credentials/prod", {"data": credentials}).status_code == 201
    lake = {"bucket_name": "lake", "credentials": {"$block": "aws-credentials/prod"}}
    assert api.put("/blocks/s3-bucket/lake", {"data": lake}).status_code == 201
    assert api.post("/blocks/s3-bucket/lake/value").status_code == 200
    restrict(acme, name="prod")
    refused = api.post("/blocks/s3-bucket/lake/value")
    assert refused.status_code == 409
    assert "planted" not in refused.content.decode()
    assert api.put("/blocks/s3-bucket/second", {"data": {**lake, "bucket_name": "second"}}).status_code == 400


def test_what_the_platform_does_is_not_bound(acme: Company, vault: Block) -> None:
    """An automation tells by the block that somebody chose who could use it."""
    by = Actor("automation", acme.organization.id, acme.workspace.id, "", "Failures")
    with acme.scope():
        found = blocks.find_block(by, "secret", "vault")
        assert values.value(block=found, by=by)["data"] == {"value": "open sesame"}


def test_only_owners_edit_access(acme: Company, vault: Block, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    restrict(acme, ("user", bob.id, Level.EDIT))
    assert browse(bob).get(f"{PAGE}/access").status_code == 403
    with acme.scope(), pytest.raises(Forbidden):
        access.set_access(object=vault, restricted=False, open_to_runs=False, rules={}, by=here(bob))


def test_the_form(acme: Company, vault: Block, alice: Any, bob: Any, browse: Any) -> None:
    page, form = browse(alice), {"restricted": "on", "runs": "", "level": "2"}
    team, deployment = team_of(acme), deploy(acme, "nightly", flow="etl")
    acme.key("ci")
    for kind, name in (("user", " Bob@acme.example"), ("team", "Data"), ("key", "ci"), ("deployment", "etl/nightly")):
        kept = dict.fromkeys(fields(acme), "2")
        assert page.post(f"{PAGE}/access", {**form, **kept, "kind": kind, "name": name}).status_code == 302
    with acme.scope():
        rules = access.rules_of(vault)
    assert {(rule.subject.kind, rule.name) for rule in rules} == {
        ("user", "bob@acme.example"), ("team", "Data"), ("key", "ci"), ("deployment", "etl/nightly"),
    }  # fmt: skip
    assert {team.id, deployment.id, bob.id} <= {rule.subject.id for rule in rules}
    shown = page.get(f"{PAGE}/access").content.decode()
    assert all(rule.field in shown for rule in rules)
    assert page.post(f"{PAGE}/access", {"restricted": ""}).status_code == 302
    assert fields(acme) == []
    assert block_of(acme).restricted is False


def fields(acme: Company) -> list[str]:
    with acme.scope():
        return [rule.field for rule in access.rules_of(block_of(acme))]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("user", "eve@globex.example"), ("team", "none"), ("key", "none"), ("deployment", "a/b"), ("ghost", "x")],
)
def test_what_is_not_here_is_told_beside_the_field(
    acme: Company, globex: Company, vault: Block, alice: Any, browse: Any, kind: str, name: str
) -> None:
    answer = browse(alice).post(f"{PAGE}/access", {"restricted": "on", "kind": kind, "name": name, "level": "1"})
    assert answer.status_code == 400
    assert "There is no " in answer.content.decode()
    foreign = {f"rule-{'user' if kind == 'user' else 'team'}-{globex.owner.id}": "3"}
    assert browse(alice).post(f"{PAGE}/access", {"restricted": "on", **foreign}).status_code == 400
    assert browse(alice).post(f"{PAGE}/access", {"restricted": "on", "rule-x": "3"}).status_code == 400


def test_rules_are_bounded(acme: Company, vault: Block, alice: Any) -> None:
    rules = {Subject("user", uuid7()): Level.VIEW for _ in range(access.MAX_RULES + 1)}
    with acme.scope(), pytest.raises(Invalid, match="Name a team"):
        access.set_access(object=vault, restricted=True, open_to_runs=False, rules=rules, by=here(alice))


def test_rules_go_with_those_whom_they_name_and_with_the_block(acme: Company, vault: Block, bob: Any) -> None:
    team, by = team_of(acme), organization_actor(acme.owner.id, "acme")
    restrict(acme, ("user", bob.id, Level.USE), ("team", team.id, Level.USE))
    with acme.scope():
        team.delete()
        assert AccessRule.objects.count() == 1
        people.remove(user_id=bob.id, by=by)
        assert not AccessRule.objects.exists()
    restrict(acme, ("user", acme.owner.id, Level.VIEW))
    with acme.scope():
        blocks.delete(block=block_of(acme), by=here(acme.owner))
        assert not AccessRule.objects.exists()
        with pytest.raises(NotFound):
            blocks.find_block(here(acme.owner), "secret", "vault")


def test_what_was_opened_behind_an_open_form_is_told_when_it_is_closed(acme: Company, vault: Block) -> None:
    """Whether something changes is asked of the row, not of what a request has read of it."""
    with acme.scope():
        Block.objects.filter(id=vault.id).update(restricted=False)
        access.set_access(object=vault, restricted=True, open_to_runs=False, rules={}, by=here(acme.owner))
        assert Block.objects.get(id=vault.id).restricted
        assert audit.entries(audit.Filter()).filter(action="access.changed").count() == 2


def test_a_change_is_told_and_nothing_is_told_of_none(acme: Company, vault: Block, bob: Any) -> None:
    for _ in range(2):
        restrict(acme, ("user", bob.id, Level.USE))
    with acme.scope():
        told = audit.entries(audit.Filter()).filter(action="access.changed").order_by("-at", "-id")
        assert [entry.details["rules"] for entry in told] == [["user bob@acme.example: use"], []]


def test_an_open_block_costs_no_query_more(acme: Company, api: Api, django_assert_max_num_queries: Any) -> None:
    assert api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}}).status_code == 201
    with django_assert_max_num_queries(7):
        assert api.get("/blocks/secret/vault").status_code == 200
