"""1.2: tasks outside of any flow; what they call, and where that is recorded."""

import asyncio
import threading
import time

import pytest

from orchestrator import flow, journal, runtime, tags, task, testing
from orchestrator.exceptions import TaskRunTimeout
from orchestrator.futures import as_completed
from orchestrator.testing import recorded


@task
def double(x):
    return 2 * x


@task(retries=1)
def fails(error=ValueError):
    raise error("no")


def ways_of_calling():
    @task(name="adds")
    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    @task(name="adds")
    def now(x):
        return x + 1

    @task(name="adds")
    def yields(x):
        yield x + 1

    @task(name="adds")
    async def yields_later(x):
        yield x + 1

    async def first(items):
        return await anext(items)

    return [
        lambda: now(1),
        lambda: asyncio.run(later(1)),
        lambda: next(yields(1)),
        lambda: asyncio.run(first(yields_later(1))),
        lambda: now.submit(1).result(),
        lambda: later.submit(1).result(),
        lambda: now.map([1]).result()[0],
    ]


@pytest.mark.parametrize("call", ways_of_calling())
def test_without_an_api_a_task_is_a_plain_function(call):
    """1.2: none configured."""
    before = dict(journal._hubs)  # Those that other tests have left.
    assert call() == 2
    assert journal._hubs == before


@pytest.mark.parametrize("call", ways_of_calling())
def test_with_an_api_a_task_is_recorded_with_a_root_of_its_own(call):
    """1.2: recorded, sync and async, called and submitted."""
    with testing.server() as server:
        assert call() == 2
        (run,) = server.assert_ran("adds", 1)
        (told,) = server.tasks(run)
    assert (run.state_type, told.state_type, told.task, run.name) == ("COMPLETED", "COMPLETED", "adds", told.label)
    assert run.parameters == {"x": 1}


def test_a_failing_task_fails_its_root_after_its_retries():
    """1.2: failing."""
    with testing.server() as server:
        with pytest.raises(ValueError, match="no"):
            fails()
        (run,) = server.runs()
        (told,) = server.tasks(run)
        assert (run.state_name, told.state_name or "Failed", told.run_count) == ("Failed", "Failed", 2)
        assert (run.run_count, run.error["type"]) == (1, "ValueError")
        assert fails(return_state=True).is_failed()
        assert fails.submit().result(raise_on_failure=False).args == ("no",)


def test_bad_arguments_are_the_calls_own_error():
    """1.2: failing, before the function is reached."""
    with testing.server() as server:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            double()
        assert [run.state_type for run in server.runs()] == ["FAILED"]


def test_with_the_server_away_it_runs_all_the_same_and_is_told_later(server, until):
    """1.2: the server away."""
    server.refuse = [(503, "unavailable")] * 3
    assert double(4) == 8
    until(lambda: server.run_states() == ["RUNNING", "COMPLETED"])
    assert [each["state"] for each in server.all_entries("task.state")][-1:] == ["COMPLETED"]


def test_tasks_call_tasks_and_flows_inside_one_execution():
    """1.2: tasks call tasks and flows."""

    @flow
    def inner():
        return double(1), runtime.flow_run.parent_flow_run_id is not None

    @task
    def outer():
        return inner(), double(2), [each.result() for each in (double.submit(3), inner.submit())]

    with testing.server() as server:
        assert outer() == ((2, True), 4, [6, (2, True)])
        root = server.runs("outer")[0]
        assert {run.root_id for run in server.runs()} == {root.id}
        assert sorted(told.task for told in server.tasks(root)) == ["double", "double", "outer"]
        assert [run.parent_id for run in server.runs("inner")] == [root.id, root.id]
    assert outer() == ((2, True), 4, [6, (2, True)])


def test_what_a_lone_task_submits_is_waited_for_before_it_ends_and_again_at_each_retry():
    """1.2: nested submit without a flow."""
    begun, ended = threading.Semaphore(0), []

    @task
    def waits(execution):
        begun.release()
        time.sleep(0.05)
        ended.append(execution)

    @task(retries=1)
    def submits():
        execution = runtime.task_run.run_count
        assert len(ended) == execution - 1
        waits.submit(execution)
        assert begun.acquire(timeout=10)
        if execution == 1:
            raise ValueError

    submits()
    assert ended == [1, 2]


def test_runtime_shows_the_task_and_no_flow():
    """1.22: the root that a task brings along is not the users' business."""

    @task(task_run_name="look-{x}", tags=["own"])
    def looks(x):
        facts = runtime.task_run
        return facts.name, facts.tags, facts.parameters, runtime.flow_run.id, runtime.flow_run.name

    with testing.server() as server, tags("around"):
        assert looks(3) == ("look-3", ["around", "own"], {"x": 3}, None, None)
        assert [(run.name, run.tags) for run in server.runs()] == [("look-3", ["around", "own"])]
    assert looks(3) == ("look-3", ["own"], {"x": 3}, None, None)


def test_a_timeout_and_hooks_work_without_a_flow():
    """1.7, 1.8: on tasks without a flow."""
    heard = []

    @task(timeout_seconds=0.05)
    def slow():
        threading.Event().wait(10)

    slow.on_failure(lambda task, run, state: heard.append((task.name, state.name)))
    with recorded() as told, pytest.raises(TaskRunTimeout):
        slow()
    assert heard == [("slow", "TimedOut")]
    assert told.states("slow") == ["RUNNING", "FAILED"]


def test_futures_of_lone_tasks_feed_others_and_flows():
    """1.3: futures without a flow."""
    futures = double.map([1, 2, 3])
    assert sorted(future.result() for future in as_completed(futures, timeout=10)) == [2, 4, 6]

    @flow
    def takes(values):
        return sum(values)

    assert takes(futures) == 12
    assert double(double.submit(5)) == 20


def test_a_process_waits_for_what_was_submitted_without_a_flow(python):
    """1.2: nothing submitted is lost at the end of the process."""
    done = python(
        """
        import time
        from orchestrator import task
        @task
        def late():
            time.sleep(0.2)
            print("done", flush=True)
        late.submit()
        """
    )
    assert done.stdout == "done\n"


def test_submitted_lone_tasks_are_sent_before_the_process_ends(python, server):
    """1.2: and told to the server."""
    python(
        """
        import time
        from orchestrator import task
        @task
        def late(x):
            time.sleep(0.1)
        late.map([1, 2])
        """
    )
    assert sorted(server.run_states()) == ["COMPLETED", "COMPLETED", "RUNNING", "RUNNING"]
