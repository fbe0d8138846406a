"""6.1: the meters beside those of runs: calls of the API, storage, seats."""

from __future__ import annotations

import os
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from orchestrator.ids import uuid7
from runs import tasks
from runs.messenger import messenger
from runs.models import Artifact, Bundle, StoredResult
from runs.usage import api_calls, seats, storage
from runs.usage.api_calls import CALLS, TAKEN, Calls, CountCalls
from runs.usage.rollup import roll_up
from tenants.billing.models import MeterDay, UsageDay
from tenants.models import Membership, User
from tenants.permissions import Actor
from tenants.scope import system_scope
from tests.cast import Api, Company, found_company, person
from tests.contract.journals import Journal
from tests.runs.work import moment

pytestmark = pytest.mark.django_db
ANYWHERE = uuid7()


def measured(company: Company, meter: str) -> dict[tuple[UUID | None, str], int]:
    """Amounts by workspace and kind, of all days."""
    with company.scope():
        rows = MeterDay.objects.filter(meter=meter).order_by("day")
        return {(row.workspace_id, row.kind): row.amount for row in rows}


# ── calls of the API ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def counted(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """This process's counts, from nothing."""
    found = Calls()
    monkeypatch.setattr(api_calls, "calls", found)
    return found


def actor(company: Company, kind: str = "key", role: str = "developer", **more: Any) -> Actor:
    return Actor(kind, company.organization.id, company.workspace.id, role, "x", **more)


def add_up(calls: Calls) -> int:
    calls.send()
    assert messenger.flush()
    return api_calls.add_up(moment())


def test_calls_are_counted_by_workspace_and_kind_of_credential(acme: Company, globex: Company, counted: Calls) -> None:
    """6.1: once each, whichever process counted them, on the day."""
    another = Calls()
    for _ in range(3):
        counted.count(actor(acme))
    counted.count(actor(acme, user_id=ANYWHERE))
    counted.count(actor(globex, role="agent"))
    another.count(actor(acme))
    another.count(actor(acme, kind="run", role="run", run_id=ANYWHERE))
    another.send()
    assert add_up(counted) == 7
    own = acme.workspace.id
    assert measured(acme, "api_calls") == {(own, "service"): 4, (own, "personal"): 1, (own, "run"): 1}
    assert measured(globex, "api_calls") == {(globex.workspace.id, "agent"): 1}
    assert add_up(counted) == 0
    counted.count(actor(acme))
    assert add_up(counted) == 1
    assert measured(acme, "api_calls")[own, "service"] == 5


