"""What nobody should write, and somebody will: each ends with the right result or a clear error, and the run ends."""

import asyncio
import contextlib
import os
import threading
import time
from dataclasses import dataclass, field

import msgspec
import pytest

from orchestrator import flow, get_run_logger, journal, tags, task
from orchestrator.exceptions import ParameterError
from orchestrator.testing import recorded
from orchestrator.wire import MAX_TAGS

RUNNERS = ("call", "submit")


class Refuses:
    """Can be neither pickled, copied, compared, hashed, counted nor shown."""

    __hash__ = None

    def _refuse(self, *_, **__):
        raise RuntimeError("leave me alone")

    __reduce_ex__ = __deepcopy__ = __copy__ = __eq__ = __len__ = __bool__ = __repr__ = __str__ = __iter__ = _refuse


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")

    __repr__ = __str__


@dataclass
class Node:
    name: str
    others: list["Node"] = field(default_factory=list)


@task
def same(value):
    return value


@task
def fails(error):
    raise error


def called(way, what, *arguments):
    """The value, by a call or from a future."""
    return what(*arguments) if way == "call" else what.submit(*arguments).result()


@pytest.mark.parametrize("way", RUNNERS)
def test_values_that_refuse_everything_pass_through(way):
    value = Refuses()

    @flow
    def passes(given):
        return called(way, same, called(way, same, given))

    with recorded() as told:
        assert passes(value) is value
    assert told.states("passes") == ["RUNNING", "COMPLETED"]
    assert [run.state for run in told.tasks("same")] == ["COMPLETED", "COMPLETED"]


@pytest.mark.parametrize("way", RUNNERS)
def test_structures_that_hold_themselves_pass_through(way):
    ring = [1]
    ring.append({"ring": ring})
    node = Node("a")
    node.others.append(node)

    @flow
    def passes():
        future = same.submit("made, so that arguments are searched")
        return called(way, same, ring), called(way, same, node), future.result()

    with recorded() as told:
        found = passes()
    assert found[0][1]["ring"] is found[0]
    assert found[1].others[0] is found[1]
    assert told.states("passes")[-1] == "COMPLETED"


def test_a_structure_as_deep_as_python_goes_passes_through():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    @flow
    def passes():
        return same.submit(deep).result() is deep and same(deep) is deep

    with recorded() as told:
        assert passes()
    assert told.states("passes")[-1] == "COMPLETED"
    while deep:  # Else Python itself runs out of stack where it lets go of it.
        deep = deep.pop()


def test_parameters_that_hold_themselves_are_recorded_in_short():
    ring = {}
    ring["self"] = ring

    @flow
    def takes(value: dict):
        return len(value)

    with recorded() as told:
        assert takes(ring) == 1
    assert told.states("takes") == ["RUNNING", "COMPLETED"]
    assert len(msgspec.json.encode(told.run_states()[0])) < 10_000


@pytest.mark.parametrize("way", RUNNERS)
def test_an_exception_that_can_be_neither_shown_nor_pickled_fails_the_run(way):
    error = Unprintable(Refuses(), threading.Lock())

    @flow
    def lets_it_through():
        return called(way, fails, error)

    with recorded() as told:
        state = lets_it_through(return_state=True)
    assert state.is_failed()
    assert state.result(raise_on_failure=False) is error
    assert told.states("lets_it_through")[-1] == "FAILED"
    assert "Unprintable" in told.tasks("fails")[0].error.type


def test_an_exception_that_is_its_own_cause_fails_the_run():
    @task
    def raises():
        error = ValueError("round and round")
        error.__cause__ = error
        raise error

    @flow
    def lets_it_through():
        raises()

    with recorded() as told:
        assert lets_it_through(return_state=True).is_failed()
    assert told.tasks("raises")[0].error.type.endswith("ValueError")


def test_a_group_of_ten_thousand_exceptions_is_told_in_short():
    @flow
    def lets_it_through():
        raise ExceptionGroup("many", [ValueError(str(number)) for number in range(10_000)])

    with recorded() as told:
        assert lets_it_through(return_state=True).is_failed()
    assert len(msgspec.json.encode(told.run_states()[-1])) < 1_000_000


def test_generators_that_nobody_reads_leave_no_run_under_way():
    closed = []

    @task
    def numbers():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    @flow
    def forgets():
        next(numbers())
        numbers()
        return "done"

    with recorded() as told:
        assert forgets() == "done"
    assert closed == [True]
    assert told.states("forgets")[-1] == "COMPLETED"
    assert all(run.state != "RUNNING" for run in told.tasks("numbers"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("place", ["flow", "task", "thread", "async"])
def test_what_ends_programs_ends_runs_first(error, place):
    @task
    def ends():
        raise error

    @task
    async def ends_too():
        raise error

    @flow
    def holds():
        if place == "flow":
            raise error
        return called("submit" if place == "thread" else "call", ends)

    @flow(name="holds")
    async def holds_too():
        await ends_too()

    with recorded() as told, pytest.raises(error):
        asyncio.run(holds_too()) if place == "async" else holds()
    assert told.states("holds") == ["RUNNING", "CRASHED"]
    assert [run.state for run in told.tasks()] == ["CRASHED"] * (place != "flow")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError])
