"""1.14: the pages of a run and of a task run say where a value is, and never load it."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.ids import uuid7
from orchestrator.wire import ResultRef
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.pages import page

pytestmark = pytest.mark.django_db

REF = ResultRef(
    url="s3://bucket/results/abc?token=geheim", key="abc", serializer="pickle", size=12_000_000,
    expires=1_900_000_000_000_000,
)  # fmt: skip


@pytest.fixture
def journal(api: Api) -> Journal:
    return Journal(api)


def test_a_task_run_shows_where_its_value_is(acme: Company, journal: Journal, alice: Any, browse: Any) -> None:
    """1.14: with size, serializer and expiry, without what may be a secret."""
    id = uuid7()
    journal.send(journal.begin(), journal.task(id=id, result=REF))
    told = page(acme, browse(alice), f"runs/{journal.root}/_tasks/{id}")

    assert "s3://bucket/results/abc?token=********" in told
    assert "geheim" not in told
    assert "stored, 11 MiB, pickle, expires" in told


def test_a_run_shows_where_its_value_is(acme: Company, journal: Journal, alice: Any, browse: Any) -> None:
    """1.14: one that has expired says so; where nothing was stored, nothing is said."""
    journal.send(journal.begin())
    assert "stored" not in page(acme, browse(alice), f"runs/{journal.root}/_run")
    journal.send(journal.state("COMPLETED", result=ResultRef(url="server:runs/x", expires=1_000_000)))
    told = page(acme, browse(alice), f"runs/{journal.root}/_run")

    assert "server:runs/x" in told
    assert "stored, expired" in told
