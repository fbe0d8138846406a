"""1.19: `.delay`, the futures that it returns, and the processes that execute what was queued."""

from __future__ import annotations

import asyncio
import datetime
import os
import pickle
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from orchestrator import flow, journal, runtime, serve, task, testing
from orchestrator.background import get_background_task
from orchestrator.client import Client
from orchestrator.config import require_api
from orchestrator.delaying import is_json
from orchestrator.exceptions import (
    CancelledRun,
    FailedRun,
    MissingResult,
    NotConfigured,
    NotFound,
    ParameterBindError,
    ResultNotStored,
    Unauthorized,
    UnfinishedRun,
    Unreachable,
)
from orchestrator.futures import as_completed, wait
from orchestrator.serving import _agent, _checked, _make_known
from orchestrator.task_worker import TaskWorker

HEARD = []


@task
def given(a, b=2, *more, **rest):
    return a, b, more, rest


@task
def refuses():
    raise ValueError("not today")


@task
def counts(path, fail=0):
    with open(path, "a") as file:
        file.write(f"{runtime.task_run.run_count}\n")
    if len(Path(path).read_text().splitlines()) <= fail:
        raise ConnectionError("not yet")
    return runtime.task_run.run_count


@task
def makes_a_lock():
    return threading.Lock()


@task(persist_result=False)
def keeps_nothing():
    return 1


@task(on_completion=[lambda task, run, state: HEARD.append((task.name, run.run_count, state.name))])
def is_heard():
    return None


@task
async def later(value):
    await asyncio.sleep(0)
    return value


@pytest.fixture
def server():
    HEARD.clear()
    with testing.server() as server:
        yield server


# ── calls and their values ───────────────────────────────────────────────────────────────────────


def test_arguments_and_values_come_as_they_were_given(server):
    """1.19: JSON goes to the server, the rest by the result storage; both come back the very same."""
    day = datetime.date(2026, 11, 23)
    future = given.delay([1, None], day, (1, 2), text="x", table={1: 2})
    server.work()
    assert future.result() == ([1, None], day, ((1, 2),), {"text": "x", "table": {1: 2}})
    shown = server.run(future.run_id).parameters
    assert shown["a"] == [1, None]
    assert shown["b"].startswith("date, ")
    assert shown["b"].endswith(" bytes, stored")


def test_defaults_are_those_of_the_process_that_executes(server):
    future = given.delay(1)
    assert server.run(future.run_id).parameters == {"a": 1}
    server.work()
    assert future.result() == (1, 2, (), {})


def test_a_large_argument_does_not_go_to_the_server(server):
    future = given.delay("x" * 1_000_000)
    assert len(str(server.run(future.run_id).parameters)) < 100
    server.work()
    assert future.result()[0] == "x" * 1_000_000


@pytest.mark.parametrize(
    "value", [(1, 2), {1: 2}, float("nan"), float("inf"), "a\x00b", "\ud800", b"x", 2**60, datetime.date(2026, 1, 1)]
)
def test_what_json_would_change_is_not_sent_as_json(value):
    assert not is_json(value)
    assert not is_json([value])
    assert not is_json({"a": value})


def test_keyword_arguments_of_any_name_are_stored(server):
    """1.19: names are no parts of a path."""
    names = ["a/../../b", "ünï " * 100, ".", ""]
    future = given.delay(1, **{name: {name} for name in names})
    server.work()
    assert future.result()[3] == {name: {name} for name in names}


def test_any_process_finds_the_value_by_the_id(server):
    future = later.delay("so")
    other = pickle.loads(pickle.dumps(future))
    server.work()
    assert get_background_task(future.run_id).result() == "so"
    assert other.result(timeout=10) == "so"
    assert asyncio.run(other.aresult(timeout=10)) == "so"
    with pytest.raises(NotFound):
        get_background_task("0192f0c1-2d3e-7f40-8a5b-6c7d8e9f0a1b")


def test_a_value_is_read_where_this_process_keeps_values_and_nowhere_else(server, monkeypatch, tmp_path):
    """1.19: whoever reports an address must not have others unpickle what is there."""
    future = given.delay({1, 2})
    server.work()
    monkeypatch.setenv("ORCHESTRATOR_RESULTS_STORAGE", str(tmp_path / "other"))
    with pytest.raises(MissingResult, match="ORCHESTRATOR_RESULTS_STORAGE"):
        future.result()
    stored = server.run(future.run_id).call["stored"]["a"]
    with Client() as client:
        for told in ({**stored, "url": "file:///evil"}, {**stored, "key": "runs/x"}):
            call = {"parameters": {"a": "x"}, "call": {"stored": {"a": told}}}
            client.post("/background-runs", {"deployment": "given/background", "calls": [call]})
    server.work()
    assert [run.state_type for run in server.runs("given")[1:]] == ["FAILED", "FAILED"]


