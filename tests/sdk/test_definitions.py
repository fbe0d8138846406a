"""1.1, 1.2, 1.6: what decorators take, methods, generators, retries and names."""

import asyncio
import inspect

import pytest

from orchestrator import Flow, Task, allow_failure, clock, exponential_backoff, flow, runtime, task, testing
from orchestrator.exceptions import UpstreamTaskError
from orchestrator.states import Completed, Failed
from orchestrator.testing import recorded

BOTH = ["name", "description", "tags", "version", "retries", "retry_delay_seconds", "retry_jitter_factor",
        "timeout_seconds", "log_prints", "persist_result", "result_storage", "result_serializer",
        "cache_result_in_memory", "on_completion", "on_failure", "on_running"]  # fmt: skip
OF_FLOWS = ["flow_run_name", "task_runner", "validate_parameters", "on_cancellation", "on_crashed"]
OF_TASKS = ["task_run_name", "retry_condition_fn", "retry_on", "result_storage_key", "cache_policy", "cache_key_fn",
            "cache_expiration", "refresh_cache", "on_commit", "on_rollback"]  # fmt: skip


@pytest.mark.parametrize(("decorate", "taken"), [(flow, BOTH + OF_FLOWS), (task, BOTH + OF_TASKS)])
def test_every_option_is_taken_by_its_name(decorate, taken):
    """1.1, 1.2: nothing is ignored."""
    own = decorate(lambda: 1)
    for name in taken:
        assert isinstance(decorate(**{name: None if name != "retry_on" else ()})(lambda: 1), type(own))
    with pytest.raises(TypeError, match="takes no option 'colour'"):
        decorate(colour="red")(lambda: 1)
    kind = Flow if decorate is flow else Task
    assert set(taken) <= {*inspect.signature(kind).parameters, *(name for name in taken if name.startswith("on_"))}


class Pipeline:
    base = 10

    @flow
    def own(self, x):
        return self.base + x

    @task
    def step(self, x):
        return self.base * x

    @task
    async def later(self, x):
        return self.base - x

    @flow
    @classmethod
    def of_class(cls, x):
        return cls.base - x

    @classmethod
    @flow
    def of_class_too(cls, x):
        return cls.base - x

    @flow
    @staticmethod
    def static(x):
        return x

    @staticmethod
    @task
    def static_too(x):
        return x

    renamed = static.with_options(name="renamed")

    @task
    def items(self, n):
        yield from range(self.base, self.base + n)


def test_methods_of_every_kind_are_flows_and_tasks():
    """1.1: class, static and instance functions, with their options, futures and names."""
    made = Pipeline()
    made.base = 20
    assert (made.own(1), made.step(2), asyncio.run(made.later(1))) == (21, 40, 19)
    assert (Pipeline.of_class(1), made.of_class(1), made.of_class_too(1)) == (9, 9, 9)
    assert (made.static(4), Pipeline.static_too(5), made.renamed(6), made.renamed.name) == (4, 5, 6, "renamed")
    assert list(made.items(2)) == [20, 21]
    assert made.step.submit(3).result() == 60
    assert made.step.map([1, 2]).result() == [20, 40]
    assert made.own.submit(1).result() == 21
    assert made.step.with_options(name="other")(1) == 20
    assert made.own.validate_parameters({"x": 1}) == {"x": 1}


def test_what_a_method_is_recorded_with():
    """1.1, 1.2: the object itself is no parameter of the run."""
    with testing.server() as server:
        Pipeline().own(1)
        Pipeline().step(2)
        assert [run.parameters for run in server.runs()] == [{"x": 1}, {"x": 2}]


def test_return_state_of_calls_and_submissions():
    """1.1, 1.2: the state in place of the value, sync and async."""

    @task
    async def later(x):
        return 1 / x

    @flow
    def now(x):
        return 1 / x

    assert asyncio.run(later(1, return_state=True)).is_completed()
    assert asyncio.run(later(0, return_state=True)).is_failed()
    assert now.submit(0, return_state=True).is_failed()
    assert later.submit(2, return_state=True).result() == 0.5


@pytest.mark.parametrize("what", ["flow", "task"])
def test_wait_for_is_waited_for_and_decides(what):
    """1.1, 1.2: wait_for."""
    order = []
    decorate = flow if what == "flow" else task

    @task
    def first(fails):
        order.append("first")
        if fails:
            raise ValueError

    @decorate
    def second():
        order.append("second")

    @flow
    def main(fails):
        return second(wait_for=[first.submit(fails)], return_state=True)

    main(False)
    assert order == ["first", "second"]
    with pytest.raises(UpstreamTaskError):
        main(True)
    assert order == ["first", "second", "first"]


