"""4.2, 4.10: an owner takes along all that the organization has, and nothing that opens anything."""

from __future__ import annotations

import hashlib
import io
import json
import tracemalloc
import zipfile
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

import pytest
from django.utils.timezone import now

from orchestrator.ids import uuid7
from runs.models import FlowRun, TaskRun
from runs.takeaway import RUNS
from tenants import tasks
from tenants.access import organization_actor
from tenants.errors import Conflict, Forbidden, TooLarge
from tenants.leaving import archive, exports
from tenants.leaving.models import Departure, Export, ExportChunk
from tenants.leaving.tables import tables
from tenants.models import AuditEntry
from tenants.scope import NoTenantScope, system_scope
from tenants.views import exports as views
from tests.cast import Company
from tests.server.things_of_acme import BUNDLE
from tests.sql import ask as sql
from tests.tenants.rows import fill

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nobody_else_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_given_out", BoundedSemaphore(2))


def ask(company: Company) -> Export:
    with company.scope():
        by = organization_actor(company.owner.id, company.organization.slug)
        return exports.ask(organization=company.organization, email=company.owner.email, by=by)


def made(company: Company) -> Export:
    asked = ask(company)
    assert exports.make(company.organization.id, asked.id)
    return row(company, asked)


def row(company: Company, export: Export) -> Export:
    with company.scope():
        return Export.objects.get(id=export.id)


def content(export: Export) -> bytes:
    with pytest.raises(NoTenantScope):
        Export.objects.all()
    return b"".join(exports.pieces(export))


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as zip:
        assert zip.testzip() is None
        return {name: zip.read(name) for name in zip.namelist()}


def rows(found: dict[str, bytes], name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found[f"{name}.jsonl"].splitlines()]


@pytest.fixture
def full(acme: Company, things: dict) -> Company:
    """Acme, with a row in every table, and no export under way."""
    fill(acme)
    with acme.scope():
        Export.objects.filter(ready_at=None).delete()
        Departure.objects.all().delete()
    return acme


def test_each_table_is_in_it_with_all_of_its_rows(full: Company, globex: Company) -> None:
    """4.2: by the catalogue; what is left out is named, and rows of others are nowhere."""
    fill(globex)
    with full.scope():
        counts = {name: sql(f"SELECT count(*) FROM {name}")[0][0] for name in tables()}

    export = made(full)

    found = files(content(export))
    wanted = {*tables()} - archive.LEFT_OUT
    assert {name.removesuffix(".jsonl") for name in found if name.endswith(".jsonl")} == {
        *wanted, "people", "organization",
    }  # fmt: skip
    told = {name: len(rows(found, name)) for name in wanted}
    # The request for this very export is in the trail.
    assert told == {name: counts[name] + (name == "audit_entry") for name in wanted}
    assert export.counts == json.loads(found["counts.json"])
    assert [each["id"] for each in rows(found, "organization")] == [str(full.organization.id)]
    everything = b"".join(found.values())
    assert str(globex.organization.id).encode() not in everything
    assert str(globex.owner.id).encode() not in everything


def test_it_holds_no_secret_and_no_hash(full: Company) -> None:
    found = files(content(made(full)))
    everything = b"".join(found.values())
    with full.scope():
        hashes = [bytes(hash).hex() for (hash,) in sql("SELECT hash FROM api_key UNION SELECT hash FROM invitation")]
    assert hashes
    for word in ["open sesame", "sealed", "wrapped", "token_hash", *hashes]:
        assert word.encode() not in everything, word
    assert {"$secret": True} in [version["data"].get("value") for version in rows(found, "block_version")]
    assert "hash" not in rows(found, "api_key")[0]
    assert {"alice@acme.example"} == {person["email"] for person in rows(found, "people")}


