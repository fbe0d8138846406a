"""Flows and tasks as plain Python, without any API."""

import asyncio
import logging
import time

import pytest

from orchestrator import clock, flow, get_run_logger, runtime, tags, task
from orchestrator.exceptions import (
    FailedRun,
    FlowRunTimeout,
    MissingContext,
    ParameterBindError,
    ParameterTypeError,
    TaskRunTimeout,
)
from orchestrator.states import Cancelled, Completed, Failed, Running
from orchestrator.testing import recorded


@task
def add(a, b):
    return a + b


def test_a_task_called_without_a_flow_is_a_function():
    assert add(1, 2) == 3


def test_decorators_work_with_and_without_parentheses():
    @flow
    def bare():
        return 1

    @flow(name="Named", retries=2)
    def named():
        return 2

    assert (bare(), named(), bare.name, named.name, named.retries) == (1, 2, "bare", "Named", 2)


def test_fn_is_the_undecorated_function():
    assert add.fn(1, 2) == 3


def test_unknown_options_are_refused_by_name():
    with pytest.raises(TypeError, match="takes no option 'colour'"):
        task(colour="red")(lambda: 1)


def test_tags_given_as_one_text_are_refused():
    with pytest.raises(TypeError, match="list of texts"):
        task(tags="nightly")(lambda: 1)


def test_with_options_copies():
    other = add.with_options(name="other", retries=4, tags=["x"])
    assert (other.name, other.retries, other.tags, add.name, add.retries) == ("other", 4, {"x"}, "add", 0)
    assert other(1, 1) == 2


def test_an_exception_reaches_the_caller_as_it_is():
    @flow
    def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        fails()
    state = fails(return_state=True)
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), KeyError)


def test_stop_iteration_is_a_failure_like_any_other():
    @task
    def stops():
        raise StopIteration("over")

    @flow
    def fails():
        stops()

    with pytest.raises(StopIteration, match="over"):
        fails()


def test_methods_static_methods_and_class_methods_are_flows():
    class Pipeline:
        base = 10

        @flow
        def own(self, x):
            return self.base + x

        @task
        def step(self, x):
            return self.base * x

        @classmethod
        @flow
        def of_class(cls, x):
            return cls.base - x

        @flow
        @staticmethod
        def static(x):
            return x

    made = Pipeline()
    made.base = 20
    assert (made.own(1), made.step(2), Pipeline.of_class(1), made.static(4), Pipeline.static(5)) == (21, 40, 9, 4, 5)


def test_async_flows_and_tasks():
    @task
    async def double(x):
        await asyncio.sleep(0)
        return 2 * x

    @flow
    async def main():
        one = await double(1)
        both = await asyncio.gather(double(2), double(3))
        return [one, *both, add(1, 1)]

    assert asyncio.run(main()) == [2, 4, 6, 2]


def test_async_subflows_run_concurrently():
    @flow
    async def waits(n):
        await asyncio.wait_for(all_are_here.wait(), 30)
        return n, runtime.flow_run.parent_flow_run_id

    @flow
    async def main():
        return runtime.flow_run.id, await asyncio.gather(*(waits(n) for n in range(5)))

    all_are_here = asyncio.Barrier(5)
    own, told = asyncio.run(main())
    assert told == [(n, own) for n in range(5)]


def test_generator_flows_hand_out_items_as_they_come():
    seen = []

    @task
    def numbers(n):
        for i in range(n):
            seen.append(i)
            yield i
        return "end"

    @flow
    def main():
        got = numbers(3)
        first = next(got)
        assert seen == [0]
        assert runtime.task_run.name is None
        return [first, *got]

    assert main() == [0, 1, 2]


def test_async_generator_tasks():
    @task
    async def numbers():
        for i in range(3):
            yield i

    @flow
    async def main():
        return [i async for i in numbers()]

    assert asyncio.run(main()) == [0, 1, 2]


def test_a_generator_that_is_not_read_to_its_end_ends():
    @task
    def numbers():
        yield 1
        yield 2

    @flow
    def main():
        return next(numbers())

    with recorded() as told:
        assert main() == 1
    assert [entry.state for entry in told.tasks("numbers")] == ["COMPLETED"]


def test_recursion():
    @task
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    @flow
    def main():
        return fib(10)

    assert main() == 55


# Parameters


def test_arguments_that_do_not_fit_are_refused_before_a_run_begins():
    @flow
    def takes(a, b=1): ...

    with recorded() as told, pytest.raises(ParameterBindError, match="missing a required argument: 'a'"):
        takes()
    assert told.entries == []


