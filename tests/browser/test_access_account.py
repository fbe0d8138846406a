"""Pages about oneself, the doors, and refusals: nothing for axe-core, nothing scrolls sideways.

The list is made from the routes, so that a new one is looked at without being written down here.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from tests.browser.conftest import Portal
from tests.browser.looking import ALL, COLOURS, EVERYTHING, Themes, by_turns, seen
from tests.cast import Company
from tests.server.routes import is_api, names, parameters_of

ELSEWHERE = {
    "health-live", "health-ready", "openapi-json", "openapi-yaml",  # for programs
    "home",  # leads to the dashboard
    "new-organization",  # tests/browser/test_people_pages.py
    "mfa_download_recovery_codes",  # a file
    "account_inactive",
}  # fmt: skip
OWN = [name for name in names() if not is_api(name) and not parameters_of(name) and name not in ELSEWHERE]


def look(portal: Portal, path: str, changed: list[str] = COLOURS, themes: Themes = ALL) -> list[str]:
    """What there is to complain of. Refusals are on the console too, as they should be."""
    portal.page.goto(portal.root.partition("/o/")[0] + path)
    found = [f"{path} {each}" for each in seen(portal, None, changed, themes)]
    portal.complaints[:] = [each for each in portal.complaints if "Failed to load resource" not in each]
    return found


def test_pages_without_a_tenant_signed_in(portal: Portal) -> None:
    assert len(OWN) > 20
    assert [each for name, themes in by_turns(OWN) for each in look(portal, reverse(name), COLOURS, themes)] == []


@pytest.mark.parametrize("path", ["/o/acme/main/runs/none", "/o/globex/main/", "/o/acme/main/runs?cursor=junk"])
def test_refusals(portal: Portal, acme: Company, globex: Company, path: str) -> None:
    assert look(portal, path) == []


def test_the_staffs_admin(portal: Portal, acme: Company, bob: Any) -> None:
    acme.owner.is_staff = True
    acme.owner.save(update_fields=["is_staff"])
    assert look(portal, "/admin/", EVERYTHING) == []
