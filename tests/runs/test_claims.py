"""2.8: Claims: who is handed which run, and how limits hold (design §7)."""

from __future__ import annotations

import pytest

from orchestrator.ids import uuid7
from runs import claims
from runs.models import Attempt, FlowRun, Lease, WorkPool, WorkQueue
from tenants.keys import digest, has_form
from tests.cast import Company
from tests.runs.work import agent, claim, deploy, in_seconds, limit, moment, run_row, trigger
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def queue(company: Company, name: str, **more: object) -> WorkQueue:
    with company.scope():
        own = {"organization": company.organization, "workspace": company.workspace}
        return WorkQueue.objects.create(**own, pool=company.pool, name=name, **more)


def ids(claimed: list) -> list:
    return [run.run for run in claimed]


# ── what a claim does ────────────────────────────────────────────────────────────────────────────


def test_a_claim_raises_the_attempt_and_issues_a_token(acme: Company) -> None:
    deployment = deploy(acme, parameters={"day": "monday"}, tags=["nightly"])
    (id,) = trigger(acme, deployment, tags=["mine"])
    by = agent(acme)
    (claimed,) = claim(acme, by)

    assert (claimed.run, claimed.attempt, claimed.run_count) == (id, 1, 0)
    assert (claimed.flow, claimed.deployment, claimed.deployment_id) == ("etl", "nightly", deployment.id)
    assert (claimed.parameters, claimed.tags) == ({"day": "monday"}, ["nightly", "mine"])
    assert claimed.token.startswith("orr_")
    assert has_form(claimed.token)
    run = run_row(acme, id)
    assert (run.state_type, run.attempt) == ("PENDING", 1)
    with acme.scope():
        attempt = Attempt.objects.get()
        assert (attempt.number, attempt.agent_id, attempt.host) == (1, by.id, "box")
        assert bytes(attempt.token_hash) == digest(claimed.token)
        lease = Lease.objects.get()
        assert (lease.run_id, lease.attempt, lease.agent_id, lease.limit_id) == (id, 1, by.id, None)
        assert in_seconds(50) < lease.expires_at < in_seconds(61)


def test_a_claimed_run_is_not_handed_out_again(acme: Company) -> None:
    trigger(acme, deploy(acme))
    by = agent(acme)
    assert len(claim(acme, by)) == 1
    assert claim(acme, by) == claim(acme, agent(acme, "second")) == []


@pytest.mark.parametrize(("slots", "handed"), [(0, 0), (-1, 0), (2, 2), (10**9, 3)])
def test_never_more_than_the_agent_has_slots(acme: Company, slots: int, handed: int) -> None:
    trigger(acme, deploy(acme), 3)
    assert len(claim(acme, agent(acme), slots)) == handed


def test_a_run_is_due_at_its_time_and_not_before(acme: Company) -> None:
    deployment = deploy(acme)
    (later,) = trigger(acme, deployment, scheduled_at=in_seconds(3600))
    assert claim(acme, agent(acme)) == []
    with acme.scope():
        FlowRun.objects.filter(id=later).update(due_at=moment())
    assert ids(claim(acme, agent(acme))) == [later]


def test_order_is_queue_then_priority_then_due_time(acme: Company) -> None:
    queue(acme, "urgent", priority=1)
    slow, fast = deploy(acme), deploy(acme, "fast", work_queue="urgent")
    (third,) = trigger(acme, slow, scheduled_at=in_seconds(-50))
    (fourth,) = trigger(acme, slow, scheduled_at=in_seconds(-10))
    (second,) = trigger(acme, slow, priority=5)
    (first,) = trigger(acme, fast)

    assert ids(claim(acme, agent(acme))) == [first, second, third, fourth]


@pytest.mark.parametrize("what", ["pool", "queue"])
def test_what_is_paused_hands_out_nothing(acme: Company, what: str) -> None:
    (id,) = trigger(acme, deploy(acme))
    rows = WorkPool if what == "pool" else WorkQueue
    with acme.scope():
        rows.objects.update(paused=True)
    assert claim(acme, agent(acme)) == []
    with acme.scope():
        rows.objects.update(paused=False)
    assert ids(claim(acme, agent(acme))) == [id]


