"""2.11: runs over a past range or of sets of parameters: which ones, how fast, nothing twice, paused and cancelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils.timezone import now

from runs import admission, tasks
from runs.backfills import drip, words, working
from runs.messenger import client, messenger
from runs.models import Backfill, BackfillPlace, FlowRun, Schedule
from tenants.errors import LimitReached
from tenants.models import ApiKey, AuditEntry
from tenants.scope import system_scope
from tests.cast import Api, Company
from tests.restricted import restrict
from tests.runs.work import agent, claim, deploy, run_row, start, trigger

pytestmark = pytest.mark.django_db
DAY = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}, "n": {"type": "integer"}}}
HOURS = {"since": "2026-05-01T00:00:00Z", "until": "2026-05-01T06:00:00Z"}
SIX = {"times": {"cron": "0 * * * *"}, **HOURS}


@pytest.fixture(autouse=True)
def _no_words() -> None:
    messenger.flush()
    client().delete(words.KEY)


def asked(api: Api, status: int = 201, **body: Any) -> dict[str, Any]:
    told = api.post("/backfills", {"deployment": "etl/nightly", **body})
    assert told.status_code == status, told.content
    return told.json()


def begun(api: Api, **body: Any) -> str:
    return asked(api, **body)["backfill"]["id"]


def work(company: Company, id: str) -> int:
    """Take turns as long as there is something to do; how many there were."""
    for turns in range(1, 200):
        with company.scope():
            if not working.work(UUID(id)):
                return turns
    raise AssertionError("it never ends")


def shown(api: Api, id: str) -> dict[str, Any]:
    return api.get(f"/backfills/{id}").json()


def places(api: Api, id: str) -> list[dict[str, Any]]:
    return api.get(f"/backfills/{id}/places").json()["items"]


def runs(company: Company, **wanted: Any) -> list[FlowRun]:
    with company.scope():
        return list(FlowRun.objects.filter(**wanted).order_by("created_at", "id"))


def finish(company: Company, number: int = 10, state: str = "COMPLETED") -> list[UUID]:
    """Let an agent execute what waits."""
    by, done = agent(company), []
    for claimed in claim(company, by, number):
        journal = start(claimed)
        journal.send(journal.state(state, run_count=1))
        done.append(claimed.run)
    return done


def due() -> list[UUID]:
    with system_scope():
        return [id for _, id in working.take_due(limit=10)]


# ── which runs ───────────────────────────────────────────────────────────────────────────────────


def test_one_run_for_each_time_at_which_a_schedule_was_due(acme: Company, api: Api) -> None:
    """2.11: by its clock, through a change of it, with its parameters and the time as a parameter."""
    schedule = {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "slug": "mornings", "parameters": {"n": 3}}
    deploy(acme, schedules=[schedule], parameter_schema=DAY)
    march = {"since": "2026-03-27T00:00:00Z", "until": "2026-03-30T00:00:00Z"}
    wanted = {"schedule": "mornings", **march, "time_parameter": "day", "tags": ["again"], "name": "March"}
    seen = asked(api, 200, dry_run=True, **wanted)
    assert (seen["count"], seen["places"], seen["backfill"]) == (3, 3, None)
    assert not runs(acme)
    id = begun(api, **wanted)
    work(acme, id)
    made = runs(acme, backfill_id=id)
    assert [run.scheduled_at.isoformat() for run in made] == [
        "2026-03-27T05:00:00+00:00", "2026-03-28T05:00:00+00:00", "2026-03-29T04:00:00+00:00",
    ]  # fmt: skip
    assert [run.parameters for run in made] == [{"n": 3, "day": f"2026-03-{day}"} for day in (27, 28, 29)]
    [first, *_] = made
    assert (first.origin, first.priority, first.tags, first.created_by) == ("backfill", -10, ["again"], "developer")
    assert (first.due_at or first.scheduled_at) > now() - timedelta(minutes=1)  # It has not been late for months.
    assert [first.schedule_id] == schedules_of(acme, first.deployment_id)
    [claimed, *_] = claim(acme, agent(acme))
    assert claimed.scheduled_at == int(datetime(2026, 3, 27, 5, tzinfo=UTC).timestamp() * 1e6)


def test_the_newest_first_and_the_time_after_each(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, **SIX, order="newest", time_parameter="begin", next_parameter="end", at_once=1)
    work(acme, id)
    [run] = runs(acme)
    assert run.parameters == {"begin": "2026-05-01T05:00:00+00:00", "end": "2026-05-01T06:00:00+00:00"}


def test_sets_of_parameters_are_checked_row_by_row(acme: Company, api: Api) -> None:
    """2.11: a look tells of each; nothing is begun with one that can't be taken."""
    deploy(acme, parameter_schema=DAY)
    sets = [{"n": 1}, {"n": "two"}, {"n": 3}, {"day": 4}]
    seen = asked(api, 200, sets=sets, dry_run=True)
    assert [row["row"] for row in seen["wrong"]] == [1, 3]
    assert list(seen["wrong"][0]["fields"]) == ["parameters.n"]
    refused = asked(api, 400, sets=sets)["error"]
    assert refused["message"].startswith("2 of the 4 sets")
    assert set(refused["fields"]) == {"sets.1.n", "sets.3.day"}
    id = begun(api, sets=sets[::2], parameters={"day": "2026-05-01"}, order="newest")
    work(acme, id)
    assert [run.parameters for run in runs(acme)] == [{"day": "2026-05-01", "n": 3}, {"day": "2026-05-01", "n": 1}]


