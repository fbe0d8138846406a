"""2.3: the pages of base job templates: who sees what, the form of defaults, the whole as JSON, two editors at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.pool_bodies import PoolChange
from runs import queues
from runs.models import WorkPool
from tests.cast import Company
from tests.restricted import restrict
from tests.runs.work import deploy
from tests.tenants.test_key_ring import give

pytestmark = pytest.mark.django_db

TEMPLATE: dict[str, Any] = {
    "variables": {
        "type": "object",
        "properties": {
            "level": {"type": "string", "title": "<b>Level</b>", "description": "How much.", "default": "info"},
            "cpus": {"type": "integer", "minimum": 1},
        },
        "required": ["level"],
    },
    "job_configuration": {"env": {"LEVEL": "{{ level }}", "CPUS": "{{ cpus }}"}},
}


def path_of(company: Company, *more: str) -> str:
    return "/".join([f"{company.path}pools/{company.pool.id}", *more])


def template_of(company: Company) -> Any:
    with company.scope():
        return WorkPool.objects.get(id=company.pool.id).base_job_template


def put(company: Company, template: Any) -> None:
    with company.scope():
        pool = WorkPool.objects.get(id=company.pool.id)
        queues.change(pool, told=PoolChange(base_job_template=template), by=company.actor())


def saved(client: Any, company: Company, **typed: str) -> Any:
    """The answer to what is typed into the page as it is now."""
    page = client.get(path_of(company, "template"))
    return client.post(path_of(company, "template"), {"shown": page.context["shown"], **typed})


def whole(template: Any) -> dict[str, str]:
    return {"part": "template", "template": template if isinstance(template, str) else json.dumps(template)}


def test_2_3_who_views_sees_the_variables_and_no_way_to_change_them(acme: Company, vera: Any, browse: Any) -> None:
    put(acme, TEMPLATE)
    shown = browse(vera).get(path_of(acme)).content.decode()
    for words in ("&lt;b&gt;Level&lt;/b&gt;", "How much.", "&quot;info&quot;", "Required", "{{ level }}"):
        assert words in shown
    assert path_of(acme, "template") not in shown


def test_2_3_defaults_are_given_and_taken_away_by_a_form(acme: Company, alice: Any, browse: Any) -> None:
    put(acme, TEMPLATE)
    client = browse(alice)
    assert (
        saved(client, acme, **{"part": "defaults", "d~mode": "form", "d.level": "", "d.cpus": "4"}).status_code == 302
    )
    known = template_of(acme)["variables"]["properties"]
    assert ("default" in known["level"], known["cpus"]["default"]) == (False, 4)
    assert template_of(acme)["variables"]["required"] == ["level"]
    assert 'value="4"' in client.get(path_of(acme, "template")).content.decode()


def test_2_3_the_types_template_takes_defaults_too_and_stays_the_types_without(
    acme: Company, alice: Any, browse: Any
) -> None:
    client = browse(alice)
    typed = {"part": "defaults", "d~mode": "form"}
    assert saved(client, acme, **typed, **{"d.memory_mib": "512"}).status_code == 302
    assert template_of(acme)["variables"]["properties"]["memory_mib"]["default"] == 512
    assert client.post(path_of(acme, "template", "reset")).status_code == 302
    assert template_of(acme) is None


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"part": "defaults", "d~mode": "form", "d.cpus": "0"}, "minimum"),
        ({"part": "defaults", "d~mode": "form", "d.cpus": "many"}, "d.cpus"),
        ({"part": "defaults", "d~mode": "json", "d": '{"none": 1}'}, "no such variable"),
        (whole("{"), "This is no JSON"),
        (whole("[]"), "A template is a JSON object."),
        (whole(""), "Enter a template."),
        (whole({**TEMPLATE, "job_configuration": {"env": "{{ none }}"}}), "There is no variable &#x27;none&#x27;"),
        (whole({**TEMPLATE, "job_configuration": {"image": "x"}}), "The type process knows env, memory_mib."),
    ],
)
def test_2_3_what_is_wrong_is_said_and_nothing_is_changed(
    acme: Company, alice: Any, browse: Any, typed: dict[str, str], says: str
) -> None:
    put(acme, TEMPLATE)
    client = browse(alice)
    answer = saved(client, acme, **typed)
    assert answer.status_code == 400
    assert says in answer.content.decode()
    assert template_of(acme) == TEMPLATE
    looked = client.post(path_of(acme, "template", "preview"), typed)
    assert (looked.status_code, "nothing to show yet" in looked.content.decode()) == (200, True)


def test_2_3_what_agents_would_be_told_is_shown_as_the_form_stands(acme: Company, alice: Any, browse: Any) -> None:
    put(acme, TEMPLATE)
    typed = {"part": "defaults", "d~mode": "form", "d.level": "debug", "d.cpus": "4"}
    shown = browse(alice).post(path_of(acme, "template", "preview"), typed)
    assert shown.context["preview"]["configuration"] == {"env": {"LEVEL": "debug", "CPUS": 4}}
    assert template_of(acme) == TEMPLATE


def test_2_3_deployments_that_would_not_fit_are_linked_and_what_was_typed_stays(
    acme: Company, alice: Any, browse: Any
) -> None:
    seen = deploy(acme, name="seen")
    needs = {**TEMPLATE, "variables": {**TEMPLATE["variables"], "required": ["team"]}}
    answer = saved(browse(alice), acme, **whole(needs))
    shown = answer.content.decode()
    assert (answer.status_code, template_of(acme)) == (409, None)
    assert f'href="{acme.path}deployments/{seen.id}">etl/seen</a>' in shown
    assert "&quot;team&quot;" in shown


def test_2_3_a_hidden_deployment_is_counted_and_not_named(acme: Company, bob: Any, browse: Any) -> None:
    give(acme, bob, "developer")
    restrict(acme, deploy(acme, name="hidden"))
    needs = {**TEMPLATE, "variables": {**TEMPLATE["variables"], "required": ["team"]}}
    shown = saved(browse(bob), acme, **whole(needs)).content.decode()
    assert "1 of them not named here" in shown
    assert "hidden</" not in shown


def test_2_3_nobody_overwrites_what_they_have_not_seen(acme: Company, alice: Any, browse: Any) -> None:
    client = browse(alice)
    former = client.get(path_of(acme, "template")).context["shown"]
    put(acme, TEMPLATE)
    typed = {"part": "defaults", "d~mode": "form", "d.memory_mib": "512", "shown": former}
    refused = client.post(path_of(acme, "template"), typed)
    assert (refused.status_code, template_of(acme)) == (409, TEMPLATE)
    assert "Somebody has changed the template meanwhile" in refused.content.decode()
    again = {**whole(TEMPLATE), "shown": refused.context["shown"]}
    assert client.post(path_of(acme, "template"), again).status_code == 302


def test_2_3_a_pool_is_made_with_a_type_and_its_template(acme: Company, alice: Any, browse: Any) -> None:
    client = browse(alice)
    refused = client.post(f"{acme.path}pools/new", {"name": "cards", "type": "batch"})
    assert (refused.status_code, 'id="base_job_template-error"' in refused.content.decode()) == (400, True)
    refused = client.post(f"{acme.path}pools/new", {"name": "cards", "type": "batch", "base_job_template": "{"})
    assert "This is no JSON" in refused.content.decode()
    typed = {"name": "cards", "type": "batch", "base_job_template": json.dumps(TEMPLATE)}
    made = client.post(f"{acme.path}pools/new", typed)
    with acme.scope():
        pool = WorkPool.objects.get(name="cards")
    assert (made.status_code, pool.type, pool.base_job_template) == (302, "batch", TEMPLATE)
    page = client.get(f"{acme.path}pools/{pool.id}/template").content.decode()
    assert "Back to that of the type" not in page


def test_2_3_a_template_of_a_hundred_variables_costs_no_query_more(
    acme: Company, alice: Any, browse: Any, django_assert_max_num_queries: Any
) -> None:
    known = {f"v{n}": {"type": ["string", "null"], "default": "x" * 300} for n in range(100)}
    put(acme, {"variables": {"type": "object", "properties": known}, "job_configuration": {}})
    client = browse(alice)
    for path in (path_of(acme), path_of(acme, "template")):
        with django_assert_max_num_queries(26):
            assert client.get(path).status_code == 200


def test_2_3_a_deployments_page_says_what_comes_from_the_pool(acme: Company, vera: Any, browse: Any) -> None:
    put(acme, TEMPLATE)
    deployment = deploy(acme, job_variables={"cpus": 2})
    page = browse(vera).get(f"{acme.path}deployments/{deployment.id}")
    assert (page.context["job_variables"], page.context["pool_variables"]) == ([("cpus", 2)], [("level", "info")])
    assert "of the pool" in page.content.decode()
    deploy(acme, job_variables={"level": "debug"})
    page = browse(vera).get(f"{acme.path}deployments/{deployment.id}")
    assert (page.context["job_variables"], page.context["pool_variables"]) == ([("level", "debug")], [])
