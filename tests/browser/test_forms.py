"""People sign in, trigger runs by forms, keep variables."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from runs.models import FlowRun
from tests.browser.conftest import Portal
from tests.cast import PASSWORD, Company

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "title": "City", "description": "Where to look.", "position": 0},
        "days": {"type": "integer", "minimum": 1, "maximum": 30, "default": 7, "position": 1},
        "dry": {"type": "boolean", "default": False, "position": 2},
        "unit": {"enum": ["metric", "imperial"], "default": "metric", "position": 3},
    },
    "required": ["city"],
}


def deployed(company: Company) -> Any:
    """A deployment with a schema of flat types."""
    from runs.deployments import DeploymentRequest, deploy

    source = {"type": "path", "path": "/srv/flows"}
    request = DeploymentRequest("weather", "daily", "flows.py:weather", source, parameter_schema=SCHEMA)
    with company.scope():
        return deploy(request, by=company.actor())[0]


def test_the_form_triggers_a_run(portal: Portal, acme: Company) -> None:
    deployment = deployed(acme)
    page = portal.open(f"deployments/{deployment.id}/run")
    page.fill("[name='p.city']", "Oslo")
    page.fill("[name='p.days']", "3")
    page.get_by_label("imperial").check()
    page.get_by_role("button", name="Run now").click()

    expect(page.locator("#run-head .chip")).to_contain_text("Scheduled")
    with acme.scope():
        run = FlowRun.objects.get()
    assert run.parameters == {"city": "Oslo", "days": 3, "dry": False, "unit": "imperial"}
    assert (run.origin, run.created_by) == ("form", acme.owner.email)


def test_errors_stand_beside_their_fields_also_without_javascript(
    portal: Portal, acme: Company, chromium: Any, browse: Any
) -> None:
    deployment = deployed(acme)
    plain = chromium.new_context(java_script_enabled=False)
    session = browse(acme.owner).cookies["orchestrator_session"].value
    plain.add_cookies([{"name": "orchestrator_session", "value": session, "url": portal.root}])
    page = plain.new_page()
    page.goto(f"{portal.root}deployments/{deployment.id}/run")
    page.locator("main form").evaluate("form => { form.noValidate = true }")
    page.fill("[name='p.city']", "Oslo")
    page.fill("[name='p.days']", "99")
    page.get_by_role("button", name="Run now").click()

    expect(page.locator("main")).to_contain_text("maximum of 30")
    expect(page.locator("[name='p.city']")).to_have_value("Oslo")
    with acme.scope():
        assert not FlowRun.objects.exists()
    plain.close()


def test_a_person_signs_in_and_out(portal: Portal, acme: Company, chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(portal.root + "runs")
    page.fill("[name=login]", acme.owner.email)
    page.fill("[name=password]", "wrong password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("main")).to_contain_text("not correct")
    page.fill("[name=login]", acme.owner.email)
    page.fill("[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(portal.root + "runs")
    context.close()


def test_a_variable_is_made_changed_and_removed(portal: Portal) -> None:
    page = portal.open("variables/new")
    page.fill("[name=name]", "bucket")
    page.fill("[name=value]", "flights-2013")
    page.locator("main form").get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text("bucket")
    page.goto(portal.root + "variables/bucket")
    expect(page.locator("[name=value]")).to_have_value('"flights-2013"')


def test_cancel_asks_first(portal: Portal, acme: Company) -> None:
    from runs.trigger import RunRequest, create_run

    deployment = deployed(acme)
    with acme.scope():
        run, _ = create_run(RunRequest(deployment, {"city": "Oslo"}), by=acme.actor())
    page = portal.open(f"runs/{run.id}")
    page.locator("#run-head").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()

    expect(page.locator("#run-head .chip")).to_contain_text("Cancelled")