def test_a_call_costs_no_query_and_no_message_of_its_own(
    acme: Company, counted: Calls, valkey: Any, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        for _ in range(100):
            counted.count(actor(acme))
    assert messenger.flush()
    assert valkey.exists(CALLS) == 0


def test_only_calls_with_a_good_credential_are_counted(acme: Company, counted: Calls) -> None:
    """6.1: the middleware counts whatever the answer is, and nothing of strangers."""
    for auth in (actor(acme), None, "stranger"):
        request: Any = SimpleNamespace(auth=auth) if auth else SimpleNamespace()
        assert CountCalls(lambda asked: asked)(request) is request
    assert add_up(counted) == 1


def test_the_api_counts_what_it_serves(acme: Company, counted: Calls, settings: Any) -> None:
    """6.1: with the middleware that the API's handler has."""
    settings.MIDDLEWARE = settings.API_MIDDLEWARE
    assert Api(acme.key("ci")).get("/flow-runs").status_code == 200
    assert Api(acme.key("agent", role="agent")).get("/variables/none").status_code == 403
    assert Api("orc_nobody").get("/flow-runs").status_code == 401
    assert add_up(counted) == 2
    assert measured(acme, "api_calls") == {(acme.workspace.id, "service"): 1, (acme.workspace.id, "agent"): 1}


def test_what_a_tick_that_failed_has_put_aside_comes_next(acme: Company, counted: Calls, valkey: Any) -> None:
    field = f"{acme.organization.id}|{acme.workspace.id}|run"
    valkey.hset(TAKEN, field, 5)
    valkey.hset(CALLS, field, 2)
    assert [api_calls.add_up(moment()) for _ in range(3)] == [5, 2, 0]
    assert measured(acme, "api_calls") == {(acme.workspace.id, "run"): 7}


def test_calls_of_an_organization_that_is_gone_keep_nobody_elses(acme: Company, counted: Calls, valkey: Any) -> None:
    valkey.hset(CALLS, f"{uuid7()}||run", 5)
    counted.count(actor(acme))
    add_up(counted)
    assert list(measured(acme, "api_calls").values()) == [1]


def test_a_forked_process_counts_from_nothing(acme: Company, counted: Calls, valkey: Any) -> None:
    counted.count(actor(acme))
    child = os.fork()
    if not child:
        os._exit(int(bool(counted._counted) or counted._timer is not None))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert add_up(counted) == 1


# ── storage ──────────────────────────────────────────────────────────────────────────────────────


def now_kept(company: Company) -> dict[tuple[UUID | None, str], int]:
    with company.scope():
        return storage.measure()


def test_storage_is_what_is_kept_by_workspace_and_kind(acme: Company, globex: Company, api: Api) -> None:
    """6.1: log messages, artifacts, values, blocks and code; another organization's are its own."""
    from blocks.models import Block, BlockVersion

    journal = Journal(api)
    journal.send(journal.begin(), journal.log("häuser"))
    roll_up()
    own = {"organization": acme.organization}
    with acme.scope():
        table = {"run_id": journal.root, "type": "table", "data": [1] * 50, "keep_until": date(2030, 1, 1)}
        Artifact.objects.create(**own, workspace=acme.workspace, **table)
        StoredResult.objects.create(
            **own, workspace=acme.workspace, key="x", size=9, content=b"x", keep_until=date(2030, 1, 1)
        )
        Bundle.objects.create(**own, sha256="a" * 64, size=700, content=b"x")
        block = Block.objects.create(**own, workspace=acme.workspace, type="json", name="b")
        for number in (1, 2):
            BlockVersion.objects.create(**own, block=block, number=number, data={}, size=30)
    kept = now_kept(acme)
    place = acme.workspace.id
    assert (kept[place, "logs"], kept[None, "code"], kept[place, "blocks"]) == (7, 700, 60)
    assert (kept[place, "artifacts"] > 50, kept[place, "results"]) == (True, 9)
    assert now_kept(globex) == {(None, "code"): 0}


def test_log_messages_whose_partition_is_gone_take_no_room(acme: Company) -> None:
    for days, bucket in ((30, moment().date()), (30, date(2020, 1, 1)), (7, moment().date())):
        with acme.scope():
            UsageDay.objects.create(organization=acme.organization, day=bucket, workspace_id=acme.workspace.id,
                                    retention=days, bucket=bucket, log_bytes=10)  # fmt: skip
    assert now_kept(acme)[acme.workspace.id, "logs"] == 20


def test_each_organization_is_measured_once_a_day(
    acme: Company, globex: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.1: an empty one, too, so that nobody is asked again and again; measured again, the day is written anew."""
    asked: list[str] = []
    monkeypatch.setattr(tasks.measure_storage, "apply_async", lambda args, **_: asked.extend(args))
    tasks.find_storage_to_measure()
    assert set(asked) == {str(acme.organization.id), str(globex.organization.id)}
    for id in asked:
        tasks.measure_storage(id)
    asked.clear()
    tasks.find_storage_to_measure()
    assert (asked, measured(acme, "storage")) == ([], {(None, "code"): 0})
    with acme.scope():
        Bundle.objects.create(organization=acme.organization, sha256="b" * 64, size=9, content=b"x")
    tasks.measure_storage(str(acme.organization.id))
    assert measured(acme, "storage") == {(None, "code"): 9}
    with system_scope():
        tomorrow = (moment() + timedelta(days=1)).date()
        assert acme.organization.id in storage.due(tomorrow)


@examples(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(told=st.lists(st.tuples(st.text(min_size=1, max_size=20), st.booleans()), max_size=6))
def test_log_bytes_kept_equal_the_rows(told: list[tuple[str, bool]]) -> None:
    """6.1: what days add up to is what the messages in the partitions are."""
    from tests.sql import ask

    company = found_company("Acme", f"{uuid7()}@acme.example")
    api = Api(company.key("ci"))
    journal = Journal(api)
    journal.send(journal.begin())
    for text, rolls in told:
        journal.send(journal.log(text))
        if rolls:
            roll_up()
    roll_up()
    with company.scope():
        [(rows,)] = ask("SELECT coalesce(sum(octet_length(message)), 0) FROM log_line")
    assert now_kept(company).get((company.workspace.id, "logs"), 0) == rows


# ── seats ────────────────────────────────────────────────────────────────────────────────────────


def people(company: Company, today: date) -> list[int]:
    with system_scope():
        seats.note(today)
    with company.scope():
        return list(MeterDay.objects.filter(meter="seats").order_by("day").values_list("amount", flat=True))


def test_seats_are_the_most_people_of_a_day(acme: Company, globex: Company) -> None:
    """6.1: who comes and goes on a day counts; who is shut out doesn't."""
    today = moment().date()
    assert people(acme, today) == [1]
    with acme.scope():
        for name in ("bob", "carol"):
            Membership.objects.create(organization=acme.organization, user=person(f"{name}@acme.example"))
    assert people(acme, today) == [3]
    User.objects.filter(email="carol@acme.example").update(is_active=False)
    with acme.scope():
        Membership.objects.filter(user__email="bob@acme.example").delete()
    assert people(acme, today) == [3]
    assert people(acme, today + timedelta(days=1)) == [3, 1]
    assert people(globex, today) == [1, 1]
