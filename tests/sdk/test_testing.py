"""`orchestrator.testing`: a server in memory, time control, fixtures for pytest."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pytest
from pydantic import AfterValidator

from orchestrator import Variable, config, exponential_backoff, flow, get_run_logger, journal, task, testing
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.deployments import arun_deployment, run_deployment
from orchestrator.exceptions import Invalid, NotFound, ParameterTypeError, Unavailable, Unreachable

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock():
    with testing.time_control(START) as clock:
        yield clock


@pytest.fixture
def api(clock):
    with testing.server() as server:
        yield server


@task
def add(a, b):
    get_run_logger().info("adding %d", a)
    return a + b


@flow
def sums(n: int = 1, day: str = "monday"):
    return add(n, 1)


def checked(n: int) -> int:
    get_run_logger().info("looking at %d", n)
    return n


@flow(flow_run_name="run-{n}")
def counts(n: Annotated[int, AfterValidator(checked)]): ...


OURS = ("orchestrator-", "testing-")  # names of our threads

# ── what happened ────────────────────────────────────────────────────────────────────────────────


def test_what_flows_tell_is_there_when_they_return(api):
    assert sums(3) == 4
    (run,) = api.runs("sums")
    assert (run.origin, run.parameters, run.states) == ("local", {"n": 3, "day": "monday"}, ["Running", "Completed"])
    assert [(told.task, told.state_type) for told in api.tasks(run)] == [("add", "COMPLETED")]
    assert api.assert_logged(run, "adding 3").level == 20
    assert api.runs("other") == []


def test_what_is_told_ahead_of_a_first_state_is_told_of_a_known_run(api):
    """1.12, 1.22: a refused parameter, and what a validator logs."""

    @flow
    def around():
        counts(4)
        counts("five", return_state=True)

    with pytest.raises(ParameterTypeError, match="valid integer"):
        counts("three")
    (refused,) = api.runs("counts")
    assert (refused.states, refused.parameters) == (["Failed"], {"n": "three"})
    api.assert_logged(refused, "valid integer")

    around()
    known, wrong = sorted(api.runs("counts"), key=lambda run: run.created_at)[1:]
    assert (known.name, known.states) == ("run-4", ["Running", "Completed"])
    api.assert_logged(known, "looking at 4")
    assert wrong.states == ["Failed"]


def test_a_task_alone_that_never_began_is_told_of(api):
    """1.2: its journal begins with its root."""

    @task(task_run_name="{missing}")
    def nameless(): ...

    with pytest.raises(Exception, match="missing"):
        nameless()
    (root,) = api.runs("nameless")
    assert root.states[-1] == "Failed"
    assert [told.state_type for told in api.tasks(root)] == ["FAILED"]


def test_nothing_of_it_is_left(home):
    before = config.current_api(), os.environ["ORCHESTRATOR_HOME"]
    threads = set(threading.enumerate())  # Journals of other tests in this process may still be open.
    with testing.server() as server:
        sums()
        api = server.api
        assert config.current_api() == api
    assert (config.current_api(), os.environ["ORCHESTRATOR_HOME"]) == before
    assert not home.exists()
    begun = [thread for thread in set(threading.enumerate()) - threads if thread.name.startswith(OURS)]
    for thread in begun:  # A journal of an earlier test may have begun one in this moment; it ends by itself.
        thread.join(10)
    assert not [thread for thread in begun if thread.is_alive()]
    with Client(api) as client, pytest.raises(Unreachable, match="is over"):
        client.post("/flow-runs", {})


def test_failures_say_what_was_there_instead(api):
    @flow
    def breaks():
        get_run_logger().warning("careful")
        raise ValueError("no such table")

    with pytest.raises(ValueError, match="no such table"):
        breaks()
    (run,) = api.assert_ran("breaks", times=1)
    api.assert_state(run, "FAILED")
    with pytest.raises(AssertionError, match=r"is not COMPLETED(?s:.*)ValueError: no such table(?s:.*)careful"):
        api.assert_completed(run)
    with pytest.raises(AssertionError, match=r"'sums' has 0 runs, not a run\. Flows that ran: breaks\."):
        api.assert_ran("sums")
    with pytest.raises(AssertionError, match=r"No line of .* holds 'hello'"):
        api.assert_logged(run, "hello")


def test_variables_are_there_for_code(api):
    Variable.set("region", {"name": "eu"})
    assert Variable.get("region") == {"name": "eu"}
    assert Variable.unset("region")


def test_refusals_can_be_ordered(api):
    api.refuse("unavailable")
    with Client() as client:
        with pytest.raises(Unavailable, match="told to say"):
            client.post("/flow-runs", {})
        with pytest.raises(NotFound):
            client.post("/flow-runs", {"deployment": "a/b"})


# ── deployments ──────────────────────────────────────────────────────────────────────────────────


def test_the_very_flow_that_was_deployed_is_executed(api):
    seen = []

    @flow(log_prints=True)
    def remembers(n: int):
        seen.append(n)
        print("seen", n)
        return n

    remembers.deploy("prod", parameters={"n": 1})
    runs = [api.trigger("remembers/prod"), api.trigger("remembers/prod", {"n": 2})]
    assert [run.state_name for run in runs] == ["Scheduled", "Scheduled"]
    assert api.work() == 2
    assert seen == [1, 2]
    for run in runs:
        api.assert_completed(run)
        assert run.states == ["Scheduled", "Pending", "Running", "Completed"]
    api.assert_logged(runs[1], "seen 2")
    assert api.work() == 0


def test_triggers_are_refused_as_by_the_real_server(api):
    sums.deploy("prod")
    with pytest.raises(Invalid) as refused:
        api.trigger("sums/prod", {"n": "many", "odd": 1})
    assert set(refused.value.fields) == {"parameters.n", "parameters.odd"}
    with pytest.raises(NotFound):
        api.trigger("sums/nothing")


@pytest.mark.parametrize("is_async", [False, True])
def test_code_that_runs_deployments_and_waits(api, is_async):
    sums.deploy("prod")

    @flow
    def parent():
        return run_deployment("sums/prod", {"n": 5}, poll_interval=0.01)

    @flow
    async def async_parent():
        return await arun_deployment("sums/prod", {"n": 5}, poll_interval=0.01)

    with api.working():
        ended = asyncio.run(async_parent()) if is_async else parent()
    assert ended.state.is_completed()
    run = api.run(ended.id)
    assert api.run(run.parent_id).flow in ("parent", "async_parent")


def test_a_flow_that_fails_is_retried_after_being_handed_back(api, clock):
    tries = []

    @flow(retries=1, retry_delay_seconds=120)
    def flaky():
        tries.append(clock.now)
        if len(tries) == 1:
            raise ConnectionError("no")

    flaky.deploy("prod")
    run = api.trigger("flaky/prod")
    api.work()
    api.assert_state(run, "AwaitingRetry")
    assert api.work() == 0
    clock.advance(120)
    assert api.work() == 1
    api.assert_completed(run)
    assert [(at - START).total_seconds() for at in tries] == [0, 120]
    assert (run.attempt, run.run_count) == (2, 2)


def test_a_run_that_is_cancelled_before_it_begins(api):
    sums.deploy("prod")
    run = api.trigger("sums/prod")
    api.cancel(run)
    assert api.work() == 0
    api.assert_state(run, "CANCELLED")


def test_a_run_that_cancels_itself_is_told(api):
    @flow
    def stops():
        from orchestrator import runtime

        api.cancel(runtime.flow_run.id)
        get_run_logger().info("a word, so that an answer comes")
        time.sleep(30)

    stops.deploy("prod")
    run = api.trigger("stops/prod")
    began = time.monotonic()
    api.work()
    assert time.monotonic() - began < 20
    api.assert_state(run, "CANCELLED")


def test_a_flow_of_other_processes_is_loaded_from_its_code(api, tmp_path):
    (tmp_path / "elsewhere.py").write_text("from orchestrator import flow\n@flow\ndef far(n: int):\n    return n\n")
    body = {"flow": "far", "name": "prod", "entrypoint": "elsewhere.py:far"}
    with Client() as client:
        client.post("/deployments", {**body, "source": {"type": "path", "path": str(tmp_path)}})
        client.post("/deployments", {**body, "name": "gone", "source": {"type": "path", "path": "/not/there"}})
    run, lost = api.trigger("far/prod", {"n": 1}), api.trigger("far/gone", {"n": 1})
    try:
        api.work()
    finally:
        sys.path.remove(str(tmp_path))
    api.assert_completed(run)
    assert (
        lost.state_message
        == "There is no directory /not/there on this machine. Deploy a bundle, or put the code there."
    )


def test_other_processes_reach_it_by_a_port(python):
    with testing.server(serve=True) as api:
        python(
            """
            from orchestrator import flow, Variable
            @flow
            def child():
                Variable.set("seen", 1)
            child()
            """
        )
        api.assert_completed(*api.assert_ran("child", times=1))
        assert Variable.get("seen") == 1
    assert "ORCHESTRATOR_API_KEY" not in os.environ


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


def test_retries_do_not_wait_and_the_clock_says_how_long_they_would(api, clock):
    tries = []

    @task(retries=3, retry_delay_seconds=exponential_backoff(600))
    def flaky():
        tries.append(clock.now)
        if len(tries) < 4:
            raise ConnectionError("no")

    @flow
    def patient():
        flaky()

    patient()
    assert clock.waits == [600, 1200, 2400]
    assert [(at - START).total_seconds() for at in tries] == [0, 600, 1800, 4200]
    (run,) = api.runs("patient")
    assert run.states == ["Running", "Completed"]  # Its holder was there all the time.
    (told,) = api.tasks(run)
    assert (told.ended_at - told.started_at) // 1_000_000 == 4_200
    assert {line.t for line in api.logs(run)} <= {told.started_at + s * 1_000_000 for s in (0, 600, 1800, 4200)}


def test_async_retries_do_not_wait(clock):
    tries = []

    @flow(retries=1, retry_delay_seconds=3600)
    async def flaky():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("no")

    asyncio.run(flaky())
    assert clock.now - START == timedelta(hours=1)


def test_schedules_fire_by_the_clock(api, clock):
    sums.deploy("hourly", interval=3600, parameters={"n": 7})
    clock.move_to(START + timedelta(hours=3, minutes=30))
    assert api.work() == 3
    runs = api.runs(deployment="sums/hourly")
    assert [run.scheduled_at // 1_000_000 for run in runs] == [
        int((START + timedelta(hours=hour)).timestamp()) for hour in (1, 2, 3)
    ]
    assert {run.origin for run in runs} == {"schedule"}


def test_crons_fire_by_the_clock(api, clock):
    sums.deploy("daily", cron="0 6 * * mon-fri")
    clock.advance(timedelta(days=7))
    assert api.work() == 5


def test_the_clock_goes_forward_only(clock):
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="no timezone"):
        clock.move_to(datetime(2027, 1, 1))
    with testing.time_control() as inner:
        inner.advance(1)
        assert inner.now - START == timedelta(seconds=1)
    assert clock.now == START


def test_without_control_time_is_the_systems():
    from orchestrator import clock as source

    with testing.time_control(START):
        assert source.now() == int(START.timestamp()) * 1_000_000
    assert abs(source.now() - time.time_ns() // 1000) < 5_000_000


# ── fixtures ─────────────────────────────────────────────────────────────────────────────────────

USE = """
    import datetime

    from orchestrator import flow, task

    @task(retries=1, retry_delay_seconds=3600)
    def flaky(tries):
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError

    @flow
    def nightly():
        flaky([])

    def test_one(orchestrator_server, orchestrator_clock):
        began = orchestrator_clock.now
        nightly.deploy("prod")
        run = orchestrator_server.trigger("nightly/prod")
        orchestrator_server.work()
        orchestrator_server.assert_completed(run)
        assert orchestrator_clock.now - began == datetime.timedelta(hours=1)

    def test_two(orchestrator_server):
        assert orchestrator_server.runs() == []