def test_code_and_logs_are_there(full: Company) -> None:
    found = files(content(made(full)))
    assert found[f"bundles/{hashlib.sha256(BUNDLE).hexdigest()}.zip"] == BUNDLE
    assert "what acme logs" in [line["message"] for line in rows(found, "log_line")]
    assert {run["name"] for run in rows(found, "flow_run")}
    tasks = rows(found, "task_run")
    assert tasks
    assert {task["run_id"] for task in tasks} <= {run["id"] for run in rows(found, "flow_run")}


# ── asked for, made, told of ─────────────────────────────────────────────────────────────────────


def test_owners_ask_and_are_told(acme: Company, alice: Any, browse: Any, mailoutbox: list) -> None:
    client = browse(alice)
    assert client.post("/o/acme/settings/export").status_code == 302
    assert "Being made" in client.get("/o/acme/settings").content.decode()
    with system_scope():
        [(organization_id, id)] = exports.due(now())
    tasks.make_export(str(organization_id), str(id))
    tasks.deliver_messages(str(organization_id))
    [told] = mailoutbox
    assert (told.to, told.subject) == (["alice@acme.example"], "The export of Acme is ready")
    assert "/o/acme/settings#export" in told.body
    with acme.scope():
        actions = list(AuditEntry.objects.filter(action__startswith="export.").values_list("action", flat=True))
    assert sorted(actions) == ["export.ready", "export.requested"]


def test_owners_fetch_it_for_a_week(acme: Company, alice: Any, browse: Any) -> None:
    export, client = made(acme), browse(alice)
    address = f"/o/acme/settings/export/{export.id}.zip"
    assert address in client.get("/o/acme/settings").content.decode()

    answer = client.get(address)

    data = b"".join(answer.streaming_content)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (export.size, export.sha256)
    assert answer.headers["Content-Length"] == str(export.size)
    assert "attachment" in answer.headers["Content-Disposition"]
    with acme.scope():
        assert AuditEntry.objects.filter(action="export.downloaded", user_id=alice.id).count() == 1
        Export.objects.update(ready_at=now() - exports.KEPT)
    assert client.get(address).status_code == 404
    tasks.forget_exports()
    with acme.scope():
        assert not ExportChunk.objects.exists()
        assert not Export.objects.exists()


def test_two_are_given_out_at_once(acme: Company, alice: Any, browse: Any) -> None:
    address, client = f"/o/acme/settings/export/{made(acme).id}.zip", browse(alice)
    slow = [client.get(address) for _ in range(2)]
    assert client.get(address).status_code == 503
    for answer in slow:  # Read to its end it is closed, as it is when the reader leaves.
        assert len(b"".join(answer.streaming_content)) == int(answer.headers["Content-Length"])
    again = client.get(address)
    assert again.status_code == 200
    assert b"".join(again.streaming_content)


def test_others_neither_ask_nor_fetch(acme: Company, bob: Any, browse: Any) -> None:
    from tenants.models import Membership

    export = made(acme)
    for role in ("member", "admin", "billing"):
        with acme.scope():
            Membership.objects.filter(user=bob).update(role=role)
        client = browse(bob)
        assert client.post("/o/acme/settings/export").status_code == 403
        assert client.get(f"/o/acme/settings/export/{export.id}.zip").status_code == 403
        assert str(export.id) not in client.get("/o/acme/settings").content.decode()
    with acme.scope(), pytest.raises(Forbidden):
        exports.ask(organization=acme.organization, email="b@acme.example", by=organization_actor(bob.id, "acme"))


def test_one_is_made_at_a_time_and_the_newest_is_kept(acme: Company) -> None:
    first = made(acme)
    second = ask(acme)
    with pytest.raises(Conflict):
        ask(acme)
    assert exports.make(acme.organization.id, second.id)
    with acme.scope():
        assert [each.id for each in exports.shown()] == [second.id]
        assert not ExportChunk.objects.filter(export_id=first.id).exists()


# ── what can go wrong ────────────────────────────────────────────────────────────────────────────


