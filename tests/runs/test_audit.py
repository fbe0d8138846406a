"""What is done to deployments, runs and the quarantine stands in the audit trail, by whichever door it came."""

from __future__ import annotations

from typing import Any

import pytest

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
