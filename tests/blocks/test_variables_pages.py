"""Variables in the portal: found by name and tag, checked as JSON, told to the audit."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from blocks import variables
from tenants.models import AuditEntry
from tests.cast import Api, Company

pytestmark = pytest.mark.django_db

PATH = "/o/acme/main/variables"


@pytest.fixture
def page(alice: Any, browse: Any) -> Client:
    """Alice's browser."""
    return browse(alice)


def names(response: Any) -> list[str]:
    return [variable.name for variable in response.context["variables"]]


def test_variables_are_found_by_name_and_tag(api: Api, page: Client) -> None:
    for name, tags in (("region", ["infra"]), ("regions", ["infra", "eu"]), ("limit", [])):
        api.put(f"/variables/{name}", {"value": 1, "tags": tags})
    assert names(page.get(PATH)) == ["limit", "region", "regions"]
    assert names(page.get(PATH, {"tag": "eu"})) == ["regions"]
    assert names(page.get(PATH, {"tag": "infra", "q": "REGIONS"})) == ["regions"]
    assert page.get(PATH).context["tags"] == ["eu", "infra"]
    assert "No variable matches" in page.get(PATH, {"tag": "none\x00"}).content.decode()


def test_many_variables_have_pages(acme: Company, page: Client, django_assert_max_num_queries: Any) -> None:
    with acme.scope():
        for number in range(120):
            variables.set_variable(name=f"v{number:03}", value=number, by=acme.actor())
    first = page.get(PATH)
    with django_assert_max_num_queries(16):
        rest = page.get(PATH, {"cursor": first.context["more"]})
    assert names(first) + names(rest) == [f"v{number:03}" for number in range(120)]


@pytest.mark.parametrize(
    ("typed", "value"),
    [("eu-1", "eu-1"), ('{"a": 1}', {"a": 1}), ("5", 5), ("true story", "true story"), ('"5"', "5"), ("null", None)],
)
def test_a_value_is_json_or_a_text(api: Api, page: Client, typed: str, value: Any) -> None:
    assert page.post(PATH + "/new", {"name": "x", "value": typed, "tags": ""}).status_code == 302
    assert api.get("/variables/x").json()["value"] == value


@pytest.mark.parametrize("typed", ["{a: 1}", '["a"', '"open'])
def test_json_that_was_mistyped_is_no_text(api: Api, page: Client, typed: str) -> None:
    refused = page.post(PATH + "/new", {"name": "x", "value": typed, "tags": ""})
    assert refused.status_code == 400
    assert "This is no JSON" in refused.context["errors"]["value"]
    assert api.get("/variables/x").status_code == 404


def test_the_audit_tells_what_changed_but_not_the_value(acme: Company, api: Api) -> None:
    for value in (1, 1, True):
        api.put("/variables/x", {"value": value})
    api.put("/variables/x", {"value": True, "tags": ["a"]})
    api.delete("/variables/x")
    with acme.scope():
        told = AuditEntry.objects.filter(action__startswith="variable.").order_by("at")
        assert [(entry.action, entry.details) for entry in told] == [
            ("variable.created", {"fields": ["value", "tags"]}),
            ("variable.updated", {"fields": ["value"]}),
            ("variable.updated", {"fields": ["tags"]}),
            ("variable.deleted", {}),
        ]


@pytest.mark.parametrize(
    "path", ["variables/a%00b", "blocks/a%00/b", "blocks/secret/a%00", "blocks?q=%00&type=%00&cursor=%00"]
)
def test_odd_addresses_are_no_errors_of_ours(page: Client, path: str) -> None:
    assert page.get("/o/acme/main/" + path).status_code in {200, 404}