def test_a_worker_that_died_is_followed_by_another(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, end = ask(acme), exports._end
    monkeypatch.setattr(archive, "PIECE", 200)

    def die(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(exports, "_end", die)
    with pytest.raises(MemoryError):
        exports.make(acme.organization.id, asked.id)
    monkeypatch.setattr(exports, "_end", end)
    with system_scope():
        assert exports.due(now()) == []  # Its claim still holds.
        assert len(exports.due(now() + exports.CLAIM)) == 1
    with acme.scope():
        assert ExportChunk.objects.count() > 2
        Export.objects.update(claimed_until=now() - timedelta(seconds=1))
    assert exports.make(acme.organization.id, asked.id)
    found = content(row(acme, asked))
    assert hashlib.sha256(found).hexdigest() == row(acme, asked).sha256


def test_it_is_given_up_after_three_workers(acme: Company, mailoutbox: list) -> None:
    asked = ask(acme)
    with acme.scope():
        Export.objects.update(tries=exports.MAX_TRIES)
    assert not exports.make(acme.organization.id, asked.id)
    assert row(acme, asked).failed_at
    tasks.deliver_messages(str(acme.organization.id))
    assert mailoutbox[0].subject == "The export of Acme failed"


def test_a_worker_whose_claim_ran_out_ends_nobody_elses(
    acme: Company, mailoutbox: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(acme)

    def outrun(organization_id: UUID, pieces: Any) -> dict[str, int]:
        with acme.scope():  # Another worker has begun anew meanwhile.
            Export.objects.update(tries=2)
            ExportChunk.objects.create(organization=acme.organization, export_id=asked.id, number=0, content=b"PK")
        raise TooLarge("The export is larger than it may be.")

    monkeypatch.setattr(archive, "write", outrun)
    assert not exports.make(acme.organization.id, asked.id)
    assert row(acme, asked).failed_at is None
    with acme.scope():
        assert ExportChunk.objects.count() == 1
    tasks.deliver_messages(str(acme.organization.id))
    assert mailoutbox == []


def test_what_is_too_large_fails_and_leaves_nothing(
    acme: Company, alice: Any, browse: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXPORT_MAX_BYTES = 1_000
    monkeypatch.setattr(archive, "PIECE", 200)
    asked = ask(acme)
    assert not exports.make(acme.organization.id, asked.id)
    assert "larger than the 1,000 bytes" in row(acme, asked).error
    assert "larger than the 1,000 bytes" in browse(alice).get("/o/acme/settings").content.decode()
    with acme.scope():
        assert not ExportChunk.objects.exists()


def test_many_rows_are_read_a_few_at_a_time(full: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    """4.2: what lies in memory does not grow with the runs and their lines."""
    with full.scope():
        run = FlowRun.objects.order_by("id").first()
        sql_many(run, 12_000)
        copies = [FlowRun(**{**vars_of(run), "id": (id := uuid7()), "root_id": id}) for _ in range(RUNS + 50)]
        FlowRun.objects.bulk_create(copies)
        assert TaskRun.objects.count() > 12_000
    asked = ask(full)
    tracemalloc.start()
    try:
        assert exports.make(full.organization.id, asked.id)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    found = files(content(row(full, asked)))
    assert len(rows(found, "task_run")) > 12_000
    assert len(rows(found, "flow_run")) > RUNS + 50
    assert peak < len(found["task_run.jsonl"])


def vars_of(run: FlowRun) -> dict[str, Any]:
    return {field.attname: getattr(run, field.attname) for field in FlowRun._meta.concrete_fields}


def sql_many(run: FlowRun, number: int) -> None:
    """Task runs of a run, past the journal."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO task_run (retention, bucket, organization_id, attempt, run_count, rank, run_id, id, seq,"
            " state_type, task, label) SELECT %s, %s, %s, 1, 1, 1, %s, gen_random_uuid(), n, 'COMPLETED', 'load',"
            " repeat('a label that fills the line ', 6) FROM generate_series(1, %s) n",
            [run.retention, run.bucket, run.organization_id, run.id, number],
        )
