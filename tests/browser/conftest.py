"""A headless Chromium before a real web server on this worker's database."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cast import Api, Company

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
TIMEOUT = 60_000  # ms
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a Chromium these tests are skipped, and said so; CI must have one."""
    for item in items:
        if "tests/browser" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Ends with its module: Playwright's synchronous API keeps a loop in this thread, in which no other test could
    run one of its own, and which Django takes for asynchronous code. As long as it runs, Django has other connections
    than without it; those of before are closed, or the truncation would end them from the other side.
    """
    from django.db import connections
    from playwright.sync_api import expect, sync_playwright

    connections.close_all()
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=TIMEOUT)  # Five seconds by itself: less than a machine with much to do may take.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
        connections.close_all()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@dataclass
class Portal:
    """A signed-in browser tab in one company's workspace."""

    page: Any
    root: str
    complaints: list[str]
    asked: set[Any] = field(default_factory=set)
    """Requests of the page that have no answer yet."""

    def __post_init__(self) -> None:
        self.page.on("framenavigated", lambda frame: None if frame.parent_frame else self.asked.clear())
        self.page.on("request", lambda request: self.asked.add(request))
        self.page.on("requestfinished", lambda request: self.asked.discard(request))
        self.page.on("requestfailed", lambda request: self.asked.discard(request))

    def open(self, path: str) -> Any:
        self.page.goto(self.root + path)
        return self.page

    def settle(self) -> None:
        """Wait until the page has all that it asks for. Its modules have run, and asked, before two more frames."""
        self.page.wait_for_load_state()
        self.page.evaluate(TWO_FRAMES)
        until = time.monotonic() + TIMEOUT / 1000
        while self.asked:
            assert time.monotonic() < until, f"No answer: {[request.url for request in self.asked]}"
            self.page.evaluate(TWO_FRAMES)


@pytest.fixture
def portal(served: str, acme: Company, browse: Any, chromium: Any) -> Iterator[Portal]:
    """Alice's browser. What the page complains of on its console fails the test."""
    session = browse(acme.owner).cookies["orchestrator_session"].value
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "orchestrator_session", "value": session, "url": served}])
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield Portal(page, served + acme.path, complaints)
    context.close()
    assert complaints == []


@pytest.fixture
def served_api(served: str, acme: Company) -> Api:
    """A developer's key; its requests are handled in this process, what they change is seen by the web server."""
    return Api(acme.key("developer"))
