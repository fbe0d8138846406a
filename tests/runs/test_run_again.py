"""2.7: "Run with changes" from any run: deployed, called by hand, called by another flow, of a deleted deployment."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from orchestrator.ids import uuid7
from orchestrator.masking import MASK
from orchestrator.pool_bodies import QueueInput
from runs import forms, queues
from runs.models import FlowRun
from runs.transitions import lock_runs
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}, "token": {"type": "string"}, "model": {}, "parts": {"type": "array"}},
    "additionalProperties": False,
}


def local_run(api: Api, *, flow: str = "etl", ended: bool = True, **parameters: Any) -> Any:
    """The id of a run that was called by hand."""
    journal = Journal(api)
    begun = journal.begin(flow=flow)
    begun.about.parameters = msgspec.Raw(msgspec.json.encode(parameters))
    journal.send(begun)
    if ended:
        journal.send(journal.state("COMPLETED", run_count=1))
    return journal.root


def again(company: Company, run: Any) -> str:
    return f"{company.path}runs/{run}/again"


def form_of(company: Company, deployment: Any, run: Any) -> str:
    return f"{company.path}deployments/{deployment.id}/run?from={run}"


def test_a_local_run_leads_to_the_only_deployment_of_its_flow(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    deployment, run = deploy(acme, parameter_schema=SCHEMA), local_run(api, day="monday")
    deploy(acme, "other", flow="something-else")
    client = browse(alice)
    assert again(acme, run) in client.get(f"{acme.path}runs/{run}").content.decode()
    response = client.get(again(acme, run))
    assert response.headers["Location"] == form_of(acme, deployment, run)
    assert 'value="monday"' in client.get(response.headers["Location"]).content.decode()
    client.post(form_of(acme, deployment, run), {"p.day": "tuesday", "from": str(run)})
    with acme.scope():
        new = FlowRun.objects.get(origin="form")
    assert (new.parameters, new.deployment_id, new.retry_of) == ({"day": "tuesday"}, deployment.id, run)


def test_several_deployments_are_offered(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    run, made = local_run(api), [deploy(acme, name) for name in ("nightly", "hourly")]
    shown = browse(alice).get(again(acme, run)).content.decode()
    for deployment in made:
        assert form_of(acme, deployment, run).replace("&", "&amp;") in shown


def test_without_a_deployment_the_page_says_what_to_do(
    acme: Company, globex: Company, api: Api, alice: Any, browse: Any
) -> None:
    deploy(globex)
    run = local_run(api)
    shown = browse(alice).get(again(acme, run)).content.decode()
    assert "No deployment of etl is in this workspace" in shown
    assert f"{acme.path}welcome" in shown
    assert browse(alice).post(again(acme, run)).status_code == 200  # As the page that says so.
    with acme.scope():
        assert FlowRun.objects.count() == 1


def test_a_subflow_is_run_by_a_deployment_of_its_own_flow(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    subflow = uuid7()
    journal.send(journal.subflow(subflow, "inner"))
    shown = browse(alice).get(again(acme, subflow)).content.decode()
    assert f"{acme.path}runs/{journal.root}" in shown
    inner = deploy(acme, flow="inner")
    assert browse(alice).get(again(acme, subflow)).headers["Location"] == form_of(acme, inner, subflow)


def test_a_deployed_run_leads_to_its_own_form(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme)
    deploy(acme, "second")
    (run,) = trigger(acme, deployment)
    assert browse(alice).get(again(acme, run)).headers["Location"] == form_of(acme, deployment, run)


def test_only_what_has_ended_is_run_again_else_it_is_another_run(
    acme: Company, api: Api, alice: Any, browse: Any
) -> None:
    deployment, run = deploy(acme), local_run(api, ended=False)
    browse(alice).post(form_of(acme, deployment, run), {"from": str(run)})
    with acme.scope():
        assert FlowRun.objects.get(origin="form").retry_of is None


def test_2_10_what_runs_again_waits_as_it_did(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme)
    with acme.scope():
        queues.create_queue(pool=deployment.pool, told=QueueInput(name="gpu"), by=acme.actor("owner"))
    (run,) = trigger(acme, deployment, work_queue="gpu", priority=10, concurrency_key="acme")
    browse(alice).post(again(acme, run))
    with acme.scope():
        new = FlowRun.objects.select_related("queue").get(origin="retry")
    assert (new.queue.name, new.priority, new.concurrency_key) == ("gpu", 10, "acme")


def test_what_was_masked_cut_or_no_json_is_said_beside_its_field(
    acme: Company, api: Api, alice: Any, browse: Any
) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    more = {"model": "<flows.Model object at 0x7f00c0ffee>", "parts": ["…", {"dsn": f"postgres://u:{MASK}@db"}]}
    run = local_run(api, day="monday", token=MASK, **more)
    form = browse(alice).get(form_of(acme, deployment, run)).context["form"]
    said = {each.path: each.error for each in form.wrong}
    assert said["parameters.token"] == forms.MASKED
    assert "how Python shows an object" in said["parameters.model"]
    assert "nested too deeply" in said["parameters.parts"]
    assert forms.MASKED in said["parameters.parts"]
    assert "parameters.day" not in said


def test_no_run_begins_with_a_mask_in_the_place_of_a_secret(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    deployment, run = deploy(acme, parameter_schema=SCHEMA), local_run(api, token=MASK)
    client, typed = browse(alice), {"p.token": MASK, "from": str(run)}
    response = client.post(form_of(acme, deployment, run), typed)
    assert (response.status_code, forms.MASKED in response.content.decode()) == (400, True)
    assert client.post(form_of(acme, deployment, run), {**typed, "p.token": "sesame"}).status_code == 302
    with acme.scope():
        assert FlowRun.objects.get(origin="form").parameters == {"token": "sesame"}


def test_parameters_that_were_too_large_are_not_guessed(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    deployment, run = deploy(acme), local_run(api, text="x" * 600_000)
    shown = browse(alice).get(form_of(acme, deployment, run)).content.decode()
    assert "None of them were kept" in shown
    assert "p.…" not in shown


def test_the_mask_is_the_one_of_the_sdk() -> None:
    assert (forms.MASK, forms.CUT) == (MASK, "…")


def test_a_run_whose_deployment_was_deleted_is_offered_others(acme: Company, alice: Any, browse: Any) -> None:
    from runs import deployments
    from runs import trigger as triggering

    gone, left = deploy(acme), deploy(acme, "left")
    (run,) = trigger(acme, gone)
    with acme.scope():
        triggering.cancel_runs([run], by=acme.actor())
        deployments.delete(gone, by=acme.actor())
        assert lock_runs([run])[run].deployment_id is None
    assert browse(alice).get(again(acme, run)).headers["Location"] == form_of(acme, left, run)