def test_an_agent_serves_the_queues_that_it_names(acme: Company) -> None:
    queue(acme, "gpu")
    trigger(acme, deploy(acme))
    (gpu,) = trigger(acme, deploy(acme, "train", work_queue="gpu"))

    assert ids(claim(acme, agent(acme, queues=["gpu", "nonsense"]))) == [gpu]


def test_an_agent_serves_its_own_pool(acme: Company) -> None:
    from runs.agents import create_pool

    with acme.scope():
        create_pool(workspace=acme.workspace, name="other")
    trigger(acme, deploy(acme))
    (other,) = trigger(acme, deploy(acme, "elsewhere", work_pool="other"))

    assert ids(claim(acme, agent(acme, pool="other"))) == [other]


def test_pickled_code_goes_to_its_python_only(acme: Company) -> None:
    (id,) = trigger(acme, deploy(acme, python="3.12"))
    assert claim(acme, agent(acme, "old", python="3.11.9")) == []
    assert ids(claim(acme, agent(acme, "new", python="3.12.1"))) == [id]


def test_other_organizations_runs_are_not_there(acme: Company, globex: Company) -> None:
    trigger(acme, deploy(acme))
    assert claim(globex, agent(globex)) == []


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


def live_slots(company: Company, of: object) -> int:
    with company.scope():
        return Lease.objects.filter(limit_id=of.id, expires_at__gt=moment()).count()


def test_a_deployments_limit_counts_live_leases(acme: Company) -> None:
    deployment = deploy(acme, concurrency_limit=2)
    trigger(acme, deployment, 5)
    first = claim(acme, agent(acme))

    assert len(first) == 2
    assert claim(acme, agent(acme)) == []
    with acme.scope():
        Lease.objects.filter(run_id=first[0].run).delete()
    assert len(claim(acme, agent(acme))) == 1


@pytest.mark.parametrize("kind", ["pool", "queue"])
def test_limits_of_pools_and_queues(acme: Company, kind: str) -> None:
    deployment = deploy(acme)
    own = limit(acme, kind, acme.pool if kind == "pool" else deployment.queue, 3)
    trigger(acme, deployment, 5)

    assert len(claim(acme, agent(acme))) == 3
    assert live_slots(acme, own) == 3
    assert claim(acme, agent(acme)) == []


def test_every_limit_of_a_run_is_kept(acme: Company) -> None:
    small, free = deploy(acme, concurrency_limit=1), deploy(acme, "free")
    limit(acme, "pool", acme.pool, 3)
    trigger(acme, small, 4)
    trigger(acme, free, 4)
    claimed = claim(acme, agent(acme))

    assert sorted(run.deployment for run in claimed) == ["free", "free", "nightly"]


def test_runs_blocked_by_one_limit_hide_nothing_behind_them(acme: Company) -> None:
    blocked = deploy(acme, concurrency_limit=1)
    trigger(acme, blocked, 150)
    (behind,) = trigger(acme, deploy(acme, "free"))

    assert ids(claim(acme, agent(acme), 2))[1:] == [behind]


def test_runs_that_must_wait_take_nothing_from_the_limits_of_others(acme: Company) -> None:
    """The pool has three slots: one for the small deployment, two are left for the other."""
    limit(acme, "pool", acme.pool, 3)
    trigger(acme, deploy(acme, concurrency_limit=1), 10)
    trigger(acme, deploy(acme, "free"), 10)

    assert len(claim(acme, agent(acme), 3)) == 3


def test_many_small_limits_leave_no_slot_of_the_agent_empty(acme: Company) -> None:
    for number in range(12):
        trigger(acme, deploy(acme, f"d{number}", concurrency_limit=1), 12)
    assert len(claim(acme, agent(acme), 12)) == 12