def test_times_that_have_a_run_are_left_out_unless_one_wants_them(acme: Company, api: Api) -> None:
    """2.11: also when it was made after the backfill was asked for; a retry that went well counts for what failed."""
    deployment = deploy(acme, schedules=[{"cron": "0 * * * *", "slug": "hourly"}])
    [schedule] = schedules_of(acme, deployment.id)
    at = [datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in range(6)]
    for hour in (0, 1):
        trigger(acme, deployment, scheduled_at=at[hour], schedule_id=schedule)
        finish(acme, state="COMPLETED" if hour == 0 else "FAILED")
    wanted = {"schedule": "hourly", **HOURS, "at_once": 10}

    def count(existing: str, **more: Any) -> tuple[int, int]:
        seen = asked(api, 200, dry_run=True, existing=existing, **{**wanted, **more})
        return seen["count"], sum(seen["there"].values())

    assert [count(each) for each in ("skip", "failed", "all")] == [(4, 2), (5, 2), (6, 2)]
    assert count("skip", schedule=None, times={"cron": "0 * * * *"}) == (4, 2)
    [failed] = runs(acme, state_type="FAILED")
    assert api.post(f"/flow-runs/{failed.id}/retry", {}).status_code == 201
    finish(acme)
    assert count("failed") == (4, 2)
    id = begun(api, **wanted)
    trigger(acme, deployment, scheduled_at=at[5], schedule_id=schedule)
    work(acme, id)
    told = shown(api, id)
    assert (told["made"], told["skipped"], told["left"]) == (3, 3, 0)
    assert [place["outcome"] for place in places(api, id)] == ["skipped"] * 2 + ["made"] * 3 + ["skipped"]
    assert asked(api, 409, **wanted)["error"]["message"].startswith("All of its times have a run already.")


