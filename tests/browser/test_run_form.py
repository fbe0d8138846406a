"""The run form in a browser: nested models, unions, lists, JSON, errors beside their fields, drafts, without script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from orchestrator.parameters import parameter_schema
from runs.models import FlowRun
from tests.browser.conftest import Portal
from tests.browser.flights import flights
from tests.browser.looking import WIDTHS, check, in_themes
from tests.cast import Company

URL = "https://data.example.org/bts.csv.gz"


@pytest.fixture
def deployment(acme: Company) -> Any:
    from runs.deployments import DeploymentRequest, deploy

    source = {"type": "path", "path": "/srv/flows"}
    schema = parameter_schema(flights)
    with acme.scope():
        return deploy(
            DeploymentRequest("flights", "production", "flights.py:flights", source, parameter_schema=schema),
            by=acme.actor(),
        )[0]


@pytest.fixture
def form(portal: Portal, deployment: Any) -> Any:
    page = portal.open(f"deployments/{deployment.id}/run")
    page.fill("[name='p.title']", "All carriers")
    return page


@pytest.fixture
def plain(portal: Portal, deployment: Any, chromium: Any, acme: Company, browse: Any) -> Iterator[Any]:
    """The form in a browser without scripts."""
    context = chromium.new_context(java_script_enabled=False)
    session = browse(acme.owner).cookies["orchestrator_session"].value
    context.add_cookies([{"name": "orchestrator_session", "value": session, "url": portal.root}])
    page = context.new_page()
    page.goto(f"{portal.root}deployments/{deployment.id}/run")
    page.fill("[name='p.title']", "All carriers")
    yield page
    context.close()


def run_now(page: Any, acme: Company) -> FlowRun:
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#run-head .chip")).to_contain_text("Scheduled")
    with acme.scope():
        return FlowRun.objects.get()


def test_defaults_are_sent_as_they_are(form: Any, acme: Company) -> None:
    parameters = run_now(form, acme).parameters
    assert parameters == {
        "title": "All carriers", "year": 2013, "mode": "incremental", "since": "2013-01-01", "at": None,
        "sources": [{"name": "bts", "format": "csv.gz", "url": URL}],
        "output": {"kind": "parquet", "partition_by": "origin", "rows": 500000},
        "window": None, "every": "PT1H30M", "limits": {"a": 1}, "options": {"chunk": 50000}, "airport": "A007",
        "strict": True,
    }  # fmt: skip


def test_2_7_job_variables_are_changed_for_one_run_and_survive_a_reload(form: Any, acme: Company) -> None:
    """Both parts of the form are swapped at once, and what is not as deployed is never folded away."""
    form.locator("summary", has_text="Job variables").click()
    form.locator("[value='add:v.env']").click()
    name = form.locator("[name='v.env.0~key']")
    expect(name).to_be_focused()
    name.fill("LEVEL")
    form.fill("[name='v.env.0']", "debug")
    form.reload()
    expect(form.locator("[name='v.env.0']")).to_have_value("debug")
    expect(name).to_be_visible()
    assert run_now(form, acme).job_variables == {"env": {"LEVEL": "debug"}}


def test_items_are_added_moved_and_removed(form: Any, acme: Company) -> None:
    form.locator("[value='add:p.sources']").click()
    name = form.locator("[name='p.sources.1.name']")
    expect(name).to_be_focused()
    name.fill("weather")
    form.fill("[name='p.sources.1.url']", "https://archive.weather/v2")
    form.locator("[value='add:p.sources']").click()
    form.locator("[name='p.sources.2.name']").fill("gone")
    expect(form.locator("[name='p.sources.1.name']")).to_have_value("weather")
    form.locator("[value='remove:p.sources.2']").click()
    form.locator("[value='up:p.sources.1']").click()

    sources = run_now(form, acme).parameters["sources"]
    assert [source["name"] for source in sources] == ["weather", "bts"]


def test_a_union_shows_one_branch_and_keeps_what_was_typed_into_the_others(form: Any, acme: Company) -> None:
    form.fill("[name='p.output~b1.rows']", "7")
    form.locator(".card", has_text="DuckDB").click()
    expect(form.locator("[name='p.output~b1.rows']")).to_be_hidden()
    form.fill("[name='p.output~b2.path']", "x.duckdb")
    form.locator(".card", has_text="Parquet").click()
    expect(form.locator("[name='p.output~b1.rows']")).to_have_value("7")
    form.locator(".card", has_text="DuckDB").click()

    assert run_now(form, acme).parameters["output"] == {"kind": "duckdb", "path": "x.duckdb"}


def test_what_is_not_set_is_set(form: Any, acme: Company) -> None:
    window = form.locator("#field-p.window".replace(".", "\\."))
    window.locator(".card", has_text="Set").last.click()
    form.fill("[name='p.window~b1.start']", "2026-01-02")
    form.fill("[name='p.at']", "2026-07-01T12:00")

    parameters = run_now(form, acme).parameters
    assert parameters["window"] == {"start": "2026-01-02", "end": None}
    assert parameters["at"] == "2026-07-01T12:00:00Z"


def test_a_field_and_the_whole_form_are_edited_as_json(form: Any, acme: Company) -> None:
    form.locator("[value='json:p.sources']").click()
    text = form.locator("textarea[name='p.sources']")
    expect(text).to_be_focused()
    text.fill('[{"name": "a", "url": "https://a"}, {"name": "b", "url": "https://b"}]')
    form.get_by_role("button", name="Edit Sources as fields").click()
    expect(form.locator("[name='p.sources.1.name']")).to_have_value("b")
    form.get_by_role("button", name="Edit all as JSON").click()
    whole = form.locator("textarea[name='p']")
    whole.fill(whole.input_value().replace("All carriers", "Typed"))
    form.get_by_role("button", name="as fields").click()
    expect(form.locator("[name='p.title']")).to_have_value("Typed")

    assert run_now(form, acme).parameters["sources"][1] == {"name": "b", "format": "csv.gz", "url": "https://b"}


def test_errors_stand_on_top_and_beside_their_fields(form: Any, portal: Portal, acme: Company) -> None:
    year = form.locator("[name='p.year']")
    year.fill("1900")
    form.locator("[name='p.title']").focus()
    expect(form.locator("#field-p\\.year-error")).to_have_text("Enter 1987 or more.")
    year.fill("2013")
    expect(form.locator("#field-p\\.year-error")).to_have_count(0)

    form.fill("[name='p.sources.0.url']", "data.example.org")
    form.locator("details.item summary").first.click()
    form.get_by_role("button", name="Run now").click()
    summary = form.locator("[data-error-summary]")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Sources, 1, Url")
    summary.get_by_role("link", name="Sources, 1, Url").click()
    expect(form.locator("[name='p.sources.0.url']")).to_be_focused()
    expect(form.locator("[name='p.title']")).to_have_value("All carriers")
    assert check(form) == []
    portal.complaints.clear()  # The browser names every answer of 400 on its console.
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_a_draft_survives_a_reload(form: Any, acme: Company) -> None:
    form.locator("[value='add:p.sources']").click()
    form.locator("[name='p.sources.1.name']").fill("weather")
    form.fill("[name='p.sources.1.url']", "https://archive.weather/v2")
    form.locator(".card", has_text="DuckDB").click()
    form.reload()

    expect(form.locator("[name='p.sources.1.name']")).to_have_value("weather")
    expect(form.locator("[name='p.title']")).to_have_value("All carriers")
    parameters = run_now(form, acme).parameters
    assert (len(parameters["sources"]), parameters["output"]["kind"]) == (2, "duckdb")


def test_options_of_the_run(form: Any, acme: Company) -> None:
    form.locator("summary", has_text="Run options").click()
    form.fill("#name", "by hand")
    form.fill("#tags", "a, b")
    form.fill("#scheduled_at", "2030-01-01T12:00")
    form.fill("#priority", "5")
    form.locator("summary", has_text="Once, and debounced").click()
    form.fill("#idempotency_key", "once")
    form.evaluate("scrollTo(0, 0)")  # What is half out of sight is too small a target.
    assert check(form) == []
    form.get_by_role("button", name="Schedule the run").click()
    expect(form.locator("#run-head .chip")).to_contain_text("Scheduled")
    with acme.scope():
        run = FlowRun.objects.get()
    assert (run.name, run.tags, run.priority, run.idempotency_key) == ("by hand", ["a", "b"], 5, "once")
    assert run.scheduled_at.isoformat() == "2030-01-01T12:00:00+00:00"


def test_a_long_list_of_choices_is_searched(form: Any, acme: Company) -> None:
    box = form.get_by_label("Search the choices of Airport")
    box.fill("a99")
    expect(form.locator("[name='p.airport'] option")).to_have_count(11)
    box.press("Enter")
    assert run_now(form, acme).parameters["airport"] == "A990"


def test_run_again_with_changes_says_what_no_longer_fits(portal: Portal, deployment: Any, acme: Company) -> None:
    from runs.deployments import DeploymentRequest, deploy
    from runs.trigger import RunRequest, create_run

    with acme.scope():
        run, _ = create_run(RunRequest(deployment, {"title": "Old", "year": 1990}, tags=["weekly"]), by=acme.actor())
        schema = parameter_schema(flights)
        del schema["properties"]["limits"]
        schema["properties"]["year"]["minimum"] = 2000
        source = {"type": "path", "path": "/srv/flows"}
        wanted = DeploymentRequest("flights", "production", "flights.py:flights", source, parameter_schema=schema)
        deploy(wanted, by=acme.actor())
        given = {"limits": {"a": 2}, **run.parameters}
        FlowRun.objects.filter(id=run.id).update(parameters=given)
    page = portal.open(f"runs/{run.id}")
    page.get_by_role("link", name="Run with changes").click()
    told = page.locator("#no-longer-fits")
    expect(told).to_contain_text("limits: the flow has no such parameter now")
    expect(told).to_contain_text("Year: 1990 is less than the minimum of 2000")
    expect(page.locator("[name='p.title']")).to_have_value("Old")
    expect(page.locator("#tags")).to_have_value("weekly")
    page.fill("[name='p.year']", "2001")
    page.get_by_role("button", name="Run now").click()
    expect(page.locator("#run-head .chip")).to_contain_text("Scheduled")
    with acme.scope():
        new = FlowRun.objects.exclude(id=run.id).get()
    assert (new.parameters["year"], new.parameters["title"], new.origin) == (2001, "Old", "form")


def test_without_script(plain: Any, acme: Company) -> None:
    plain.locator("[value='add:p.sources']").click()
    plain.fill("[name='p.sources.1.name']", "weather")
    plain.fill("[name='p.sources.1.url']", "https://archive.weather/v2")
    plain.locator(".card", has_text="DuckDB").click()
    plain.fill("[name='p.output~b2.path']", "x.duckdb")
    plain.locator("[value='json:p.limits']").click()
    plain.fill("textarea[name='p.limits']", '{"b": "two"}')
    plain.get_by_role("button", name="Run now").click()
    expect(plain.locator("[data-error-summary]")).to_contain_text("Limits: b: 'two' is not of type 'integer'")
    plain.fill("textarea[name='p.limits']", '{"b": 2}')

    parameters = run_now(plain, acme).parameters
    assert [source["name"] for source in parameters["sources"]] == ["bts", "weather"]
    assert (parameters["output"], parameters["limits"]) == ({"kind": "duckdb", "path": "x.duckdb"}, {"b": 2})


def test_enter_sends_the_form(form: Any, acme: Company) -> None:
    form.locator("[name='p.sources.0.name']").press("Enter")
    expect(form.locator("#run-head .chip")).to_contain_text("Scheduled")
    with acme.scope():
        assert FlowRun.objects.count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_for_axe(portal: Portal, deployment: Any, width: int) -> None:
    portal.page.set_viewport_size({"width": width, "height": 900})
    portal.page.emulate_media(reduced_motion="reduce")
    page = portal.open(f"deployments/{deployment.id}/run")
    page.locator("#field-p\\.window .card", has_text="Set").last.click()
    page.locator("[value='add:p.sources']").click()
    expect(page.locator("[name='p.sources.1.name']")).to_be_focused()
    page.locator("summary", has_text="Run options").click()
    assert in_themes(page) == []
