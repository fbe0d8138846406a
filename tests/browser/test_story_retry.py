"""2.10: somebody finds a run that has failed, looks what a retry would reuse, edits a parameter, and retries it."""

from __future__ import annotations

from playwright.sync_api import expect

from runs.models import FlowRun
from tests.browser.conftest import Portal
from tests.browser.looking import visit
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.contract.test_retries import ref
from tests.runs.test_retry_page import SCHEMA, failed_run
from tests.runs.work import deploy


def test_a_failed_run_is_retried_from_its_plan(portal: Portal, acme: Company, api: Api) -> None:
    """2.10: and the pages of the plan are fit for everybody."""
    failed = failed_run(acme, deploy(acme, parameter_schema=SCHEMA))
    local = Journal(api)
    local.send(local.begin(), local.task(result=ref("x")), local.state("FAILED", run_count=1))
    page = portal.open(f"runs/{failed.root}")
    page.get_by_role("link", name="Retry from failure").click()
    expect(page.get_by_role("heading", name="What will happen")).to_be_visible()
    expect(page.get_by_text("its value is stored")).to_be_visible()
    page.get_by_role("checkbox", name="Run flows.load again").check()
    page.get_by_role("button", name="Update the plan").click()
    expect(page.get_by_text("1 asked for")).to_be_visible()
    page.get_by_role("link", name="Never begun").click()
    expect(page.get_by_text("No such call")).to_be_visible()
    page.get_by_role("textbox", name="Day").fill("friday")
    page.get_by_role("button", name="Retry from failure").click()
    expect(page.get_by_role("heading", name="Retries")).to_be_visible()
    with acme.scope():
        new = FlowRun.objects.get(retry_of=failed.root)
    assert (new.parameters["day"], sorted(new.again)) == ("friday", ["flows.load", "flows.report"])
    assert visit(portal, [f"runs/{failed.root}/retry", f"runs/{local.root}/retry"]) == []
