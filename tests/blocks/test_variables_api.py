"""Variables over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from blocks.models import Variable
from blocks.variables import MAX_VALUE
from tests.cast import Api, Company
from tests.runs.test_flow_runs_api import all_pages, error

pytestmark = pytest.mark.django_db


def test_set_read_change_and_remove(acme: Company, api: Api) -> None:
    made = api.put("/variables/region", {"value": "eu-1", "tags": ["infra"]})
    changed = api.put("/variables/region", {"value": {"name": "eu-2", "weights": [1, 2.5, None]}})

    assert (made.status_code, changed.status_code) == (201, 200)
    variable = api.get("/variables/region").json()
    assert (variable["name"], variable["tags"], variable["updated_by"]) == ("region", ["infra"], "developer")
    assert variable["value"] == {"name": "eu-2", "weights": [1, 2.5, None]}
    assert api.delete("/variables/region").status_code == 204
    error(api.get("/variables/region"), 404)
    error(api.delete("/variables/region"), 404)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 1.5, "ü\u2028", 2**62, [[[]]], {"a.b": {"": 1}}])
def test_values_come_back_as_they_were(api: Api, value: Any) -> None:
    api.put("/variables/x", {"value": value})
    assert api.get("/variables/x").json()["value"] == value


def test_what_json_can_not_hold_is_made_fit(api: Api) -> None:
    api.put("/variables/x", b'{"value": ["a\\u0000b", 123456789012345678901234567890]}')
    first, second = api.get("/variables/x").json()["value"]
    assert first == "a\ufffdb"
    assert float(second) == pytest.approx(1.2345678901234568e29)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"{", b'{"value": NaN}', b'{"value": 1, "tags": "x"}', b'{"value": 1, "tags": [1]}', b"\xff"],
)
def test_bodies_that_are_none(acme: Company, api: Api, body: bytes) -> None:
    error(api.put("/variables/x", body), 400)
    with acme.scope():
        assert not Variable.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tags": []}, "value"),
        ({"value": "x" * (MAX_VALUE + 1)}, "value"),
        ({"value": 1, "tags": [""]}, "tags"),
        ({"value": 1, "tags": ["x" * 201]}, "tags"),
        ({"value": 1, "tags": [str(number) for number in range(101)]}, "tags"),
    ],
)
def test_bounds_are_said_by_field(api: Api, body: dict, field: str) -> None:
    assert list(error(api.put("/variables/x", body), 400)["fields"]) == [field]


@pytest.mark.parametrize("name", ["Upper", "with space", "-dash", "ümlaut", "a.b", "x" * 201, "a%00b"])
def test_names_that_a_variable_can_not_have(api: Api, name: str) -> None:
    assert list(error(api.put(f"/variables/{name}", {"value": 1}), 400)["fields"]) == ["name"]
    assert api.get(f"/variables/{name}").status_code in {400, 404}


def test_tags_stay_unless_given(api: Api) -> None:
    api.put("/variables/x", {"value": 1, "tags": ["a", "b", "a"]})
    assert api.put("/variables/x", {"value": 2}).json()["tags"] == ["a", "b"]
    assert api.put("/variables/x", {"value": 2, "tags": []}).json()["tags"] == []


def test_pages_by_name(acme: Company, api: Api) -> None:
    names = [f"v-{number:02}" for number in range(12)]
    for name in reversed(names):
        api.put(f"/variables/{name}", {"value": name})
    assert [item["name"] for item in all_pages(api, "/variables", limit=5)] == names
    assert api.get("/variables", limit=12).json()["next"] is None
    for query in ({"limit": 0}, {"limit": "x"}, {"cursor": "\x00"}):
        error(api.get("/variables", **query), 400)


def test_names_of_two_tenants_are_strangers(acme: Company, api: Api, eve_api: Api) -> None:
    api.put("/variables/region", {"value": "ours"})
    assert error(eve_api.get("/variables/region"), 404) == error(eve_api.get("/variables/region"), 404)
    assert eve_api.put("/variables/region", {"value": "hers"}).status_code == 201
    assert eve_api.get("/variables").json()["items"][0]["value"] == "hers"
    eve_api.delete("/variables/region")
    assert api.get("/variables/region").json()["value"] == "ours"


def test_names_of_two_workspaces_are_strangers(acme: Company, api: Api) -> None:
    from tenants.keys import create_key
    from tenants.provisioning import create_workspace

    with acme.scope():
        second = Api(create_key(workspace=create_workspace(organization=acme.organization, name="B"), name="k")[1])
    api.put("/variables/region", {"value": 1})
    error(second.get("/variables/region"), 404)
    assert second.put("/variables/region", {"value": 2}).status_code == 201
    assert api.get("/variables/region").json()["value"] == 1


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [("viewer", True, False), ("runner", True, False), ("agent", False, False), ("owner", True, True)],
)
def test_who_may_read_and_who_write(acme: Company, api: Api, role: str, reads: bool, writes: bool) -> None:
    api.put("/variables/x", {"value": 1})
    own = Api(acme.key(role, role))
    assert own.get("/variables/x").status_code == (200 if reads else 403)
    assert own.put("/variables/x", {"value": 2}).status_code == (200 if writes else 403)
    assert own.delete("/variables/x").status_code == (204 if writes else 403)


def test_a_variable_costs_few_queries(api: Api, django_assert_max_num_queries) -> None:
    api.put("/variables/x", {"value": 1})
    with django_assert_max_num_queries(5):
        api.get("/variables/x")
    with django_assert_max_num_queries(5):
        api.get("/variables")