def test_wait_for_decides_beside_arguments_that_are_futures_too():
    """1.2: the one does not hide the other; allow_failure lets it pass."""

    @task
    def fails():
        raise ValueError

    @task
    def same(value):
        return value

    @flow
    def main(wrap):
        return same(same.submit(1), wait_for=[wrap(fails.submit())], return_state=True)

    with pytest.raises(UpstreamTaskError):
        main(lambda future: future)
    assert main(allow_failure) == 1


def test_graphs_are_made_while_they_run():
    """1.5: loops, branches, recursion, tasks made from data; none declared ahead."""

    @task
    def children(n):
        return list(range(n))

    @flow
    def main(n):
        total = 0
        for k in children(n):
            step = task(lambda k=k: k, name=f"odd-{k}" if k % 2 else f"even-{k}")
            total += step() + (main.fn(k) if k < 3 else 0)
        return total

    with recorded() as told:
        assert main(4) == 7
    named = [entry.task for entry in told.tasks()]
    assert set(named) == {"children", "even-0", "odd-1", "even-2", "odd-3"}
    assert named.count("children") == 8


# 1.6: retries


@pytest.fixture
def slept(monkeypatch):
    """The delays, which nobody waits for."""
    waited = []

    async def later(seconds):
        waited.append(seconds)

    monkeypatch.setattr(clock, "sleep", lambda seconds, until=None: waited.append(seconds))
    monkeypatch.setattr(clock, "sleep_async", later)
    return waited


@pytest.mark.parametrize(
    ("delay", "waits"),
    [
        (7, [7, 7, 7]),
        ([1, 2], [1, 2, 2]),
        (exponential_backoff(10), [10, 20, 40]),
        (lambda retries: [retries] * retries, [3, 3, 3]),
    ],
)
@pytest.mark.parametrize("decorate", [flow, task])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_delays_are_a_number_a_list_or_a_function(slept, decorate, kind, delay, waits):
    """1.6: for flows and tasks, sync and async."""
    options = {"retries": 3, "retry_delay_seconds": delay}
    if kind == "sync":
        own = decorate(**options)(_fails)
        assert own(return_state=True).is_failed()
    else:
        own = decorate(**options)(_fails_later)
        assert asyncio.run(own(return_state=True)).is_failed()
    assert slept == waits


def _fails():
    raise ConnectionError("no")


async def _fails_later():
    raise ConnectionError("no")


@pytest.mark.parametrize("decorate", [flow, task])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_condition_sync_or_async_and_exceptions_decide_about_retries(slept, decorate, kind):
    """1.6: retry_condition_fn and retry_on, for flows and tasks."""
    asked = []

    def condition(definition, run, state):
        asked.append((definition.name, run.run_count, type(state.result(raise_on_failure=False))))
        return run.run_count < 2

    async def condition_later(definition, run, state):
        return condition(definition, run, state)

    options = {"retries": 5, "retry_condition_fn": condition if kind == "sync" else condition_later}
    own = decorate(name="own", **options)(_fails)
    assert own(return_state=True).is_failed()
    later = decorate(name="own", **options)(_fails_later)
    assert asyncio.run(later(return_state=True)).is_failed()
    assert asked == [("own", 1, ConnectionError), ("own", 2, ConnectionError)] * 2
    asked.clear()
    assert own.with_options(retry_on=ValueError)(return_state=True).is_failed()
    assert asked == []


def test_a_condition_that_fails_says_no():
    """1.6: failing."""

    @task(retries=3, retry_condition_fn=lambda *_: 1 / 0)
    def fails():
        calls.append(1)
        raise ValueError

    calls = []
    assert fails(return_state=True).is_failed()
    assert len(calls) == 1


def test_a_failed_state_is_tried_again_as_an_exception_is():
    """1.6, 1.11: a returned failure."""

    @task(retries=1)
    def second_time():
        calls.append(1)
        return Completed(message="at last") if len(calls) == 2 else Failed(message="not yet")

    calls = []
    assert second_time(return_state=True).message == "at last"


# Names


def test_run_names_from_templates_and_functions_with_parameters():
    """1.22: templates see parameters and what is in them, functions may take them, and both see the runtime."""

    def by_parameters(parameters):
        return f"{runtime.task_run.task_name} of {parameters['day']} in {runtime.flow_run.name}"

    @task(task_run_name=by_parameters)
    def fetch(day, limit=1):
        return runtime.task_run.name

    @task(task_run_name="{day:%A} {source[0]} {limit:03d}")
    async def templated(day, source, limit=7):
        return runtime.task_run.name

    @flow(flow_run_name="load-{day}")
    def main(day):
        import datetime as dt

        return fetch(day), templated.submit(dt.date(2026, 11, 23), ["s3"]).result()

    assert main("monday") == ("fetch of monday in load-monday", "Monday s3 007")
