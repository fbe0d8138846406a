"""The free plan is used up: what is new is refused at every door, a larger plan goes on, the month becomes paper."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from runs import admission
from runs.usage import closing
from runs.usage.rollup import roll_up
from tenants.billing import statements
from tenants.billing.months import Month
from tests.browser.conftest import Portal
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.pdf import text_of
from tests.runs.work import deploy

FREE = 3
PATIENCE = 30.0  # seconds; a limit is looked up every five


@pytest.fixture(autouse=True)
def _billing(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """An installation that bills, with a small free plan; the web server is started after this."""
    monkeypatch.setenv("BILLING", "on")
    monkeypatch.setenv("FREE_TASK_RUNS", str(FREE))
    settings.BILLING, settings.FREE_TASK_RUNS = True, FREE


def cli(portal: Portal, key: str) -> subprocess.CompletedProcess:
    """What a person sees who triggers a run by hand."""
    root = portal.root.partition("/o/")[0]
    known = {**os.environ, "ORCHESTRATOR_API_URL": f"{root}/api/v1", "ORCHESTRATOR_API_KEY": key}
    command = [sys.executable, "-m", "orchestrator.cli", "deployment", "run", "etl/nightly"]
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=60, check=False)


def test_from_the_last_free_run_to_the_invoice(
    portal: Portal, acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, key = portal.page, acme.key("cli")
    deployment = deploy(acme)
    billing = portal.root.removesuffix(f"{acme.workspace.slug}/") + "billing"

    # The plan is used up.
    journal = Journal(api)
    journal.send(journal.begin(), *(journal.task() for _ in range(FREE)), journal.state("COMPLETED"))
    roll_up()
    portal.page.goto(billing)
    expect(page.get_by_text(f"{FREE} of {FREE} task runs")).to_be_visible()

    # Every door says so, and how to go on.
    admission.forget()
    refused = api.post("/flow-runs", {"deployment": "etl/nightly"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "limit_reached")
    told = cli(portal, key)
    assert told.returncode != 0
    assert "are used up" in told.stderr + told.stdout
    portal.open(f"deployments/{deployment.id}/run")
    page.locator("main form button.btn-primary").last.click()
    expect(page.get_by_text("are used up")).to_be_visible()
    portal.complaints.clear()  # The browser's own note of the status 402.

    # From the refusal to the larger plan.
    page.get_by_role("link", name="Change plan or limit").click()
    page.get_by_role("button", name="Upgrade to Pro").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Upgrade to Pro").click()
    expect(page.get_by_text("The plan is Pro now.")).to_be_visible()

    # Within seconds runs start again.
    until = time.monotonic() + PATIENCE
    while (done := cli(portal, key)).returncode and time.monotonic() < until:
        assert "are used up" in done.stderr + done.stdout
    assert done.returncode == 0, done.stderr

    # The month is over, and on paper.
    month = Month.of(datetime.now(UTC))
    for module in (closing, statements):
        monkeypatch.setattr(module, "now", lambda: month.end + timedelta(hours=1))
    roll_up()
    [invoice] = closing.close_all(month)
    page.goto(billing)
    expect(page.get_by_text(invoice.label)).to_be_visible()
    address = page.get_by_role("link", name=f"PDF of {invoice.label}").get_attribute("href")
    paper = page.request.get(billing.partition("/o/")[0] + str(address))
    assert paper.headers["content-type"] == "application/pdf"
    text = text_of(paper.body())
    assert invoice.label in text
    assert f"{invoice.total:,.2f} USD" in text
    assert month.label in text
