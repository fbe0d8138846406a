"""What a query meets that gets past the ORM: row-level security, in the role that serves requests."""

from __future__ import annotations

import os
from contextlib import closing

import psycopg
import pytest
from django.db import DatabaseError, transaction
from django.db.utils import ProgrammingError

from blocks.models import Variable
from orchestrator.ids import uuid7
from runs.models import Flow, FlowRun
from runs.partitions import TALL_TABLES
from tenants.scope import system_scope
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.sql import ask

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(api: Api) -> Journal:
    """A run of Acme with a row in every tall table."""
    journal = Journal(api)
    journal.send(journal.begin(), journal.log(), journal.task())
    return journal


@pytest.mark.parametrize("table", ["flow_run", "flow", "api_key", "lease", "organization", "workspace", *TALL_TABLES])
def test_raw_sql_without_a_scope_sees_no_row(told: Journal, table: str) -> None:
    assert ask(f"SELECT count(*) FROM {table}") == [(0,)]


def test_raw_sql_in_a_scope_sees_the_tenants_rows_only(acme: Company, globex: Company, told: Journal) -> None:
    for company, seen in ((acme, 1), (globex, 0)):
        with company.scope():
            for table in ("flow_run", "lease", "task_run", "log_line", "usage_delta"):
                assert ask(f"SELECT count(*) FROM {table}") == [(seen,)], (company.organization.name, table)


@pytest.mark.parametrize("statement", ["SELECT count(*) FROM {}", "DELETE FROM {}", "UPDATE {} SET bucket = now()"])
def test_a_partition_is_closed_also_to_its_own_tenant(acme: Company, told: Journal, statement: str) -> None:
    with acme.scope():
        run = FlowRun.objects.get()
        for table in TALL_TABLES:
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                ask(statement.format(f"{table}_r{run.retention}_{run.bucket:%Y%m%d}"))


def test_system_sees_all_tenants_but_not_through_partitions(acme: Company, globex: Company, told: Journal) -> None:
    with system_scope():
        assert ask("SELECT count(*) FROM organization") == [(2,)]
        assert ask("SELECT count(*) FROM log_line") == [(1,)]
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            ask(f"SELECT count(*) FROM log_line_r30_{FlowRun.objects.get().bucket:%Y%m%d}")
    assert ask("SELECT count(*) FROM organization") == [(0,)]


def test_nothing_is_written_into_another_organization(acme: Company, globex: Company) -> None:
    foreign = {"organization_id": globex.organization.id, "workspace_id": globex.workspace.id}
    with acme.scope():
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Flow.objects.create(**foreign, name="theirs")
        own = Flow.objects.create(organization=acme.organization, workspace=acme.workspace, name="ours")
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Flow.objects.filter(id=own.id).update(organization_id=globex.organization.id)
        assert Flow.objects.filter(organization_id=globex.organization.id).update(name="x") == 0


def test_a_foreign_key_reaches_no_other_organization(acme: Company, globex: Company) -> None:
    """The plain kind would say that the row exists; this one answers as for an id that nobody has."""
    answers = []
    for id in (globex.workspace.id, uuid7()):
        with acme.scope(), pytest.raises(DatabaseError) as caught, transaction.atomic():
            Variable.objects.create(organization=acme.organization, workspace_id=id, name="x", value=1)
        answers.append(str(caught.value).replace(str(id), "…"))
    assert answers[0] == answers[1]


def test_no_scope_also_for_a_connection_that_had_one(acme: Company, told: Journal) -> None:
    """PostgreSQL gives back an empty text, not null, for a setting of a former transaction."""
    with acme.scope():
        assert ask("SELECT current_setting('app.organization')") == [(str(acme.organization.id),)]
    assert ask("SELECT nullif(current_setting('app.organization', true), '')") == [(None,)]
    assert ask("SELECT count(*) FROM flow_run") == [(0,)]


def test_the_web_login_opens_no_system_scope() -> None:
    with closing(psycopg.connect(os.environ["DATABASE_URL"], options="-c role=app")) as web:
        assert web.execute("SELECT count(*) FROM organization").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), web.transaction():
            web.execute("SET LOCAL ROLE system")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), web.transaction():
            web.execute("SET LOCAL ROLE owner")
