"""2.1, 2.2: Deployments and bundles, by the operation and over HTTP."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import pytest

from runs import deployments
from runs.models import Bundle, Deployment, Flow, Limit, Schedule
from tests.cast import Api, Company
from tests.runs.test_flow_runs_api import all_pages, error
from tests.runs.work import deploy, trigger
from tests.threads import at_once

pytestmark = pytest.mark.django_db

BODY = {
    "flow": "etl", "name": "nightly", "entrypoint": "flows.py:etl", "source": {"type": "path", "path": "/flows"},
}  # fmt: skip
SCHEMA = {"type": "object", "properties": {"day": {"type": "string"}}}


def test_a_deployment_is_made_and_changed_by_flow_and_name(acme: Company, api: Api) -> None:
    first = api.post("/deployments", {**BODY, "parameters": {"day": "monday"}, "tags": ["a", "a"], "version": "1"})
    second = api.post("/deployments", {**BODY, "parameter_schema": SCHEMA, "description": "every night"})

    assert (first.status_code, second.status_code) == (201, 200)
    made, changed = first.json(), second.json()
    assert made["id"] == changed["id"]
    assert (made["parameters"], made["tags"], made["version"]) == ({"day": "monday"}, ["a"], "1")
    assert (changed["parameters"], changed["description"], changed["parameter_schema"]) == ({}, "every night", SCHEMA)
    assert (made["work_pool"], made["work_queue"], made["schedules"]) == ("default", "default", [])
    assert made["url"].endswith(f"/o/acme/main/deployments/{made['id']}")
    assert changed["updated_at"] > made["updated_at"]
    assert api.get(f"/deployments/{made['id']}").json() == api.get("/deployments/by-name/etl/nightly").json() == changed
    with acme.scope():
        assert (Flow.objects.count(), Deployment.objects.count()) == (1, 1)


def test_a_deployment_says_in_what_process_its_runs_are_executed(acme: Company, api: Api) -> None:
    assert api.post("/deployments", BODY).json()["process"] == "warm"
    variables = {"env": {"LEVEL": "debug"}, "memory_mib": 512}
    made = api.post("/deployments", {**BODY, "process": "reuse", "job_variables": variables}).json()
    assert (made["process"], made["job_variables"]) == ("reuse", variables)


def test_a_flow_whose_name_has_slashes(api: Api) -> None:
    made = api.post("/deployments", {**BODY, "flow": "team/etl"}).json()
    assert api.get("/deployments/by-name/team/etl/nightly").json()["id"] == made["id"]
    assert api.post("/flow-runs", {"deployment": "team/etl/nightly"}).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_the_same_deployment_at_once_is_one(acme: Company) -> None:
    made = at_once(*(lambda: deploy(acme).id for _ in range(4)))
    assert len(set(made)) == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"flow": ""}, "flow"),
        ({"flow": "x" * 501}, "flow"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"entrypoint": ""}, "entrypoint"),
        ({"entrypoint": "x" * 1_001}, "entrypoint"),
        ({"tags": ["x" * 201]}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"retries": -1}, "retries"),
        ({"retries": 2**40}, "retries"),
        ({"retry_delay": -1}, "retries"),
        ({"retry_delay": 1e300}, "retries"),
        ({"crash_retries": -1}, "crash_retries"),
        ({"process": "hot"}, "process"),
        ({"job_variables": {"env": {"A": 1}}}, "job_variables.env"),
        ({"job_variables": {"env": {"A=B": "1"}}}, "job_variables.env"),
        ({"job_variables": {"env": ["A"]}}, "job_variables.env"),
        ({"job_variables": {"memory_mib": 1}}, "job_variables.memory_mib"),
        ({"job_variables": {"memory_mib": "much"}}, "job_variables.memory_mib"),
        ({"job_variables": {"x": "y" * 70_000}}, "job_variables"),
        ({"concurrency_limit": 0}, "concurrency_limit"),
        ({"concurrency_limit": 2**40}, "concurrency_limit"),
        ({"source": {}}, "source"),
        ({"source": {"type": "path"}}, "source"),
        ({"source": {"type": "path", "path": ""}}, "source"),
        ({"source": {"type": "bundle", "sha256": 5}}, "source"),
        ({"source": {"type": "git"}}, "source.url"),
        ({"parameter_schema": {"type": "array"}}, "parameter_schema"),
        ({"parameter_schema": {"properties": 5}}, "parameter_schema"),
        ({"parameter_schema": {"x": "y" * (256 << 10)}}, "parameter_schema"),
        ({"schedule": {}}, "schedule"),
        ({"schedule": {"cron": "never"}}, "schedule.cron"),
        ({"schedule": {"cron": None}}, "schedule"),
        ({"schedule": {"cron": "0 6 * * *", "timezone": "Mars"}}, "schedule.timezone"),
        ({"schedule": {"interval": 0.1}}, "schedule.interval"),
        ({"schedule": {"interval": "60"}}, "schedule.interval"),
        ({"schedules": [{"cron": "0 6 * * *"}, {"rrule": "FREQ=NEVER"}]}, "schedules.1.rrule"),
        ({"schedules": [{"interval": 60, "slug": "a"}, {"interval": 61, "slug": "a"}]}, "schedules"),
        ({"schedules": [{"interval": 60}], "schedule": {"interval": 60}}, "schedule"),
        ({"schedule": {"interval": 60, "anchor": "noon"}}, "schedule.anchor"),
        ({"schedule": {"interval": 60, "anchor": "2026-01-01T00:00:00"}}, "schedule.anchor"),
    ],
)
def test_what_can_not_be_taken_is_said_by_field(acme: Company, api: Api, more: dict, field: str) -> None:
    assert list(error(api.post("/deployments", {**BODY, **more}), 400)["fields"]) == [field]
    with acme.scope():
        assert not Deployment.objects.exists()


def test_a_refused_change_leaves_all_as_it_was(acme: Company, api: Api) -> None:
    """The deployment is written before its schedule is read: one transaction."""
    api.post("/deployments", {**BODY, "schedule": {"interval": 60}, "version": "1"})
    error(api.post("/deployments", {**BODY, "schedule": {"cron": "never"}, "version": "2"}), 400)
    kept = api.get("/deployments/by-name/etl/nightly").json()
    assert (kept["version"], kept["schedules"][0]["interval"]) == ("1", 60)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"work_pool": "nobody"}, "default"),  # The message names those that there are.
        ({"work_queue": "nobody"}, "nobody"),
        ({"source": {"type": "bundle", "sha256": "0" * 64}}, "PUT"),
    ],
)
def test_what_it_refers_to_has_to_be_there(api: Api, more: dict, what: str) -> None:
    assert what in error(api.post("/deployments", {**BODY, **more}), 404)["message"]


@pytest.mark.parametrize("field", ["flow", "name", "entrypoint", "description", "version", "python"])
def test_odd_characters_are_made_fit(acme: Company, api: Api, field: str) -> None:
    response = api.post("/deployments", {**BODY, field: "a\x00b"})
    assert response.status_code == 201
    with acme.scope():
        deployment = Deployment.objects.select_related("flow").get()
        assert "a\ufffdb" in {deployment.flow.name, getattr(deployment, field, None)}


@pytest.mark.parametrize(
    "more", [{"source": {"type": "path", "path": "a\x00b"}}, {"tags": ["a\x00"]}, {"parameters": {"a": "\x00"}}]
)
def test_odd_characters_in_json_are_no_mistake_of_ours(api: Api, more: dict) -> None:
    assert api.post("/deployments", {**BODY, **more}).status_code in {201, 400}


# ── lists ────────────────────────────────────────────────────────────────────────────────────────


def test_pages_of_deployments_last_changed_first(acme: Company, api: Api, django_assert_max_num_queries) -> None:
    for number in range(9):
        deploy(acme, f"d{number}", flow=f"f{number % 3}", schedule={"interval": 60})
    deploy(acme, "d0", flow="f0")
    names = [item["name"] for item in all_pages(api, "/deployments", limit=4)]
    assert names == ["d0", *(f"d{number}" for number in range(8, 0, -1))]
    with django_assert_max_num_queries(9):
        assert len(api.get("/deployments").json()["items"]) == 9


@pytest.mark.parametrize("path", [str(UUID(int=7)), "by-name/etl/nobody", "by-name/nobody/nightly"])
def test_an_unknown_deployment(acme: Company, api: Api, path: str) -> None:
    deploy(acme)
    assert error(api.get(f"/deployments/{path}"), 404)["code"] == "not_found"


# ── limit, schedule ──────────────────────────────────────────────────────────────────────────────


def test_a_limit_comes_changes_and_goes(acme: Company) -> None:
    for slots in (5, 2, None):
        deployment = deploy(acme, concurrency_limit=slots)
        with acme.scope():
            found = list(Limit.objects.filter(target_id=deployment.id).values_list("kind", "slots"))
        assert found == ([("deployment", slots)] if slots else [])


def test_a_schedule_is_told_with_its_next_times(api: Api) -> None:
    schedule = {"cron": "0 6 * * 1-5", "timezone": "Europe/Berlin"}
    [told] = api.post("/deployments", {**BODY, "schedule": schedule}).json()["schedules"]
    assert (told["cron"], told["timezone"], told["active"], told["day_or"]) == (*schedule.values(), True, True)
    assert len(told["next"]) == 3
    [told] = api.post("/deployments", {**BODY, "schedule": {"interval": 90}}).json()["schedules"]
    assert (told["interval"], told["anchor"], told["timezone"]) == (90, None, "UTC")


def test_pause_and_resume(acme: Company, api: Api) -> None:
    id = api.post("/deployments", {**BODY, "schedule": {"interval": 60}}).json()["id"]
    for _ in range(2):
        [schedule] = api.post(f"/deployments/{id}/pause").json()["schedules"]
        assert (schedule["active"], schedule["next"]) == (False, [])
    with acme.scope():
        assert Schedule.objects.get().paused_by == "developer"
    for _ in range(2):
        [schedule] = api.post(f"/deployments/{id}/resume").json()["schedules"]
        assert schedule["active"]


def test_pausing_without_a_schedule_does_nothing(api: Api) -> None:
    id = api.post("/deployments", BODY).json()["id"]
    assert api.post(f"/deployments/{id}/pause").json()["schedules"] == []


@pytest.mark.parametrize("role", ["viewer", "runner", "agent"])
def test_who_may_not_deploy(acme: Company, role: str) -> None:
    own = Api(acme.key(role, role))
    error(own.post("/deployments", BODY), 403)
    for what in ("pause", "resume"):
        error(own.post(f"/deployments/{deploy(acme).id}/{what}"), 403)
    assert own.get("/deployments").status_code == 200


def test_runs_outlive_nothing_they_need(acme: Company) -> None:
    """A deployment that goes leaves its runs; a pool with deployments stays."""
    from django.db import IntegrityError, transaction

    from runs.models import FlowRun, WorkPool

    deployment = deploy(acme)
    (run,) = trigger(acme, deployment)
    with acme.scope():
        with pytest.raises(IntegrityError), transaction.atomic():
            WorkPool.objects.get().delete()
        Deployment.objects.get().delete()
        assert FlowRun.objects.get(id=run).deployment_id is None


# ── bundles ──────────────────────────────────────────────────────────────────────────────────────


def bundle(api: Api, content: bytes, sha256: str | None = None) -> Any:
    return api.put(f"/bundles/{sha256 or hashlib.sha256(content).hexdigest()}", content)


def test_a_bundle_is_stored_once_under_its_hash(acme: Company, api: Api) -> None:
    content = bytes(range(256)) * 100
    assert [bundle(api, content).status_code for _ in range(2)] == [201, 200]
    path = f"/bundles/{hashlib.sha256(content).hexdigest()}"
    found = api.get(path)
    assert (found.content, found.headers["Content-Type"]) == (content, "application/octet-stream")
    head = api.client.head(api.root + path)
    assert (head.status_code, head.content) == (200, b"")
    with acme.scope():
        assert Bundle.objects.get().size == len(content)


@pytest.mark.parametrize("sha256", ["0" * 64, "nonsense", "A" * 64, "é", "%00"])
def test_a_hash_that_is_not_the_contents(acme: Company, api: Api, sha256: str) -> None:
    error(bundle(api, b"content", sha256), 400)
    assert api.get(f"/bundles/{sha256}").status_code in {400, 404}
    with acme.scope():
        assert not Bundle.objects.exists()


def test_a_bundle_has_a_bound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "MAX_BUNDLE", 1_000)
    assert bundle(api, b"x" * 1_000).status_code == 201
    error(bundle(api, b"x" * 1_001), 413)


def test_a_bundle_belongs_to_its_organization(acme: Company, api: Api, eve_api: Api) -> None:
    content = b"our own code"
    bundle(api, content)
    sha256 = hashlib.sha256(content).hexdigest()
    error(eve_api.get(f"/bundles/{sha256}"), 404)
    error(eve_api.post("/deployments", {**BODY, "source": {"type": "bundle", "sha256": sha256}}), 404)
    assert api.post("/deployments", {**BODY, "source": {"type": "bundle", "sha256": sha256}}).status_code == 201


def test_an_agent_reads_bundles_and_writes_none(acme: Company, api: Api, agent_api: Api) -> None:
    bundle(api, b"code")
    assert agent_api.get(f"/bundles/{hashlib.sha256(b'code').hexdigest()}").content == b"code"
    error(bundle(agent_api, b"other"), 403)
