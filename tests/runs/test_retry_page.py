"""2.10: retry from failure by the page: the plan, the parameters, and the chain of retries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from orchestrator.ids import uuid7
from orchestrator.masking import MASK
from runs import forms
from runs.models import FlowRun
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_retries import ref
from tests.restricted import restrict
from tests.runs.pages import page
from tests.runs.work import agent, claim, deploy, start, trigger

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
    "required": ["day"],
    "additionalProperties": False,
}


@pytest.fixture
def failed(acme: Company) -> Journal:
    """A run that has stored a value of `load`, and failed in `report`."""
    return failed_run(acme, deploy(acme, parameter_schema=SCHEMA))


def failed_run(acme: Company, deployment: Any, **parameters: Any) -> Journal:
    trigger(acme, deployment, parameters=parameters or {"day": "monday", "n": 3})
    (claimed,) = claim(acme, agent(acme))
    journal, made = start(claimed), uuid7()
    journal.send(
        journal.task(id=made, task="flows.load", label="load-1", result=ref("a")),
        journal.task("FAILED", task="flows.report", label="report-1", message="It broke.", parents=[made]),
        journal.state("FAILED", message="It broke.", run_count=1),
    )
    return journal


def retries_of(acme: Company, run: UUID) -> list[FlowRun]:
    with acme.scope():
        return list(FlowRun.objects.filter(retry_of=run).order_by("created_at"))


def test_the_plan_comes_before_the_retry(acme: Company, failed: Journal, alice: Any, browse: Any) -> None:
    """2.10: a run that ended badly leads to it; it says what is reused, what runs again, and why."""
    client = browse(alice)
    assert f"runs/{failed.root}/retry" in page(acme, client, f"runs/{failed.root}")
    shown = page(acme, client, f"runs/{failed.root}/retry")
    assert "Reused <b>1</b>" in shown
    assert "Runs again <b>1</b>" in shown
    assert "1 stored" in shown
    assert "1 failed" in shown
    assert 'value="monday"' in shown
    calls = page(acme, client, f"runs/{failed.root}/_calls")
    assert "its value is stored" in calls
    assert "It broke." in calls
    only = page(acme, client, f"runs/{failed.root}/_calls", group="reused")
    assert ("load-1" in only, "report-1" in only) == (True, False)


def test_the_retry_takes_edited_parameters_and_says_what_it_retries(
    acme: Company, failed: Journal, alice: Any, browse: Any
) -> None:
    """2.10: parameters are those of the form; both pages show the chain."""
    client = browse(alice)
    response = client.post(f"{acme.path}runs/{failed.root}/retry", {"p.day": "friday", "p.n": "4"})
    (new,) = retries_of(acme, failed.root)
    assert response.headers["Location"] == f"{acme.path}runs/{new.id}"
    assert (new.parameters, new.origin) == ({"day": "friday", "n": 4}, "retry")
    assert (new.replays_from, new.replay_root) == (failed.root, failed.root)
    for shown, other in ((new.id, failed.root), (failed.root, new.id)):
        told = page(acme, client, f"runs/{shown}")
        assert 'aria-label="Retries"' in told
        assert f"runs/{other}" in told


def test_what_is_ticked_runs_again_with_what_depends_on_it(
    acme: Company, failed: Journal, alice: Any, browse: Any
) -> None:
    """2.10: the plan is updated before anything is made."""
    client, path = browse(alice), f"{acme.path}runs/{failed.root}/retry"
    asked = {"p.day": "monday", "p.n": "3", "again": ["flows.load"]}
    shown = " ".join(client.post(path, {**asked, "plan": "again"}).content.decode().split())
    assert "Reused <b>0</b>" in shown
    assert "1 asked for" in shown
    assert "depends on it" in shown
    assert retries_of(acme, failed.root) == []
    assert client.post(path, asked).status_code == 302
    (new,) = retries_of(acme, failed.root)
    assert new.again == {"flows.load": [str(new.id)], "flows.report": [str(new.id)]}


def test_what_is_wrong_stands_beside_its_field(acme: Company, failed: Journal, alice: Any, browse: Any) -> None:
    """2.10: as in the form that runs a deployment; and a task that is not the run's."""
    client, path = browse(alice), f"{acme.path}runs/{failed.root}/retry"
    wrong = client.post(path, {"p.day": "monday", "p.n": "0"})
    assert (wrong.status_code, [each.path for each in wrong.context["form"].wrong]) == (400, ["parameters.n"])
    unknown = client.post(path, {"p.day": "monday", "p.n": "3", "again": ["none"]})
    assert (unknown.status_code, "This run has no task" in unknown.content.decode()) == (400, True)
    assert retries_of(acme, failed.root) == []


def test_a_secret_that_was_masked_is_entered_again(acme: Company, alice: Any, browse: Any) -> None:
    """2.10: no run begins with a mask in its place; by the API neither."""
    journal = failed_run(acme, deploy(acme, parameter_schema=SCHEMA), day="monday")
    with acme.scope():
        FlowRun.objects.filter(id=journal.root).update(parameters={"day": MASK})
    path = f"{acme.path}runs/{journal.root}/retry"
    assert forms.MASKED in browse(alice).get(path).content.decode()
    assert browse(alice).post(path, {"p.day": MASK}).status_code == 400
    told = Api(acme.key("developer-2")).post(f"/flow-runs/{journal.root}/retry", {})
    assert (told.status_code, list(told.json()["error"]["fields"])) == (400, ["parameters.day"])


def test_a_run_that_was_called_by_hand_says_what_to_do(acme: Company, api: Api, alice: Any, browse: Any) -> None:
    """2.10: no agent can start it; its plan is shown all the same."""
    journal = Journal(api)
    journal.send(journal.begin(), journal.task(result=ref("x")), journal.state("FAILED", run_count=1))
    shown = page(acme, browse(alice), f"runs/{journal.root}/retry")
    assert "Run it again by hand" in shown
    assert f"with replaying(&quot;{journal.root}&quot;):" in shown
    assert "1 stored" in shown
    assert "p.day" not in shown


def test_who_may_not_use_the_deployment_retries_none_of_its_runs(acme: Company, failed: Journal, api: Api) -> None:
    """2.10, 4.4: for others a restricted deployment's runs are not there."""
    with acme.scope():
        deployment = FlowRun.objects.select_related("deployment").get(id=failed.root).deployment
    restrict(acme, deployment)
    assert api.get(f"/flow-runs/{failed.root}/retry").status_code == 404
    assert api.post(f"/flow-runs/{failed.root}/retry", {}).status_code == 404


def test_the_plan_costs_the_same_for_many_calls(
    acme: Company, failed: Journal, alice: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    """2.10: counted by the database."""
    client = browse(alice)
    client.get(f"{acme.path}runs/{failed.root}/retry")
    with django_assert_max_num_queries(30):
        client.get(f"{acme.path}runs/{failed.root}/retry")
