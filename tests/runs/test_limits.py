"""What happens to runs under way when the month's task runs are used up, as the organization wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from runs import claims
from runs.tasks import roll_up_usage
from runs.usage import limits
from tenants.billing.accounts import edit_limit
from tenants.models import AuditEntry
from tenants.permissions import Actor
from tests.cast import Api, Company, found_company
from tests.contract.journals import Journal
from tests.runs import work

pytestmark = pytest.mark.django_db

LIMIT = 3


@dataclass
class UnderWay:
    """What an organization has going: a run that an agent holds, one that nobody holds yet, a local one."""

    company: Company
    agent: Any
    held: Journal
    waiting: UUID
    local: Journal

    def states(self) -> list[str]:
        return [work.state(self.company, id)[0] for id in (self.held.root, self.waiting, self.local.root)]

    def told(self) -> list[dict[str, str]]:
        """What the local run's process is told with its next batch."""
        return self.local.send(self.local.log())["signals"]

    def beat(self) -> list[tuple[UUID, str]]:
        """What the agent is told with its next heartbeat."""
        ref = claims.LeaseRef(self.held.root, self.held.attempt)
        with self.company.scope():
            return [(each.run, each.signal) for each in claims.heartbeat(self.agent, [ref]).signals]


def begin(company: Company) -> UnderWay:
    agent, claimed = work.claimed_run(company)
    held = work.start(claimed)
    [waiting] = work.trigger(company, work.deploy(company))
    local = Journal(Api(company.key("local")))
    local.send(local.begin())
    return UnderWay(company, agent, held, waiting, local)


def limited(company: Company, **policy: Any) -> None:
    by = Actor("user", company.organization.id, None, "", "alice", organization_role="owner")
    with company.scope():
        edit_limit(**{"limit": LIMIT, "at_limit": "stop", "under_way": "cancel", "by": by, **policy})


def use(run: UnderWay, number: int) -> None:
    run.held.send(*(run.held.task() for _ in range(number)))
    roll_up_usage()


GOING = ["RUNNING", "SCHEDULED", "RUNNING"]
STOPPED = ["CANCELLING", "CANCELLED", "CANCELLING"]


def test_at_the_limit_holders_are_told_to_stop_and_what_nobody_holds_is_over(acme: Company) -> None:
    limited(acme)
    run = begin(acme)
    use(run, LIMIT - 1)
    assert (run.states(), run.beat(), run.told()) == (GOING, [], [])
    use(run, 1)
    assert run.states() == STOPPED
    assert run.beat() == [(run.held.root, "cancel")]
    assert run.told() == [{"run": str(run.local.root), "signal": "cancel"}]
    with acme.scope():
        [entry] = AuditEntry.objects.filter(action="run.cancelled")
    assert (entry.actor_kind, entry.actor, entry.details["count"]) == ("system", "the limit of task runs", 3)


def test_a_holder_that_was_told_ends_and_is_not_asked_again(acme: Company) -> None:
    limited(acme)
    run = begin(acme)
    use(run, LIMIT)
    run.held.send(run.held.state("CANCELLED", run_count=1))
    use(run, 1)
    assert run.states() == ["CANCELLED", "CANCELLED", "CANCELLING"]
    with acme.scope():
        assert AuditEntry.objects.filter(action="run.cancelled").count() == 1


@pytest.mark.parametrize(
    "policy",
    [{"under_way": "finish"}, {"at_limit": "notify"}, {"limit": None}, {"limit": LIMIT + 1}],
    ids=lambda policy: str(policy),
)
def test_runs_under_way_finish_where_nothing_else_is_wanted(acme: Company, policy: dict[str, Any]) -> None:
    limited(acme, **policy)
    run = begin(acme)
    use(run, LIMIT)
    assert run.states() == GOING
    assert run.told() == []


def test_the_plans_limit_cancels_too(acme: Company, settings: Any) -> None:
    settings.BILLING, settings.FREE_TASK_RUNS = True, LIMIT
    limited(acme, limit=None)
    run = begin(acme)
    use(run, LIMIT)
    assert run.states() == STOPPED


def test_other_organizations_go_on(acme: Company, globex: Company) -> None:
    limited(acme)
    ours, theirs = begin(acme), begin(globex)
    theirs.held.send(*(theirs.held.task() for _ in range(LIMIT)))
    use(ours, LIMIT)
    assert (ours.states(), theirs.states()) == (STOPPED, GOING)
    assert theirs.told() == []


def test_runs_of_every_workspace_stop(acme: Company) -> None:
    from runs.agents import create_pool
    from tenants.provisioning import create_workspace

    with acme.scope():
        second = create_workspace(organization=acme.organization, name="Second")
        pool = create_pool(workspace=second, name="default")
    limited(acme)
    run, other = begin(acme), begin(Company(acme.organization, second, acme.owner, pool))
    use(run, LIMIT)
    assert (run.states(), other.states()) == (STOPPED, STOPPED)


def test_a_limit_that_is_lowered_stops_runs_that_use_nothing(acme: Company) -> None:
    run = begin(acme)
    use(run, LIMIT)
    assert run.states() == GOING
    limited(acme)
    roll_up_usage()  # Nothing was used since.
    assert run.states() == STOPPED


def test_more_runs_than_one_tick_cancels_stop_with_the_next_ones(
    acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AT_ONCE", 2)
    run = begin(acme)
    more = work.trigger(acme, work.deploy(acme), 3)
    limited(acme)
    use(run, LIMIT)
    for _ in range(2):
        roll_up_usage()
    assert run.states() == STOPPED
    assert {work.state(acme, id)[0] for id in more} == {"CANCELLED"}


def test_one_organization_that_fails_does_not_keep_the_others_going(
    acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky = found_company("Unlucky", "u@unlucky.example")
    for company in (acme, unlucky):
        limited(company)
    runs = [begin(company) for company in (acme, unlucky)]
    for each in runs:
        each.held.send(*(each.held.task() for _ in range(LIMIT)))
    cancel = limits.cancel_alive

    def fails(organization_id: UUID) -> None:
        if organization_id == unlucky.organization.id:
            raise RuntimeError("no luck")
        cancel(organization_id)

    monkeypatch.setattr(limits, "cancel_alive", fails)
    roll_up_usage()
    assert [each.states() for each in runs] == [STOPPED, GOING]
    monkeypatch.undo()
    roll_up_usage()  # Nothing was used since.
    assert runs[1].states() == STOPPED
