"""Acme logs in by a provider of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cast import Company


@pytest.fixture
def idp() -> Iterator[Any]:
    from tests.tenants.sso.provider import serving

    with serving() as running:
        yield running


@pytest.fixture
def provider(acme: Company, idp: Any) -> Any:
    """Acme's log-in is open to people of acme.example."""
    from tests.tenants.sso.setup import connect

    return connect(acme, idp, "acme.example")


@pytest.fixture
def door(acme: Company) -> str:
    return f"/sso/{acme.organization.id}"
