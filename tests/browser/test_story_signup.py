"""As a new person would: sign up, log in from a terminal, start an agent, see the first run live; then invite Bob."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import TIMEOUT
from tests.browser.looking import check
from tests.cast import PASSWORD

COMMAND_SECONDS = 60


@pytest.fixture
def newcomer(served: str, chromium: Browser) -> Iterator[Callable[[], Page]]:
    """Opens browsers of people whom nobody knows; what their pages complain of on the console fails the test."""
    contexts, complaints = [], []

    def open_browser() -> Page:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, base_url=served)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield open_browser
    for context in contexts:
        context.close()
    assert complaints == []


class Terminal:
    """A shell of that person, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        known = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        known.pop("DJANGO_SETTINGS_MODULE", None)
        self.environment = known | {"ORCHESTRATOR_HOME": str(home / "state"), "HOME": str(home)}

    def paste(self, text: str) -> str:
        done = subprocess.run(
            ["bash", "-ec", text], cwd=self.home, env=self.environment, text=True, timeout=COMMAND_SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    @contextmanager
    def left_running(self, text: str) -> Iterator[None]:
        with (self.home / "agent.log").open("wb") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text}"], cwd=self.home, env=self.environment, stdout=log, stderr=log
            )
            try:
                yield
            finally:
                process.terminate()
                process.wait(COMMAND_SECONDS)


def sign_up(page: Page, email: str, organization: str) -> None:
    page.goto("/login/")
    page.get_by_role("link", name="Create an account").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Organization").fill(organization)
    page.get_by_role("button", name="Create the account").click()


def code(page: Page, step: str, number: int = 0) -> str:
    return page.locator(f"#step-{step} pre").nth(number).text_content() or ""


def test_a_new_person_sees_their_first_run_live(newcomer: Callable[[], Page], tmp_path: Path) -> None:
    page, terminal = newcomer(), Terminal(tmp_path)
    sign_up(page, "nora@north.example", "North")
    page.wait_for_url("**/o/north/main/welcome")
    assert check(page) == []
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator("#connect")).to_contain_text("shown this once")
    expect(page.locator("[data-live-indicator]")).to_contain_text("Live")
    page.evaluate("window.sameDocument = true")

    assert "Logged in to north/main" in terminal.paste(code(page, "connect"))
    expect(page.locator("#step-connect.done")).to_contain_text("last used")
    assert "orc_" in code(page, "connect")  # What was shown once stays while the page lives.
    with terminal.left_running(code(page, "agent")):
        expect(page.locator("#step-agent.done")).to_contain_text("heard of")
        assert page.evaluate("window.sameDocument")
        assert check(page) == []
        terminal.paste(code(page, "run", 0))
        terminal.paste(code(page, "run", 1).replace(" --watch", ""))
        page.wait_for_url("**/o/north/main/runs/*")
        expect(page.locator("#run-head .chip")).to_contain_text("Completed")
        expect(page.locator("[data-log-lines]")).to_contain_text("2013: 338,886 flights")
    page.goto("/o/north/main/welcome")
    expect(page.locator(".path > .done")).to_have_count(5)


def test_bob_is_invited_runs_a_form_and_changes_no_block(newcomer: Callable[[], Page], tmp_path: Path) -> None:
    nora, bob = newcomer(), newcomer()
    sign_up(nora, "nora@north.example", "North")
    nora.wait_for_url("**/welcome")
    nora.get_by_role("link", name="Invite people").first.click()
    nora.get_by_label("E-mail").fill("bob@north.example")
    nora.get_by_role("combobox", name="Main").select_option("runner")
    nora.get_by_role("button", name="Make the invitation").click()
    link = nora.locator(".code pre").text_content()

    bob.goto(link)
    assert check(bob) == []
    bob.get_by_role("link", name="Make your account").click()
    expect(bob.get_by_role("heading", name="Join North")).to_be_visible()
    password = bob.get_by_label("Password", exact=True)
    password.fill(PASSWORD)
    bob.get_by_role("button", name="Show the password").click()
    expect(password).to_have_attribute("type", "text")
    bob.get_by_role("button", name="Create the account").click()
    bob.wait_for_url("**/o/north/main/")
    bob.goto("/o/north/main/welcome")
    expect(bob.locator("#step-connect")).to_contain_text("Your role (runner) deploys nothing")
    expect(bob.get_by_role("link", name="Invite people")).to_have_count(0)

    deployed_by_nora(tmp_path, nora)
    bob.goto("/o/north/main/deployments")
    bob.get_by_role("link", name="Run flights / first").click()
    bob.locator("[name='p.year']").fill("2014")
    bob.get_by_role("button", name="Run now").click()
    bob.wait_for_url("**/o/north/main/runs/*")
    expect(bob.locator("main")).to_contain_text("2014")
    bob.goto("/o/north/main/blocks/secret/token")
    expect(bob.get_by_role("heading", name="token")).to_be_visible()
    expect(bob.get_by_role("button", name="Save block")).to_have_count(0)
    assert bob.request.get("/o/north/main/blocks/new").status == 403

    nora.goto("/o/north/people")
    row = nora.get_by_role("row").filter(has_text="bob@north.example")
    expect(row).to_contain_text("Main: runner")
    row.get_by_role("link", name="Change the roles").click()
    nora.get_by_role("button", name="Remove").click()
    nora.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(nora.get_by_role("status")).to_contain_text("no longer belongs to North")
    assert bob_is_out(bob)


def deployed_by_nora(home: Path, nora: Page) -> None:
    """A deployment from her terminal, and a secret from her browser."""
    nora.goto("/o/north/main/welcome")
    nora.get_by_role("button", name="Make a key").click()
    expect(nora.locator("#connect")).to_contain_text("shown this once")
    terminal = Terminal(home)
    terminal.paste(code(nora, "connect"))
    terminal.paste(code(nora, "run", 0))
    terminal.paste(code(nora, "run", 1).splitlines()[0])
    nora.goto("/o/north/main/blocks/new?type=secret")
    nora.locator("#name").fill("token")
    nora.locator("[name='p.value']").fill("hush-hush-hush")
    nora.get_by_role("button", name="Make block").click()
    expect(nora.get_by_role("heading", name="token")).to_be_visible()


def bob_is_out(bob: Page) -> bool:
    answer: Any = bob.request.get("/o/north/main/")
    return answer.status == 404
