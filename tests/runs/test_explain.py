"""2.12: For any run that waits: the ordered causes, its place, an estimate (`runs/explain/`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orchestrator.causes import WORDS, Code, Explanation
from runs import claims, lanes
from runs.explain import explain, first_causes
from runs.models import Agent, Deployment, FlowRun, WorkPool, WorkQueue
from runs.queues import set_paused
from tests.cast import Company
from tests.runs.pages import page
from tests.runs.test_debounce import push as gather
from tests.runs.work import agent, cancel, claim, deploy, in_seconds, limit, moment, silence, start, sweep, trigger

pytestmark = pytest.mark.django_db


def explained(company: Company, id: UUID, by: Any = None) -> Explanation:
    from runs.hidden import find_run

    with company.scope():
        actor = by or company.actor()
        return explain(find_run(actor, id), by=actor)


def codes(company: Company, id: UUID) -> list[str]:
    return [each.code.value for each in explained(company, id).causes]


def queue(company: Company, name: str, **more: Any) -> WorkQueue:
    with company.scope():
        own = {"organization": company.organization, "workspace": company.workspace}
        return WorkQueue.objects.create(**own, pool=company.pool, name=name, **more)


def lost(company: Company, by: Any) -> None:
    """An agent that was heard of an hour ago."""
    with company.scope():
        Agent.objects.filter(id=by.id).update(last_seen_at=in_seconds(-3600))


# ── each condition of a claim ────────────────────────────────────────────────────────────────────

# What stands in WHERE of the statement that chooses runs, and by which codes it is explained. A condition that is none
# of these fails below: give it a code in `orchestrator/causes.py`, a cause in `runs/explain/due.py`, a scenario here.
CONDITIONS: dict[str, set[Code]] = {
    "r.organization_id = %(organization)s": set(),
    "r.pool_id = %(pool)s": {Code.NO_AGENT, Code.AGENTS_LOST},
    "r.state_type = 'SCHEDULED'": set(),  # What is in another state was claimed: `runs/explain/held.py`.
    "r.deployment_id IS NOT NULL": set(),  # A run whose deployment goes is cancelled with it.
    "(r.start_by IS NULL OR r.start_by > %(now)s OR r.started_at IS NOT NULL)": {Code.TOO_LATE},
    "NOT p.paused": {Code.POOL_PAUSED},
    "NOT q.paused": {Code.QUEUE_PAUSED},
    "(q.name = ANY(%(queues)s::text[]) OR (%(queues)s::text[] = '{}' AND NOT starts_with(q.name, 'serve ')))": {
        Code.QUEUE_NOT_SERVED, Code.NOT_SERVED,
    },
    "(d.python = '' OR d.python = %(python)s)": {Code.OTHER_PYTHON},
    "NOT q.id = ANY(%(full)s::uuid[])": {Code.QUEUE_LIMIT},
    "coalesce(o.number, 1) > 0": {Code.DEPLOYMENT_LIMIT},
    "NOT EXISTS (SELECT 1 FROM concurrency_limit l WHERE l.organization_id = %(organization)s"
    " AND l.kind IN ('organization', 'pool', 'queue', 'deployment', 'key') AND l.target_id IN"
    " ( %(organization)s, %(pool)s, place.queue_id, place.deployment_id) AND NOT l.id = ANY(%(counted)s::uuid[]))": {
        Code.NEXT_CLAIM,
    },
    "NOT EXISTS (SELECT 1 FROM unnest(%(full_of)s::uuid[], %(full_keys)s::text[]) f (deployment_id, key)"
    " WHERE f.deployment_id = free.deployment_id AND f.key = l.key)": {Code.KEY_LIMIT},
}  # fmt: skip
# What is decided before any run is looked at, and by when a lane's first run is due.
BESIDES = {Code.POOL_LIMIT, Code.ORGANIZATION_LIMIT, Code.NOT_DUE, Code.RETRY_DELAY, Code.GIVEN_BACK}
BESIDES |= {Code.DEBOUNCED}


def conditions(where: str) -> list[str]:
    """What a condition has joined by AND, outside of brackets."""
    parts, depth = [""], 0
    for word in re.split(r"(\(|\)| AND )", " ".join(where.split())):
        depth += (word == "(") - (word == ")")
        if word == " AND " and not depth:
            parts.append("")
        else:
            parts[-1] += word
    return parts


def test_every_condition_of_the_claim_is_one_that_is_explained() -> None:
    found = [
        each for where in (lanes.MINE, lanes.MAY_GO_ON, lanes.IN_TIME, lanes.HAS_A_SLOT) for each in conditions(where)
    ]
    assert [each for each in found if each not in CONDITIONS] == []
    assert set(CONDITIONS) == set(found)


# What else the statements of a claim compare: which rows belong together, whose turn it is, how many are looked at.
# What decides whether a run may go on belongs into one of the four above, and is explained.
NO_REASONS = {
    "p.organization_id = %(organization)s", "p.id = %(pool)s", "q.organization_id = %(organization)s",
    "q.id = place.queue_id", "d.organization_id = %(organization)s", "d.id = place.deployment_id",
    "o.deployment_id = place.deployment_id", "u.organization_id = %(organization)s",
    "u.deployment_id = lane.deployment_id", "u.concurrency_key = lane.key",
    "u.state_type IN ('PENDING', 'RUNNING', 'PAUSED', 'CANCELLING')",
    "r.queue_id IS NOT NULL",  # A queue goes when no run waits in it.
    "(r.deployment_id, r.queue_id, r.priority) > (place.deployment_id, place.queue_id, place.priority)",
    "r.deployment_id = free.deployment_id", "r.queue_id = free.queue_id", "r.priority = free.priority",
    "r.concurrency_key > one.key", "r.deployment_id = few.deployment_id", "r.queue_id = few.queue_id",
    "r.priority = few.priority", "r.concurrency_key = few.key", "nth <= %(most)s",
    "in_place <= coalesce(number + cardinality(%(seen)s::uuid[]), in_place)",
    "NOT id = ANY(%(seen)s::uuid[])", "r.id = ANY(%(runs)s)", "r.state_type = 'SCHEDULED'",
    "due_at <= %(now)s", "r.due_at <= %(now)s",  # NOT_DUE and its like
}  # fmt: skip


def clauses(statement: str) -> list[str]:
    """What stands behind each WHERE and each ON, up to its end."""
    found = []
    for begin in re.finditer(r"\b(?:WHERE|ON)\b", statement):
        clause, depth = "", 0
        for word in re.split(r"(\(|\)|\b(?:ORDER|LIMIT|FOR|UNION|WHERE|LEFT|JOIN|CROSS)\b)", statement[begin.end() :]):
            depth += (word == "(") - (word == ")")
            if depth < 0 or (not depth and word.isalpha() and word.isupper()):
                break
            clause += word
        found.append(clause)
    return found


def test_the_statements_of_the_claim_have_no_reason_besides() -> None:
    """2.12: a condition that somebody writes elsewhere in them is none that is explained."""
    rest = " ".join(f"{lanes._NEXT} {claims._TAKE}".split())
    for each in (lanes.MINE, lanes.MAY_GO_ON, lanes.IN_TIME, lanes.HAS_A_SLOT):
        rest = rest.replace(" ".join(each.split()), "explained")
    assert {each for clause in clauses(rest) for each in conditions(clause)} - {"explained"} == NO_REASONS


def test_every_code_has_its_words() -> None:
    assert set(WORDS) == set(Code)


def _not_due(company: Company) -> UUID:
    agent(company)
    return trigger(company, deploy(company), scheduled_at=in_seconds(600))[0]


def _debounced(company: Company) -> UUID:
    agent(company)
    return gather(company, deploy(company))[0].id


def _retry_delay(company: Company) -> UUID:
    trigger(company, deploy(company, retries=1, retry_delay=60))
    (claimed,) = claim(company, agent(company))
    start(claimed)
    silence(company, claimed.run)
    sweep(company, claimed.run)
    return claimed.run


def _given_back(company: Company) -> UUID:
    trigger(company, deploy(company))
    (claimed,) = claim(company, agent(company))
    silence(company, claimed.run)
    sweep(company, claimed.run)
    return claimed.run


def _too_late(company: Company) -> UUID:
    agent(company)
    return trigger(company, deploy(company), scheduled_at=in_seconds(-60), start_by=in_seconds(-1))[0]


def _pool_paused(company: Company) -> UUID:
    agent(company)
    with company.scope():
        set_paused(WorkPool.objects.get(), paused=True, by=company.actor())
    return trigger(company, deploy(company))[0]


def _queue_paused(company: Company) -> UUID:
    agent(company)
    with company.scope():
        set_paused(WorkQueue.objects.get(), paused=True, by=company.actor())
    return trigger(company, deploy(company))[0]


def _no_agent(company: Company) -> UUID:
    return trigger(company, deploy(company))[0]


def _agents_lost(company: Company) -> UUID:
    lost(company, agent(company))
    return trigger(company, deploy(company))[0]


def _not_served(company: Company) -> UUID:
    queue(company, "serve etl/nightly")
    agent(company)
    return trigger(company, deploy(company, work_queue="serve etl/nightly"))[0]


def _queue_not_served(company: Company) -> UUID:
    queue(company, "gpu")
    agent(company, queues=["default"])
    return trigger(company, deploy(company, work_queue="gpu"))[0]


def _other_python(company: Company) -> UUID:
    agent(company)
    return trigger(company, deploy(company, python="3.12"))[0]


def _pool_limit(company: Company) -> UUID:
    limit(company, "pool", company.pool, 1)
    return _second(company, deploy(company))


def _queue_limit(company: Company) -> UUID:
    deployment = deploy(company)
    limit(company, "queue", deployment.queue, 1)
    return _second(company, deployment)


def _deployment_limit(company: Company) -> UUID:
    return _second(company, deploy(company, concurrency_limit=1))


def _key_limit(company: Company) -> UUID:
    deployment, by = deploy(company, key_slots=1), agent(company)
    first, second = trigger(company, deployment, 2, concurrency_key="ada")
    assert [each.run for each in claim(company, by)] == [first]
    return second


def _organization_limit(company: Company) -> UUID:
    limit(company, "organization", company.organization, 1)
    return _second(company, deploy(company))


def _second(company: Company, deployment: Deployment) -> UUID:
    first, second = trigger(company, deployment, 2)
    assert [each.run for each in claim(company, agent(company))] == [first]
    return second


def _agents_busy(company: Company) -> UUID:
    first, second = trigger(company, deploy(company), 2)
    assert [each.run for each in claim(company, agent(company, slots=1), 1)] == [first]
    return second


WAITS: dict[Code, Callable[[Company], UUID]] = {
    Code.NOT_DUE: _not_due,
    Code.DEBOUNCED: _debounced,
    Code.RETRY_DELAY: _retry_delay,
    Code.GIVEN_BACK: _given_back,
    Code.TOO_LATE: _too_late,
    Code.POOL_PAUSED: _pool_paused,
    Code.QUEUE_PAUSED: _queue_paused,
    Code.NO_AGENT: _no_agent,
    Code.AGENTS_LOST: _agents_lost,
    Code.NOT_SERVED: _not_served,
    Code.QUEUE_NOT_SERVED: _queue_not_served,
    Code.OTHER_PYTHON: _other_python,
    Code.POOL_LIMIT: _pool_limit,
    Code.QUEUE_LIMIT: _queue_limit,
    Code.DEPLOYMENT_LIMIT: _deployment_limit,
    Code.KEY_LIMIT: _key_limit,
    Code.ORGANIZATION_LIMIT: _organization_limit,
    Code.AGENTS_BUSY: _agents_busy,
}


@pytest.mark.parametrize("code", WAITS)
def test_a_cause_alone_is_the_first_and_only_one(acme: Company, code: Code) -> None:
    """2.12: the run is handed to nobody who is there, and its cause says why."""
    id = WAITS[code](acme)
    with acme.scope():
        there = [each for each in Agent.objects.all() if each.is_connected]
    assert [claim(acme, each, each.slots - (code == Code.AGENTS_BUSY)) for each in there] == [[] for _ in there]
    told = explained(acme, id)
    assert [each.code for each in told.causes] == [code]
    assert told.causes[0].todo
    assert told.estimate


def test_all_codes_of_conditions_have_a_scenario() -> None:
    assert BESIDES.union(*CONDITIONS.values()) <= set(WAITS) | {Code.NEXT_CLAIM}


def test_a_run_that_nothing_holds_back_is_about_to_be_claimed(acme: Company) -> None:
    agent(acme)
    (id,) = trigger(acme, deploy(acme))
    told = explained(acme, id)
    assert ([each.code for each in told.causes], told.before, told.estimate) == (["next_claim"], 0, "Any moment now.")


def test_several_causes_come_in_the_order_in_which_they_decide(acme: Company) -> None:
    id = _pool_paused(acme)
    with acme.scope():
        set_paused(WorkQueue.objects.get(), paused=True, by=acme.actor())
        Agent.objects.all().delete()
    limit(acme, "pool", acme.pool, 0)
    assert codes(acme, id) == ["pool_paused", "queue_paused", "no_agent", "pool_limit"]


# ── who, since when, what to do ──────────────────────────────────────────────────────────────────


def test_who_has_paused_it_since_when_and_how_it_goes_on(acme: Company) -> None:
    (cause,) = explained(acme, _pool_paused(acme)).causes
    assert cause.text == "The work pool default is paused by test."
    assert cause.since is not None
    assert moment() - cause.since < timedelta(minutes=1)
    assert [(thing.kind, thing.name) for thing in cause.things] == [("work-pool", "default")]
    assert cause.action is not None
    assert cause.action.form == f"pools/{acme.pool.id}/resume"


def test_who_may_not_resume_is_told_what_to_do_without_a_way(acme: Company) -> None:
    (cause,) = explained(acme, _pool_paused(acme), acme.actor("viewer")).causes
    assert (cause.todo, cause.action) == ("Resume the pool.", None)


@pytest.mark.parametrize("code", [Code.POOL_LIMIT, Code.QUEUE_LIMIT, Code.DEPLOYMENT_LIMIT])
def test_a_limit_names_the_runs_that_hold_it(acme: Company, code: Code) -> None:
    """2.12: limit X held by runs A and B, since when, lease until."""
    (cause,) = explained(acme, WAITS[code](acme)).causes
    with acme.scope():
        holder = FlowRun.objects.get(state_type="PENDING")
    assert (cause.things[-1].id, cause.things[-1].path) == (holder.id, f"runs/{holder.id}")
    assert "runs 1 run at once, and 1 is under way." in cause.text
    assert cause.since is not None
    assert cause.until is not None
    assert cause.until > moment() > cause.since
    assert cause.is_leased, "its holder moves that time on"


def test_a_lost_agent_is_named_with_its_last_word(acme: Company) -> None:
    (cause,) = explained(acme, _agents_lost(acme)).causes
    assert cause.text == "No agent of the work pool default is heard of; the last one was agent."
    assert cause.since is not None
    assert timedelta(minutes=59) < moment() - cause.since < timedelta(minutes=61)
    assert cause.todo == "Start one: orchestrator agent start --pool default"


def test_holders_that_the_reader_may_not_see_have_no_name(acme: Company) -> None:
    """2.12: restrictions hide who holds a slot, not that it is held."""
    limit(acme, "pool", acme.pool, 1)
    secret = deploy(acme, "secret")
    trigger(acme, secret)
    assert len(claim(acme, agent(acme))) == 1
    with acme.scope():
        Deployment.objects.filter(id=secret.id).update(restricted=True)
    (id,) = trigger(acme, deploy(acme))
    (cause,) = explained(acme, id).causes
    assert [(thing.kind, thing.name, thing.id) for thing in cause.things[1:]] == [
        ("flow-run", "a run that you may not see", None)
    ]


def test_a_pool_that_the_reader_may_not_see_has_no_name(acme: Company) -> None:
    id = _agents_lost(acme)
    with acme.scope():
        WorkPool.objects.update(restricted=True)
    (cause,) = explained(acme, id).causes
    assert cause.text == "No agent of its work pool is heard of; the last one was one that you may not see."
    assert cause.todo == "Start one: an owner of the workspace knows how."
    assert (list(cause.things), cause.action) == ([], None)


# ── once it is claimed ───────────────────────────────────────────────────────────────────────────


def test_a_claimed_run_names_the_agent_that_starts_it(acme: Company) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, by := agent(acme))
    (cause,) = explained(acme, claimed.run).causes
    assert (cause.code, cause.things[0].id) == ("starting", by.id)
    lost(acme, by)
    assert codes(acme, claimed.run) == ["agent_silent"]
    start(claimed)
    assert codes(acme, claimed.run) == []


def test_an_unreachable_run_says_until_when_it_may_come_back(acme: Company) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    start(claimed)
    silence(acme, claimed.run)
    sweep(acme, claimed.run)
    (cause,) = explained(acme, claimed.run).causes
    assert cause.code == "unreachable"
    assert cause.until is not None
    assert cause.until > in_seconds(500)


def test_a_run_that_is_being_cancelled_says_who_was_told(acme: Company) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    start(claimed)
    cancel(acme, claimed.run)
    (cause,) = explained(acme, claimed.run).causes
    assert (cause.code, cause.things[0].name) == ("cancelling", "agent")
    assert cause.until is not None


def test_a_run_that_has_ended_does_not_wait(acme: Company) -> None:
    (id,) = trigger(acme, deploy(acme))
    cancel(acme, id)
    assert explained(acme, id) == Explanation()


# ── place and estimate ───────────────────────────────────────────────────────────────────────────


def test_the_place_counts_who_goes_before(acme: Company) -> None:
    """2.12: by queue, priority, due time; those of a limit that is full go before nobody else."""
    urgent = queue(acme, "urgent", priority=1)
    limited = deploy(acme, "limited")
    limit(acme, "deployment", limited, 0)
    trigger(acme, limited, 3, priority=9)
    queue(acme, "asleep", priority=2, paused=True)
    trigger(acme, deploy(acme, "sleeps", work_queue="asleep"), 2)
    deployment = deploy(acme)
    trigger(acme, deployment, 2, scheduled_at=in_seconds(-100))
    trigger(acme, deployment, 2, priority=1)
    trigger(acme, deploy(acme, "fast", work_queue=urgent.name))
    trigger(acme, deployment, scheduled_at=in_seconds(3600))
    (own,) = trigger(acme, deployment)
    trigger(acme, deployment, 2)
    assert explained(acme, own).before == 5


def test_the_place_counts_keys_that_take_turns(acme: Company) -> None:
    """2.4, 2.12: a key with three waits behind one run of each other key, not behind their thousands."""
    deployment = deploy(acme, key_slots=2)
    trigger(acme, deployment, 5, concurrency_key="ada", scheduled_at=in_seconds(-90))
    assert len(claim(acme, agent(acme), 1)) == 1  # Ada has one under way, and four that wait.
    trigger(acme, deployment, 9, concurrency_key="bob", scheduled_at=in_seconds(-60))
    other = deploy(acme, "other")
    trigger(acme, other, scheduled_at=in_seconds(-70))
    trigger(acme, other, scheduled_at=in_seconds(-50))
    trigger(acme, other, scheduled_at=in_seconds(-30))
    first, second = trigger(acme, deployment, 2, concurrency_key="eve", scheduled_at=in_seconds(-40))
    # Of the deployment one run of bob goes before eve's first one, and of the other one what is older than that.
    assert explained(acme, first).before == 1 + 2
    # Before her second one go her first one, two of bob's, one of ada's.
    assert explained(acme, second).before == 4 + 2
    assert [each.run for each in claim(acme, agent(acme, "b"), 4)][-1] == first


def test_an_estimate_goes_by_how_fast_runs_were_started_lately(acme: Company) -> None:
    deployment = deploy(acme)
    trigger(acme, deployment, 10)
    by = agent(acme)
    assert len(claim(acme, by)) == 10
    with acme.scope():
        from runs.models import Attempt

        Attempt.objects.update(created_at=in_seconds(-600))
    waiting = trigger(acme, deployment, 3)
    told = explained(acme, waiting[-1])
    assert told.before == 2
    assert told.estimate == "Runs of its pool were started at 1.0 a minute lately."
    assert told.expected_at is not None
    assert timedelta(seconds=170) < told.expected_at - moment() < timedelta(seconds=190)


def test_without_history_there_is_no_estimate(acme: Company) -> None:
    told = explained(acme, _agents_busy(acme))
    assert (told.expected_at, told.estimate) == (None, "Unknown: too few runs of its pool were started lately.")


# ── lists ────────────────────────────────────────────────────────────────────────────────────────


def test_late_runs_of_a_list_are_explained_by_few_queries(
    acme: Company, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    ids = [id for number in range(5) for id in trigger(acme, deploy(acme, f"d{number}", concurrency_limit=1), 10)]
    with acme.scope():
        FlowRun.objects.update(state_name="Late")
        runs = list(FlowRun.objects.prefetch_related("pool", "deployment", "flow"))
        with django_assert_max_num_queries(6):
            told = first_causes(runs, by=acme.actor())
    assert told == dict.fromkeys(ids, "No agent was ever started for the work pool default.")


def test_the_list_carries_the_cause_and_the_page_the_button(acme: Company, alice: Any, client: Any) -> None:
    id = _pool_paused(acme)
    with acme.scope():
        FlowRun.objects.update(state_name="Late")
    client.force_login(alice)
    assert "The work pool default is paused." in page(acme, client, "runs")
    shown = page(acme, client, f"runs/{id}")
    assert "The work pool default is paused by test." in shown
    assert f'action="{acme.path}pools/{acme.pool.id}/resume"' in shown
    assert "No due run goes before it. Unknown: it starts when this is mended." in shown


def test_the_guide_lists_every_code() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "waiting.md").read_text(encoding="utf-8")
    assert {code.value for code in Code} - set(re.findall(r"`([a-z_]+)`", guide)) == set()
