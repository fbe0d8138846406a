"""Submitting, mapping, waiting; edges."""

import asyncio
import dataclasses
import threading
import time

import pytest

from orchestrator import allow_failure, flow, quote, task, unmapped
from orchestrator.exceptions import MappingError, UpstreamTaskError
from orchestrator.futures import as_completed, wait
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import recorded


@task
def add(a, b=0):
    return a + b


@task
def fails():
    raise ValueError("x")


def in_flow(fn, **options):
    return flow(**options)(fn)()


def test_submit_returns_at_once_and_the_result_follows():
    gate = threading.Event()

    @task
    def waits():
        gate.wait(10)
        return 1

    def main():
        future = waits.submit()
        assert not future.done()
        gate.set()
        return future.result(timeout=10), future.state.name, future.done()

    assert in_flow(main) == (1, "Completed", True)


def test_futures_resolve_anywhere_in_nested_arguments():
    @dataclasses.dataclass
    class Pair:
        left: object
        right: object = 5

    @task
    def total(values):
        return values["a"][0] + values["b"].left + values["c"][1] + values["b"].right

    def main():
        one, two = add.submit(1), add.submit(2)
        return total({"a": [one], "b": Pair(two), "c": (0, add.submit(one, two))})

    with recorded() as told:
        assert in_flow(main) == 1 + 2 + 3 + 5
    entry = told.tasks("total")[0]
    assert len(entry.parents) == 3


def test_a_quoted_argument_is_left_alone():
    @task
    def kind(x):
        return type(x[0]).__name__

    assert in_flow(lambda: kind(quote([add.submit(1)]))) == "Future"


def test_results_passed_on_draw_edges_without_futures():
    @task
    def make():
        return {"rows": [1]}

    @task
    def use(data):
        return len(data)

    def main():
        data = make()
        use(data)
        use([data])
        use({"rows": [1]})

    with recorded() as told:
        in_flow(main)
    maker = told.tasks("make")[0].id
    assert [entry.parents for entry in told.tasks("use")] == [[maker], [maker], []]


def test_what_depends_on_a_failure_is_not_run():
    def main():
        failed = fails.submit()
        return add.submit(failed, 1).result(raise_on_failure=False), add(failed, 1, return_state=True).name

    error, name = in_flow(main)
    assert isinstance(error, UpstreamTaskError)
    assert name == "NotReady"


def test_allow_failure_hands_the_exception_on():
    @task
    def look(x):
        return type(x).__name__

    assert in_flow(lambda: look.submit(allow_failure(fails.submit())).result()) == "ValueError"


def test_wait_for_orders_without_passing_values():
    order = []

    @task
    def first():
        time.sleep(0.1)
        order.append(1)

    @task
    def second():
        order.append(2)

    def main():
        future = first.submit()
        second(wait_for=[future])
        with pytest.raises(UpstreamTaskError):
            second(wait_for=[fails.submit()])

    in_flow(main)
    assert order == [1, 2]


def test_map_over_lists_generators_futures_and_unmapped():
    def main():
        made = add.submit(1)
        listed = add.map([1, 2, made], (x for x in (10, 20, 30))).result()
        static = add.map([1, 2], unmapped(5)).result()
        plain = add.map(range(3), b=1).result()
        return listed, static, plain

    assert in_flow(main) == ([11, 22, 31], [6, 7], [1, 2, 3])


def test_map_over_a_future_waits_for_its_items():
    @task
    def items():
        return [1, 2, 3]

    assert in_flow(lambda: add.map(items.submit(), 1).result()) == [2, 3, 4]


def test_map_refuses_unequal_lengths_and_nothing_to_map():
    with pytest.raises(MappingError, match="not of one length"):
        in_flow(lambda: add.map([1, 2], [1]))
    with pytest.raises(MappingError, match="Nothing to map"):
        in_flow(lambda: add.map(1, "text"))


def test_as_completed_yields_in_the_order_of_ends():
    @task
    def naps(seconds):
        time.sleep(seconds)
        return seconds

    def main():
        futures = naps.map([0.3, 0.01, 0.15])
        return [future.result() for future in as_completed(futures, timeout=10)]

    assert in_flow(main) == [0.01, 0.15, 0.3]


