"""What counts: examples with their numbers, and random histories whose meters must equal a recount of the rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.ids import uuid7
from runs.usage import tags
from runs.usage.recount import METERS, Bucket, recount, roots_of
from runs.usage.rollup import roll_up
from tenants.billing.models import TagDay
from tests.cast import Api, Company, found_company
from tests.contract.journals import Journal
from tests.processes import second_process
from tests.runs import work
from tests.runs.histories import WORDS, History
from tests.sql import ask

NUMBERS = msgspec.Raw(b'{"n": 1e400000}')  # JSON to a reader, and no number to PostgreSQL
SUMS = ", ".join(f"coalesce(sum({meter}), 0)::bigint" for meter in METERS)


def today() -> Bucket:
    return Bucket(30, datetime.now(UTC).date())


def metered(company: Company) -> dict[str, int]:
    """What the meters say: days, and deltas that are in none yet."""
    with company.scope():
        found = ask(
            f"SELECT {SUMS} FROM (SELECT {', '.join(METERS)} FROM usage_delta WHERE workspace_id = %s"
            f" UNION ALL SELECT {', '.join(METERS)} FROM usage_day WHERE workspace_id = %s) u",
            company.workspace.id,
            company.workspace.id,
        )
    return dict(zip(METERS, found[0], strict=True))


def recounted(company: Company) -> dict[str, int]:
    with company.scope():
        return recount(today()).get(company.workspace.id, dict.fromkeys(METERS, 0))


def counted(company: Company) -> tuple[int, int]:
    """Task runs and flow runs, of which the meters and the rows say the same."""
    meters = metered(company)
    assert meters == recounted(company)
    return meters["task_runs"], meters["flow_runs"]


def by_tag(company: Company) -> tuple[tags.ByTag, tags.ByTag]:
    """What the days say by tag, and what the rows do."""
    with company.scope():
        return tags.booked(TagDay.objects.all()), tags.recounted(roots_of(today()))


def tasks(journal: Journal, number: int, **more: Any) -> list[Any]:
    return [journal.task(**more) for _ in range(number)]


# ── examples ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.django_db
def test_a_task_run_counts_once_however_often_it_is_retried(acme: Company, api: Api) -> None:
    journal, id = Journal(api), uuid7()
    journal.send(journal.begin(), journal.task("RUNNING", id=id))
    journal.send(journal.task("RUNNING", id=id, name="Retrying", run_count=2))
    journal.send(journal.task("FAILED", id=id, run_count=3))
    assert counted(acme) == (1, 1)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Cached", "Replayed"])
def test_what_was_not_executed_counts_nothing(acme: Company, api: Api, name: str) -> None:
    journal, looked_up = Journal(api), uuid7()
    journal.send(journal.begin(), *tasks(journal, 3, name=name), journal.task("RUNNING", id=looked_up))
    assert counted(acme) == (1, 1)
    journal.send(journal.task("COMPLETED", id=looked_up, name=name))
    assert counted(acme) == (0, 1)


@pytest.mark.django_db
def test_a_flows_retry_adds_only_what_goes_beyond(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(), *tasks(journal, 4))
    journal.send(journal.state("RUNNING", name="Retrying", run_count=2), *tasks(journal, 3))
    assert counted(acme) == (4, 1)
    journal.send(*tasks(journal, 3))
    assert counted(acme) == (6, 1)


@pytest.mark.django_db
def test_the_attempt_after_a_crash_adds_only_what_goes_beyond(acme: Company) -> None:
    by, claimed = work.claimed_run(acme, retries=2)
    first = work.start(claimed)
    first.send(*tasks(first, 5))
    work.silence(acme, claimed.run)
    work.sweep(acme, claimed.run)
    work.make_due(acme, claimed.run)
    [again] = work.claim(acme, by)
    second = work.start(again)
    second.send(*tasks(second, 5))
    assert counted(acme) == (5, 1)
    first.send(*tasks(first, 1))  # Its last words come late: they are of the first execution, the largest now.
    second.send(*tasks(second, 2))
    assert counted(acme) == (7, 1)


@pytest.mark.django_db
def test_a_subflow_that_a_retry_calls_again_counts_once(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin())
    for execution in (1, 2):
        part, inner = uuid7(), uuid7()
        if execution == 2:
            journal.send(journal.state("RUNNING", name="Retrying", run_count=2))
        deeper = journal.subflow(inner)
        journal.seq -= 1
        entries = [journal.subflow(part)]
        deeper = journal.subflow(inner)
        deeper.about.parent = part
        journal.send(*entries, deeper, *tasks(journal, 2, run=inner), *tasks(journal, 1, run=part))
    assert counted(acme) == (3, 3)


@pytest.mark.django_db
def test_run_time_is_the_roots_and_the_rest_is_what_was_told(acme: Company, api: Api) -> None:
    from orchestrator.wire import Usage

    journal, part = Journal(api), uuid7()
    used = Usage(seq=0, run=journal.root, t=0, cpu=70, memory=9)
    entries = [journal.begin(), journal.subflow(part), journal.log("häuser")]
    entries.append(journal.state("COMPLETED", run=part, duration=400))
    own = journal._next()
    used.seq, used.t = own["seq"], own["t"]
    journal.send(*entries, used, journal.state("COMPLETED", duration=1_000))
    assert metered(acme) == {"flow_runs": 2, "task_runs": 0, "log_bytes": 7, "run_time": 1_000, "cpu": 70}
    assert metered(acme) == recounted(acme)


@pytest.mark.django_db
def test_what_the_database_refuses_is_not_counted(acme: Company, api: Api) -> None:
    journal = Journal(api)
    odd = journal.begin()
    good, bad = (
        journal.log("kept"),
        journal.raw(b'{"kind":"log","seq":3,"run":"%s","t":1}' % str(journal.root).encode()),
    )
    journal.send(odd, good, bad)
    assert metered(acme)["log_bytes"] == 4
    assert metered(acme) == recounted(acme)


@pytest.mark.django_db
def test_a_days_usage_knows_its_deployment(acme: Company) -> None:
    claimed = work.claimed_run(acme)[1]
    journal = work.start(claimed)
    journal.send(*tasks(journal, 2))
    assert roll_up() == {acme.organization.id}
    with acme.scope():
        [(day, deployment, number)] = ask("SELECT day, deployment_id, task_runs FROM usage_day")
        assert ask("SELECT count(*) FROM usage_delta") == [(0,)]
    assert (day, deployment, number) == (today().day, work.run_row(acme, claimed.run).deployment_id, 2)
    journal.send(*tasks(journal, 1))
    roll_up()
    assert counted(acme) == (3, 1)


# ── random histories ─────────────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.tuples(st.sampled_from(["say"] * 12 + ["send"] * 4 + ["both", "local", "claimed", "crash", "roll up"]),
              st.integers(0, 10_000), st.sampled_from(WORDS), st.integers(1, 8)),
    min_size=10, max_size=60,
)  # fmt: skip


def _tell(history: History, steps: list[tuple[str, int, str, int]]) -> None:
    history.begin_local()
    for what, dice, word, number in steps:
        holder = history.holders[dice % len(history.holders)]
        writer = holder.writers[dice % 2]
        match what:
            case "say":
                thrown = random.Random(dice)
                for each in [word, *thrown.choices(WORDS, k=number)]:
                    holder.say(each, thrown.randrange)
            case "send":
                history.send(writer, back=dice % 4, ahead=2 if dice % 7 == 0 else 0, number=number * 2)
            case "both":
                history.send_at_once(writer, number * 2)
            case "local":
                history.begin_local()
            case "claimed":
                history.begin_claimed()
            case "crash":
                history.crash(holder)
            case "roll up":
                roll_up()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[..., Any]]:
    with second_process() as call:
        yield call


@pytest.mark.django_db(transaction=True)
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_meters_equal_a_recount_of_the_rows(
    elsewhere: Callable[..., Any], steps: list[tuple[str, int, str, int]]
) -> None:
    company = found_company("Acme", f"{uuid7()}@acme.example")
    history = History(company, elsewhere)
    _tell(history, steps)
    assert metered(company) == recounted(company)
    history.send_all(history.holders)
    before = metered(company)
    assert before == recounted(company)
    roll_up()
    assert metered(company) == before
    booked, recounted_tags = by_tag(company)
    assert booked == recounted_tags
