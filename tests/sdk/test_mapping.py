"""1.3: mapping: over what, in what portions, with which edges. 1.4: futures anywhere."""

import asyncio
import dataclasses
import threading
from collections import deque

import pydantic
import pytest

from orchestrator import allow_failure, flatten, flow, quote, task, unmapped
from orchestrator.exceptions import MappingError, UpstreamTaskError
from orchestrator.futures import as_completed, wait
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import recorded


@task
def add(a, b=0):
    return a + b


@task
def make(*items):
    return list(items)


@task
def fails():
    raise ValueError("x")


@task
def kind(x):
    return type(x).__name__


def in_flow(fn, **options):
    return flow(**options)(fn)()


class Counted:
    """An item that knows how many of its kind there are."""

    now = most = 0

    def __init__(self):
        cls = type(self)
        cls.now += 1
        cls.most = max(cls.most, cls.now)

    def __del__(self):
        type(self).now -= 1


@pytest.mark.parametrize("nested", [False, True])
def test_of_an_iterable_only_what_waits_its_turn_is_held(nested):
    """1.3: backpressure: a generator is read as calls are taken up, by the flow's thread and by a worker."""
    Counted.now = Counted.most = 0

    @task
    def outer():
        return len(kind.map(Counted() for _ in range(5_000)).result())

    main = flow(task_runner=ThreadPoolTaskRunner(max_workers=2))(
        lambda: outer.submit().result() if nested else outer.fn()
    )
    assert main() == 5_000
    assert 0 < Counted.most <= ThreadPoolTaskRunner.queue_size + 10


def test_many_thousand_items_are_mapped():
    """1.3: in order, all of them, over a range and a generator."""

    def main():
        futures = add.map(range(20_000), (n for n in range(20_000)))
        assert len(futures) == 20_000
        return futures.result()

    assert in_flow(main) == [2 * n for n in range(20_000)]


def until_full(full, count, begun=None):
    """Numbers; says when as many as may be wait their turn, while the first one has begun."""
    for n in range(count):
        if n == 1 and begun is not None:
            assert begun.wait(60)
        if n == 1_001:
            full.set()
        yield n


