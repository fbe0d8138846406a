"""2.7: The one door for new runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.wire import MAX_PARAMETERS
from runs import admission, trigger
from runs.models import FlowRun
from runs.trigger import RunRequest
from tenants.errors import Invalid
from tests.cast import Api, Company
from tests.runs.work import deploy, in_seconds, moment, run_row
from tests.threads import at_once

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {
        "day": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "when": {"type": "string", "format": "date-time"},
        "rows": {"type": "array", "items": {"type": "object", "required": ["id"]}},
    },
    "required": ["day"],
    "additionalProperties": False,
}


def create(company: Company, deployment: Any, **more: Any) -> tuple[FlowRun, bool]:
    with company.scope():
        return trigger.create_run(RunRequest(deployment=deployment, **more), by=company.actor())


def refused(company: Company, deployment: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        create(company, deployment, **more)
    assert caught.value.message
    return caught.value.fields


def test_a_run_is_scheduled_for_now_in_its_place(acme: Company) -> None:
    deployment = deploy(acme, version="7", retries=2, retry_delay=3, crash_retries=1)
    run, new = create(acme, deployment)

    assert new
    run = run_row(acme, run.id)
    assert (run.state_type, run.state_name, run.attempt, run.run_count) == ("SCHEDULED", "Scheduled", 0, 0)
    assert (run.root_id, run.origin, run.created_by, run.version) == (run.id, "api", "test", "7")
    assert (run.retries, run.retry_delay, run.crash_retries) == (2, 3, 1)
    assert (run.pool_id, run.queue_id) == (deployment.pool_id, deployment.queue_id)
    assert (run.retention, run.bucket) == (30, moment().date())
    assert run.scheduled_at == run.due_at
    assert in_seconds(-10) < run.due_at <= moment()
    assert "-" in run.name
    assert [entry[1] for entry in run.history] == ["SCHEDULED"]


def test_a_later_change_of_the_deployment_leaves_runs_alone(acme: Company) -> None:
    run, _ = create(acme, deploy(acme, retries=1, parameters={"day": "monday"}))
    deploy(acme, retries=9, parameters={"day": "friday"})
    assert (run_row(acme, run.id).retries, run_row(acme, run.id).parameters) == (1, {"day": "monday"})


# ── parameters ───────────────────────────────────────────────────────────────────────────────────


def test_parameters_go_over_the_deployments_own(acme: Company) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA, parameters={"day": "monday", "count": 1})
    run, _ = create(acme, deployment, parameters={"count": 5})
    assert run_row(acme, run.id).parameters == {"day": "monday", "count": 5}


@pytest.mark.parametrize(
    ("parameters", "fields"),
    [
        ({}, {"parameters.day": "Required."}),
        ({"day": "x", "sum": 1}, {"parameters.sum": "The flow has no such parameter."}),
        ({"day": 3}, {"parameters.day": "3 is not of type 'string'"}),
        ({"day": "x", "count": 0}, {"parameters.count": "0 is less than the minimum of 1"}),
        ({"day": "x", "count": "5"}, {"parameters.count": "'5' is not of type 'integer'"}),
        ({"day": "x", "count": 1.5}, {"parameters.count": "1.5 is not of type 'integer'"}),
        ({"day": "x", "rows": [{"id": 1}, {}]}, {"parameters.rows.1.id": "Required."}),
        ({"day": None, "count": True}, {"parameters.day", "parameters.count"}),
    ],
)
def test_what_the_schema_refuses_is_said_by_field(acme: Company, parameters: dict, fields: Any) -> None:
    found = refused(acme, deploy(acme, parameter_schema=SCHEMA), parameters=parameters)
    assert (found if isinstance(fields, dict) else set(found)) == fields
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_a_whole_number_may_be_written_with_a_point(acme: Company) -> None:
    create(acme, deploy(acme, parameter_schema=SCHEMA), parameters={"day": "x", "count": 5.0})


def test_parameters_have_a_bound(acme: Company) -> None:
    found = refused(acme, deploy(acme), parameters={"blob": "x" * MAX_PARAMETERS})
    assert found == {"parameters": "Too large."}


def test_what_json_has_no_form_for_is_made_fit(acme: Company) -> None:
    odd = {"nan": float("nan"), "nul": "a\x00b", "half": "\ud800", "huge": 2**80, "when": moment()}
    run, _ = create(acme, deploy(acme), parameters=odd)
    kept = run_row(acme, run.id).parameters
    assert (kept["nan"], kept["nul"], kept["half"], kept["huge"]) == ("nan", "a\ufffdb", "\ufffd", str(2**80))
    assert kept["when"].startswith(str(moment().year))


def test_a_schema_that_points_outside_is_not_followed(acme: Company) -> None:
    schema = {"type": "object", "properties": {"x": {"$ref": "http://127.0.0.1:1/schema.json"}}}
    deployment = deploy(acme, parameter_schema=schema)
    with pytest.raises(Invalid, match="does not hold"):
        create(acme, deployment, parameters={"x": 1})


def test_errors_are_bounded(acme: Company) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    found = refused(acme, deployment, parameters={f"p{number}": number for number in range(5_000)})
    assert len(found) <= 5_001


# ── name, tags, time ─────────────────────────────────────────────────────────────────────────────


def test_tags_of_deployment_and_run_each_once(acme: Company) -> None:
    run, _ = create(acme, deploy(acme, tags=["a", "b"]), tags=["b", " c ", "", "nul\x00"])
    assert run_row(acme, run.id).tags == ["a", "b", "c", "nul\ufffd"]


@pytest.mark.parametrize("tags", [[str(number) for number in range(101)], ["x" * 201]])
def test_tags_have_bounds(acme: Company, tags: list[str]) -> None:
    assert list(refused(acme, deploy(acme), tags=tags)) == ["tags"]


def test_a_name_is_cleaned_and_cut(acme: Company) -> None:
    deployment = deploy(acme)
    assert create(acme, deployment, name="  a\x00b ")[0].name == "a\ufffdb"
    assert len(create(acme, deployment, name="x" * 900)[0].name) == 500
    assert create(acme, deployment, name="   ")[0].name


def test_a_time_ahead(acme: Company) -> None:
    at = in_seconds(3600)
    run = run_row(acme, create(acme, deploy(acme), scheduled_at=at)[0].id)
    assert run.scheduled_at == run.due_at == at


def test_times_have_bounds(acme: Company) -> None:
    deployment = deploy(acme)
    assert list(refused(acme, deployment, scheduled_at=moment() + timedelta(days=3_700))) == ["scheduled_at"]
    long_ago = moment().replace(year=1)
    assert create(acme, deployment, scheduled_at=long_ago)[0].due_at > moment() - timedelta(days=3_700)


# ── everything may happen twice ──────────────────────────────────────────────────────────────────


def test_the_same_key_answers_the_same_run(acme: Company) -> None:
    deployment = deploy(acme)
    first, new = create(acme, deployment, idempotency_key="order-7", parameters={"n": 1})
    again, again_new = create(acme, deployment, idempotency_key="order-7", parameters={"n": 2})
    other, other_new = create(acme, deployment, idempotency_key="order-8")

    assert (new, again_new, other_new) == (True, False, True)
    assert first.id == again.id != other.id
    assert again.parameters == {"n": 1}


def test_a_set_with_a_key_twice_makes_one_run(acme: Company) -> None:
    deployment = deploy(acme)
    keys = ["a", "b", "a", None, None]
    with acme.scope():
        requests = [RunRequest(deployment=deployment, idempotency_key=key) for key in keys]
        runs, new = trigger.create_runs(requests, by=acme.actor())
    assert [run.idempotency_key for run in runs] == keys
    assert runs[0].id == runs[2].id
    assert len(new) == len({run.id for run in runs}) == 4


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_a_key_has_a_length(acme: Company, key: str) -> None:
    assert list(refused(acme, deploy(acme), idempotency_key=key)) == ["idempotency_key"]


def test_keys_of_two_workspaces_are_strangers(acme: Company, globex: Company) -> None:
    from runs.agents import create_pool
    from tenants.permissions import Actor
    from tenants.provisioning import create_workspace

    first, _ = create(acme, deploy(acme), idempotency_key="k")
    foreign, new = create(globex, deploy(globex), idempotency_key="k")
    assert new
    with acme.scope():
        second = create_workspace(organization=acme.organization, name="Second")
        create_pool(workspace=second, name="default")
        by = Actor("key", acme.organization.id, second.id, "developer", "test")
        from runs.deployments import DeploymentRequest
        from runs.deployments import deploy as operation

        source = {"type": "path", "path": "/x"}
        deployment, _ = operation(DeploymentRequest(flow="f", name="n", entrypoint="e:f", source=source), by=by)
        own, new = trigger.create_run(RunRequest(deployment=deployment, idempotency_key="k"), by=by)
    assert new
    assert len({first.id, foreign.id, own.id}) == 3


@pytest.mark.django_db(transaction=True)
def test_the_same_key_at_once_makes_one_run(acme: Company) -> None:
    deployment = deploy(acme)
    answers = at_once(*(lambda: create(acme, deployment, idempotency_key="now") for _ in range(4)))
    assert sorted(new for _, new in answers) == [False, False, False, True]
    assert len({run.id for run, _ in answers}) == 1


# ── sets ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_set_has_a_bound(acme: Company) -> None:
    deployment = deploy(acme)
    with acme.scope(), pytest.raises(Invalid):
        trigger.create_runs([RunRequest(deployment=deployment)] * 10_001, by=acme.actor())


def test_one_bad_run_of_a_set_makes_none(acme: Company) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    requests = [RunRequest(deployment=deployment, parameters={"day": day}) for day in ("monday", 7)]
    with acme.scope(), pytest.raises(Invalid):
        trigger.create_runs(requests, by=acme.actor())
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_a_set_costs_few_queries(acme: Company, django_assert_max_num_queries) -> None:
    deployment = deploy(acme)
    requests = [RunRequest(deployment=deployment, idempotency_key=str(number)) for number in range(1_000)]
    with acme.scope():
        admission.admit(acme.organization.id)  # Known for some seconds.
    with acme.scope(), django_assert_max_num_queries(5):  # Keys, retention, two statements of runs, audit.
        runs, new = trigger.create_runs(requests, by=acme.actor())
    assert len(runs) == len(new) == 1_000


# ── cancelling ───────────────────────────────────────────────────────────────────────────────────


def test_a_run_of_another_workspace_is_not_cancelled(acme: Company) -> None:
    from orchestrator.ids import uuid7
    from tenants.permissions import Actor

    run, _ = create(acme, deploy(acme))
    stranger = Actor("key", acme.organization.id, uuid7(), "developer", "stranger")
    with acme.scope():
        assert trigger.cancel_runs([run.id], by=stranger) == []
    assert run_row(acme, run.id).state_type == "SCHEDULED"


def test_asking_for_a_subflow_asks_for_the_whole_execution(acme: Company, api: Api) -> None:
    from orchestrator.ids import uuid7
    from tests.contract.journals import Journal

    journal, child = Journal(api), uuid7()
    journal.send(journal.begin(), journal.subflow(child))
    with acme.scope():
        assert trigger.cancel_runs([child], by=acme.actor()) == [journal.root]
        assert trigger.cancel_runs([child, journal.root], by=acme.actor()) == []
    assert run_row(acme, journal.root).state_message == "Cancelled by test."
    answer = journal.send(journal.state("CANCELLED", run_count=1))
    assert answer["rejected"] == []
    assert run_row(acme, child).state_type == "CANCELLED"
