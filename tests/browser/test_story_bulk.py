"""2.10, 3.2: somebody chooses runs in the list, looks what would be hit, begins, undoes it; then takes all of them."""

from __future__ import annotations

from playwright.sync_api import expect

from runs.bulk import working
from runs.models import BulkOperation, FlowRun
from tests.browser.conftest import Portal
from tests.browser.looking import TURNS, seen, visit
from tests.cast import Company
from tests.runs.work import deploy, trigger


def test_many_runs_are_cancelled(portal: Portal, acme: Company) -> None:
    """2.10: and the pages are fit for everybody."""
    trigger(acme, deploy(acme), 5)
    page = portal.open("runs")
    boxes = page.get_by_role("checkbox", name="Choose ")
    cancel = page.get_by_role("button", name="Cancel …")
    expect(cancel).to_be_disabled()
    page.locator("td.check input").nth(0).check()
    page.locator("td.check input").nth(2).click(modifiers=["Shift"])
    expect(page.get_by_text("3 chosen")).to_be_visible()
    expect(boxes.and_(page.locator(":checked"))).to_have_count(3)
    assert seen(portal, themes=TURNS[0]) == []
    cancel.click()
    expect(page.get_by_role("heading", name="Cancel 3 runs")).to_be_visible()
    assert seen(portal, themes=TURNS[0]) == []
    page.get_by_label("Time to undo it").select_option("1 hour")
    page.get_by_role("button", name="Cancel 3 runs").click()
    expect(page.get_by_text("It begins in")).to_be_visible()
    assert seen(portal, themes=TURNS[0]) == []
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone")).to_be_visible()
    portal.open("runs").get_by_role("link", name="All 5 that fit").click()
    page.get_by_label("Time to undo it").select_option("Begin at once")
    page.get_by_role("button", name="Cancel 5 runs").click()
    expect(page.get_by_text("0 of 5 runs asked to stop")).to_be_visible()
    with acme.scope():
        assert working.work(BulkOperation.objects.latest("created_at").id) is False
    expect(page.get_by_text("5 of 5 runs asked to stop")).to_be_visible()
    expect(page.get_by_role("status").get_by_text("Completed")).to_be_visible()
    with acme.scope():
        assert set(FlowRun.objects.values_list("state_type", flat=True)) == {"CANCELLED"}
    assert visit(portal, ["bulk-operations"]) == []
