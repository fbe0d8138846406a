"""2.7: Job variables of one run: the form's part, who sees it, and what is told of them."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import FlowRun
from tests.cast import Company
from tests.runs.test_run_form import address
from tests.runs.work import deploy, trigger

pytestmark = pytest.mark.django_db

OWN = {"env": {"LEVEL": "info", "REGION": "eu"}, "memory_mib": 512}


def controls(client: Any, url: str, **query: str) -> dict[str, list[str]]:
    """What a browser would send of the part for job variables, as the page shows it."""
    response = client.get(url, query)
    variables = response.context["variables"]
    return {"p~mode": ["form"], "variables_of": [variables.shown], **variables.form._texts}


def only_run(company: Company) -> FlowRun:
    with company.scope():
        return FlowRun.objects.get()


def test_2_7_the_form_asks_for_what_differs(acme: Company, alice: Any, browse: Any) -> None:
    url = address(acme, deploy(acme, job_variables=OWN))
    sent = controls(browse(alice), url)
    assert (sent["v.memory_mib"], sent["v.env~item"]) == (["512"], ["0", "1"])
    page = browse(alice).get(url).content.decode()
    assert "<h2>Job variables</h2>" in page
    assert "LEVEL" in page

    sent |= {"v.env.0": ["debug"], "v.env~item": ["0", "2"], "v.env.2~key": ["NEW"], "v.env.2": ["1"]}
    made = browse(alice).post(url, {**sent, "v.memory_mib": [""]})
    assert made.status_code == 302
    assert only_run(acme).job_variables == {"env": {"LEVEL": "debug", "NEW": "1", "REGION": None}, "memory_mib": None}
    assert "taken away" in browse(alice).get(made.headers["Location"]).content.decode()


def test_2_7_what_nobody_touches_is_the_deployments_also_when_it_is_deployed_meanwhile(
    acme: Company, alice: Any, browse: Any
) -> None:
    url = address(acme, deploy(acme, job_variables=OWN))
    sent = controls(browse(alice), url)
    deploy(acme, job_variables={"memory_mib": 64})
    assert browse(alice).post(url, sent).status_code == 302
    assert only_run(acme).job_variables is None


def test_2_7_variables_of_other_launchers_are_edited_as_json(acme: Company, alice: Any, browse: Any) -> None:
    with acme.scope():
        acme.pool.base_job_template = {"variables": {"type": "object"}, "job_configuration": {}}
        acme.pool.save()
    url = address(acme, deploy(acme, job_variables={"image": "etl:1"}))
    sent = controls(browse(alice), url)
    assert sent["v~mode"] == ["json"]
    assert "This is no JSON" in browse(alice).post(url, {**sent, "v": ["{"]}).content.decode()
    assert browse(alice).post(url, {**sent, "v": ['{"image": "etl:2"}']}).status_code == 302
    assert only_run(acme).job_variables == {"image": "etl:2"}


def test_2_3_what_the_pool_gives_is_shown_and_only_what_differs_is_asked_for(
    acme: Company, alice: Any, browse: Any
) -> None:
    known = {
        "env": {"type": "object", "additionalProperties": {"type": "string"}, "default": {"REGION": "eu"}},
        "level": {"type": "string", "default": "info"},
    }
    with acme.scope():
        acme.pool.base_job_template = {"variables": {"type": "object", "properties": known}, "job_configuration": {}}
        acme.pool.save()
    url = address(acme, deploy(acme, job_variables={"env": {"TEAM": "data"}}))
    sent = controls(browse(alice), url)
    assert (sent["v.level"], sent["v.env~item"]) == (["info"], ["0", "1"])
    wanted = [
        (sent, None),
        (sent | {"v.level": ["debug"]}, {"level": "debug"}),
        (sent | {"v.env~item": ["1"]}, {"env": {"REGION": None}}),
    ]
    for form, asked in wanted:
        made = browse(alice).post(url, form).headers["Location"]
        with acme.scope():
            assert FlowRun.objects.get(id=made.rstrip("/").rpartition("/")[2]).job_variables == asked


def test_2_7_what_is_wrong_is_said_beside_the_fields_and_on_top(acme: Company, alice: Any, browse: Any) -> None:
    url = address(acme, deploy(acme, job_variables=OWN))
    sent = controls(browse(alice), url) | {"v.env.0~key": ["A=B"], "v.memory_mib": ["3"]}
    wrong = browse(alice).post(url, sent)
    assert (wrong.status_code, len(wrong.context["listed"])) == (400, 2)
    page = wrong.content.decode()
    assert page.count("MiB, 16 or more.") == 2
    assert "These fields need a change" in page
    one = browse(alice).post(url, {**sent, "v.env.0~key": ["A"]}).content.decode()
    assert "One field needs a change" in one
    assert '<details open>\n          <summary class="row">' in page


def test_2_7_only_who_may_edit_the_deployment_sees_them_in_the_form(acme: Company, bob: Any, browse: Any) -> None:
    deployment = deploy(acme, job_variables=OWN)
    (former,) = trigger(acme, deployment, job_variables={"memory_mib": 64})
    url = address(acme, deployment)
    page = browse(bob).get(url, {"from": str(former)}).content.decode()
    assert "variables_of" not in page
    assert "had job variables of its own" in page

    refused = browse(bob).post(url, {"p~mode": "form", "v~mode": "form", "v.memory_mib": "64"})
    assert refused.status_code == 403
    assert "right to edit the deployment" in refused.content.decode()
    made = browse(bob).post(url, {"p~mode": "form", "from": str(former)})
    assert made.status_code == 302
    with acme.scope():
        assert FlowRun.objects.exclude(id=former).get().job_variables is None


def test_2_7_a_former_runs_variables_stand_in_the_form_and_are_kept_when_it_runs_again(
    acme: Company, alice: Any, bob: Any, browse: Any
) -> None:
    deployment = deploy(acme, job_variables=OWN)
    (former,) = trigger(acme, deployment, job_variables={"env": {"LEVEL": "debug"}})
    sent = controls(browse(alice), address(acme, deployment), **{"from": str(former)})
    assert sent["v.env.0"] == ["debug"]
    browse(alice).post(address(acme, deployment), {**sent, "from": str(former)})
    browse(bob).post(f"{acme.path}runs/{former}/again")
    with acme.scope():
        kept = FlowRun.objects.exclude(id=former).values_list("origin", "job_variables")
        assert dict(kept) == {"form": {"env": {"LEVEL": "debug"}}, "retry": {"env": {"LEVEL": "debug"}}}


def test_2_7_the_trail_names_them_without_their_values(acme: Company) -> None:
    from tenants.models import AuditEntry

    trigger(acme, deploy(acme), job_variables={"env": {"TOKEN": "planted-value"}, "memory_mib": 64})
    with acme.scope():
        (told,) = AuditEntry.objects.filter(action="run.triggered").values_list("details", flat=True)
    assert told["job_variables"] == ["env.TOKEN", "memory_mib"]
    assert "planted-value" not in str(told)


def test_2_7_the_page_of_a_deployment_shows_them_and_its_window(acme: Company, vera: Any, browse: Any) -> None:
    deployment = deploy(acme, job_variables=OWN, debounce=90)
    page = browse(vera).get(f"{acme.path}deployments/{deployment.id}").content.decode()
    assert "env.REGION" in page
    assert '<dt>Debounce</dt><dd class="num">1m 30s</dd>' in page
