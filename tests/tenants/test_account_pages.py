"""4.1: Whatever allauth can lead to is a page in the product's own design, or leads elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.messages import get_messages
from django.core import mail
from django.test import Client
from django.urls import reverse

from tests.cast import Company
from tests.server.routes import names, parameters_of

pytestmark = pytest.mark.django_db

ALLAUTHS = [name for name in names() if re.match("account_|mfa_|usersessions_|socialaccount_", name)]
OWN = [name for name in ALLAUTHS if not parameters_of(name)]
# What there is on the way of something only, and where else it leads.
LEADS_AWAY = {"account_confirm_login_code", "mfa_authenticate", "socialaccount_signup", "account_signup"}


def foreign(response: Any) -> list[str]:
    """Templates of a page that are none of ours."""
    origins = [template.origin.name for template in response.templates if template.origin]
    return [each for each in origins if "allauth" in each and not each.startswith(str(settings.BASE_DIR / "templates"))]


@pytest.mark.parametrize("signed_in", [True, False])
def test_no_page_is_allauths_own(acme: Company, alice: Any, browse: Any, signed_in: bool) -> None:
    assert len(OWN) > 20
    client = browse(alice) if signed_in else Client()
    for name in OWN:
        response = client.get(reverse(name))
        assert response.status_code in {200, 302, 401, 404}, name
        pages = [each for each in foreign(response) if not each.endswith(".txt")]
        assert pages == [], name


@pytest.mark.parametrize("name", sorted(LEADS_AWAY))
def test_steps_of_a_way_lead_elsewhere_without_it(acme: Company, alice: Any, browse: Any, name: str) -> None:
    assert browse(alice).get(reverse(name)).status_code == 302


def test_who_has_no_password_may_set_one(acme: Company, alice: Any, browse: Any) -> None:
    alice.set_unusable_password()
    alice.save()
    client = browse(alice)
    response = client.get(reverse("account_set_password"))
    assert (response.status_code, foreign(response)) == (200, [])
    told = {"password1": "another correct horse", "password2": "another correct horse"}
    assert client.post(reverse("account_set_password"), told).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("another correct horse")


def test_addresses_are_added_made_first_and_removed(acme: Company, alice: Any, browse: Any) -> None:
    client, page = browse(alice), reverse("account_email")
    assert "alice@acme.example" in client.get(page).content.decode()
    assert 'id="id_email-error"' in client.post(page, {"action_add": "1", "email": "no address"}).content.decode()
    client.post(page, {"action_add": "1", "email": "alice@home.example"})
    assert mail.outbox[-1].to == ["alice@home.example"]
    shown = client.get(page).content.decode()
    assert "not confirmed" in shown
    assert 'aria-label="Make alice@home.example the first one"' not in shown
    EmailAddress.objects.filter(email="alice@home.example").update(verified=True)
    assert 'aria-label="Make alice@home.example the first one"' in client.get(page).content.decode()
    client.post(page, {"action_primary": "1", "email": "alice@home.example"})
    alice.refresh_from_db()
    assert alice.email == "alice@home.example"
    client.post(page, {"action_remove": "1", "email": "alice@acme.example"})
    assert [each.email for each in EmailAddress.objects.filter(user=alice)] == ["alice@home.example"]


def test_the_first_address_can_not_be_removed(acme: Company, alice: Any, browse: Any) -> None:
    client, page = browse(alice), reverse("account_email")
    client.get(page)  # Which notes the address that the person came with.
    response = client.post(page, {"action_remove": "1", "email": "alice@acme.example"})
    assert EmailAddress.objects.filter(user=alice).count() == 1
    assert [str(each) for each in get_messages(response.wsgi_request)]


def test_the_account_leads_to_its_addresses(acme: Company, alice: Any, browse: Any) -> None:
    assert f'href="{reverse("account_email")}"' in browse(alice).get(reverse("account")).content.decode()
