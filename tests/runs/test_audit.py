"""What is done to deployments, runs and the quarantine stands in the audit trail, by whichever door it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runs.trigger import RunRequest, create_run
from tenants.models import AuditEntry
from tests.cast import Api, Company
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db


def actions(company: Company) -> list[tuple[str, str, str]]:
    with company.scope():
        return list(AuditEntry.objects.order_by("at", "id").values_list("action", "object_name", "actor"))


def test_deployments(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    body = {"flow": "etl", "name": "nightly", "entrypoint": "a:b", "source": {"type": "path", "path": "/x"}}
    deployment = api.post("/deployments", body).json()["id"]
    api.post("/deployments", body)
    api.post(f"/deployments/{deployment}/pause")
    browse(alice).post(f"{acme.path}deployments/{deployment}/resume")
    assert actions(acme) == [
        ("deployment.created", "etl/nightly", "developer"),
        ("deployment.updated", "etl/nightly", "developer"),
        ("deployment.paused", "etl/nightly", "developer"),
        ("deployment.resumed", "etl/nightly", "alice@acme.example"),
    ]


def test_a_refused_deployment_leaves_no_entry(acme: Company, api: Api) -> None:
    assert api.post("/deployments", {"flow": "etl"}).status_code == 400
    assert actions(acme) == []


def test_cancelling_is_told_once(acme: Company, api: Api) -> None:
    (run,) = trigger(acme, deploy(acme))
    before = len(actions(acme))
    name = api.get(f"/flow-runs/{run}").json()["name"]
    assert [api.post(f"/flow-runs/{run}/cancel").status_code for _ in range(2)] == [200, 409]
    assert actions(acme)[before:] == [("run.cancelled", name, "developer")]


def triggered(company: Company) -> list[tuple[str, dict]]:
    with company.scope():
        found = AuditEntry.objects.filter(action="run.triggered").order_by("at", "id")
        return list(found.values_list("actor", "details"))


def test_who_triggers_a_run_is_told_by_form_api_and_again(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    deployment, client = deploy(acme), browse(alice)
    body = {"deployment": str(deployment.id), "idempotency_key": "order-7"}
    run = api.post("/flow-runs", body).json()["id"]
    assert api.post("/flow-runs", body).status_code == 200  # The same one: nothing is new.
    client.post(f"{acme.path}deployments/{deployment.id}/run")
    client.post(f"{acme.path}runs/{run}/again")
    own = {"deployment": str(deployment.id), "count": 1}
    assert triggered(acme) == [
        ("developer", {**own, "origin": "api"}),
        ("alice@acme.example", {**own, "origin": "form"}),
        ("alice@acme.example", {**own, "origin": "retry"}),
    ]


def test_a_set_is_one_entry(acme: Company) -> None:
    trigger(acme, deploy(acme), 3)
    [(_, details)] = triggered(acme)
    assert details["count"] == 3


def test_a_schedule_and_a_run_that_trigger_are_not_told(acme: Company) -> None:
    deployment = deploy(acme)
    for kind in ("schedule", "run"):
        with acme.scope():
            by = replace(acme.actor(), kind=kind)
            create_run(RunRequest(deployment=deployment), by=by, origin="schedule")
    assert triggered(acme) == []


def test_a_new_pool(acme: Company, api: Api) -> None:
    assert api.post("/work-pools", {"name": "gpu"}).status_code == 201
    assert api.post("/work-pools", {"name": "gpu"}).status_code == 400
    assert actions(acme) == [("pool.created", "gpu", "developer")]