def test_parameters_are_coerced_and_wrong_ones_fail_the_run():
    @flow
    def takes(a: int, b: list[float] = []):  # noqa: B006
        return a, b

    assert takes("3", b=("1.5", 2)) == (3, [1.5, 2.0])
    with recorded() as told, pytest.raises(ParameterTypeError, match="a: Input should be a valid integer"):
        takes("three")
    assert told.states("takes") == ["PENDING", "FAILED"]


def test_validation_can_be_left_out():
    @flow(validate_parameters=False)
    def takes(a: int):
        return a

    assert takes("three") == "three"


# States as values


def test_a_returned_state_is_the_state_of_the_run():
    @flow
    def skipped():
        return Completed(name="Skipped", message="nothing new", data=7)

    state = skipped(return_state=True)
    assert (state.name, state.message, skipped()) == ("Skipped", "nothing new", 7)


def test_a_returned_failed_state_fails_the_run():
    @flow
    def fails():
        return Failed(message="not today")

    with pytest.raises(FailedRun, match="not today"):
        fails()
    assert fails(return_state=True).is_failed()


def test_a_state_that_is_not_final_fails_the_run():
    @flow
    def odd():
        return Running()

    assert odd(return_state=True).is_failed()


def test_a_collection_of_states_decides_together():
    @flow
    def mixed(states):
        return states

    good, bad = Completed(data=1), Failed(message="no")
    assert mixed([good, good], return_state=True).is_completed()
    assert mixed([good, bad], return_state=True).message == "1 of 2 states did not complete."
    assert mixed([good, Cancelled()], return_state=True).is_cancelled()
    assert mixed([good, 1], return_state=True).is_completed()


def test_a_returned_future_decides():
    @task
    def fails():
        raise ValueError("x")

    @flow
    def good():
        return add.submit(1, 2)

    @flow
    def bad():
        return [add.submit(1, 2), fails.submit()]

    assert good() == 3
    assert bad(return_state=True).is_failed()


# Retries, timeouts, hooks


def test_retries_end_with_success():
    calls = []

    @task(retries=3, retry_delay_seconds=[0.01, 0.02])
    def flaky():
        calls.append(runtime.task_run.run_count)
        if len(calls) < 3:
            raise ValueError("not yet")
        return "done"

    with recorded() as told:

        @flow
        def main():
            return flaky()

        assert main() == "done"
    assert calls == [1, 2, 3]
    entry = told.tasks("flaky")[0]
    assert entry.run_count == 3
    assert [(state, name) for _, state, name, _ in entry.history] == [
        ("RUNNING", None),
        ("FAILED", None),
        ("RUNNING", "AwaitingRetry"),
        ("RUNNING", "Retrying"),
        ("FAILED", None),
        ("RUNNING", "AwaitingRetry"),
        ("RUNNING", "Retrying"),
    ]


def test_retries_run_out():
    calls = []

    @flow(retries=1)
    def fails():
        calls.append(1)
        raise ValueError("never")

    with pytest.raises(ValueError, match="never"):
        fails()
    assert len(calls) == 2


def test_retry_on_names_the_exceptions_worth_it():
    calls = []

    @task(retries=5, retry_on=(ConnectionError,))
    def fails():
        calls.append(1)
        raise ConnectionError if len(calls) == 1 else ValueError

    with pytest.raises(ValueError):
        fails()
    assert len(calls) == 2


def test_retry_condition_is_asked_with_task_run_and_state():
    asked = []

    def condition(task, run, state):
        asked.append((task.name, run.run_count, state.result(raise_on_failure=False).args))
        return run.run_count < 2

    @task(retries=5, retry_condition_fn=condition)
    def fails():
        raise ValueError("x")

    with pytest.raises(ValueError):
        fails()
    assert asked == [("fails", 1, ("x",)), ("fails", 2, ("x",))]


def test_jitter_only_lengthens(monkeypatch):
    slept = []
    monkeypatch.setattr(clock, "sleep", lambda seconds, until: slept.append(seconds))

    @task(retries=3, retry_delay_seconds=1, retry_jitter_factor=0.5)
    def fails():
        raise ValueError

    with pytest.raises(ValueError):
        fails()
    assert len(slept) == 3
    assert all(1 <= seconds <= 1.5 for seconds in slept)


def test_a_timeout_ends_blocking_code_in_the_main_thread():
    @flow(timeout_seconds=0.1)
    def sleeps():
        try:
            time.sleep(30)
        except Exception:
            time.sleep(30)  # An `except Exception` must not swallow the end.

    began = time.monotonic()
    with pytest.raises(FlowRunTimeout, match=r"timeout_seconds=0\.1"):
        sleeps()
    assert time.monotonic() - began < 20
    assert sleeps(return_state=True).name == "TimedOut"


