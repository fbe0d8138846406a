"""2.11: the form of a backfill shows what it would make while it is typed."""

from __future__ import annotations

from playwright.sync_api import expect

from runs.models import Backfill
from tests.browser.conftest import Portal
from tests.browser.test_forms import deployed
from tests.cast import Company


def test_what_it_makes_follows_what_is_typed(portal: Portal, acme: Company) -> None:
    page = portal.open(f"deployments/{deployed(acme).id}/backfill")
    shown = page.locator("[data-preview]")
    page.get_by_label("Runs for").select_option("times")
    page.get_by_label("Cron expression").fill("0 6 * * someday")
    page.get_by_label("From", exact=True).fill("2026-01-01T00:00")
    page.fill("#until", "2026-01-04T00:00")
    expect(page.locator("#cron-error")).to_contain_text("Five fields")
    page.get_by_label("Cron expression").fill("0 6 * * *")
    expect(page.locator("#parameters-error")).to_contain_text("city: Required.")
    page.fill("#parameters", '{"city": "Oslo"}')
    expect(shown).to_contain_text("3 runs")
    expect(page.locator("#cron-error")).to_have_count(0)

    page.fill("#parameters", "")
    page.get_by_label("Runs for").select_option("sets")
    expect(page.get_by_label("Cron expression")).to_be_hidden()
    page.get_by_label("Parameter sets").fill('[{"city": "Oslo"}, {"city": 5}]')
    expect(shown).to_contain_text("1 set can't be taken")
    page.get_by_label("Parameter sets").fill("city\nOslo\nBergen")
    expect(shown).to_contain_text('city="Bergen"')
    page.get_by_role("button", name="Begin the backfill").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    with acme.scope():
        assert Backfill.objects.get().count == 2