def test_a_hook_that_ends_programs_leaves_no_run_under_way(error):
    def hook(*_):
        raise error

    @flow(on_running=[hook], on_completion=[hook])
    def hooked():
        return 1

    with recorded() as told, contextlib.suppress(error):
        assert hooked() == 1
    assert told.states("hooked")[-1] in {"COMPLETED", "CRASHED"}


def test_a_fork_in_a_task_tells_nothing_twice(server):
    @task
    def forks():
        child = os.fork()
        if child == 0:
            os._exit(same.fn(0))
        return os.waitpid(child, 0)[1]

    @flow
    def carries_on():
        return forks(), same(7)

    assert carries_on() == (0, 7)
    assert journal.flush(10)
    ended = [entry["task"] for entry in server.all_entries("task.state") if entry["state"] == "COMPLETED"]
    assert sorted(ended) == ["forks", "same"]


def test_a_thread_that_is_left_running_holds_up_nothing():
    go = threading.Event()
    threads = []

    @task
    def starts():
        thread = threading.Thread(target=go.wait, args=(30,), daemon=True)
        thread.start()
        threads.append(thread)

    @flow
    def leaves():
        starts.submit().result()

    with recorded() as told:
        leaves()
    assert threads[0].is_alive()
    go.set()
    threads[0].join()
    assert told.states("leaves") == ["RUNNING", "COMPLETED"]


def test_a_log_from_a_thread_that_outlives_the_run_is_no_error():
    go, wrote = threading.Event(), threading.Event()

    @flow
    def leaves():
        log = get_run_logger()

        def write_late():
            go.wait(30)
            log.warning("late")
            wrote.set()

        threading.Thread(target=write_late, daemon=True).start()

    with recorded():
        leaves()
        go.set()
        assert wrote.wait(30)


def test_a_clock_that_stands_still_or_runs_backwards_ends_runs(monkeypatch):
    times = iter(range(10**10, 0, -1))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    monkeypatch.setattr(time, "time_ns", lambda: next(times) * 10**9)

    @flow
    def counts():
        return [same(number) for number in range(3)]

    with recorded() as told:
        assert counts() == [0, 1, 2]
    assert told.states("counts") == ["RUNNING", "COMPLETED"]
    assert all(run.duration is None or run.duration >= 0 for run in told.tasks("same"))


NAMES = [
    "übung",
    "数据",
    "🙂" * 50,
    "a\x00b",
    "\ud800",
    "<script>alert(1)</script>",
    "x" * 10_000,
    "  ",
    "a/b/../c",
    "{x}",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_every_kind_are_told_and_can_be_sent(name):
    @task(name=name)
    def step(x):
        return x

    @flow(name=name)
    def named():
        return step(1)

    with recorded() as told:
        assert named() == 1
    for entry in told.entries:
        line = msgspec.json.encode(entry)
        line.decode("utf-8")
        assert b"\\u0000" not in line
        assert len(line) < 64_000


def test_a_name_that_names_no_parameter_is_refused_with_the_name():
    @task(task_run_name="load-{nothing}")
    def step(x):
        return x

    @flow
    def named():
        return step(1)

    with pytest.raises(ParameterError, match="nothing"):
        named()


def test_ten_thousand_tags_are_bounded():
    many = [f"tag-{number}" for number in range(10_000)]

    @task(tags=many)
    def step():
        return 1

    @flow(tags=many)
    def tagged():
        with tags(*many, "x" * 10_000):
            return step()

    with recorded() as told:
        assert tagged() == 1
    assert len(told.tasks("step")[0].tags) <= MAX_TAGS
    assert all(len(tag) <= 200 for tag in told.tasks("step")[0].tags)
    assert len(told.run_states()[0].about.tags) <= MAX_TAGS


def test_a_flow_that_changes_its_arguments_is_recorded_as_it_was_called():
    @flow
    def empties(values: list):
        values.clear()

    with recorded() as told:
        empties([1, 2, 3])
    assert b"1" in bytes(told.run_states()[0].about.parameters)


def test_ten_thousand_lines_and_a_line_of_a_megabyte():
    @flow
    def talks():
        log = get_run_logger()
        for number in range(10_000):
            log.info("line %d", number)
        log.info("x" * 1_000_000)

    with recorded() as told:
        talks()
    lines = [line.message for line in told.logs()]
    assert sum(line.startswith("line ") for line in lines) == 10_000
    assert max(len(line) for line in lines) <= 262_144 + 100


def test_recursion_without_an_end_fails_and_says_so():
    @task
    def again(depth):
        return again(depth + 1)

    @flow
    def endless():
        return again(0)

    with recorded() as told:
        state = endless(return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), RecursionError)
    assert told.states("endless")[-1] == "FAILED"
    assert all(run.state == "FAILED" for run in told.tasks("again"))
