"""What a person changes of their account is in the trail of each of their organizations, and of no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from tenants.models import AuditEntry, Membership
from tests.cast import PASSWORD, Company
from tests.tenants.test_second_factor import code_of

pytestmark = pytest.mark.django_db
NEW = "another horse battery"
Commits = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def client(alice: Any, globex: Company) -> Client:
    """The browser of Alice, who is a member of Globex too and has just said who she is."""
    with globex.scope():
        Membership.objects.create(organization=globex.organization, user=alice, role="member")
    client = Client()
    client.post("/login/", {"login": alice.email, "password": PASSWORD})
    client.post("/reauthenticate/", {"password": PASSWORD})
    return client


@pytest.fixture
def told(acme: Company, globex: Company) -> Callable[[], list[tuple[str, dict]]]:
    """What the trails tell of accounts: the same in both organizations."""

    def read() -> list[tuple[str, dict]]:
        both = [list(_of(company)) for company in (acme, globex)]
        assert both[0] == both[1]
        return both[0]

    return read


def _of(company: Company) -> Iterator[tuple[str, dict]]:
    with company.scope():
        for entry in AuditEntry.objects.filter(action__startswith="account.").order_by("at", "id"):
            assert (entry.actor_kind, entry.object_type) == ("user", "person")
            assert entry.user_id == entry.object_id
            yield entry.action, entry.details


def test_a_new_password(client: Client, told: Callable[[], list]) -> None:
    typed = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert client.post("/password/change/", typed | {"oldpassword": "wrong"}).status_code == 200
    assert told() == []
    assert client.post("/password/change/", typed).headers["Location"] == "/account"
    assert told() == [("account.password_changed", {})]


def test_a_second_factor_comes_and_goes(
    client: Client, told: Callable[[], list], django_capture_on_commit_callbacks: Commits
) -> None:
    secret = client.get("/second-factor/totp/activate/").context["form"].secret
    for path, typed in (
        ("totp/activate/", {"code": code_of(secret)}), ("recovery-codes/generate/", {}), ("totp/deactivate/", {}),
    ):  # fmt: skip
        with django_capture_on_commit_callbacks(execute=True):
            assert client.post(f"/second-factor/{path}", typed).status_code == 302
    assert sorted(told()[:2]) == [
        ("account.recovery_codes_made", {}), ("account.second_factor_added", {"type": "totp"}),
    ]  # fmt: skip
    assert told()[2:] == [("account.recovery_codes_made", {}), ("account.second_factor_removed", {"type": "totp"})]
    assert secret not in str(told())


def test_name_and_address(alice: Any, client: Client, told: Callable[[], list]) -> None:
    for name in ("Alice Adams", "Alice Adams"):  # The same again is no change.
        client.post("/account", {"name": name})
    own, other = "alice@acme.example", "alice@home.example"
    EmailAddress.objects.create(user=alice, email=own, primary=True, verified=True)
    client.post("/email/", {"action_add": "", "email": other})
    EmailAddress.objects.filter(email=other).update(verified=True)
    client.post("/email/", {"action_primary": "", "email": other})
    client.post("/email/", {"action_remove": "", "email": own})
    assert told() == [
        ("account.renamed", {"former": "", "name": "Alice Adams"}),
        ("account.email_added", {"email": other}),
        ("account.email_changed", {"former": own, "email": other}),
        ("account.email_removed", {"email": own}),
    ]