def test_an_expired_slot_is_free(acme: Company) -> None:
    deployment = deploy(acme, concurrency_limit=1)
    trigger(acme, deployment, 2)
    (first,) = claim(acme, agent(acme))
    assert claim(acme, agent(acme)) == []
    with acme.scope():
        Lease.objects.filter(run_id=first.run).update(expires_at=in_seconds(-1))
    assert len(claim(acme, agent(acme))) == 1


def test_lowering_a_limit_takes_nothing_away_but_hands_out_no_more(acme: Company) -> None:
    deployment = deploy(acme, concurrency_limit=3)
    trigger(acme, deployment, 6)
    assert len(claim(acme, agent(acme), 2)) == 2
    deploy(acme, concurrency_limit=1)
    assert claim(acme, agent(acme)) == []
    deploy(acme, concurrency_limit=None)
    assert len(claim(acme, agent(acme))) == 4


def test_a_run_that_appears_after_limits_were_locked_waits_for_the_next_claim(
    acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was triggered while the claim ran, and its deployment's limit was not counted."""
    deployment = deploy(acme, concurrency_limit=1)
    trigger(acme, deployment)
    assert len(claim(acme, agent(acme))) == 1
    lock = claims._lock_limits

    def lock_then_trigger(*arguments: object) -> object:
        locked = lock(*arguments)
        trigger(acme, deployment, scheduled_at=in_seconds(-1))
        return locked

    monkeypatch.setattr(claims, "_lock_limits", lock_then_trigger)
    assert claim(acme, agent(acme)) == []


def test_what_a_limit_of_another_organization_says_is_no_matter(acme: Company, globex: Company) -> None:
    trigger(acme, deploy(acme), 2)
    with globex.scope():
        from runs.models import Limit

        own = {"organization": globex.organization, "workspace": globex.workspace}
        Limit.objects.create(**own, kind="pool", target_id=acme.pool.id, slots=1)
    assert len(claim(acme, agent(acme))) == 2


# ── many at once ─────────────────────────────────────────────────────────────────────────────────


def claim_again_and_again(company: Company, by: object, slots: int) -> list:
    handed: list = []
    while some := claim(company, by, slots):
        handed += ids(some)
    return handed


@pytest.mark.django_db(transaction=True)
def test_eight_claimers_share_the_runs(acme: Company) -> None:
    made = trigger(acme, deploy(acme), 40)
    agents = [agent(acme, f"agent-{number}") for number in range(8)]
    handed = at_once(*(lambda by=by: claim_again_and_again(acme, by, 3) for by in agents))

    assert sorted(id for some in handed for id in some) == sorted(made)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["deployment", "pool"])
def test_eight_claimers_never_pass_a_limit(acme: Company, kind: str) -> None:
    deployment = deploy(acme)
    own = limit(acme, kind, acme.pool if kind == "pool" else deployment, 10)
    trigger(acme, deployment, 60)
    agents = [agent(acme, f"agent-{number}") for number in range(8)]
    handed = at_once(*(lambda by=by: claim_again_and_again(acme, by, 3) for by in agents))

    assert sum(len(some) for some in handed) == 10
    assert live_slots(acme, own) == 10


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_without_work_costs_few_queries(acme: Company, django_assert_num_queries) -> None:
    by = agent(acme)
    with acme.scope(), django_assert_num_queries(0):  # Two follow indexes, past Django's cursor.
        claims.claim(by, slots=10)


def test_a_claim_costs_the_same_for_one_run_and_for_twenty(acme: Company, django_assert_num_queries) -> None:
    deployment, by = deploy(acme), agent(acme)
    for number in (1, 20):
        trigger(acme, deployment, number)
        with acme.scope(), django_assert_num_queries(5):  # And these two.
            assert len(claims.claim(by, slots=20)) == number


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_lease_is_lost(acme: Company) -> None:
    from orchestrator.agent_messages import LeaseRef

    ref = LeaseRef(uuid7(), 1)
    with acme.scope():
        assert claims.heartbeat(agent(acme), [ref]).lost == [ref]
