"""Role × verb × door: each route is asked by everybody, and answers what the tables say of the verb that it names.

What is expected is computed from one declaration: the verb that a view names for a method, and the roles that have it
in tenants/permissions.py (whose tables are compared with a list of their own in tests/tenants/test_permissions.py).
Who may, is not turned away, and what they changed is undone; who may not, is turned away, and changes no row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from tenants.authentication import forget_secrets
from tenants.permissions import WORKSPACE_VERBS
from tests.cast import Api, Company
from tests.rights.people import OPERATOR, Somebody, everybody, programs
from tests.runs.work import agent, claim, deploy, start, trigger
from tests.server import asking, routes
from tests.server.asking import address, body, without_names
from tests.server.routes import PAGES, parameters_of, pattern_of
from tests.server.things_of_acme import Thing
from tests.sql import rows_of
from tests.tenants.sso.setup import connect

pytestmark = pytest.mark.django_db
TURNED_AWAY = {403, 404}
APIS = [name for name in routes.APIS if name != "api-no-such-address"]  # Which is there for nobody.


def manages_keys(each: Somebody) -> bool:
    return "keys.manage" in each.organization_verbs or "keys.edit" in each.verbs


# What the verb alone does not say, and who may.
NARROWER: dict[str, Callable[[Somebody], bool]] = {
    "organization-key-rotate": manages_keys,  # a service account's; everybody has their own
    "organization-key-revoke": manages_keys,
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of refusals are written down nowhere."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world(acme: Company, things: dict) -> dict:
    """Something of everything, and everybody."""
    connect(acme, SimpleNamespace(url="https://login.acme.example", secret="s3cret"))
    return things


def declared(name: str) -> dict[str, str]:
    """The verb of a route by method."""
    callback = pattern_of(name).callback
    verbs = callback.cls.verbs if hasattr(callback, "cls") else getattr(callback, "verb", None)
    assert verbs, f"{name} names no verb"
    return verbs if isinstance(verbs, dict) else {"GET": verbs}


def asked(client: Client, method: str, path: str, data: dict[str, Any], *, undone: bool) -> int:
    """The status of an answer to a form, or to JSON where the API is asked."""
    with transaction.atomic():
        if path.startswith("/api/"):
            text = json.dumps(data) if method in {"POST", "PUT", "PATCH"} else ""
            response = client.generic(method, path, data=text, content_type="application/json")
        else:
            response = getattr(client, method.lower())(path, data if method == "POST" else None)
        transaction.set_rollback(undone)
    return response.status_code


def page_status(each: Somebody, name: str, verb: str) -> int:
    """What a page answers by the tables: 404 to who has no part here, 403 where it is too small, else anything else."""
    if "workspace" in parameters_of(name) and not each.part:
        return 404
    verbs = each.verbs if "workspace" in parameters_of(name) else each.organization_verbs
    return 200 if verb in verbs and NARROWER.get(name, bool)(each) else 403


def fits(status: int, expected: int) -> bool:
    """Say whether an answer is of the expected kind. Who has a part here may be told either way what is not theirs."""
    if expected == 404:
        return status == 404
    return status in TURNED_AWAY if expected == 403 else status < 500 and status not in TURNED_AWAY


def browser(each: Somebody) -> Client:
    """Without what the answers before have left in cookies."""
    client = Client()
    client.handler = each.client.handler  # Its middleware is made once, not for each question.
    client.cookies["orchestrator_session"] = each.client.cookies["orchestrator_session"].value
    return client


def wrong_pages(each: Somebody, known: dict, data: dict[str, Any]) -> Iterator[str]:
    for name in PAGES:
        for method, verb in declared(name).items():
            expected = page_status(each, name, verb)
            status = asked(browser(each), method, address(name, known, "acmes"), data, undone=expected == 200)
            if not fits(status, expected):
                yield f"{each.name}: {method} {name} ({verb}) answers {status} instead of {expected}"


def test_pages(acme: Company, world: dict) -> None:
    people = everybody(acme)
    plain = Thing(people[-1].user.id, None)  # Owners are removed by owners only.
    known = world | {name: {"id": plain} for name in world if name.startswith("organization-person")}
    data = {key: value for key, value in body(world).items() if isinstance(value, str | int)} | {"overlap": "0"}
    wrong: list[str] = []
    for each in people:
        before = rows_of(acme)
        wrong.extend(wrong_pages(each, known, data))
        assert rows_of(acme) == before, f"{each.name} has changed what they may not"
    if wrong:
        pytest.fail("\n".join(wrong))


def token(company: Company, name: str, *, over: bool) -> Api:
    """The API as the process of a run sees it, while it goes on or after its end."""
    [id] = trigger(company, deploy(company, name, flow=name))
    [claimed] = [each for each in claim(company, agent(company, name)) if each.run == id]
    journal = start(claimed)
    if over:
        journal.send(journal.state("COMPLETED", run_count=claimed.run_count + 1))
        forget_secrets()  # Else the end is noticed some seconds later.
    return Api(claimed.token)


def all_programs(company: Company) -> dict[str, Api]:
    """Keys of all roles, and the tokens of a run that lives and of one that is over."""
    runs = {"run": token(company, "lives", over=False), "run.over": token(company, "is-over", over=True)}
    return programs(company) | runs


def wrong_answers(role: str, api: Api, known: dict) -> Iterator[str]:
    for name in APIS:
        for method, verb in declared(name).items():
            expected = 200 if verb in WORKSPACE_VERBS.get(role, OPERATOR) else 403
            data = body(known)
            status = asked(api.client, method, address(name, known, "acmes"), data, undone=expected == 200)
            if not fits(status, expected):
                yield f"{role}: {method} {name} ({verb}) answers {status} instead of {expected}"


def test_api(acme: Company, world: dict) -> None:
    wrong: list[str] = []
    for role, api in all_programs(acme).items():
        before = rows_of(acme)
        wrong.extend(wrong_answers(role, api, world))
        assert rows_of(acme) == before, f"{role} has changed what it may not"
    if wrong:
        pytest.fail("\n".join(wrong))


def test_foreign_objects_in_ones_own_workspace(
    acme: Company, globex: Company, eve: Any, browse: Any, world: dict
) -> None:
    """Eve's own addresses, with the ids of Acme's things: for their owner, too, they are as good as unknown ones."""
    before, client = rows_of(acme), browse(eve)
    own = {"organization": Thing("globex", "globex"), "workspace": Thing("main", "main")}
    known = world | {"": own}
    for name in PAGES:
        if not parameters_of(name) - own.keys():
            continue
        for method in declared(name):
            answers = []
            for whose in ("acmes", "nobodys"):
                with transaction.atomic():
                    status, text = asking.asked(client, method, address(name, known, whose), known)
                    transaction.set_rollback(True)
                answers.append((status, without_names(text, name, known)))
            assert answers[0] == answers[1], (name, method)
            assert answers[0][0] in {302, 400, 404}, (name, method, answers[0][0])
    assert rows_of(acme) == before