def test_nested_timeouts_end_the_outer_code():
    @task(timeout_seconds=5)
    def inner():
        time.sleep(10)

    @flow(timeout_seconds=0.1)
    def outer():
        inner()

    with pytest.raises(FlowRunTimeout):
        outer()


def test_a_timeout_ends_a_loop_in_a_worker_thread():
    @task(timeout_seconds=0.1)
    def loops():
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pass

    @flow
    def main():
        return loops.submit().result(raise_on_failure=False)

    began = time.monotonic()
    assert isinstance(main(), TaskRunTimeout)
    assert time.monotonic() - began < 20


def test_a_timeout_ends_async_code():
    @task(timeout_seconds=0.05)
    async def waits():
        await asyncio.sleep(10)

    @flow
    async def main():
        return (await waits(return_state=True)).name

    assert asyncio.run(main()) == "TimedOut"


def test_a_task_in_time_is_left_alone():
    @task(timeout_seconds=5)
    def quick():
        return 1

    @flow
    def main():
        return quick(), quick.submit().result()

    assert main() == (1, 1)


def test_hooks_are_called_with_definition_run_and_state():
    heard = []

    def hear(definition, run, state):
        heard.append((definition.name, run.name, state.name))

    @flow(flow_run_name="the-{x}", on_running=[hear], on_completion=[hear], on_failure=[hear])
    def watched(x):
        if x:
            raise ValueError

    watched(0)
    with pytest.raises(ValueError):
        watched(1)
    names = [
        ("watched", f"the-{x}", state) for x, state in ((0, "Running"), (0, "Completed"), (1, "Running"), (1, "Failed"))
    ]
    assert heard == names


def test_a_hook_that_fails_changes_nothing():
    @task
    def step():
        return 1

    @step.on_completion
    def broken(task, run, state):
        raise RuntimeError("broken")

    @step.on_completion
    async def fine(task, run, state):
        heard.append(state.name)

    heard = []
    assert step() == 1
    assert heard == ["Completed"]


# Context


def test_names_from_templates_and_functions():
    @task(task_run_name="fetch-{day}")
    def fetch(day, limit=1):
        return runtime.task_run.name

    @flow(flow_run_name=lambda: f"run of {runtime.flow_run.flow_name}")
    def main():
        return fetch("monday"), runtime.flow_run.name

    assert main() == ("fetch-monday", "run of main")


def test_tags_are_inherited_and_end_with_the_block():
    @task(tags=["own"])
    def tagged():
        return runtime.task_run.tags

    @flow(tags=["flow"])
    def main():
        with tags("block"):
            inside = tagged()
        return inside, tagged()

    assert main() == (["block", "flow", "own"], ["flow", "own"])


def test_the_logger_needs_a_run():
    with pytest.raises(MissingContext):
        get_run_logger()


def test_log_prints_goes_to_the_log_only_inside(capsys):
    @task
    def inherits():
        print("from task")

    @task(log_prints=False)
    def refuses():
        print("plain")

    @flow(log_prints=True)
    def main():
        print("from", "flow", sep="-")
        inherits()
        refuses()

    with recorded() as told:
        main()
    print("outside")
    messages = [entry.message for entry in told.logs()]
    assert "from-flow" in messages
    assert "from task" in messages
    assert "plain" not in messages
    assert capsys.readouterr().out == "plain\noutside\n"


def test_logs_carry_level_logger_extra_and_task():
    @task
    def speaks():
        get_run_logger().warning("careful %d", 1, extra={"customer": "acme"})
        logging.getLogger("orchestrator.mine").error("from a library")

    @flow
    def main():
        speaks()

    with recorded() as told:
        main()
    line = next(entry for entry in told.logs() if entry.message == "careful 1")
    assert (line.level, line.logger, bytes(line.extra)) == (30, "orchestrator.task_runs", b'{"customer":"acme"}')
    assert line.task == told.tasks("speaks")[0].id
    assert any(entry.message == "from a library" and entry.task == line.task for entry in told.logs())


def test_an_exception_that_cannot_be_printed_still_fails_the_run():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no")

    @flow
    def main():
        raise Odd

    with recorded() as told:
        assert main(return_state=True).is_failed()
    assert told.states("main") == ["RUNNING", "FAILED"]


def test_keyboard_interrupt_and_exit_crash_the_run_and_go_on_up():
    @task
    def interrupted(kind):
        raise kind

    @flow
    def main(kind):
        interrupted(kind)

    for kind in (KeyboardInterrupt, SystemExit):
        with recorded() as told, pytest.raises(kind):
            main(kind)
        assert told.states("main") == ["RUNNING", "CRASHED"]
        assert [entry.state for entry in told.tasks()] == ["CRASHED"]