def test_maps_within_a_full_map_come_to_their_end():
    """1.3: a worker whose queue is full goes on with what is its own, not with whatever needs its stack as well."""
    begun, full = threading.Event(), threading.Event()

    @task
    def outer(x):
        begun.set()
        full.wait(60)
        return sum(add.map([x, 1]).result())

    @flow(timeout_seconds=60, task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return outer.map(until_full(full, 1_200, begun)).result()

    assert main() == [x + 1 for x in range(1_200)]


def test_what_waits_for_a_task_may_fill_the_queue_of_its_map():
    """1.3: the task that maps is the one that all others in the queue depend on."""
    full = threading.Event()

    @task
    def first():
        full.wait(10)
        return sum(add.map(range(100)).result())

    @flow(timeout_seconds=30, task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main():
        return add.map(until_full(full, 1_200), unmapped(first.submit())).result()

    assert main() == [n + 4_950 for n in range(1_200)]


def test_a_stopped_flow_does_not_wait_for_room():
    """1.3, 1.7: a timeout ends a `.map` that waits."""
    gate = threading.Event()

    @task
    def holds(x):
        while not gate.wait(0.01):
            pass

    try:
        state = flow(timeout_seconds=0.3, task_runner=ThreadPoolTaskRunner(max_workers=1))(
            lambda: holds.map(range(3_000))
        )(return_state=True)
    finally:
        gate.set()
    assert state.name == "TimedOut"


def test_every_kind_of_iterable():
    """1.3: sets, dicts' keys, deques, sized ones without indexes; nothing in, nothing out."""

    def main():
        assert add.map([]) == []
        assert add.map(iter(())).result() == []
        assert add.map({"a": 1, "b": 2}, "x").result() == ["ax", "bx"]
        assert add.map(deque([1, 2]), {5, 6}).result() in ([6, 8], [7, 7])
        assert add.map(a=(n for n in (1, 2)), b=[10, 20]).result() == [11, 22]
        return True

    assert in_flow(main)


def test_lengths_that_differ_are_refused():
    """1.3: at once where they are known; else when the first one ends, and what was submitted goes on."""
    done = []

    @task
    def notes(a, b):
        done.append(a)

    with pytest.raises(MappingError, match=r"not of one length \(0: 2, b: 3\)"):
        in_flow(lambda: notes.map([1, 2], b=[1, 2, 3]))
    assert done == []

    def main():
        with pytest.raises(MappingError, match="the first to end was 0"):
            notes.map((n for n in (1, 2)), b=[1, 2, 3])

    in_flow(main)
    assert done == [1, 2]


def test_an_iterable_that_raises_fails_the_flow():
    """1.3: with its own exception."""

    def items():
        yield 1
        raise KeyError("rows")

    with pytest.raises(KeyError, match="rows"):
        in_flow(lambda: add.map(items()))


def test_flatten_takes_one_level_away_and_waits_for_futures_in_turn():
    """1.3: over lists, a future of lists, a FutureList, generators."""

    def main():
        letters = make.map(["a", "b"], ["c", "d"])
        return (
            add.map(flatten([[1, 2], (3,), []])).result(),
            add.map(flatten(letters), "!").result(),
            add.map(flatten(make.submit([1], [2, 3]))).result(),
            add.map(flatten(x for x in ([[1]], [[2]])), unmapped([0])).result(),
        )

    assert in_flow(main) == ([1, 2, 3], ["a!", "c!", "b!", "d!"], [1, 2, 3], [[1, 0], [2, 0]])
    with pytest.raises(MappingError, match="one of them is int"):
        in_flow(lambda: add.map(flatten([[1], 2])))


def test_a_mapped_future_draws_edges_to_all_calls():
    """1.3: whose items they are is known."""

    def main():
        rows = make.submit(1, 2)
        assert add.map(rows, wait_for=iter([make.submit()])).result() == [1, 2]
        assert add.map(flatten(make.submit([3]))).result() == [3]

    with recorded() as told:
        in_flow(main)
    rows, gate, nested = (entry.id for entry in told.tasks("make"))
    assert [set(entry.parents) for entry in told.tasks("add")] == [{rows, gate}, {rows, gate}, {nested}]


def test_marks_hold_for_each_item():
    """1.3: unmapped, allow_failure and quote, as in a plain call."""

    def main():
        failed = fails.submit()
        unready = add.map([failed, 1])
        unready.wait()
        return (
            kind.map(allow_failure([failed, add.submit(1)])).result(),
            [future.state.name for future in unready],
            kind.map(quote([add.submit(1)])).result(),
            add.map([1, 2], unmapped(add.submit(5))).result(),
        )

    assert in_flow(main) == (["ValueError", "int"], ["NotReady", "Completed"], ["Future"], [6, 7])


def test_mapping_in_async_flows_blocks_nothing():
    """1.3: sync and async tasks; the loop goes on, whatever waits its turn."""

    @task
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    async def main():
        gate, beats = threading.Event(), []

        @task
        def waits(x):
            gate.wait(30)
            return x

        futures = waits.map(range(2_500))
        beats.append(await asyncio.sleep(0, "beat"))
        gate.set()
        return len([await future.result_async() for future in futures]), beats, len(double.map(range(5)).result())

    assert asyncio.run(main()) == (2_500, ["beat"], 5)


# ── futures ──────────────────────────────────────────────────────────────────────────────────────


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, extra="allow")
    lines: list
    total: object = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    inner: object


def test_futures_are_found_wherever_they_are():
    """1.4: in models, their extra fields, frozen dataclasses, named tuples and sets; the edges are drawn."""

    @task
    def read(order, frozen, several):
        return order.lines[0], order.total, order.more["x"], frozen.inner[0], sorted(several)

    def main():
        one, two, three, four, five = add.map([1, 2, 3, 4, 5])
        order = Order(lines=[one], total=two, more={"x": three})
        value = read(order, Frozen((four,)), {five, 6})
        assert order.lines == [one]  # The caller's own is left alone.
        return value

    with recorded() as told:
        assert in_flow(main) == (1, 2, 3, 4, [5, 6])
    assert len(told.tasks("read")[0].parents) == 5


def test_a_list_of_futures_answers_together():
    """1.4: result with and without failures, wait, as_completed over thousands."""

    def main():
        futures = add.map(range(3_000))
        assert sum(future.result() for future in as_completed(futures, timeout=30)) == sum(range(3_000))
        mixed = kind.map([1, fails.submit()])
        mixed.wait(timeout=10)
        assert wait(mixed).not_done == set()
        kept = mixed.result(timeout=10, raise_on_failure=False)
        with pytest.raises(UpstreamTaskError, match="ended Failed"):
            mixed.result()
        return kept[0], type(kept[1]), mixed[1].state.name

    assert in_flow(main) == ("int", UpstreamTaskError, "NotReady")


@pytest.mark.parametrize("waits", ["result_async", "result", "gather"])
def test_async_tasks_that_wait_for_async_tasks_never_deadlock(waits):
    """1.4, 1.10: on one thread, which their event loop holds."""

    @task
    async def inner(x):
        await asyncio.sleep(0)
        return x + 1

    @task
    async def outer():
        if waits == "result":
            return inner.submit(inner.submit(1)).result()
        if waits == "gather":
            return max(await asyncio.gather(*(future.result_async() for future in inner.map([1, 2]))))
        return await inner.submit(inner.submit(1)).result_async(timeout=20)

    main = flow(task_runner=ThreadPoolTaskRunner(max_workers=1))(lambda: outer.submit().result(timeout=20))
    assert main() == 3