def schedules_of(company: Company, deployment: UUID | None) -> list[UUID]:
    with company.scope():
        return list(Schedule.objects.filter(deployment=deployment).values_list("id", flat=True))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "schedule"),
        ({"sets": []}, "sets"),
        ({"sets": [{}], "since": "2026-05-01T00:00:00Z"}, "since"),
        ({"sets": [{}], "at_once": 0}, "at_once"),
        ({"sets": [{}], "per_minute": 0}, "per_minute"),
        ({"sets": [{}], "pause_after_failures": 1_000}, "pause_after_failures"),
        ({"sets": [{}], "priority": 99_999}, "priority"),
        ({"sets": [{}], "tags": ["x" * 500]}, "tags"),
        ({"sets": [{}] * 8}, "sets"),
        ({"times": {"cron": "0 * * * *"}}, "since"),
        ({"times": {"cron": "0 * * * *"}, "since": "2026-05-01T00:00:00"}, "since"),
        ({"times": {"cron": "0 * * * *"}, "since": "1990-05-01T00:00:00Z"}, "since"),
        ({"times": {"cron": "0 * * * *"}, "since": "2026-05-01T00:00:00Z", "until": "2199-01-01T00:00:00Z"}, "until"),
        ({**SIX, "until": "2026-05-01T00:00:00Z"}, "until"),
        ({**SIX, "until": "2026-05-01T08:00:00Z"}, "since"),
        ({**SIX, "times": {"cron": "0 99 * * *"}}, "times.cron"),
        ({**SIX, "times": {"cron": "0 * * * *", "timezone": "Mars"}}, "times.timezone"),
        ({**SIX, "parameters": {"n": "x"}}, "parameters.n"),
    ],
)
def test_what_can_not_be_taken(acme: Company, api: Api, settings: Any, body: dict[str, Any], field: str) -> None:
    """2.11: each is said beside its field."""
    settings.BACKFILL_RUNS = 7
    deploy(acme, parameter_schema=DAY)
    error = asked(api, 400, **body)["error"]
    assert list(error["fields"]) == [field]
    if body.get("sets") == [{}] * 8:
        assert error["fields"]["sets"].startswith("8 runs; a backfill has 7 at most.")


def test_who_may_ask(acme: Company, api: Api, eve_api: Api, settings: Any) -> None:
    deployment = deploy(acme, on_limit="CANCEL_NEW", concurrency_limit=2)
    assert asked(Api(acme.key("vera", "viewer")), 403, sets=[{}])
    assert asked(eve_api, 404, sets=[{}])
    assert asked(api, 404, schedule="none", at_once=2, **HOURS)
    assert "2 at most" in asked(api, 400, sets=[{}], at_once=3)["error"]["fields"]["at_once"]
    settings.BACKFILLS_OPEN = 1
    id = begun(api, sets=[{}], at_once=2)
    assert "open already" in asked(api, 409, sets=[{}], at_once=2)["error"]["message"]
    restrict(acme, deployment)
    assert asked(api, 404, sets=[{}], at_once=2)
    assert api.get(f"/backfills/{id}").status_code == 404
    assert api.get("/backfills").json()["items"] == []


def test_asked_twice_with_one_key_it_is_one(acme: Company, api: Api) -> None:
    deploy(acme)
    one = asked(api, sets=[{}], idempotency_key="once")
    again = asked(api, 200, sets=[{}, {}], idempotency_key="once")
    assert again["backfill"]["id"] == one["backfill"]["id"]


# ── how fast ─────────────────────────────────────────────────────────────────────────────────────


def test_no_more_at_once_and_the_next_when_one_has_ended(acme: Company, api: Api) -> None:
    """2.11: the page names what is waited for, and a run's end is heard of."""
    deploy(acme)
    id = begun(api, sets=[{}] * 5, at_once=2)
    assert due() == [UUID(id)]
    work(acme, id)
    told = shown(api, id)
    assert (told["made"], told["states"], told["why"]["code"]) == (2, {"SCHEDULED": 2}, "at_once")
    assert set(told["why"]["runs"]) == {str(run.id) for run in runs(acme)}
    assert due() == []
    [first] = finish(acme, 1)
    with acme.scope():
        words.ended({UUID(id)})
    assert told_of_ends([UUID(id)]) == [UUID(id)]
    work(acme, id)
    assert shown(api, id)["made"] == 3
    assert run_row(acme, first).backfill_id == UUID(id)


def told_of_ends(ids: list[UUID]) -> list[UUID]:
    """Whom the tick takes when runs of these have ended; a test's transaction is never committed."""
    client().sadd(words.KEY, *map(str, ids))
    return due()


