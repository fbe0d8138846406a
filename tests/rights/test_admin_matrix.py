"""Both sites made with Django's admin: every address that they serve, asked by everybody.

The addresses are those of the sites themselves, for each model that is registered there; one that this file can't fill
makes it fail. Objects are Acme's own, Globex's, and such as nobody has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from orchestrator.ids import uuid7
from orchestrator.server.admin.doors import ORGANIZATION_ADDRESSES, STAFF_ADDRESSES
from orchestrator.server.admin.organization_urls import site as organization_site
from orchestrator.server.admin.staff_urls import site as staff_site
from tenants.models import Organization, OutboxMessage, StaffEntry, User
from tests.cast import Api, Company
from tests.rights.people import Somebody, everybody
from tests.rights.test_matrix import browser, quiet  # noqa: F401
from tests.runs.work import agent, deploy
from tests.server.test_staff_admin import by_password, sam  # noqa: F401
from tests.sql import rows_of

pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST")
OF_ROWS = {"changelist", "add", "history", "delete", "change"}
Objects = dict[type[Model], Any]


@dataclass(frozen=True)
class Address:
    """One address of a site: `model` and `kind` of a row's or a list's, `path` below the site's door."""

    path: str
    model: type[Model] | None
    kind: str


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for each in resolver.url_patterns:
        yield from patterns(each) if isinstance(each, URLResolver) else [each]


def addresses(urls: str, site: Any, objects: Objects) -> list[Address]:
    """Every address that the site serves, filled with these objects."""
    models = {f"{model._meta.app_label}_{model._meta.model_name}": model for model in site._registry}
    return [each for pattern in patterns(get_resolver(urls)) for each in filled(pattern, models, objects)]


def filled(pattern: URLPattern, models: dict[str, type[Model]], objects: Objects) -> Iterator[Address]:
    prefix, _, kind = (pattern.name or "").rpartition("_")
    model, route = models.get(prefix), str(pattern.pattern)
    if not pattern.pattern.converters:
        yield Address(route, model, kind)
    elif pattern.pattern.converters.keys() == {"app_label"}:
        for label in sorted({each._meta.app_label for each in models.values()}):
            yield Address(route.replace("<slug:app_label>", label), None, "app_list")
    elif pattern.pattern.converters.keys() == {"object_id"} and model in objects:
        yield Address(route.replace("<uuid:object_id>", str(objects[model])), model, kind)
    else:
        pytest.fail(f"Tell tests/rights/test_admin_matrix.py how to fill {route!r} ({pattern.name}).")


def of_objects(asked: list[Address]) -> list[Address]:
    """Those of them that name an object."""
    return [each for each in asked if each.model and each.kind in {"history", "delete", "change"}]


def furnished(company: Company) -> Objects:
    """An object of each model of both sites that belongs to this company."""
    api = Api(company.key("furnisher"))
    assert api.put("/variables/region", {"value": 1}).status_code == 201
    assert api.put("/blocks/secret/vault", {"data": {"value": "open sesame"}}).status_code == 201
    deploy(company)
    agent(company, "box")
    with company.scope():
        OutboxMessage.objects.create(organization=company.organization, kind="mail", payload={}, failed=True)
        looked = StaffEntry(action="staff.viewed", actor="sam@installation.example", user_id=company.owner.id)
        looked.save(force_insert=True)
        found: Objects = {Organization: company.organization.id, User: company.owner.id, StaffEntry: looked.pk}
        for model in {*organization_site._registry, *staff_site._registry} - found.keys():
            row = model._default_manager.filter(organization=company.organization).first()
            assert row, f"Make a {model.__name__} in tests/rights/test_admin_matrix.py."
            found[model] = row.pk
    return found


def nobodys() -> Objects:
    return {model: uuid7() for model in {*organization_site._registry, *staff_site._registry}}


def ask(client: Client, method: str, path: str) -> int:
    """The status of an answer; a form that is posted confirms what it asks. What it changes is undone."""
    with transaction.atomic():
        status = client.generic(method, path, "post=yes", "application/x-www-form-urlencoded").status_code
        transaction.set_rollback(True)
    return status


def refused(client: Client, status: int, door: str, asked: list[Address]) -> list[str]:
    """What answers with anything else."""
    return [
        f"{method} {door}{each.path} answers {answer} instead of {status}"
        for each in asked
        for method in METHODS
        if (answer := ask(client, method, door + each.path)) != status
    ]