"""


def pytest_run(python, tmp_path, source, *arguments):
    import textwrap

    (tmp_path / "test_it.py").write_text(textwrap.dedent(source))
    plugin = ("-p", "orchestrator.testing.pytest_plugin", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
    script = "import sys, pytest\ncode = pytest.main(sys.argv[1:])\nprint(*sorted(sys.modules))\nsys.exit(code)\n"
    return python(script, *plugin, *arguments, str(tmp_path / "test_it.py"), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def test_the_fixtures_are_there(python, tmp_path):
    done = pytest_run(python, tmp_path, USE, "-q", "-W", "error")
    assert "2 passed" in done.stdout


def test_the_plugin_costs_others_nothing(python, tmp_path):
    done = pytest_run(python, tmp_path, "def test_nothing(): pass\n", "-q")
    loaded = [name for name in done.stdout.splitlines()[-1].split() if name.startswith("orchestrator")]
    assert loaded == [
        "orchestrator",
        "orchestrator._version",
        "orchestrator.testing",
        "orchestrator.testing.pytest_plugin",
    ]


def test_a_flow_is_not_told_to_a_server_that_is_over(home):
    with testing.server():
        sums()
    assert sums() == 2
    assert config.current_api() is None
    assert journal.flush(1)


def test_an_address_that_never_was():
    with Client(Api("memory://nothing", "k")) as client, pytest.raises(Unreachable, match="is over"):
        client.post("/x")
