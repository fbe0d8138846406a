"""The free plan is used up: what is new is refused at every door, a larger plan goes on, the month becomes paper."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from playwright.sync_api import expect

from runs import admission
from runs.deployments import DeploymentRequest, deploy
from runs.models import FlowRun
from runs.usage.rollup import roll_up
from tenants.billing.models import Invoice, Subscription, UsageDay
from tenants.billing.months import Month
from tests.browser.conftest import Portal
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.pdf import text_of

FREE = 3
FLOW = """
from orchestrator import flow, task

@task
def load(number):
    return number

@flow
def etl():
    return [load(number) for number in range(2)]
"""
PATIENCE = 30.0  # seconds; a limit is looked up every five


@pytest.fixture(autouse=True)
def _billing(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """An installation that bills, with a small free plan; the web server is started after this."""
    monkeypatch.setenv("BILLING", "on")
    monkeypatch.setenv("FREE_TASK_RUNS", str(FREE))
    settings.BILLING, settings.FREE_TASK_RUNS = True, FREE


def deployed(company: Company, folder: Path) -> Any:
    """A deployment that does two tasks."""
    (folder / "flows.py").write_text(FLOW)
    source = {"type": "path", "path": str(folder)}
    wanted = DeploymentRequest(flow="etl", name="nightly", entrypoint="flows.py:etl", source=source)
    with company.scope():
        return deploy(wanted, by=company.actor())[0]


def terminal(portal: Portal, key: str, *words: str) -> dict[str, Any]:
    """What a person types, with a key."""
    root = portal.root.partition("/o/")[0]
    known = {**os.environ, "ORCHESTRATOR_API_URL": f"{root}/api/v1", "ORCHESTRATOR_API_KEY": key}
    return {"args": [sys.executable, "-m", "orchestrator.cli", *words], "env": known}


def cli(portal: Portal, key: str) -> subprocess.CompletedProcess:
    """What a person sees who triggers a run by hand."""
    typed = terminal(portal, key, "deployment", "run", "etl/nightly")
    return subprocess.run(**typed, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def agent(portal: Portal, key: str, folder: Path) -> Iterator[None]:
    """An agent at work, until the end of the block."""
    typed = terminal(portal, key, "agent", "start")
    typed["env"]["ORCHESTRATOR_HOME"] = str(folder / "state")
    with (folder / "agent.log").open("wb") as log:
        running = subprocess.Popen(**typed, stdout=log, stderr=log, cwd=folder)
        try:
            yield
        finally:
            running.terminate()
            running.wait(30)


def it_is_later(company: Company) -> Month:
    """What was used and agreed is of the month before the last one now."""
    month = Month.of(datetime.now(UTC)).former.former
    with company.scope():
        UsageDay.objects.update(day=month.first)
        Subscription.objects.update(begins_at=month.start)
    return month


def use_up(api: Api) -> Journal:
    """Record as many task runs as are free; the run goes on."""
    journal = Journal(api)
    journal.send(journal.begin(), *(journal.task() for _ in range(FREE)))
    roll_up()
    admission.forget()
    return journal


def every_door_says_so(portal: Portal, api: Api, key: str, deployment: Any) -> None:
    """And how to go on: the API, the command line, and the form, which stays open."""
    refused = api.post("/flow-runs", {"deployment": "etl/nightly"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (402, "limit_reached")
    told = cli(portal, key)
    assert told.returncode != 0
    assert "are used up" in told.stderr + told.stdout
    page = portal.open(f"deployments/{deployment.id}/run")
    page.locator("main form button.btn-primary").last.click()
    expect(page.get_by_text("are used up")).to_be_visible()
    portal.complaints.clear()  # The browser's own note of the status 402.


def upgrade(page: Any) -> None:
    """From the refusal to the larger plan."""
    page.get_by_role("link", name="Change plan or limit").click()
    page.get_by_role("button", name="Upgrade to Pro").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Upgrade to Pro").click()
    expect(page.get_by_text("The plan is Pro now.")).to_be_visible()


def runs_start_again(portal: Portal, key: str) -> None:
    """Within seconds."""
    until = time.monotonic() + PATIENCE
    while (done := cli(portal, key)).returncode and time.monotonic() < until:
        assert "are used up" in done.stderr + done.stdout
    assert done.returncode == 0, done.stderr


def close(company: Company) -> tuple[Month, Invoice]:
    """The month is over, and on paper."""
    roll_up()
    month, said = it_is_later(company), StringIO()
    call_command("close_month", str(month), stdout=said)
    with company.scope():
        invoice = Invoice.objects.get()
    assert said.getvalue() == f"{invoice.label}  {month}  {invoice.total} USD\n"
    return month, invoice


def on_paper(portal: Portal, billing: str, invoice: Invoice) -> str:
    """The text of the PDF that the page offers."""
    page = portal.page
    page.goto(billing)
    expect(page.get_by_text(invoice.label)).to_be_visible()
    address = page.get_by_role("link", name=f"PDF of {invoice.label}").get_attribute("href")
    # The first paper of an installation waits for its fonts to be made.
    paper = page.request.get(billing.partition("/o/")[0] + str(address), timeout=4 * PATIENCE * 1_000)
    assert paper.headers["content-type"] == "application/pdf"
    return text_of(paper.body())


def test_from_the_last_free_run_to_the_invoice(portal: Portal, acme: Company, api: Api, tmp_path: Path) -> None:
    page, key, deployment = portal.page, acme.key("cli"), deployed(acme, tmp_path)
    billing = portal.root.removesuffix(f"{acme.workspace.slug}/") + "billing"

    journal = use_up(api)
    page.goto(billing)
    expect(page.get_by_text(f"{FREE} of {FREE} task runs")).to_be_visible()
    every_door_says_so(portal, api, key, deployment)
    assert journal.send(journal.task(), journal.state("COMPLETED"))["rejected"] == []  # What is under way goes on.
    upgrade(page)
    runs_start_again(portal, key)

    with acme.scope():
        run = FlowRun.objects.get(deployment=deployment)
    with agent(portal, acme.key("agent", "agent"), tmp_path):
        portal.open(f"runs/{run.id}")
        expect(page.get_by_text("Completed").first).to_be_visible(timeout=PATIENCE * 1_000)
    with acme.scope():
        assert FlowRun.objects.get(id=run.id).state_type == "COMPLETED"

    month, invoice = close(acme)
    text = on_paper(portal, billing, invoice)
    assert invoice.label in text
    assert f"{invoice.total:,.2f} USD" in text
    assert month.label in text
