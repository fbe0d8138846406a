"""An organization that demands its own log-in: who may enter by which session."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from tenants.models import AuditEntry, SsoProvider
from tenants.sso import providers, sessions
from tests.cast import Api, Company
from tests.tenants.sso.provider import Idp, leave
from tests.tenants.sso.setup import owner_of

pytestmark = pytest.mark.django_db
PAGES = ["/o/acme/main/", "/o/acme/main/runs", "/o/acme/audit", "/o/acme/sso"]


@pytest.fixture
def demanded(acme: Company, provider: Any) -> None:
    """Acme demands its log-in."""
    by = owner_of(acme)
    with acme.scope():
        providers.note_test(by=by)
        providers.switch(enabled=True, required=True, by=by)


def by_password(user: Any) -> Client:
    client = Client()
    response = client.post("/login/", {"login": user.email, "password": "correct horse battery"})
    assert response.status_code == 302
    return client


def by_sso(idp: Idp, door: str, email: str, client: Client | None = None) -> Client:
    client = client or Client()
    idp.said = {"email": email, "sub": email}
    asked = leave(client, idp, f"{door}/login")
    assert client.get(f"{door}/callback", {"code": "c0de", "state": asked["state"]}).status_code == 302
    return client


def test_a_member_is_sent_to_the_provider(
    acme: Company, bob: Any, browse: Any, idp: Idp, door: str, demanded: None
) -> None:
    client = browse(bob)
    for path in ("/o/acme/main/", "/o/acme/main/runs?flow=x"):
        response = client.get(path)
        assert response.status_code == 403
        ahead = f'content="0;url={door}/login?next={quote(path, safe="")}"'
        assert ahead in response.content.decode()
    form = client.post("/o/acme/main/variables/new", {"name": "x", "value": "1"})
    assert form.status_code == 403
    assert "asks for its own log-in" in form.content.decode()
    assert "Break the glass" not in form.content.decode()
    by_sso(idp, door, "bob@acme.example", client)
    assert client.get("/o/acme/main/").status_code == 200


def test_the_mark_is_the_persons_own(acme: Company, bob: Any, vera: Any, idp: Idp, door: str, demanded: None) -> None:
    """Who signs in after them in the same browser came by a password."""
    client = by_sso(idp, door, "bob@acme.example")
    mark = client.session[sessions.CAME]
    client.force_login(vera)
    session = client.session
    session[sessions.CAME] = mark
    session.save()
    assert client.get("/o/acme/main/").status_code == 403


def test_the_mark_counts_for_its_organization_and_a_day(
    acme: Company, globex: Company, bob: Any, idp: Idp, door: str, demanded: None, monkeypatch: Any
) -> None:
    client = by_sso(idp, door, "bob@acme.example")
    later = sessions.time.time() + sessions.CAME_SECONDS + 1
    assert client.get("/o/acme/main/").status_code == 200
    monkeypatch.setattr(sessions.time, "time", lambda: later)
    assert client.get("/o/acme/main/").status_code == 403


def test_an_owner_breaks_the_glass_by_password(acme: Company, alice: Any, idp: Idp, door: str, demanded: None) -> None:
    client = by_password(alice)
    for path in PAGES:
        response = client.get(path)
        assert response.status_code == 403
        assert "Break the glass" in response.content.decode()
    response = client.post(f"{door}/break-glass", {"next": "/o/acme/sso"})
    assert response.headers["Location"] == "/o/acme/sso"
    assert [client.get(path).status_code for path in PAGES] == [200] * 4
    with acme.scope():
        entry = AuditEntry.objects.get(action="sso.break_glass")
        assert entry.actor == alice.email


def test_the_glass_is_whole_again_after_an_hour(
    acme: Company, alice: Any, door: str, demanded: None, monkeypatch: Any
) -> None:
    client = by_password(alice)
    client.post(f"{door}/break-glass")
    later = sessions.time.time() + sessions.GLASS_SECONDS + 1
    monkeypatch.setattr(sessions.time, "time", lambda: later)
    assert client.get("/o/acme/main/").status_code == 403


def test_nobody_else_breaks_it(
    acme: Company, globex: Company, alice: Any, bob: Any, eve: Any, browse: Any, idp: Idp, door: str, demanded: None
) -> None:
    """Members, strangers, owners without their password, and owners who came by another organization's provider."""
    expected = {bob: 403, alice: 403, eve: 404}
    for user, status in expected.items():
        assert browse(user).post(f"{door}/break-glass").status_code == status
    assert by_password(bob).post(f"{door}/break-glass").status_code == 403
    assert Client().post(f"{door}/break-glass").status_code == 302
    assert by_password(alice).get(f"{door}/break-glass").status_code == 405
    with acme.scope():
        assert not AuditEntry.objects.filter(action="sso.break_glass").exists()


def test_keys_keep_working(acme: Company, demanded: None) -> None:
    assert Api(acme.key("developer")).get("/me").status_code == 200


def test_others_notice_nothing(acme: Company, globex: Company, eve: Any, browse: Any, demanded: None) -> None:
    assert browse(eve).get("/o/globex/main/").status_code == 200
    assert browse(eve).get("/o/acme/main/").status_code == 404


def test_it_can_not_be_demanded_untested(acme: Company, provider: Any) -> None:
    by = owner_of(acme)
    with acme.scope():
        with pytest.raises(providers.Conflict, match="Test the log-in"):
            providers.switch(enabled=True, required=True, by=by)
        providers.note_test(by=by)
        with pytest.raises(providers.Conflict):
            providers.switch(enabled=False, required=True, by=by)
        assert not SsoProvider.objects.select_related("organization").get().organization.requires_sso