@pytest.mark.django_db(transaction=True)
def test_the_end_of_a_run_is_told(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, sets=[{}, {}], at_once=1)
    due()
    work(acme, id)
    finish(acme, 1)
    messenger.flush()
    assert due() == [UUID(id)]
    work(acme, id)
    finish(acme, 1)
    messenger.flush()
    assert due() == [UUID(id)]
    work(acme, id)
    assert shown(api, id)["state"] == "completed"


def test_a_word_that_was_lost_or_came_too_early_is_made_up_for(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, sets=[{}] * 3, at_once=1)
    assert due() == [UUID(id)]
    assert told_of_ends([UUID(id)]) == []  # Somebody is at it: the word stays.
    messenger.flush()
    work(acme, id)
    assert due() == [UUID(id)]
    work(acme, id)
    finish(acme, 1)
    with system_scope():
        assert (working.find_missed(), working.find_missed()) == (1, 0)
    assert due() == [UUID(id)]
    with acme.scope():  # A worker was killed that had it.
        Backfill.objects.filter(id=id).update(look_at=None, leased_until=now() - timedelta(seconds=1))
    tasks.find_missed_backfills()
    assert due() == [UUID(id)]


def test_a_thousand_that_wait_cost_the_tick_no_look(acme: Company, api: Api) -> None:
    """2.11: those that wait for their runs are in no index that the tick reads."""
    deploy(acme)
    id = begun(api, sets=[{}] * 2, at_once=1)
    work(acme, id)
    with acme.scope():
        one = Backfill.objects.get(id=id)
        Backfill.objects.bulk_create(
            Backfill(**{f.attname: getattr(one, f.attname) for f in Backfill._meta.concrete_fields if f.name != "id"})
            for _ in range(1_000)
        )
    assert due() == []
    with system_scope():
        assert working.find_missed() == 1_000


