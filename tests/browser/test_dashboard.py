"""The dashboard follows what happens, and never moves what is pointed at."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Portal
from tests.cast import Api
from tests.contract.journals import Journal


def failed_run(api: Api, flow: str) -> None:
    journal = Journal(api)
    journal.send(journal.begin(flow), journal.state("FAILED", run_count=1, message="no such month"))


def test_the_first_run_replaces_the_empty_page(portal: Portal, served_api: Api) -> None:
    page = portal.open("")
    expect(page.locator("main")).to_contain_text("Nothing ran yet. Make a first run.")
    expect(page.locator("[data-live-indicator]")).to_contain_text("Live")
    page.evaluate("window.sameDocument = true")
    journal = Journal(served_api)
    journal.send(journal.begin())

    expect(page.locator("#running-rows")).to_contain_text("brave-otter")
    expect(page.locator(".tiles")).to_contain_text("Running")
    expect(page.locator("#chart-states svg rect.fill-run")).to_have_count(1)
    journal.send(journal.state("FAILED", run_count=1, error={"type": "ValueError", "message": "no", "traceback": ""}))
    expect(page.locator("#attention-rows")).to_contain_text("ValueError: no")
    expect(page.locator("[aria-label='Running now']")).to_contain_text("Nothing runs.")
    assert page.evaluate("window.sameDocument")


def test_rows_wait_while_a_list_is_pointed_at(portal: Portal, served_api: Api) -> None:
    failed_run(served_api, "etl")
    page = portal.open("")
    expect(page.locator("[data-live-indicator]")).to_contain_text("Live")
    page.locator("#attention-rows li").first.hover()
    failed_run(served_api, "load")

    pill = page.locator("[data-new-rows] button")
    expect(pill).to_contain_text("1 new line")
    expect(page.locator("#attention-rows li")).to_have_count(1)
    pill.click()
    expect(page.locator("#attention-rows li")).to_have_count(2)


def test_the_range_is_in_the_address(portal: Portal, served_api: Api) -> None:
    failed_run(served_api, "etl")
    page = portal.open("")
    page.get_by_role("link", name="7 d", exact=True).click()
    page.wait_for_url("**?range=7d")
    expect(page.get_by_role("link", name="7 d", exact=True)).to_have_attribute("aria-current", "true")
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/runs")
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()


def test_without_a_socket_the_dashboard_polls(portal: Portal, served_api: Api) -> None:
    portal.page.route_web_socket("**/ws/live/", lambda socket: socket.close())
    failed_run(served_api, "etl")
    page = portal.open("")
    expect(page.locator("[data-live-indicator]")).to_contain_text("Polling")
    failed_run(served_api, "load")
    expect(page.locator("#attention-rows li")).to_have_count(2)  # It polls every 5 s.