def test_wait_and_result_time_out():
    @task
    def naps():
        time.sleep(0.5)

    def main():
        future = naps.submit()
        done, not_done = wait([future], timeout=0.01)
        assert (done, not_done) == (set(), {future})
        with pytest.raises(TimeoutError, match="did not end within"):
            future.result(timeout=0.01)
        with pytest.raises(TimeoutError, match="1 of 1"):
            list(as_completed([future], timeout=0.01))

    in_flow(main)


def test_nobody_minds_a_loop_that_waited_and_is_over(caplog):
    """1.4: it was given up in time; the task ends later."""
    gate = threading.Event()

    @task
    def waits():
        gate.wait(10)

    def main():
        future = waits.submit()
        asyncio.run(future.wait_async(timeout=0.01))
        gate.set()
        future.wait()

    in_flow(main)
    assert "failed" not in caplog.text


def test_done_callbacks_are_called_before_and_after_the_end():
    heard = []

    def main():
        future = add.submit(1)
        future.add_done_callback(lambda f: heard.append(f.result()))
        future.wait()
        future.add_done_callback(lambda f: heard.append("late"))

    in_flow(main)
    assert heard == [1, "late"]


def test_the_flow_waits_for_what_nobody_waited_for():
    done = []

    @task
    def naps():
        time.sleep(0.1)
        done.append(1)

    in_flow(lambda: naps.submit() and None)
    assert done == [1]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_nested_submit_never_deadlocks(workers):
    @task
    def tree(depth):
        if depth == 0:
            return 1
        return sum(child.result() for child in [tree.submit(depth - 1), tree.submit(depth - 1)])

    main = flow(task_runner=ThreadPoolTaskRunner(max_workers=workers))(lambda: tree.submit(6).result())
    assert main() == 64


def test_submit_may_go_deeper_than_a_stack():
    """1.4: a worker with a deep stack has another thread do what it waits for."""

    @task
    def down(depth):
        return 0 if depth == 0 else 1 + down.submit(depth - 1).result()

    main = flow(task_runner=ThreadPoolTaskRunner(max_workers=1))(lambda: down.submit(200).result())
    assert main() == 200


def test_nested_submit_with_a_timeout_gets_another_thread():
    @task
    def inner():
        return 1

    @task
    def outer():
        return inner.submit().result(timeout=60)

    main = flow(task_runner=ThreadPoolTaskRunner(max_workers=1))(lambda: outer.submit().result())
    began = time.monotonic()
    assert main() == 1
    assert time.monotonic() - began < 30


def test_nested_as_completed_and_dependencies_on_one_thread():
    @task
    def outer():
        futures = add.map([1, 2, 3])
        return sum(f.result() for f in as_completed(futures, timeout=10)) + add.submit(add.submit(1)).result()

    main = flow(task_runner=ThreadPoolTaskRunner(max_workers=1))(lambda: outer.submit().result())
    assert main() == 7


def test_no_more_run_at_once_than_the_runner_allows():
    now, most, lock = [0], [0], threading.Lock()

    @task
    def counts(x):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1

    flow(task_runner=ThreadPoolTaskRunner(max_workers=3))(lambda: counts.map(x=range(20)).wait())()
    assert most[0] == 3


def test_threads_end_with_the_flow():
    before = threading.active_count()
    in_flow(lambda: add.map(range(50)).result())
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_async_tasks_are_submitted_from_sync_and_async_flows():
    @task
    async def double(x):
        await asyncio.sleep(0.01)
        return 2 * x

    @flow
    async def main():
        futures = double.map([1, 2])
        return [await future.result_async(timeout=10) for future in futures]

    assert asyncio.run(main()) == [2, 4]
    assert in_flow(lambda: double.submit(3).result()) == 6


def test_a_failing_flow_drops_what_has_not_begun():
    ran = []
    gate = threading.Event()

    @task
    def holds():
        gate.wait(5)

    @task
    def never():
        ran.append(1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        holds.submit()
        futures = [never.submit() for _ in range(5)]
        threading.Timer(0.1, gate.set).start()
        kept.extend(futures)
        raise ValueError("stop")

    kept = []
    with pytest.raises(ValueError, match="stop"):
        main()
    assert ran == []
    assert all(future.state.is_cancelled() for future in kept)


def test_ten_thousand_calls_and_ten_thousand_mapped():
    @flow
    def main():
        called = sum(add(n) for n in range(10_000))
        return called, sum(add.map(range(10_000)).result())

    with recorded() as told:
        assert main() == (49_995_000, 49_995_000)
    assert len(told.tasks("add")) == 20_000
