"""`make screenshots`: the pictures of the README, from the data of a running `make demo`. Needs Chromium."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from orchestrator.server import environment
from orchestrator.server.embedded import data_directory

IMAGES = Path(__file__).parent / "images"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1440, "height": 900}
EMAIL = "demo@example.com"


def main() -> int:
    """Log in, open the newest run of the demo's flow, take its picture."""
    data_dir = environment.data_dir()
    url = data_directory.read_stack(data_dir).get("PUBLIC_URL")
    password = data_dir / "demo.password"
    if not url or not password.exists():
        print("Start `make demo` first, and leave it running.")
        return 1
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        log_in(page, url, password.read_text(encoding="utf-8"))
        page.goto(f"{url}/o/demo/flights/runs?flow=flight_delays")
        page.locator("[data-live-rows] a").first.click()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=IMAGES / "run.png")
        browser.close()
    return 0


def log_in(page: Page, url: str, password: str) -> None:
    """As a person does."""
    page.goto(f"{url}/login/")
    page.fill("input[name=login]", EMAIL)
    page.fill("input[name=password]", password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/o/**")


if __name__ == "__main__":
    sys.exit(main())
