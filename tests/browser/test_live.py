"""Pages follow what happens without being loaded again."""

from __future__ import annotations

from playwright.sync_api import expect

from orchestrator.ids import uuid7
from tests.browser.conftest import Portal
from tests.cast import Api
from tests.contract.journals import Journal
from tests.workers import until


def test_a_running_flows_page_updates_without_reload(portal: Portal, served_api: Api) -> None:
    journal = Journal(served_api)
    running = journal.begin(), journal.task("RUNNING", id=(task := uuid7()), ended=None, duration=None)
    journal.send(*running)
    page = portal.open(f"runs/{journal.root}")
    expect(page.locator("#run-head .chip")).to_contain_text("Running")
    expect(page.locator("[data-live-indicator]")).to_contain_text("Live")
    page.evaluate("window.sameDocument = true")

    journal.send(journal.task("COMPLETED", id=task), journal.log("nearly there"))
    expect(page.locator("#run-story")).to_contain_text("1 of 1")
    expect(page.locator("[data-log-lines]")).to_contain_text("nearly there")
    journal.send(journal.state("COMPLETED", run_count=1))
    expect(page.locator("#run-head .chip")).to_contain_text("Completed")
    assert page.evaluate("window.sameDocument")


def test_a_page_opened_in_the_middle_shows_the_log_from_its_first_line(portal: Portal, served_api: Api) -> None:
    journal = Journal(served_api)
    journal.send(journal.begin(), *(journal.log(f"line {number}") for number in range(1, 301)))
    page = portal.open(f"runs/{journal.root}?tab=log")

    lines = page.locator("[data-log-lines] li")
    expect(lines).to_have_count(300)
    expect(lines.first).to_contain_text("line 1")
    journal.send(journal.log("line 301"))
    expect(lines).to_have_count(301)
    expect(lines.last).to_contain_text("line 301")


def test_a_long_log_is_read_back_to_its_first_line(portal: Portal, served_api: Api) -> None:
    journal = Journal(served_api)
    journal.send(journal.begin(), *(journal.log(f"line {number}.") for number in range(1, 1_601)))
    page = portal.open(f"runs/{journal.root}?tab=log")
    expect(page.locator("#L1600")).to_be_visible()

    lines, first = page.locator("[data-log-lines]"), page.locator("#L1")
    until("the first line", lambda: lines.evaluate("list => { list.scrollTop = 0 }") or first.count())
    expect(first).to_contain_text("line 1.")


def test_a_permalink_opens_at_its_line(portal: Portal, served_api: Api) -> None:
    journal = Journal(served_api)
    journal.send(journal.begin(), *(journal.log(f"line {number}.") for number in range(1, 1_601)))
    page = portal.open(f"runs/{journal.root}?tab=log#L700")

    expect(page.locator("#L700")).to_be_in_viewport()
    expect(page.locator("#L700")).to_contain_text("line 700.")


def test_a_new_run_enters_the_list(portal: Portal, served_api: Api) -> None:
    page = portal.open("runs")
    expect(page.locator("main")).to_contain_text("No runs yet")
    page.evaluate("window.sameDocument = true")
    journal = Journal(served_api)
    journal.send(journal.begin())

    expect(page.locator("main")).to_contain_text("brave-otter")
    assert page.evaluate("window.sameDocument")


def test_without_a_socket_the_page_polls(portal: Portal, served_api: Api) -> None:
    portal.page.route_web_socket("**/ws/live/", lambda socket: socket.close())
    journal = Journal(served_api)
    journal.send(journal.begin())
    page = portal.open(f"runs/{journal.root}")
    expect(page.locator("[data-live-indicator]")).to_contain_text("Polling")
    journal.send(journal.state("COMPLETED", run_count=1))
    expect(page.locator("#run-head .chip")).to_contain_text("Completed")  # It polls every 5 s.
