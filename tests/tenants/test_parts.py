"""A workspace's owners give members of the organization a part in it, and take it."""

from __future__ import annotations

from typing import Any

import pytest

from tenants.access import workspaces_of
from tenants.models import AuditEntry, WorkspaceMembership
from tests.cast import Company

pytestmark = pytest.mark.django_db

SETTINGS = "/o/acme/main/settings"


@pytest.fixture
def owner_here(acme: Company, bob: Any) -> Any:
    """Bob owns the workspace, and is a mere member of the organization."""
    with acme.scope():
        WorkspaceMembership.objects.filter(user=bob).update(role="owner")
    return bob


def role_of(acme: Company, user: Any) -> str | None:
    with acme.scope():
        return WorkspaceMembership.objects.filter(user=user).values_list("role", flat=True).first()


def assign(client: Any, email: str, role: str) -> Any:
    return client.post(f"{SETTINGS}/people", {"email": email, "role": role})


def test_a_workspaces_owner_gives_and_takes_parts(acme: Company, owner_here: Any, vera: Any, browse: Any) -> None:
    page = browse(owner_here)
    assert "vera@acme.example" in page.get(SETTINGS).content.decode()
    assert assign(page, " Vera@acme.example ", "developer").status_code == 302
    assert role_of(acme, vera) == "developer"
    assert assign(page, "vera@acme.example", "developer").status_code == 302
    assert assign(page, "vera@acme.example", "").status_code == 302
    assert role_of(acme, vera) is None
    assert workspaces_of(vera.id) == []
    with acme.scope():
        told = AuditEntry.objects.filter(action="person.workspace_role_changed").order_by("at", "id")
        assert [entry.details for entry in told] == [
            {"from": "viewer", "to": "developer"}, {"from": "developer", "to": None},
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("email", "role", "told"),
    [
        ("eve@globex.example", "viewer", "Only members of the organization"),
        ("nobody@acme.example", "viewer", "Only members of the organization"),
        ("vera@acme.example", "agent", "One of owner, developer, runner, viewer."),
        ("vera@acme.example", "god", "One of owner, developer, runner, viewer."),
    ],
)
def test_what_cannot_be_given_is_told_beside_the_field(
    acme: Company, globex: Company, owner_here: Any, vera: Any, browse: Any, email: str, role: str, told: str
) -> None:
    answer = assign(browse(owner_here), email, role)
    assert answer.status_code == 400
    assert told in answer.content.decode()
    assert role_of(acme, vera) == "viewer"


def test_others_may_not(acme: Company, bob: Any, vera: Any, browse: Any) -> None:
    assert assign(browse(bob), "bob@acme.example", "owner").status_code == 403
    assert role_of(acme, bob) == "runner"
