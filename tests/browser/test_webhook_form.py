"""2.7: the form of a webhook shows what an example would do while it is typed, and the address once it is made."""

from __future__ import annotations

from playwright.sync_api import expect

from runs.models import FlowRun, Webhook
from tests.browser.conftest import Portal
from tests.browser.looking import seen
from tests.browser.test_forms import deployed
from tests.cast import Company


def test_an_example_is_tried_while_it_is_typed(portal: Portal, acme: Company) -> None:
    page = portal.open(f"webhooks/new?deployment={deployed(acme).id}")
    shown = page.locator("[data-preview]")
    page.fill("#body", '{"city": 5}')
    expect(shown).to_contain_text("Refused with 400. city: 5 is not of type 'string'")
    page.fill("#filter", "{{ run }}")
    expect(page.locator("#filter-error")).to_contain_text("There is no value 'run'")
    page.fill("#filter", "{{ body.city != 5 }}")
    expect(shown).to_contain_text("Skipped by the filter.")
    page.fill("#body", '{"city": "Oslo"}')
    expect(shown).to_contain_text("Triggers a run")
    page.get_by_text("A template", exact=True).click()
    page.fill("#parameters", '{"city": {{ headers["x-city"]|tojson }}}')
    page.fill("#headers", "X-City: Bergen")
    expect(shown).to_contain_text('"city": "Bergen"')

    page.fill("#name", "a/b")
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.locator("#name-error")).to_contain_text("without a slash")
    page.fill("#headers", "X-City: Lima")
    expect(shown).to_contain_text('"city": "Lima"')  # That look takes nothing away that it does not speak of.
    expect(page.locator("#name-error")).to_be_visible()
    portal.complaints.clear()  # That answer was 400.
    page.fill("#name", "push")
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.get_by_role("heading", name="Copy the address of push now")).to_be_visible()
    assert seen(portal) == []
    with acme.scope():
        assert (Webhook.objects.get().name, FlowRun.objects.exists()) == ("push", False)
