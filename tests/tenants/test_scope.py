"""Scopes: one organization for one unit of work, and the loud error where there is none."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import transaction

from runs.models import Flow, JournalStream, LogLine, TaskRun, UsageDelta
from tenants.models import Membership, Organization, Workspace
from tenants.owned import TenantManager
from tenants.scope import CrossTenantScope, NoTenantScope, current_scope, system_scope, tenant_scope, user_scope
from tests.cast import Company
from tests.sql import ask

pytestmark = pytest.mark.django_db


# ── without one ───────────────────────────────────────────────────────────────

QUERIES = {
    "all": lambda: list(Flow.objects.all()),
    "count": lambda: Flow.objects.count(),
    "create": lambda: Flow.objects.create(name="x"),
    "bulk_create": lambda: Flow.objects.bulk_create([]),
    "update": lambda: Flow.objects.update(name="x"),
    "delete": lambda: Flow.objects.all().delete(),
    "raw": lambda: list(Flow.objects.raw("SELECT * FROM flow")),
    "organization": lambda: list(Organization.objects.all()),
    "tall": lambda: list(TaskRun.objects.all()),
    "log lines": lambda: LogLine.objects.exists(),
    "usage": lambda: UsageDelta.objects.count(),
    "streams": lambda: JournalStream.objects.count(),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_orm_refuses_to_work_without_a_scope(query) -> None:
    with pytest.raises(NoTenantScope):
        query()


def test_a_query_built_in_a_scope_does_not_run_after_it(acme: Company) -> None:
    with acme.scope():
        lazy = Workspace.objects.all()
    with pytest.raises(NoTenantScope):
        list(lazy)


def test_a_row_that_left_its_scope_neither_reads_nor_writes(acme: Company) -> None:
    with acme.scope():
        flow = Flow.objects.create(organization=acme.organization, workspace=acme.workspace, name="etl")
        flow = Flow.objects.get(id=flow.id)
    for deed in (flow.refresh_from_db, flow.delete, flow.save, lambda: flow.workspace):
        with pytest.raises(NoTenantScope), transaction.atomic():
            deed()
    with acme.scope():
        assert Flow.objects.get().workspace == acme.workspace


def test_every_model_with_an_organization_asks_for_a_scope() -> None:
    loose = [
        model
        for model in apps.get_models()
        if any(field.column == "organization_id" for field in model._meta.concrete_fields)
        and not isinstance(model._default_manager, TenantManager)
        and not model._default_manager.__class__.__name__.startswith("Tall")
    ]
    assert loose == []


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────


def current_organization() -> str | None:
    return ask("SELECT nullif(current_setting('app.organization', true), '')")[0][0]


def test_another_organization_may_not_be_nested(acme: Company, globex: Company) -> None:
    with acme.scope():
        with pytest.raises(CrossTenantScope), globex.scope():
            pass
        with pytest.raises(CrossTenantScope), system_scope():
            pass
        assert current_organization() == str(acme.organization.id)
    with system_scope(), pytest.raises(CrossTenantScope), acme.scope():
        pass


def test_the_same_organization_may_be_nested(acme: Company) -> None:
    with acme.scope(), acme.scope():
        pass
    with acme.scope():
        with acme.scope():
            assert Workspace.objects.count() == 1
        assert Workspace.objects.count() == 1


def test_a_scope_gives_back_the_former_one(acme: Company, alice) -> None:
    with user_scope(alice.id):
        with acme.scope():
            assert current_scope().organization_id == acme.organization.id
        assert (current_scope().organization_id, current_scope().user_id) == (None, alice.id)
        assert current_organization() is None
        assert Membership.objects.filter(user_id=alice.id).count() == 1
    with pytest.raises(NoTenantScope):
        current_scope()


def test_a_failure_gives_back_the_former_scope_too(acme: Company, alice) -> None:
    with user_scope(alice.id):
        with pytest.raises(ZeroDivisionError), acme.scope():
            1 / 0  # noqa: B018
        assert current_organization() is None
        assert current_scope().user_id == alice.id
    with pytest.raises(ZeroDivisionError), system_scope():
        1 / 0  # noqa: B018
    assert ask("SELECT current_user") == [("app",)]


def test_a_person_sees_their_own_memberships_before_one_is_chosen(acme: Company, globex: Company, alice, eve) -> None:
    with user_scope(alice.id):
        assert [o.slug for o in Organization.objects.all()] == ["acme"]
        assert [m.user_id for m in Membership.objects.all()] == [alice.id]
        assert [w.organization_id for w in Workspace.objects.all()] == [acme.organization.id]
        assert Organization.objects.filter(slug="acme").update(name="Mine") == 0


@pytest.mark.django_db(transaction=True)
def test_what_happens_on_commit_happens_outside_the_scope(acme: Company) -> None:
    seen: list[object] = []

    def look() -> None:
        seen.append(current_organization())
        with pytest.raises(NoTenantScope):
            current_scope()
        with tenant_scope(acme.organization.id):
            seen.append(Workspace.objects.count())

    with acme.scope():
        transaction.on_commit(look)
    assert seen == [None, 1]


@pytest.mark.django_db(transaction=True)
def test_a_scope_ends_with_its_transaction(acme: Company) -> None:
    with acme.scope():
        assert current_organization() == str(acme.organization.id)
    assert current_organization() is None
    with system_scope():
        assert ask("SELECT current_user") == [("system",)]
    assert ask("SELECT current_user") == [("app",)]
