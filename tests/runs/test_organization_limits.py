"""2.8: how many runs of an organization go on at once, over all of its workspaces."""

from __future__ import annotations

from typing import Any

import pytest

from runs.models import Limit
from tenants.models import AuditEntry, Membership
from tests.cast import Api, Company, person
from tests.contract.journals import Journal
from tests.runs import work

pytestmark = pytest.mark.django_db
PAGE = "/o/acme/limit"


@pytest.fixture
def alice(acme: Company, browse: Any) -> Any:
    return browse(acme.owner)


def put(browser: Any, slots: str) -> Any:
    return browser.post(PAGE, {"slots": slots})


def test_the_limit_holds_at_once_and_is_raised_and_taken_away(acme: Company, alice: Any) -> None:
    deployments = [work.deploy(acme, name) for name in ("nightly", "hourly")]
    by = work.agent(acme)
    for each in deployments:
        work.trigger(acme, each, 3)
    assert len(work.claim(acme, by, 1)) == 1
    assert put(alice, "2").status_code == 302
    assert "1 under way now, of 2" in alice.get(PAGE).content.decode()
    assert len(work.claim(acme, by)) == 1
    assert work.claim(acme, by) == []
    put(alice, "3")
    assert len(work.claim(acme, by)) == 1
    put(alice, "1")  # What is under way goes on.
    assert work.leases(acme) == 6  # Three, and the slot of each.
    put(alice, "")
    assert len(work.claim(acme, by)) == 3


def test_runs_that_no_agent_holds_do_not_count(acme: Company, alice: Any, api: Api) -> None:
    """The limit is one of agents: who calls a flow by hand waits for no slot."""
    journal = Journal(api)
    journal.send(journal.begin())
    assert "0 under way now" in alice.get(PAGE).content.decode()


def test_raising_it_wakes_agents_of_every_pool(acme: Company, alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from runs import waiting

    work.trigger(acme, work.deploy(acme), 2)
    put(alice, "1")
    woken: list[Any] = []
    monkeypatch.setattr(waiting, "wake_pools", lambda told: woken.extend(told))
    put(alice, "1")
    assert woken == []
    put(alice, "2")
    assert woken == [acme.pool.id]


@pytest.mark.parametrize(
    ("typed", "told"), [("0", "1 to"), ("-1", "whole number"), ("many", "whole number"), ("9" * 9, "1 to")]
)
def test_what_is_no_limit_is_said_beside_the_field(acme: Company, alice: Any, typed: str, told: str) -> None:
    answer = put(alice, typed)
    assert answer.status_code == 400
    assert told in answer.content.decode()
    with acme.scope():
        assert not Limit.objects.exists()


def test_members_see_it_and_only_those_who_edit_the_organization_change_it(acme: Company, browse: Any) -> None:
    mallory = person("mallory@acme.example")
    with acme.scope():
        Membership.objects.create(organization=acme.organization, user=mallory, role="member")
    browser = browse(mallory)
    assert "Owners and admins change it." in browser.get(PAGE).content.decode()
    assert put(browser, "5").status_code == 403
    with acme.scope():
        assert not Limit.objects.exists()


def test_it_is_told_in_the_trail_and_concerns_nobody_else(acme: Company, globex: Company, alice: Any) -> None:
    put(alice, "1")
    with acme.scope():
        assert AuditEntry.objects.get(action="organization.limited").details == {"from": None, "to": 1}
    other, by = work.deploy(globex), work.agent(globex)
    work.trigger(globex, other, 2)
    assert len(work.claim(globex, by)) == 2
