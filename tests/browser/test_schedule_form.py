"""2.6: the form of a schedule shows its next times while it is typed."""

from __future__ import annotations

from playwright.sync_api import expect

from runs.models import Schedule
from tests.browser.conftest import Portal
from tests.browser.test_forms import deployed
from tests.cast import Company


def test_the_next_times_follow_what_is_typed(portal: Portal, acme: Company) -> None:
    deployment = deployed(acme)
    page = portal.open(f"deployments/{deployment.id}/new-schedule")
    shown = page.locator("[data-next-times]")
    expect(page.get_by_label("Rule", exact=True)).to_be_hidden()

    page.get_by_label("Cron expression").fill("0 9 * * someday")
    expect(page.locator("#cron-error")).to_contain_text("Five fields")
    page.get_by_label("Cron expression").fill("0 9 * * 1-5")
    expect(shown).to_contain_text("Every weekday at 09:00")
    expect(page.locator("#cron-error")).to_have_count(0)
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(shown.locator("li").first).to_contain_text("09:00:00 CE")
    expect(shown.locator("li")).to_have_count(10)

    page.get_by_text("Recurrence rule", exact=True).click()
    expect(page.get_by_label("Cron expression")).to_be_hidden()
    page.get_by_label("Rule", exact=True).fill("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18")
    expect(shown).to_contain_text("On the last Friday of every month at 18:00")
    page.fill("[name='p.city']", "Oslo")
    page.get_by_role("button", name="Add schedule").click()

    expect(page.get_by_role("link", name="default", exact=True)).to_be_visible()
    with acme.scope():
        made = Schedule.objects.get()
    assert (made.rrule, made.timezone) == ("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18", "Europe/Berlin")
    assert made.parameters == {"city": "Oslo"}
