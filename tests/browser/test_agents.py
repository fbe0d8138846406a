"""2.5: The page of an agent follows it; entries in quarantine are chosen and let go."""

from __future__ import annotations

from playwright.sync_api import expect

from orchestrator.agent_messages import AgentLine, Load
from runs.agents import note
from tests.browser.conftest import Portal
from tests.cast import Api, Company
from tests.runs.test_quarantine_page import entries, kept
from tests.runs.work import agent, claim, deploy, start, trigger


def test_an_agents_page_follows_it(portal: Portal, acme: Company) -> None:
    by = agent(acme, "box")
    page = portal.open("pools")
    page.get_by_role("link", name="box", exact=True).click()
    expect(page.locator("[data-live-indicator]")).to_contain_text("Live")
    expect(page.locator("[aria-label='Runs now']")).to_contain_text("waits for work")
    page.evaluate("window.sameDocument = true")
    with acme.scope():
        note(by, load=Load(cpu=0.5, memory=100 << 20), lines=[AgentLine(1, "the server was away", 30)])

    expect(page.locator("[aria-label='Load']")).to_contain_text("50%")
    expect(page.locator("[data-log-lines]")).to_contain_text("the server was away")
    trigger(acme, deploy(acme))
    start(claim(acme, by)[0])
    expect(page.locator("#held-rows")).to_contain_text("Running")
    assert page.evaluate("window.sameDocument")


def test_chosen_entries_are_deleted_after_a_question(portal: Portal, acme: Company, served_api: Api) -> None:
    kept(served_api, number=3)
    page = portal.open("quarantine")
    delete = page.locator("#chosen").get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    boxes = page.get_by_role("checkbox", name="Choose entry")
    boxes.nth(0).check()
    boxes.nth(2).click(modifiers=["Shift"])
    expect(page.locator("[data-chosen-word]")).to_have_text("3 chosen")
    boxes.nth(1).uncheck()
    delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()

    expect(page.locator(".toasts")).to_contain_text("2 entries were deleted")
    expect(page.locator("#chosen tbody tr")).to_have_count(1)
    assert len(entries(acme)) == 1


def test_entries_are_tried_again(portal: Portal, acme: Company, served_api: Api) -> None:
    kept(served_api)
    page = portal.open("quarantine")
    page.get_by_label("Choose all").check()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".toasts")).to_contain_text("1 entry was not taken")
