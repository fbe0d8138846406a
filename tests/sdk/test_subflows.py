"""1.9: flows called by flows: their own runs, concurrent when they are submitted or awaited together."""

import asyncio
import threading

import pytest

from orchestrator import flow, get_run_logger, runtime, task, testing
from orchestrator.exceptions import ParameterBindError, RunCancelled, UpstreamTaskError
from orchestrator.futures import as_completed, wait
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import recorded


@task
def add(a, b=1):
    return a + b


@pytest.fixture(params=["sync", "async"])
def meets(request):
    """A flow that ends only when three of it are under way at once."""
    barrier = threading.Barrier(3)

    @flow(name="meets")
    def sync(n: int):
        barrier.wait(10)
        return add(n)

    @flow(name="meets")
    async def later(n: int):
        await asyncio.to_thread(barrier.wait, 10)
        return add(n)

    return sync if request.param == "sync" else later


def test_submitted_subflows_run_concurrently_each_with_a_page_of_its_own(meets):
    """1.9: .submit of subflows."""

    @flow
    def main():
        futures = [meets.submit(n) for n in (1, "2", 3)]
        return [future.result() for future in futures]

    with testing.server() as server:
        assert main() == [2, 3, 4]
        root = server.runs("main")[0]
        children = server.assert_ran("meets", 3)
        assert {(run.parent_id, run.root_id, run.state_type) for run in children} == {(root.id, root.id, "COMPLETED")}
        assert sorted(run.parameters["n"] for run in children) == [1, 2, 3]
        assert [len(server.tasks(run)) for run in children] == [1, 1, 1]
    assert main() == [2, 3, 4]


def test_awaited_together_async_subflows_run_concurrently_and_are_told_apart():
    """1.9: asyncio.gather over subflows."""
    inside = []

    @flow
    async def child(n):
        inside.append(n)
        while len(inside) < 3:
            await asyncio.sleep(0)
        return n, runtime.flow_run.parent_flow_run_id

    @flow
    async def main():
        return runtime.flow_run.id, await asyncio.gather(*(child(n) for n in range(3)))

    with testing.server() as server:
        own, told = asyncio.run(main())
        assert told == [(n, own) for n in range(3)]
        assert len(server.assert_ran("child", 3)) == 3


def test_subflows_have_parameters_and_retries_of_their_own():
    """1.9: parameters, retries."""
    calls = []

    @flow(retries=2, flow_run_name="child-{n}")
    def child(n: int):
        calls.append(n)
        if len(calls) < 3:
            raise ValueError("not yet")
        return n

    @flow
    def main():
        return child.submit("7").result()

    with testing.server() as server:
        assert main() == 7
        (run,) = server.runs("child")
        assert (run.name, run.run_count, run.state_type) == ("child-7", 3, "COMPLETED")
        assert server.runs("main")[0].run_count == 1


def test_as_completed_and_wait_take_subflows_and_tasks_alike():
    """1.9: futures of subflows are futures."""
    gate = threading.Event()

    @flow
    def slow():
        gate.wait(10)
        return "slow"

    @flow
    def quick():
        return "quick"

    @flow
    def main():
        first, second = slow.submit(), quick.submit()
        order = []
        for future in as_completed([first, second], timeout=10):
            order.append(future.result())
            gate.set()
        return order, len(wait([first, second]).done), first.flow_run_id is not None, first.task_run_id

    assert main() == (["quick", "slow"], 2, True, None)


def test_futures_of_subflows_are_waited_for_and_draw_no_edge_between_tasks():
    """1.9: a subflow's future as an argument, of a task and of another subflow."""

    @flow
    def child(n):
        return add(n)

    @flow
    def main():
        first = child.submit(1)
        return add.submit(first), child.submit(first)

    with recorded() as told:
        assert [state.data for state in main()] == [3, 3]
    assert [list(entry.parents) for entry in told.tasks("add")] == [[], [], []]


def test_a_subflow_that_fails_is_told_by_its_future_and_stops_what_needs_it():
    """1.9: failing."""

    @flow
    def fails():
        raise ValueError("no")

    @flow
    def main():
        future = fails.submit()
        after = add.submit(future)
        assert isinstance(after.result(raise_on_failure=False), UpstreamTaskError)
        return future.result(raise_on_failure=False)

    with testing.server() as server:
        assert isinstance(main(), ValueError)
        server.assert_state(server.runs("fails")[0], "FAILED")
        server.assert_completed(server.runs("main")[0])


def test_a_flow_waits_for_its_submitted_subflows():
    """1.9: what nobody asked for is not lost."""
    done = []

    @flow
    def child():
        done.append(1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        child.submit()

    main()
    assert done == [1]


def test_subflows_submit_subflows_and_tasks_do_without_deadlock():
    """1.9: recursion with threads."""

    @flow
    def tree(depth: int):
        if depth == 0:
            return 1
        return sum(future.result() for future in [tree.submit(depth - 1), tree.submit(depth - 1)])

    @task
    def branch():
        return tree.submit(2).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return tree.submit(3).result(), branch.submit().result()

    assert main() == (8, 4)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_cancel_reaches_submitted_subflows(kind):
    """1.9: a cancel ends every subflow of the run, and each says so."""
    begun = threading.Semaphore(0)
    seen = []

    @flow(name="child")
    def sync():
        try:
            begun.release()
            while True:
                threading.Event().wait(0.01)
        except RunCancelled:
            seen.append("cancelled")
            raise

    @flow(name="child")
    async def later():
        begun.release()
        while True:
            await asyncio.sleep(0.01)

    child = sync if kind == "sync" else later

    @flow
    def main():
        futures = [child.submit(), child.submit()]
        for _ in futures:
            begun.acquire(timeout=10)
        server.cancel(runtime.flow_run.id)
        get_run_logger().info("a word, so that an answer comes")
        wait(futures, timeout=30)

    with testing.server() as server:
        with pytest.raises(RunCancelled):
            main()
        server.assert_state(server.runs("main")[0], "CANCELLED")
        assert {run.state_type for run in server.assert_ran("child", 2)} == {"CANCELLED"}
    assert seen == (["cancelled"] * 2 if kind == "sync" else [])


def test_a_flow_may_be_submitted_without_a_flow_around_it():
    """1.9: a root in a thread."""

    @flow
    def alone(n: int):
        return n

    with testing.server() as server:
        assert alone.submit("3").result(timeout=10) == 3
        assert server.assert_completed(server.runs("alone")[0]).is_root


def test_arguments_that_do_not_fit_are_refused_at_the_submit():
    """1.9: before anything is begun."""

    @flow
    def takes(a): ...

    with recorded() as told, pytest.raises(ParameterBindError):
        takes.submit()
    assert told.entries == []


def test_subflows_run_with_the_server_away(server, until):
    """1.9: the server away."""

    @flow
    def child(n):
        return n

    @flow
    def main():
        return [future.result() for future in [child.submit(1), child.submit(2)]]

    server.refuse = [(503, "unavailable")] * 3
    assert main() == [1, 2]
    until(lambda: server.run_states().count("COMPLETED") == 3)
