"""Entries that could not be taken: kept, looked at, taken later, let go."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from orchestrator.wire import encode
from runs import quarantine
from runs.models import FlowRun, JournalQuarantine, LogLine, TaskRun
from tests.cast import Api, Company
from tests.contract.journals import Journal, now

pytestmark = pytest.mark.django_db


@pytest.fixture
def journal(acme: Company, api: Api) -> Journal:
    """A local run that has begun, and of which an entry of an unknown kind is in quarantine."""
    journal = Journal(api)
    line = {"kind": "telepathy", "seq": 2, "run": str(journal.root), "t": now()}
    journal.send(journal.begin(), journal.raw(json.dumps(line).encode()))
    return journal


def kept(company: Company) -> JournalQuarantine:
    with company.scope():
        return JournalQuarantine.objects.get()


def replay(company: Company, *entries: JournalQuarantine) -> tuple[int, int]:
    with company.scope():
        return quarantine.replay(
            workspace_id=company.workspace.id, ids=[entry.id for entry in entries], by=company.actor()
        )


def test_what_a_newer_server_understands_is_taken(acme: Company, journal: Journal) -> None:
    entry = kept(acme)
    journal.send(journal.log("later"))
    journal.seq = 1
    with acme.scope():
        JournalQuarantine.objects.update(entry=encode(journal.log("said early, heard late")).decode())

    assert replay(acme, entry) == (1, 0)
    with acme.scope():
        assert not JournalQuarantine.objects.exists()
        lines = LogLine.objects.filter(root_id=journal.root).order_by("line_no")
        assert list(lines.values_list("message", flat=True)) == ["later", "said early, heard late"]
    journal.seq = 3
    assert journal.send(journal.log("on"))["acked"] == {journal.stream: 4}


def test_a_task_whose_subflow_came_late_is_taken_once(acme: Company, api: Api) -> None:
    from orchestrator.ids import uuid7

    journal, part = Journal(api), uuid7()
    journal.send(journal.begin(), journal.task(run=part))
    entry = kept(acme)
    assert entry.code == "unknown_run"
    with acme.scope():
        JournalQuarantine.objects.update(entry=encode(journal.task(run=part, seq=2)).decode())
    journal.seq -= 1
    assert replay(acme, entry) == (0, 1)
    journal.send(journal.subflow(part))
    assert replay(acme, entry) == (1, 0)
    with acme.scope():
        assert TaskRun.objects.get().run_id == part
    assert replay(acme, entry) == (0, 0)


def test_what_still_is_not_understood_stays(acme: Company, journal: Journal) -> None:
    entry = kept(acme)
    assert replay(acme, entry) == (0, 1)
    assert kept(acme).code == "unknown_kind"


@pytest.mark.parametrize("text", ["", "{", '{"kind":"log"', "[" * 9_999, '{"kind":"stream"}', '{"kind":"batch"}'])
def test_text_that_is_no_entry_stays(acme: Company, journal: Journal, text: str) -> None:
    with acme.scope():
        JournalQuarantine.objects.update(entry=text)
    assert replay(acme, kept(acme)) == (0, 1)


def test_a_final_state_is_not_changed_by_what_comes_out(acme: Company, journal: Journal) -> None:
    late = encode(journal.state("RUNNING", run_count=2)).decode()
    journal.seq -= 1
    journal.send(journal.state("COMPLETED", run_count=1))
    with acme.scope():
        JournalQuarantine.objects.update(entry=late, seq=3)
    replay(acme, kept(acme))
    with acme.scope():
        assert FlowRun.objects.get(id=journal.root).state_type == "COMPLETED"


def test_entries_are_let_go(acme: Company, journal: Journal) -> None:
    entry = kept(acme)
    with acme.scope():
        assert quarantine.drop(workspace_id=acme.workspace.id, ids=[entry.id], by=acme.actor()) == 1
        assert not JournalQuarantine.objects.exists()


def test_another_workspaces_entries_are_out_of_reach(acme: Company, globex: Company, journal: Journal) -> None:
    entry = kept(acme)
    with globex.scope():
        assert quarantine.drop(workspace_id=globex.workspace.id, ids=[entry.id], by=globex.actor()) == 0
        assert quarantine.replay(workspace_id=acme.workspace.id, ids=[entry.id], by=globex.actor()) == (0, 0)
    assert kept(acme) == entry


@pytest.mark.django_db(transaction=True)
def test_the_command(acme: Company, journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("quarantine", "acme/main")
    assert "telepathy" in capsys.readouterr().out
    call_command("quarantine", "acme/main", "--replay")
    assert "0 entries were taken, 1 stay." in capsys.readouterr().out
    call_command("quarantine", "acme/main", "--code", "data", "--drop")
    assert "0 entries are gone." in capsys.readouterr().out
    call_command("quarantine", "acme/main", "--drop")
    call_command("quarantine", "acme/main")
    assert "Nothing is in quarantine." in capsys.readouterr().out
    with pytest.raises(CommandError, match="no workspace acme/nowhere"):
        call_command("quarantine", "acme/nowhere")
