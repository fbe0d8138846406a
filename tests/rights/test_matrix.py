"""Role × verb × door: each route is asked by everybody, and answers what the tables say of the verb that it names.

What is expected is computed from one declaration: the verb that a view names for a method, and the roles that have it
in tenants/permissions.py (whose tables are compared with a list of their own in tests/tenants/test_permissions.py).
Who may, is not turned away; who may not, is, and changes no row. Everything asked is undone before the next.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from tenants.permissions import ORGANIZATION_VERBS, VERBS, WORKSPACE_VERBS
from tests.cast import Api, Company
from tests.rights.people import Somebody, everybody, programs
from tests.server.test_eve import (  # noqa: F401
    APIS,
    OWN,
    PAGES,
    address,
    body,
    parameters_of,
    pattern_of,
    rows_of,
    things,
)

pytestmark = pytest.mark.django_db
TURNED_AWAY = {403, 404}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of refusals are written down in none."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def declared(name: str) -> dict[str, str]:
    """The verb of a route by method."""
    callback = pattern_of(name).callback
    verbs = callback.cls.verbs if hasattr(callback, "cls") else getattr(callback, "verb", None)
    assert verbs, f"{name} names no verb"
    return verbs if isinstance(verbs, dict) else {"GET": verbs}


def asked(client: Client, method: str, path: str, data: dict[str, Any], *, as_json: bool) -> int:
    """The status of an answer; what the question changed is undone."""
    with transaction.atomic():
        if as_json:
            text = json.dumps(data) if method in {"POST", "PUT", "PATCH"} else ""
            response = client.generic(method, path, data=text, content_type="application/json")
        else:
            response = getattr(client, method.lower())(path, data if method == "POST" else None)
        transaction.set_rollback(True)
    return response.status_code


def page_status(each: Somebody, name: str, verb: str) -> int:
    """What a page answers by the tables: 404 where the person has no part, 403 where the part is too small, else 200."""
    if "workspace" not in parameters_of(name):
        return 200 if verb in each.organization_verbs else 403
    if not each.part:
        return 404
    return 200 if verb in each.verbs else 403


def browser(each: Somebody) -> Client:
    """Without what the answers before have left in cookies."""
    client = Client()
    client.cookies["orchestrator_session"] = each.client.cookies["orchestrator_session"].value
    return client


def wrong_pages(each: Somebody, things: dict, data: dict[str, Any]) -> Iterator[str]:
    for name in PAGES:
        for method, verb in declared(name).items():
            expected = page_status(each, name, verb)
            status = asked(browser(each), method, address(name, things, "acmes"), data, as_json=False)
            if (
                status >= 500
                or (status not in TURNED_AWAY) != (expected == 200)
                or (expected in TURNED_AWAY and status != expected)
            ):
                yield f"{each.name}: {method} {name} ({verb}) answers {status} for {expected}"


def test_pages(acme: Company, things: dict) -> None:
    data = {key: value for key, value in body(things).items() if isinstance(value, str | int)}
    before = rows_of(acme)
    wrong = [line for each in everybody(acme) for line in wrong_pages(each, things, data)]
    assert "\n".join(wrong) == ""


def test_api(acme: Company, things: dict) -> None:
    wrong = []
    for role, api in programs(acme).items():
        for name in APIS:
            for method, verb in declared(name).items():
                status = asked(api.client, method, address(name, things, "acmes"), body(things), as_json=True)
                expected = 200 if verb in WORKSPACE_VERBS[role] else 403
                if status >= 500 or (status not in TURNED_AWAY) != (expected == 200):
                    wrong.append(f"{role}: {method} {name} ({verb}) answers {status} for {expected}")
    assert "\n".join(wrong) == ""
