"""4.4: a restricted pool is for those whom its rules name: to see it, to run into it, and to work for it."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import WorkPool
from tenants.models import ApiKey
from tenants.restrictions.models import Level
from tests.cast import Api, Company
from tests.restricted import here, may, restrict, same
from tests.runs.test_deployment_access import HOME
from tests.runs.work import deploy
from tests.tenants.test_key_ring import give

pytestmark = pytest.mark.django_db
AGENT = {"pool": "vault", "name": "box", "slots": 2, "queues": [], "version": "1", "python": "3.11", "host": "box"}


@pytest.fixture
def vault(acme: Company, api: Api) -> WorkPool:
    """A restricted pool that nobody is named for, with a deployment in it."""
    assert api.post("/work-pools", {"name": "vault"}).status_code == 201
    deploy(acme, "inside", flow="etl", work_pool="vault")
    with acme.scope():
        made = WorkPool.objects.get(name="vault")
    return restrict(acme, made)


@pytest.mark.parametrize("level", Level)
def test_a_person_may_what_a_rule_says(acme: Company, vault: WorkPool, bob: Any, level: Level) -> None:
    give(acme, bob, "developer")
    assert may(acme, here(bob), vault) == []
    restrict(acme, vault, ("user", bob.id, level))
    assert may(acme, here(bob), vault) == [verb for verb, needed in WorkPool.LEVELS.items() if needed <= level]
    assert may(acme, here(acme.owner), vault) == list(WorkPool.LEVELS)


def test_who_is_not_named_finds_nothing(acme: Company, api: Api, vault: WorkPool, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    page = browse(bob)
    for part in ("", "/edit", "/queues/new", "/_now"):
        same(lambda id, part=part: page.get(f"{HOME}/pools/{id}{part}"), vault.id)
    same(lambda id: page.post(f"{HOME}/pools/{id}/pause"), vault.id)
    hidden, unknown = (api.get(f"/work-pools/{name}") for name in ("vault", "nowhere"))
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.content.decode().replace("vault", "…") == unknown.content.decode().replace("nowhere", "…")
    assert [each["name"] for each in api.get("/work-pools").json()["items"]] == ["default"]
    assert "vault" not in page.get(f"{HOME}/pools").content.decode()
    body = {"flow": "f", "name": "n", "entrypoint": "a:b", "source": {"type": "path", "path": "/x"}}
    assert api.post("/deployments", {**body, "work_pool": "vault"}).status_code == 404
    assert api.post("/flow-runs", {"deployment": "etl/inside"}).status_code == 403
    with acme.scope():
        queue = vault.queues.get()
    same(lambda id: page.get(f"{HOME}/queues/{id}"), queue.id)


def test_agents_work_for_it_by_keys_that_are_named(acme: Company, agent_api: Api, vault: WorkPool) -> None:
    assert agent_api.post("/agents", AGENT).status_code == 404
    with acme.scope():
        key = ApiKey.objects.get(role="agent")
    restrict(acme, vault, ("key", key.id, Level.VIEW))
    assert agent_api.post("/agents", AGENT).status_code == 403
    restrict(acme, vault, ("key", key.id, Level.USE))
    registered = agent_api.post("/agents", AGENT)
    assert registered.status_code == 200
    claim = f"/agents/{registered.json()['id']}/claim"
    assert agent_api.post(claim, {"slots": 1}).status_code == 200
    restrict(acme, vault)
    assert agent_api.post(claim, {"slots": 1}).status_code == 404


def test_only_owners_edit_access(acme: Company, vault: WorkPool, alice: Any, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    restrict(acme, vault, ("user", bob.id, Level.EDIT))
    assert browse(bob).get(f"{HOME}/pools/{vault.id}/access").status_code == 403
    assert browse(alice).post(f"{HOME}/pools/{vault.id}/access", {"restricted": ""}).status_code == 302
    with acme.scope():
        assert not WorkPool.objects.get(pk=vault.pk).restricted