def test_a_value_that_can_not_be_stored_fails_no_call_that_was_not_told_to_keep_it(server):
    lock, nothing = makes_a_lock.delay(), keeps_nothing.delay()
    asked = makes_a_lock.with_options(name="asked").fn
    strict = task(asked, name="strict", persist_result=True).delay()
    server.work()
    server.assert_completed(lock.run_id)
    server.assert_logged(lock.run_id, "can't be stored")
    for future in (lock, nothing):
        with pytest.raises(MissingResult, match="persist_result=False"):
            future.result()
    server.assert_state(strict.run_id, "FAILED")


def test_what_can_not_be_sent_is_refused_before_it_is_queued(server):
    with pytest.raises(ResultNotStored, match="lock"):
        given.delay(threading.Lock())
    with pytest.raises(ParameterBindError):
        given.delay()
    with pytest.raises(TypeError, match="can't go along"):
        given.with_options(on_failure=[print]).delay(1)
    with pytest.raises(ValueError, match="not both"):
        given.apply_async((1,), countdown=3, scheduled_time=datetime.datetime.now(datetime.UTC))

    @task
    def items():
        yield 1

    with pytest.raises(TypeError, match="generator"):
        items.delay()
    assert server.runs() == []


def test_without_a_server_nothing_can_be_queued(home):
    with pytest.raises(NotConfigured):
        given.delay(1)


# ── what becomes of calls ────────────────────────────────────────────────────────────────────────


def test_a_failure_is_raised_where_it_is_awaited(server):
    future = refuses.delay()
    assert future.state.is_scheduled()
    assert not future.done()
    server.work()
    with pytest.raises(FailedRun, match="ValueError: not today") as caught:
        future.result()
    assert "refuses" in caught.value.__notes__[0]
    assert isinstance(future.result(raise_on_failure=False), FailedRun)