def test_the_pace_is_even_and_kept(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.11: 30 a minute are one each two seconds, also when a worker comes late."""
    deploy(acme)
    id = begun(api, sets=[{}] * 100, at_once=100, per_minute=30)
    clock = now()
    for module in (working, drip):
        monkeypatch.setattr(module, "now", lambda: clock, raising=False)

    def made_after(seconds: float) -> int:
        nonlocal clock
        clock += timedelta(seconds=seconds)
        work(acme, id)
        with acme.scope():
            return Backfill.objects.get(id=id).made

    assert [made_after(each) for each in (0, 1, 1, 2, 30)] == [1, 1, 2, 3, 5]
    with acme.scope():
        look_at = Backfill.objects.get(id=id).look_at
    assert look_at is not None
    assert clock < look_at <= clock + timedelta(seconds=2)
    with acme.scope():
        FlowRun.objects.update(created_at=clock)
    assert api.patch(f"/backfills/{id}", {"per_minute": 5}).status_code == 200
    assert made_after(10) == 5  # Five were made within this minute.
    assert made_after(51) == 6


def test_the_drip_is_changed_while_it_runs(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, sets=[{}] * 9, at_once=1)
    work(acme, id)
    assert api.patch(f"/backfills/{id}", {"at_once": 4}).json()["at_once"] == 4
    work(acme, id)
    assert shown(api, id)["made"] == 4
    assert api.patch(f"/backfills/{id}", {"at_once": 4_000}).status_code == 400
    assert api.patch(f"/backfills/{id}", {"at_most": 4}).status_code == 400


def test_failures_in_a_row_pause_it_until_somebody_resumes_it(acme: Company, api: Api) -> None:
    """2.11: then they are counted anew."""
    deploy(acme)
    id = begun(api, sets=[{}] * 9, at_once=1, pause_after_failures=2)
    for state in ("FAILED", "COMPLETED", "FAILED", "FAILED"):
        work(acme, id)
        finish(acme, 1, state)
    work(acme, id)
    told = shown(api, id)
    assert (told["state"], told["made"], told["why"]["sentence"]) == (
        "paused", 4, "Paused: the last 2 of its runs failed.",
    )  # fmt: skip
    assert api.post(f"/backfills/{id}/resume").json()["state"] == "running"
    work(acme, id)
    assert shown(api, id)["made"] == 5


# ── nothing twice, whatever happens ──────────────────────────────────────────────────────────────


def test_a_worker_that_is_killed_leaves_no_half_turn(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """2.11: what it had made is undone with it, and made once by the next one."""
    deploy(acme)
    id = begun(api, sets=[{"i": i} for i in range(5)], at_once=10)

    class Killed(BaseException):
        pass

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(working, "_note", kill)
        with pytest.raises(Killed), transaction.atomic(), acme.scope():
            working.work(UUID(id))
    assert (runs(acme), shown(api, id)["made"]) == ([], 0)
    work(acme, id)
    with acme.scope():  # As if the place had been lost, and not the runs.
        Backfill.objects.filter(id=id).update(reached=0, made=0, at_once=20)
        BackfillPlace.objects.update(outcome="waiting", run_id=None)
    work(acme, id)
    assert sorted(run.parameters["i"] for run in runs(acme)) == [0, 1, 2, 3, 4]


def test_turns_that_fail_pause_it_in_the_end(
    acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(acme)
    id = begun(api, sets=[{}])

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("bad luck")

    with monkeypatch.context() as patch:
        patch.setattr(working, "_go_on", broken)
        for _ in range(working.MAX_FAILURES):
            tasks.work_on_backfill(str(acme.organization.id), id)
    assert (shown(api, id)["state"], "bad luck" in caplog.text) == ("paused", True)
    api.post(f"/backfills/{id}/resume")
    tasks.work_on_backfill(str(acme.organization.id), id)
    assert shown(api, id)["made"] == 1


def test_where_no_runs_may_start_it_waits_and_says_so(acme: Company, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(acme)
    id = begun(api, sets=[{}] * 3)

    def refuse(_: UUID) -> None:
        raise LimitReached("The task runs of May are used up.")

    with monkeypatch.context() as patch:
        patch.setattr("runs.trigger.admit", refuse)
        work(acme, id)
    told = shown(api, id)
    assert (told["state"], told["made"], told["why"]["code"]) == ("running", 0, "limit")
    assert told["message"] == "The task runs of May are used up."
    assert due() == []
    admission.forget()
    work(acme, id)
    assert (shown(api, id)["made"], shown(api, id)["message"]) == (3, "")


def test_what_a_new_version_refuses_is_told_at_its_place(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, sets=[{"n": 1}, {"n": "two"}, {"n": 3}])
    deploy(acme, parameter_schema=DAY)
    work(acme, id)
    told = shown(api, id)
    assert (told["made"], told["refused"], told["left"]) == (2, 1, 0)
    assert "parameters.n" in places(api, id)[1]["message"]


# ── paused, resumed, cancelled ───────────────────────────────────────────────────────────────────


def test_paused_nothing_is_made_and_resumed_it_goes_on(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, sets=[{}] * 4, at_once=1)
    work(acme, id)
    assert api.post(f"/backfills/{id}/pause").json()["state"] == "paused"
    finish(acme)
    assert told_of_ends([UUID(id)]) == []
    assert (work(acme, id), shown(api, id)["made"], shown(api, id)["why"]["code"]) == (1, 1, "paused")
    api.post(f"/backfills/{id}/resume")
    assert due() == [UUID(id)]
    work(acme, id)
    assert shown(api, id)["made"] == 2
    with acme.scope():
        told = list(AuditEntry.objects.order_by("at", "id").values_list("action", flat=True))
    wanted = ["backfill.created", "backfill.paused", "backfill.resumed"]
    assert [each for each in told if not each.startswith(("deployment", "api_key", "key"))][-3:] == wanted


@pytest.mark.parametrize(
    ("which", "states"),
    [("none", ["RUNNING", "SCHEDULED"]), ("waiting", ["RUNNING", "CANCELLED"]), ("all", ["CANCELLING", "CANCELLED"])],
)
def test_cancelled_with_its_runs_or_without(acme: Company, api: Api, which: str, states: list[str]) -> None:
    """2.11: other runs of the deployment are left alone."""
    other = trigger(acme, deploy(acme), scheduled_at=now() + timedelta(hours=1))
    id = begun(api, sets=[{}] * 4, at_once=2)
    work(acme, id)
    [claimed] = claim(acme, agent(acme), 1)
    start(claimed)
    assert api.post(f"/backfills/{id}/cancel", {"runs": which}).json()["state"] == "cancelled"
    made = runs(acme, backfill_id=id)
    assert [run.state_type for run in sorted(made, key=lambda run: run.id != claimed.run)] == states
    assert run_row(acme, other[0]).state_type == "SCHEDULED"
    assert (work(acme, id), shown(api, id)["left"]) == (1, 2)
    assert api.post(f"/backfills/{id}/cancel").status_code == 409


def test_it_ends_with_the_rights_of_who_asked_and_with_the_deployment(acme: Company, api: Api) -> None:
    deployment = deploy(acme)
    owner = Api(acme.key("owner", "owner"))
    mine, restricted = begun(api, sets=[{}] * 3), begun(api, sets=[{}] * 3)
    theirs = begun(owner, sets=[{}] * 3, at_once=1)
    with acme.scope():
        key = ApiKey.objects.get(name="developer")
    restrict(acme, deployment, ("key", key.id, 1))
    work(acme, restricted)
    assert shown(owner, restricted)["state"] == "cancelled"
    with acme.scope():
        ApiKey.objects.filter(id=key.id).update(revoked_at=now())
    work(acme, mine)
    assert shown(owner, mine)["message"] == "developer may not run this any more."
    work(acme, theirs)
    with acme.scope():
        FlowRun.objects.update(state_type="COMPLETED")
        deployment.delete()
    work(acme, theirs)
    told = shown(owner, theirs)
    assert (told["state"], told["message"], told["deployment"]) == (
        "cancelled", "The deployment was deleted.", "etl/nightly",
    )  # fmt: skip


# ── afterwards ───────────────────────────────────────────────────────────────────────────────────


def test_its_failed_runs_are_retried_in_their_places(acme: Company, api: Api) -> None:
    """2.11: by the filter of the list; the retry is about the same time, and counts in the place of what failed."""
    deploy(acme)
    id = begun(api, **SIX, at_once=6)
    work(acme, id)
    finish(acme, 3, "FAILED")
    listed = api.get("/flow-runs", backfill=id).json()["items"]
    assert (len(listed), {run["backfill"] for run in listed}) == (6, {id})
    filter = {"backfill": id, "state": "FAILED"}
    seen = api.post("/flow-runs/retry", {"filter": filter, "dry_run": True}).json()
    former = seen["first"][0]
    retried = api.post(f"/flow-runs/{former['id']}/retry", {}).json()
    assert (seen["count"], retried["backfill"], retried["scheduled_at"]) == (3, id, former["scheduled_at"])
    now_there = {place["run"] for place in places(api, id)}
    assert (retried["id"] in now_there, former["id"] in now_there) == (True, False)
    assert sum(shown(api, id)["states"].values()) == 6


def test_a_run_that_was_deleted_leaves_its_place(acme: Company, api: Api) -> None:
    deploy(acme)
    id = begun(api, sets=[{}] * 2)
    work(acme, id)
    finish(acme)
    with acme.scope():
        FlowRun.objects.filter(id=runs(acme)[0].id).delete()
    work(acme, id)
    told = shown(api, id)
    assert (told["deleted"], told["states"], told["state"]) == (1, {"COMPLETED": 1}, "completed")


def test_old_ones_are_forgotten_with_their_places(acme: Company, api: Api) -> None:
    deploy(acme)
    ids = [begun(api, sets=[{}]) for _ in range(2)]
    api.post(f"/backfills/{ids[0]}/cancel")
    with acme.scope():
        Backfill.objects.filter(id=ids[0]).update(ended_at=now() - working.KEPT - timedelta(days=1))
    tasks.forget_backfills()
    assert [each["id"] for each in api.get("/backfills", deployment="etl/nightly").json()["items"]] == [ids[1]]
    with acme.scope():
        assert BackfillPlace.objects.count() == 1
