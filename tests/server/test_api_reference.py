"""7.4: people read the API's description by subject."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from orchestrator.server.api_docs import TYPES


@pytest.fixture(scope="module")
def overview() -> str:
    return Client().get("/api/docs").content.decode()


def test_each_operation_is_told_of_once(overview: str) -> None:
    from orchestrator.server.openapi import description

    told = re.findall(r'href="/api/docs/[a-z-]+#(\w+)"', overview)
    ids = [operation["operationId"] for each in description()["paths"].values() for operation in each.values()]
    assert sorted(told) == sorted(ids)


def test_each_link_leads_somewhere(overview: str) -> None:
    pages = sorted(set(re.findall(r'href="(/api/docs/[a-z-]+)"', overview)))
    assert "/api/docs/flow-runs" in pages
    for page in pages:
        text = Client().get(page).content.decode()
        here = set(re.findall(r' id="(\w+)"', text))
        assert set(re.findall(r'href="#(\w+)"', text)) - {"main"} <= here, page


def test_a_subject_shows_what_is_taken_and_answered() -> None:
    text = Client().get("/api/docs/flow-runs").content.decode()
    assert 'Takes <a class="link" href="#RunInput">' in text
    assert '<span class="mono strong">idempotency_key</span>' in text
    assert "<code>conflict</code>" in text
    assert Client().get("/api/docs/nothing").status_code == 404
    assert all(form in Client().get("/api/docs").content.decode() for form in TYPES)