def closed(method: str, address: Address) -> int:
    """With which status an address is closed to whoever may use the site; 0 where it is not."""
    return 405 if (method, address.kind) == ("POST", "jsi18n") else 0


def served(client: Client, door: str, asked: list[Address], closed: Any = closed) -> list[str]:
    """What is not served, though it is not closed."""
    wrong = []
    for each in asked:
        for method in METHODS:
            status, expected = ask(client, method, door + each.path), closed(method, each)
            if status != expected if expected else status not in {200, 302}:
                wrong.append(f"{method} {door}{each.path} answers {status} instead of {expected or 'serving it'}")
    return wrong


def test_each_model_has_its_five_addresses() -> None:
    for urls, site in ((ORGANIZATION_ADDRESSES, organization_site), (STAFF_ADDRESSES, staff_site)):
        kinds: dict[type[Model], set[str]] = {}
        for each in addresses(urls, site, nobodys()):
            if each.model:
                kinds.setdefault(each.model, set()).add(each.kind)
        assert kinds == dict.fromkeys(site._registry, OF_ROWS)


def strangers(acme: Company, globex: Company, staff: Any) -> list[tuple[str, Client]]:
    """People who have no part in Acme: the owner of another organization, and the installation's staff."""
    stranger = Client()
    stranger.force_login(globex.owner)
    return [("a stranger", stranger), ("staff", by_password(staff))]


def test_the_organizations_admin(acme: Company, globex: Company, sam: Any) -> None:  # noqa: F811
    door, own, foreign = "/o/acme/admin/", furnished(acme), furnished(globex)
    asked, others = (addresses(ORGANIZATION_ADDRESSES, organization_site, objects) for objects in (own, foreign))
    others = of_objects(others)
    people = everybody(acme)
    before, wrong = (rows_of(acme), rows_of(globex)), []
    for each in people:
        wrong += [f"{each.name}: {problem}" for problem in of_member(each, door, asked, others)]
    for name, client in strangers(acme, globex, sam):
        wrong += [f"{name}: {problem}" for problem in refused(client, 404, door, [*asked, *others])]
    wrong += refused(Client(), 302, door, [*asked, *others])
    assert not wrong, "\n".join(wrong)
    assert (rows_of(acme), rows_of(globex)) == before


def of_member(each: Somebody, door: str, own: list[Address], foreign: list[Address]) -> list[str]:
    """Who may use the admin is served what is Acme's, and finds nothing else; who may not is refused all of it."""
    client = browser(each)
    if "admin.use" not in each.organization_verbs:
        return refused(client, 403, door, [*own, *foreign])
    unknown = of_objects(addresses(ORGANIZATION_ADDRESSES, organization_site, nobodys()))
    return served(client, door, own) + refused(client, 404, door, [*foreign, *unknown])


def closed_to_staff(method: str, address: Address) -> int:
    """Staff make and delete nothing, and change what the site names."""
    if address.kind in {"add", "delete", "history"} and address.model:
        return 404
    unchanging = address.kind == "change" and not staff_site._registry[address.model].changed
    return 403 if unchanging and method == "POST" else closed(method, address)


def test_the_staffs_admin(acme: Company, globex: Company, sam: Any) -> None:  # noqa: F811
    door, own, foreign = "/admin/", furnished(acme), furnished(globex)
    asked = addresses(STAFF_ADDRESSES, staff_site, own)
    others, unknown = (of_objects(addresses(STAFF_ADDRESSES, staff_site, objects)) for objects in (foreign, nobodys()))
    people = [(each.name, browser(each)) for each in everybody(acme)]
    [stranger, (_, staff)] = strangers(acme, globex, sam)
    before, wrong = (rows_of(acme), rows_of(globex)), []
    for name, client in [*people, stranger]:
        wrong += [f"{name}: {problem}" for problem in refused(client, 404, door, asked)]
    wrong += refused(Client(), 302, door, [*asked, *others])
    wrong += served(staff, door, [*asked, *others], closed_to_staff) + refused(staff, 404, door, unknown)
    assert not wrong, "\n".join(wrong)
    assert (rows_of(acme), rows_of(globex)) == before
