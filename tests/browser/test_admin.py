"""The admin of an organization in a browser: blocks with secrets and a variable, in both widths and themes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Portal
from tests.browser.looking import EVERYTHING, seen
from tests.cast import Api, Company
from tests.runs.work import deploy

KEY, PASSWORD = "planted-access-key-4711", "planted-password-4711"
SCREENS = [(1440, "light"), (390, "dark")]


def show(portal: Portal, path: str) -> Any:
    page = portal.open(f"../admin/{path}")
    portal.settle()
    return page


def saved(page: Any) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("successfully").wait_for()


def begin(portal: Portal, type: str, name: str) -> Any:
    page = show(portal, "blocks/block/add/")
    page.get_by_label("Type").select_option(type)
    page.get_by_role("button", name="Continue").click()
    page.locator("#id_name").fill(name)
    return page


@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_blocks_with_secrets_and_a_variable(
    portal: Portal, acme: Company, served_api: Api, width: int, scheme: str
) -> None:
    portal.page.set_viewport_size({"width": width, "height": 900})
    portal.page.emulate_media(color_scheme=scheme)
    served_api.put("/variables/region", {"value": "eu"})

    page = begin(portal, "webhook", "alerts")
    page.locator("[name='p.url']").fill(f"https://hooks.example/{KEY}")
    saved(page)
    page = begin(portal, "secret", "password")
    page.locator("[name='p.value']").fill(PASSWORD)
    saved(page)
    assert served_api.post("/blocks/secret/password/value").json()["data"]["value"] == PASSWORD

    page.get_by_role("link", name="password", exact=True).click()
    page.get_by_text("Replace").wait_for()
    assert PASSWORD not in page.content()
    page.get_by_text("Replace").click()
    page.locator("[name='p.value']").fill("another-one")
    saved(page)
    assert served_api.post("/blocks/secret/password/value").json()["data"]["value"] == "another-one"

    page = show(portal, "blocks/variable/")
    page.get_by_role("link", name="region").click()
    page.locator("#id_value").fill('{"name": "north"}')
    saved(page)
    assert served_api.get("/variables/region").json()["value"] == {"name": "north"}
    assert not [secret for secret in (KEY, PASSWORD) if secret in page.content()]


def test_nothing_for_axe(portal: Portal, acme: Company, served_api: Api) -> None:
    served_api.put("/variables/region", {"value": "eu", "tags": ["geo"]})
    served_api.put("/blocks/secret/password", {"data": {"value": PASSWORD}})
    deployment = deploy(acme)
    paths = [
        "", "blocks/block/", "blocks/variable/", "runs/deployment/", "blocks/variable/add/", "blocks/variable/?q=none",
        "blocks/block/add/", "blocks/block/add/?workspace=main&type=s3-bucket",
        f"runs/deployment/{deployment.id}/change/", f"runs/deployment/{deployment.id}/delete/",
    ]  # fmt: skip
    # Its stylesheet is another one, which may do more in the dark than change colours.
    assert [f"{path} {each}" for path in paths for each in seen(portal, f"../admin/{path}", EVERYTHING)] == []