def test_waiting_ends_in_time(server):
    future = given.delay(1)
    future.wait(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        asyncio.run(future.aresult(timeout=0.01))


def test_a_call_that_nobody_has_begun_is_cancelled_at_once(server):
    future = given.delay(1)
    future.cancel()
    server.work()
    with pytest.raises(CancelledRun):
        future.result()


def test_many_are_awaited_together(server):
    futures = given.delay_map(range(20))
    with server.working():
        first = next(iter(as_completed(futures, timeout=20)))
        assert first.done()
        assert len(wait(futures, timeout=20).done) == 20
    assert [value[0] for value in futures.result()] == list(range(20))


def test_what_nobody_has_begun_keeps_no_other_from_being_heard_of(server, monkeypatch):
    """1.19: more are waited for than one request may name."""
    monkeypatch.setattr("orchestrator.wire.MAX_AWAITED", 2)
    late = [given.apply_async((number,), countdown=3600) for number in range(12)]
    soon = [given.delay(number) for number in range(3)]
    for future in [*late, *soon]:
        future._expect()
    server.work()
    for future in soon:
        future.wait(timeout=5)
    assert all(future._done for future in soon)  # `done()` would ask for itself.
    for future in late:
        future.cancel()


def test_who_waits_for_one_after_the_other_asks_about_many_at_once(server, monkeypatch):
    """1.19: those that were queued together have mostly ended together."""
    futures = [given.delay(number) for number in range(20)]
    server.work()
    asked, post = [], Client.post

    def count(client, path, *args, **options):
        asked.append(path)
        return post(client, path, *args, **options)

    monkeypatch.setattr(Client, "post", count)
    assert [future.result(timeout=10)[0] for future in futures] == list(range(20))
    assert len(asked) < 5


def test_who_waits_for_a_run_that_was_deleted_is_told(server):
    """1.19: nobody will hear of its end."""
    future = given.apply_async((1,), countdown=3600)
    kept = given.apply_async((2,), countdown=3600)
    kept._expect()
    del server.memory.store.runs[UUID(future.run_id)]
    with pytest.raises(NotFound):
        future.result()
    assert wait([future]).done == {future}
    assert not kept._done
    kept.cancel()


def test_who_waits_with_a_key_that_was_revoked_is_told(server, monkeypatch):
    """1.19: refused once, it may be a mistake; refused again and again, it is not."""
    future, asked = given.apply_async((1,), countdown=3600), []

    def refuse(client, path, *args, **options):
        asked.append(path)
        raise Unauthorized

    with monkeypatch.context() as patched:
        patched.setattr("orchestrator.awaiting.PAUSE", 0.001)
        patched.setattr(Client, "post", refuse)
        with pytest.raises(Unauthorized):
            future.result()
    assert asked == ["/flow-runs/wait"] * 3


def test_options_go_along_with_the_call(server, tmp_path):
    with testing.time_control():
        options = {"retries": 2, "retry_delay_seconds": 1, "task_run_name": "try {fail}"}
        future = counts.with_options(**options).delay(str(tmp_path / "tries"), 2)
        server.work()
    run = server.assert_completed(future.run_id)
    assert (run.name, run.run_count, run.retries, future.result()) == ("try 2", 3, 2, 3)


def test_a_call_is_named_tagged_and_queued_once(server):
    told = {"name": "first", "tags": ["a"], "idempotency_key": "one"}
    future, again = (given.with_options(tags=["b"]).apply_async((1,), **told) for _ in range(2))
    assert future.run_id == again.run_id
    run = server.run(future.run_id)
    assert (run.name, sorted(run.tags), run.origin) == ("first", ["a", "b"], "background")


def test_a_long_delay_before_a_retry_holds_nobody(server, tmp_path):
    """1.19: the call goes back to the queue, and its retries go on where they were."""
    path = tmp_path / "tries"
    with testing.time_control() as clock:
        future = counts.with_options(retries=1, retry_delay_seconds=600).delay(str(path), 1)
        server.work()
        assert server.run(future.run_id).state_name == "AwaitingRetry"
        clock.advance(601)
        server.work()
    run = server.assert_completed(future.run_id)
    assert (run.attempt, run.run_count, path.read_text()) == (2, 2, "1\n2\n")


def test_a_value_that_outlived_its_attempt_ends_the_next_one(server, tmp_path):
    """1.19: it was stored, but nothing reached the server: it is not executed again, and its run ends."""
    path = tmp_path / "tries"
    with testing.time_control() as clock:
        future = counts.delay(str(path))
        telling = journal.divert(lambda root: None)
        server.work()
        journal.divert(telling)
        assert server.run(future.run_id).state_type == "PENDING"
        for _ in range(2):  # Until its lease is over, and until it may be claimed again.
            clock.advance(120)
            server.work()
    run = server.assert_completed(future.run_id)
    assert (run.attempt, run.state_name, future.result(), path.read_text()) == (2, "Replayed", 1, "1\n")


def test_hooks_are_called_where_it_is_executed(server):
    is_heard.delay()
    server.work()
    assert HEARD == [("is_heard", 1, "Completed")]


def test_futures_among_the_arguments(server):
    """1.19: those of this process are waited for; a background task may take hours, so it must have ended."""

    @flow
    def queues():
        return given.delay(later.submit("x"), given.delay_map([1])[0].run_id).run_id

    run_id = queues()
    server.work()
    assert get_background_task(run_id).result()[0] == "x"
    first = given.delay(1)
    with pytest.raises(UnfinishedRun, match="wait"):
        given.delay(first)
    with pytest.raises(UnfinishedRun):
        given.apply_async((1,), wait_for=[first])
    server.work()
    second = given.delay(first)
    server.work()
    assert second.result()[0] == (1, 2, (), {})


def test_a_future_of_elsewhere_is_an_argument_like_any_other(server):
    future = given.delay(1)

    @flow
    def uses():
        return later.submit(future).result(timeout=20)

    with server.working():
        assert asyncio.run(_awaited(uses)) == (1, 2, (), {})


async def _awaited(call):
    return await asyncio.to_thread(call)


def test_a_task_is_triggered_like_a_flow_too(server):
    """1.19: by a form or a schedule its parameters are checked, and become what the types say."""

    @task
    def dated(day: datetime.date) -> str:
        return day.strftime("%d.%m.")

    dated.deploy()
    run = server.trigger("dated/background", {"day": "2026-11-23"})
    server.work()
    assert get_background_task(run.id).result() == "23.11."


# ── served ───────────────────────────────────────────────────────────────────────────────────────


@task
def busy(path):
    Path(path).touch()
    while True:
        time.sleep(0.01)


@task
async def asleep(path):
    Path(path).touch()
    await asyncio.sleep(600)


@task
def thread():
    return threading.current_thread().name, os.getpid()


@contextmanager
def served(*tasks, limit=None):
    """What `serve` does, in a thread of this process."""
    api, deployments = require_api(), _checked(tasks)
    agent = _agent(api, deployments, _make_known(api, deployments), limit)
    agent.settings.drain = agent.settings.grace = 1.0
    working = threading.Thread(target=agent.run, daemon=True)
    working.start()
    try:
        yield agent
    finally:
        agent.stop()
        working.join(20)
        assert not working.is_alive()


@pytest.fixture
def reached():
    """A server that other processes and threads reach by HTTP."""
    with testing.server(serve=True, lease_seconds=20, wait_seconds=2) as server:
        yield server


def test_served_tasks_are_executed_in_threads_of_the_process(reached):
    with served(thread, later, refuses):
        assert thread.delay().result(timeout=30)[1] == os.getpid()
        assert later.delay("x").result(timeout=30) == "x"
        with pytest.raises(FailedRun):
            refuses.delay().result(timeout=30)


def test_a_call_that_can_not_even_begin_holds_no_lease(reached, until):
    """1.19: its options are none; they came by the API."""
    with served(later), Client() as client:
        call = {"parameters": {"value": 1}, "call": {"options": {"retry_delay_seconds": "soon"}}}
        told = client.post("/background-runs", {"deployment": "later/background", "calls": [call]})
        run_id = told["runs"][0]["id"]
        until(lambda: get_background_task(run_id).done())
        assert get_background_task(run_id).state.is_crashed()


def test_a_served_call_is_cancelled_in_its_thread(reached, tmp_path, until):
    with served(busy, asleep):
        for number, each in enumerate((busy, asleep)):
            path = tmp_path / str(number)
            future = each.delay(str(path))
            until(path.exists)
            future.cancel()
            with pytest.raises(CancelledRun):
                future.result(timeout=30)


def test_what_a_process_leaves_at_its_end_is_another_ones(reached, tmp_path, until):
    """1.19: a call that doesn't end in time is stopped, and tried again as its retries say."""
    path = tmp_path / "begun"
    with served(busy):
        future = busy.with_options(retries=1).delay(str(path))
        until(path.exists)
    assert reached.run(future.run_id).state_name == "AwaitingRetry"
    future.cancel()


PROGRAM = """
import os, sys, time
from pathlib import Path
from orchestrator import flow, serve, task

@task
def once(path):
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\\n")
    while len(Path(path).read_text().splitlines()) < 2:
        time.sleep(0.01)
    return "done"

@flow
def plain():
    return once.name

if __name__ == "__main__":
    serve(once.to_deployment(crash_retries=3), plain.to_deployment("prod"))
"""


def test_a_call_survives_the_kill_of_who_serves_it(reached, program, tmp_path, until):
    """1.19: the next process on the machine tells of the end of the former one, and takes the call up again."""
    path = tmp_path / "pids"
    (tmp_path / "once.py").write_text(PROGRAM)
    process = program(PROGRAM)
    with Client() as client:
        (run,) = client.post(
            "/background-runs", {"deployment": "once/background", "calls": [{"parameters": {"path": str(path)}}]}
        )["runs"]
    until(lambda: path.exists() and path.read_text().endswith("\n"), 30)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    second = program(PROGRAM)
    assert get_background_task(run["id"]).result(timeout=60) == "done"
    assert path.read_text().split() == [str(process.pid), str(second.pid)]
    assert reached.run(run["id"]).attempt == 2
    flow_run = reached.trigger("plain/prod")
    until(lambda: flow_run.is_final, 30)
    reached.assert_completed(flow_run)


def test_nobody_asks_on_where_a_server_in_memory_is_over():
    """1.19: who waits hears it, and no thread stays."""
    with testing.server():
        future = given.delay(1)
    with pytest.raises(Unreachable):
        future.result(timeout=30)


def test_there_are_other_names_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr("orchestrator.task_worker.serve", lambda *tasks, **more: asked.append((tasks, more)))
    TaskWorker(given, limit=3).start()
    assert asked == [((given,), {"limit": 3})]
    with pytest.raises(TypeError, match="not str"):
        serve("given")
