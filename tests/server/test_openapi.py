"""7.4: the API's description tells of each operation, and is what the views obey."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from django.core.management import call_command
from django.test import Client

from tenants.declared import operation_of, said_of
from tests.cast import Api
from tests.runs.test_flow_runs_api import error
from tests.server.routes import APIS, pattern_of

VIEWS = [pattern_of(name).callback.cls for name in APIS if name != "api-no-such-address"]


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    from orchestrator.server.openapi import description

    return description()


@pytest.mark.parametrize("view", VIEWS, ids=[f"{view.__module__}.{view.__name__}" for view in VIEWS])
def test_every_view_declares_what_it_takes_and_answers(view: type) -> None:
    """Write `@operation(…)` over the handler (tenants/declared.py) and `GET: what it does.` in the view's docstring."""
    assert [method for method in view.verbs if operation_of(view, method) is None] == [], "has no @operation"
    assert [method for method in view.verbs if not said_of(view, method)] == [], "isn't told of in the docstring"


def test_the_description_is_valid_openapi(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True)
    assert capsys.readouterr().out.startswith("openapi: 3.1.0")


def test_every_route_is_in_it(described: dict[str, Any]) -> None:
    wanted = {(name, method) for name in APIS if name != "api-no-such-address" for method in verbs_of(name)}
    told = [operation["operationId"] for each in described["paths"].values() for operation in each.values()]
    assert sorted(told) == sorted(
        f"{method.lower()}_{name.removeprefix('api-').replace('-', '_')}" for name, method in wanted
    )


def verbs_of(name: str) -> dict[str, str]:
    return pattern_of(name).callback.cls.verbs


def test_components_have_plain_names(described: dict[str, Any]) -> None:
    """Two structs of one name would both be called by their modules."""
    names = described["components"]["schemas"]
    assert [name for name in names if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []
    assert {"FlowRun", "PageOfFlowRun", "RunInput", "ErrorAnswer"} <= names.keys()


def test_what_is_required_is_described_whatever_it_is_called(described: dict[str, Any]) -> None:
    components = described["components"]["schemas"]
    assert "title" in components["Request"]["properties"]
    for name, schema in components.items():
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys(), name


def test_what_an_operation_tells(described: dict[str, Any]) -> None:
    trigger = described["paths"]["/api/v1/flow-runs"]["post"]
    assert trigger["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/RunInput")
    assert {"200", "201", "400", "401", "402", "403", "404", "409", "413", "426", "503"} <= trigger["responses"].keys()
    assert "runs.trigger" in trigger["description"]
    listed = described["paths"]["/api/v1/flow-runs"]["get"]
    assert {"state", "limit", "cursor"} <= {each["name"] for each in listed["parameters"]}
    bundle = described["paths"]["/api/v1/bundles/{sha256}"]
    assert bundle["put"]["requestBody"]["content"].keys() == {"application/octet-stream"}
    assert bundle["get"]["responses"]["200"]["content"].keys() == {"application/octet-stream"}
    journal = described["paths"]["/api/v1/journal"]["post"]
    assert journal["requestBody"]["content"].keys() == {"application/x-ndjson"}
    assert "Retry-After" in journal["responses"]["429"]["headers"]


def test_it_is_there_for_everybody(described: dict[str, Any]) -> None:
    found = Client().get("/api/v1/openapi.json")
    assert msgspec.json.decode(found.content) == described
    assert Client().get("/api/v1/openapi.yaml").content.startswith(b"openapi: 3.1.0")
    assert Client().post("/api/v1/openapi.json").status_code == 405


def test_what_stands_in_an_address_is_bounded(described: dict[str, Any]) -> None:
    """Web servers refuse addresses beyond 64 KiB, and don't do so as we would."""
    unbounded = [
        f"{path} {parameter['name']}"
        for path, methods in described["paths"].items()
        for operation in methods.values()
        for parameter in operation["parameters"]
        if not is_bounded(parameter["schema"])
    ]
    assert unbounded == []


def is_bounded(schema: dict[str, Any]) -> bool:
    if schema.get("type") == "array":
        return "maxItems" in schema and is_bounded(schema["items"])
    if several := schema.get("anyOf"):
        return all(map(is_bounded, several))
    return schema.get("type") != "string" or bool({"maxLength", "format", "enum"} & schema.keys())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("address", "query", "name", "wanted"),
    [
        ("/flow-runs", {"stat": "FAILED"}, "stat", "There is no such parameter. Those of this address: "),
        ("/flow-runs", {"limit": "0"}, "limit", "1 to 200."),
        ("/artifacts", {"flow_run": "x"}, "flow_run", "A UUID."),
        ("/artifacts", {"type": "song"}, "type", "One of image, link, markdown, progress, table."),
        ("/events", {"since": "2026-01-01T00:00:00"}, "since", "ISO 8601 with a zone."),
        ("/limits", {"prefix": "x" * 501}, "prefix", "500 characters at most."),
        ("/blocks/secret/x/versions", {"cursor": "x"}, "cursor", "0 to 2,147,483,647."),
    ],
)
def test_a_query_that_is_none_names_the_parameter(api: Api, address: str, query: dict, name: str, wanted: str) -> None:
    assert error(api.get(address, **query), 400)["fields"][name].startswith(wanted)
