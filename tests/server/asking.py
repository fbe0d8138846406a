"""Ask any route: its address filled with somebody's things, a body that it might take, the answer without the names."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from django.test import Client
from django.urls import resolve, reverse

from tenants.declared import operation_of
from tests.server.routes import parameters_of
from tests.server.things_of_acme import Thing


def address(name: str, things: dict[str, dict[str, Thing]], whose: str) -> str:
    """The address of a route, filled with things of `whose`."""
    known = things[""] | things.get(name, {})
    wanted = parameters_of(name)
    if missing := wanted - known.keys():
        pytest.fail(
            f"Tell tests/server/things_of_acme.py how to fill {', '.join(sorted(missing))} of the route {name!r}."
        )
    return reverse(name, kwargs={parameter: getattr(known[parameter], whose) for parameter in wanted})


def body(things: dict[str, dict[str, Thing]]) -> dict[str, Any]:
    """A body that some route or other would take, with Acme's ids in it."""
    run = things["api-flow-run"]["id"].acmes
    return {
        "deployment": "acme-etl/acme-nightly", "value": 1, "slots": 5, "body": "{}", "name": "x", "flow": "acme-etl",
        "run": str(run), "attempt": 1, "leases": [{"run": str(run), "attempt": 1}], "parent": str(run),
        "entrypoint": "a:b", "source": {"type": "path", "path": "/x"},
        "data": {"value": "hers"}, "schema": {}, "version": 1, "share": 1,
        "team": str(things["organization-team"]["id"].acmes),
    }  # fmt: skip


def asked(client: Client, method: str, path: str, things: dict[str, dict[str, Thing]]) -> tuple[int, str]:
    data = json.dumps(_fitting(body(things), path, method)) if method in {"POST", "PUT", "PATCH"} else ""
    response = client.generic(method, path, data=data, content_type="application/json")
    text = response.headers.get("Location", "") + response.content.decode()
    return response.status_code, text


def _fitting(told: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    """What of a body an operation of the API takes, so that it comes to look for what it is about."""
    declared = operation_of(getattr(resolve(path).func, "cls", object), method)
    if declared is None or declared.body in (None, bytes):
        return told
    fits = {field.name: told[field.name] for field in msgspec.structs.fields(declared.body) if field.name in told}
    try:
        msgspec.convert(fits, declared.body)
    except msgspec.ValidationError:
        return {}
    return fits


def without_names(text: str, name: str, things: dict[str, dict[str, Thing]]) -> str:
    """An answer may repeat the address that was asked for."""
    values = {str(v) for thing in (things[""] | things.get(name, {})).values() for v in (thing.acmes, thing.nobodys)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "…")
    return re.sub(r'(csrfmiddlewaretoken" value|nonce)="[^"]*"', "", text)
