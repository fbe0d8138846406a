"""4.4: a restricted deployment is for those whom its rules name; for others neither it nor its runs are there."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from orchestrator.ids import uuid7
from runs.deployments import delete, pause
from runs.hidden import hidden_deployments
from runs.models import Deployment, FlowRun
from tenants.errors import Forbidden
from tenants.models import AccessRule, ApiKey
from tenants.permissions import Actor
from tenants.restrictions.models import Level
from tests.cast import Api, Company
from tests.restricted import here, may, restrict, same
from tests.rights.people import everybody
from tests.runs.test_live import answer, own_layer  # noqa: F401
from tests.runs.work import agent, claim, deploy, running, start, trigger
from tests.tenants.test_key_ring import give
from tests.tenants.test_teams import team_of

pytestmark = pytest.mark.django_db
VERBS = tuple(Deployment.LEVELS)
HOME = "/o/acme/main"


@pytest.fixture
def payroll(acme: Company) -> Deployment:
    """A restricted deployment that nobody is named for; `open` is beside it."""
    deploy(acme, "open", flow="plain")
    made = deploy(acme, "payroll", flow="salaries", schedule={"cron": "0 6 * * *"})
    return restrict(acme, made)


@pytest.mark.parametrize(("by_team", "level"), list(product((False, True), Level)))
def test_a_person_may_what_a_rule_says(
    acme: Company, payroll: Deployment, bob: Any, by_team: bool, level: Level
) -> None:
    give(acme, bob, "developer")
    assert may(acme, here(bob), payroll) == []
    restrict(acme, payroll, ("team", team_of(acme, bob).id, level) if by_team else ("user", bob.id, level))
    assert may(acme, here(bob), payroll) == [verb for verb in VERBS if Deployment.LEVELS[verb] <= level]


def test_owners_always_may(acme: Company, payroll: Deployment, alice: Any, browse: Any) -> None:
    assert may(acme, here(alice), payroll) == list(VERBS)
    shown = browse(alice).get(f"{HOME}/deployments/{payroll.id}").content.decode()
    assert "Restricted" in shown
    assert f"{payroll.id}/access" in shown


def test_who_is_not_named_finds_no_deployment(
    acme: Company, api: Api, payroll: Deployment, bob: Any, browse: Any
) -> None:
    give(acme, bob, "developer")
    page = browse(bob)
    for ask in (
        lambda id: api.get(f"/deployments/{id}"),
        lambda id: api.post(f"/deployments/{id}/pause"),
        lambda id: api.post(f"/deployments/{id}/resume"),
        lambda id: api.post("/flow-runs", {"deployment": str(id)}),
        lambda id: api.get(f"/flow-runs?deployment={id}"),
        lambda id: page.get(f"{HOME}/deployments/{id}"),
        lambda id: page.get(f"{HOME}/deployments/{id}/run"),
        lambda id: page.post(f"{HOME}/deployments/{id}/run", {}),
        lambda id: page.post(f"{HOME}/deployments/{id}/pause"),
    ):
        same(ask, payroll.id)
    assert api.get("/deployments/by-name/salaries/payroll").status_code == 404
    assert [each["name"] for each in api.get("/deployments").json()["items"]] == ["open"]
    for path in ("/deployments", "/runs", "/jump?q=a", "/", "/welcome"):
        assert "payroll" not in page.get(HOME + path).content.decode(), path


def test_its_runs_are_hidden_with_it(acme: Company, api: Api, payroll: Deployment, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    root, subflow = with_subflow(acme, payroll)
    page = browse(bob)
    for id, ask in product(
        (root, subflow),
        (
            lambda id: api.get(f"/flow-runs/{id}"),
            lambda id: api.get(f"/flow-runs/{id}/logs"),
            lambda id: api.get(f"/flow-runs/{id}/task-runs"),
            lambda id: api.post(f"/flow-runs/{id}/cancel"),
            lambda id: api.post("/flow-runs", {"deployment": "plain/open", "parent": str(id)}),
            *(lambda id, part=part: page.get(f"{HOME}/runs/{id}{part}") for part in PARTS),
            lambda id: page.post(f"{HOME}/runs/{id}/cancel"),
            lambda id: page.post(f"{HOME}/runs/{id}/again"),
        ),
    ):
        same(ask, id)
    assert api.get("/flow-runs").json()["items"] == []
    for path in (
        "/runs?subflows=1",
        "/runs?q=salaries",
        "/jump?q=sal",
        "/",
        "/events",
        f"/runs?deployment={payroll.id}",
    ):
        told = page.get(HOME + path).content.decode()
        assert str(root) not in told, path
        assert str(subflow) not in told, path
    assert str(root) in browse(acme.owner).get(f"{HOME}/runs").content.decode()
    restrict(acme, payroll, ("user", bob.id, Level.VIEW))
    assert page.get(f"{HOME}/runs/{subflow}").status_code == 200
    assert page.post(f"{HOME}/runs/{root}/cancel").status_code == 403
    assert page.post(f"{HOME}/runs/{subflow}/cancel").status_code == 403


PARTS = ("", "/_run", "/_tasks", "/timeline", "/log", "/_artifacts", "/again")


def with_subflow(acme: Company, deployment: Deployment) -> tuple[Any, Any]:
    """A run that goes on, and one that it called in its process."""
    [root] = trigger_as_owner(acme, deployment)
    [claimed] = [each for each in claim(acme, agent(acme, "box")) if each.run == root]
    journal, called = start(claimed), uuid7()
    journal.send(journal.subflow(called))
    with acme.scope():
        assert FlowRun.objects.get(id=called).root_id == root
    return root, called


def trigger_as_owner(acme: Company, deployment: Deployment) -> list[Any]:
    from runs.trigger import RunRequest, create_run

    with acme.scope():
        return [create_run(RunRequest(deployment=deployment), by=here(acme.owner))[0].id]


def test_sockets_say_nothing_of_hidden_runs(acme: Company, payroll: Deployment, bob: Any) -> None:
    [hidden] = trigger_as_owner(acme, payroll)
    [seen] = trigger(acme, deploy(acme, "open", flow="plain"))
    topics = [f"run/{id}{part}" for id in (hidden, uuid7(), seen) for part in ("", "/tasks", "/log", "/artifacts")]
    assert answer(bob, "acme/main", "runs", *topics) == {"subscribed": ["runs", *topics[8:]], "not_found": topics[:8]}
    restrict(acme, payroll, ("user", bob.id, Level.VIEW))
    assert answer(bob, "acme/main", *topics) == {"subscribed": topics}


def test_what_its_runs_made_is_hidden(acme: Company, api: Api, payroll: Deployment) -> None:
    [root] = trigger_as_owner(acme, payroll)
    [claimed] = claim(acme, agent(acme, "box"))
    start(claimed)
    assert Api(claimed.token).post("/events", {"event": "paid", "resource": {"id": "all"}}).status_code == 201
    owner = Api(acme.key("owners", "owner"))
    told = owner.get("/events").json()["items"]
    assert any(each["flow_run"] == str(root) for each in told)
    hidden = [each for each in told if each["flow_run"] == str(root) or str(payroll.id) in each["resource"]["id"]]
    left = {each["id"] for each in api.get("/events").json()["items"]}
    assert left.isdisjoint(each["id"] for each in hidden)
    assert {api.get(f"/events/{each['id']}").status_code for each in hidden} == {404}
    named = {each["event"] for each in hidden}
    assert all(each["id"] in left for name in named for each in api.get(f"/events?event={name}").json()["items"])


def test_a_key_may_what_a_rule_says(acme: Company, api: Api, payroll: Deployment) -> None:
    with acme.scope():
        key = ApiKey.objects.get(name="developer")
    body = {"flow": "salaries", "name": "payroll", "entrypoint": "a:b", "source": {"type": "path", "path": "/x"}}
    assert api.post("/deployments", body).status_code == 403
    restrict(acme, payroll, ("key", key.id, Level.VIEW))
    assert api.get(f"/deployments/{payroll.id}").status_code == 200
    assert api.post("/flow-runs", {"deployment": "salaries/payroll"}).status_code == 403
    restrict(acme, payroll, ("key", key.id, Level.USE))
    run = api.post("/flow-runs", {"deployment": "salaries/payroll"})
    assert run.status_code == 201
    assert api.post(f"/flow-runs/{run.json()['id']}/cancel").status_code == 200
    assert api.post(f"/deployments/{payroll.id}/pause").status_code == 403
    assert api.post("/deployments", body).status_code == 403
    restrict(acme, payroll, ("key", key.id, Level.EDIT))
    assert api.post("/deployments", body).status_code == 200


def test_a_run_triggers_what_is_open_to_its_deployment(acme: Company, payroll: Deployment) -> None:
    caller, other = deploy(acme, "caller", flow="etl"), deploy(acme, "other", flow="etl")
    runs = [running(acme, each) for each in (caller, other)]
    body = {"deployment": "salaries/payroll"}
    assert [run.post("/flow-runs", body).status_code for run in runs] == [404, 404]
    restrict(acme, payroll, ("deployment", caller.id, Level.USE))
    assert [run.post("/flow-runs", body).status_code for run in runs] == [201, 404]
    restrict(acme, payroll, runs=True)
    assert [run.post("/flow-runs", body).status_code for run in runs] == [201, 201]


def test_a_run_sees_itself_and_its_own_deployment(acme: Company, payroll: Deployment) -> None:
    [root] = trigger_as_owner(acme, payroll)
    [claimed] = claim(acme, agent(acme, "box"))
    start(claimed)
    own = Api(claimed.token)
    assert own.get(f"/flow-runs/{root}").status_code == 200
    assert own.get(f"/deployments/{payroll.id}").status_code == 200
    assert own.post("/flow-runs", {"deployment": "salaries/payroll", "parent": str(root)}).status_code == 201


def test_an_idempotency_key_leads_to_no_hidden_run(acme: Company, api: Api, payroll: Deployment) -> None:
    owner = Api(acme.key("owners", "owner"))
    body = {"deployment": "salaries/payroll", "idempotency_key": "monday"}
    assert owner.post("/flow-runs", body).status_code == 201
    refused = api.post("/flow-runs", {**body, "deployment": "plain/open"})
    assert refused.status_code == 409
    assert "payroll" not in refused.content.decode()


def test_only_owners_edit_access(acme: Company, payroll: Deployment, alice: Any, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    restrict(acme, payroll, ("user", bob.id, Level.EDIT))
    page = f"{HOME}/deployments/{payroll.id}/access"
    assert browse(bob).get(page).status_code == 403
    form = {"restricted": "on", "kind": "user", "name": "bob@acme.example", "level": "1"}
    assert browse(alice).post(page, form).status_code == 302
    assert may(acme, here(bob), payroll) == ["deployments.view", "runs.view"]


def test_operations_ask_too(acme: Company, payroll: Deployment) -> None:
    with acme.scope():
        for operation in (pause, delete):
            with pytest.raises(Forbidden):
                operation(payroll, by=acme.actor())
        delete(payroll, by=here(acme.owner))
        assert not AccessRule.objects.exists()


def test_what_the_platform_does_is_not_bound(acme: Company, payroll: Deployment) -> None:
    schedule = Actor("schedule", acme.organization.id, acme.workspace.id, "", "cron")
    with acme.scope():
        assert hidden_deployments(schedule) == []
        assert hidden_deployments(acme.actor()) == [payroll.id]


def test_the_matrix_with_a_restricted_deployment(acme: Company, payroll: Deployment) -> None:
    """Of all roles only those that edit access see it, and run it if their role does."""
    [run] = trigger_as_owner(acme, payroll)
    for each in everybody(acme):
        sees = "access.edit" in each.verbs
        for verb, path in (
            ("deployments.view", f"deployments/{payroll.id}"),
            ("runs.trigger", f"deployments/{payroll.id}/run"),
            ("runs.view", f"runs/{run}"),
        ):
            expected = 200 if sees else 404 if verb in each.verbs or not each.part else 403
            assert each.client.get(f"{HOME}/{path}").status_code == expected, (each.name, path)
