"""6.2: plans have room for so many people and workspaces; who asks for more is told where to get it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils.timezone import now

from tenants import deletion, invitations, organizations
from tenants.access import organization_actor
from tenants.billing.subscriptions import change_plan, demand_seat, demand_workspace
from tenants.errors import LimitReached
from tenants.models import Invitation, Membership, Workspace
from tests.cast import Company, person
from tests.tenants.test_invitations import invite
from tests.threads import at_once

pytestmark = pytest.mark.django_db
FREE_SEATS, FREE_WORKSPACES = 5, 2


@pytest.fixture(autouse=True)
def _billing(settings: Any) -> None:
    settings.BILLING = True


def owner(company: Company) -> Any:
    return organization_actor(company.owner.id, company.organization.slug)


def members(company: Company) -> int:
    with company.scope():
        return Membership.objects.count()


def add(company: Company, name: str) -> Workspace:
    with company.scope():
        return organizations.add_workspace(organization=company.organization, name=name, by=owner(company))


def test_people_who_are_invited_have_a_seat(acme: Company) -> None:
    """6.2: the owner and four invitations fill five seats; one that is taken back makes room."""
    for number in range(FREE_SEATS - 1):
        invite(acme, f"p{number}@north.example")
    with pytest.raises(LimitReached, match=r"5 seats.*/o/acme/billing"):
        invite(acme)
    with acme.scope():
        invitations.revoke(id=Invitation.objects.earliest("created_at").id, by=owner(acme))
    invite(acme)


def test_a_larger_plan_has_more_seats_and_a_smaller_one_ends_nobodys(acme: Company) -> None:
    with acme.scope():
        change_plan(slug="pro", by=owner(acme))
    tokens = {name: invite(acme, name) for name in (f"p{number}@north.example" for number in range(FREE_SEATS))}
    with acme.scope():
        from tenants.billing.models import Subscription

        Subscription.objects.all().delete()  # Back on the free plan.
    people = {name: person(name) for name in tokens}
    for name in list(tokens)[: FREE_SEATS - 1]:
        invitations.accept(token=tokens[name], user=people[name])
    assert members(acme) == FREE_SEATS
    last = list(tokens)[-1]
    with pytest.raises(LimitReached, match="5 seats"):
        invitations.accept(token=tokens[last], user=people[last])
    assert members(acme) == FREE_SEATS


def test_the_page_says_so_beside_the_field(acme: Company, alice: Any, browse: Any) -> None:
    for number in range(FREE_SEATS - 1):
        invite(acme, f"p{number}@north.example")
    answer = browse(alice).post("/o/acme/people/invite", {"email": "nora@north.example", "role": "member"})
    assert answer.status_code == 400
    assert "The plan Free has 5 seats" in answer.content.decode()


def test_workspaces_end_with_the_plan(acme: Company, alice: Any, browse: Any) -> None:
    """6.2: one that was deleted makes room, and finds none when it comes back."""
    second = add(acme, "Second")
    with pytest.raises(LimitReached, match=r"2 workspaces.*/o/acme/billing"):
        add(acme, "Third")
    answer = browse(alice).post("/o/acme/new", {"name": "Third"})
    assert (answer.status_code, "The plan Free has 2 workspaces" in answer.content.decode()) == (400, True)
    with acme.scope():
        Workspace.objects.filter(id=second.id).update(deleted_at=now())
    add(acme, "Third")
    with acme.scope(), pytest.raises(LimitReached):
        deletion.restore_workspace(id=second.id, by=owner(acme))


def test_without_billing_there_is_room_for_everybody(acme: Company, settings: Any) -> None:
    settings.BILLING = False
    for number in range(FREE_SEATS + 2):
        invite(acme, f"p{number}@north.example")
        add(acme, f"Workspace {number}")


@pytest.mark.django_db(transaction=True)
def test_two_who_take_the_last_place_at_once_get_one() -> None:
    from tests.cast import found_company

    company = found_company("Acme", "alice@acme.example")
    refused = []

    def make(name: str) -> None:
        try:
            add(company, name)
        except LimitReached:
            refused.append(name)

    at_once(*(lambda name=name: make(name) for name in ("Second", "Third")))
    assert len(refused) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("demand", [demand_seat, demand_workspace])
def test_who_asks_for_room_holds_up_nobody_who_works(demand: Any) -> None:
    """A workspace that moves here asks first and copies then: rows that name the organization go on being written."""
    from runs.models import Flow
    from tests.cast import found_company

    company = found_company("Acme", "alice@acme.example")

    def work() -> int:
        with company.scope():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '2s'")
            Flow.objects.create(organization=company.organization, workspace=company.workspace, name="etl")
            return Flow.objects.count()

    with company.scope():
        demand(company.organization.id)
        assert at_once(work) == [1]
