"""Refusals have one shape, whoever refuses."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404
from rest_framework import exceptions as drf

from tenants import errors
from tenants.errors import Problem, api_error
from tests.cast import Api, Company

PROBLEMS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Problem)]


def test_every_problem_has_a_status_and_a_code_of_its_own() -> None:
    told = {kind.code: kind.status for kind in PROBLEMS}
    assert told == {
        "invalid": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "too_large": 413,
        "limit_reached": 402, "wire_version": 426, "queue_full": 429, "rate_limited": 429, "unavailable": 503,
        "not_acceptable": 406,
    }  # fmt: skip


@pytest.mark.parametrize("kind", PROBLEMS)
def test_a_problem_as_an_answer(kind: type[Problem]) -> None:
    response = api_error(kind("Do this.", fields={"name": "Missing."}, retry_after=3), {})
    assert response.status_code == kind.status
    assert response.data == {"error": {"code": kind.code, "message": "Do this.", "fields": {"name": "Missing."}}}
    assert response.headers["Retry-After"] == "3"


def test_without_fields_there_are_none() -> None:
    assert api_error(errors.NotFound("Nothing."), {}).data == {"error": {"code": "not_found", "message": "Nothing."}}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (drf.NotAuthenticated(), 401, "unauthorized"),
        (drf.AuthenticationFailed("who?"), 401, "unauthorized"),
        (drf.PermissionDenied(), 403, "forbidden"),
        (PermissionDenied("no"), 403, "forbidden"),
        (Http404("secret path"), 404, "not_found"),
        (drf.NotFound("secret path"), 404, "not_found"),
        (drf.MethodNotAllowed("PATCH"), 405, "method_not_allowed"),
        (drf.NotAcceptable(), 406, "not_acceptable"),
        (drf.UnsupportedMediaType("x/y"), 415, "unsupported_media_type"),
        (RequestDataTooBig("big"), 413, "too_large"),
        (drf.Throttled(3), 429, "rate_limited"),
        (drf.ParseError(), 400, "invalid"),
        (drf.ValidationError({"a": ["b", "c"]}), 400, "invalid"),
        (DataError("a value"), 400, "invalid"),
        (OperationalError("host=db password=x"), 503, "unavailable"),
    ],
)
def test_what_others_raise(error: Exception, status: int, code: str) -> None:
    response = api_error(error, {})
    assert (response.status_code, response.data["error"]["code"]) == (status, code)
    assert response.data["error"]["message"]
    assert not {"secret", "password"} & set(response.data["error"]["message"].replace("=", " ").split())


def test_fields_of_a_validation() -> None:
    assert api_error(drf.ValidationError({"a": ["b", "c"]}), {}).data["error"]["fields"] == {"a": "b c"}


@pytest.mark.parametrize("error", [IntegrityError("x"), ValueError("x"), KeyError("x")])
def test_mistakes_of_ours_are_no_answers(error: Exception) -> None:
    assert api_error(error, {}) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/journal", 405),
        ("delete", "/work-pools", 405),
        ("put", "/me", 405),
        ("patch", "/flow-runs", 405),
        ("options", "/flow-runs", 405),
    ],
)
def test_methods_that_a_route_has_not(api: Api, method: str, path: str, status: int) -> None:
    response = getattr(api.client, method)(api.root + path)
    assert response.status_code == status
    assert response.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.django_db
def test_a_database_that_is_away_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from blocks import variables

    def away(*_: Any) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(variables, "find_variable", away)
    response = api.get("/variables/x")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wire", "status"), [("1", 200), ("0", 426), ("2", 426), ("-1", 426), ("²", 426), ("1.0", 426)]
)
def test_the_wire_version_is_checked_on_every_route(acme: Company, wire: str, status: int) -> None:
    from django.test import Client

    client = Client(headers={"Authorization": f"Bearer {acme.key('k')}", "Orchestrator-Wire": wire})
    assert client.get("/api/v1/me").status_code == (200 if wire == "1" else 426)


@pytest.mark.django_db
def test_a_client_without_a_version_is_heard(acme: Company) -> None:
    """A person with curl."""
    from django.test import Client

    assert Client(headers={"Authorization": f"Bearer {acme.key('k')}"}).get("/api/v1/me").status_code == 200


@pytest.mark.django_db
def test_a_refusal_rolls_back(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from blocks import variables
    from blocks.models import Variable

    kept = variables.set_variable

    def then_refuse(**more: Any) -> None:
        kept(**more)
        raise errors.Conflict("Too late.")

    monkeypatch.setattr(variables, "set_variable", then_refuse)
    assert api.put("/variables/x", {"value": 1}).status_code == 409
    with acme.scope():
        assert not Variable.objects.exists()
