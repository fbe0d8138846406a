"""1.16: what was finished and stored is replayed by the next execution, and nothing else is."""

import asyncio
import os

import pytest

from orchestrator import allow_failure, flow, journal, quote, task
from orchestrator.engine.flow_run import Execution
from orchestrator.futures import as_completed
from orchestrator.ids import uuid7
from orchestrator.results import get_result_store
from orchestrator.states import Completed
from orchestrator.task_runners import ProcessPoolTaskRunner


class Steps:
    """What was really executed, in a file, so that other processes count too."""

    def __init__(self, path):
        self.path = path

    def did(self, what):
        with self.path.open("a") as file:
            file.write(f"{what}\n")

    def take(self):
        done = self.path.read_text().splitlines() if self.path.exists() else []
        self.path.unlink(missing_ok=True)
        return sorted(done)


@pytest.fixture
def steps(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPS", str(tmp_path / "steps"))
    return Steps(tmp_path / "steps")


def did(what):
    with open(os.environ["STEPS"], "a") as file:
        file.write(f"{what}\n")


def attempt(a_flow, number, run, **claim):
    """What an agent does with the claim of a run."""
    told = {"run": str(run), "attempt": number, "token": "t", "parameters": {}, **claim}
    execution = Execution(told)
    execution.alone = False
    return a_flow.execute(execution)


class Broken(Exception):
    pass


@task(persist_result=True)
def double(n):
    did(f"double {n}")
    return 2 * n


@task(persist_result=True)
async def adouble(n):
    did(f"adouble {n}")
    return 2 * n


@task
def forgetful(n):
    did(f"forgetful {n}")
    return n + 100


def test_the_next_attempt_executes_what_was_not_finished(steps):
    broken = [True]

    @flow
    def program(n=3):
        done = [double(each) for each in range(n)]
        if broken:
            raise Broken
        return done

    run = uuid7()
    assert attempt(program, 1, run).state.is_failed()
    assert steps.take() == ["double 0", "double 1", "double 2"]
    broken.clear()
    second = attempt(program, 2, run, parameters={"n": 5})
    assert second.state.result() == [0, 2, 4, 6, 8]
    assert steps.take() == ["double 3", "double 4"]


def test_the_first_attempt_of_another_run_finds_nothing(steps):
    @flow
    def program():
        return double(1)

    assert program() == program() == 2
    attempt(program, 1, uuid7())
    attempt(program, 2, uuid7())
    assert steps.take() == ["double 1"] * 4


def test_a_retry_of_a_flow_in_its_process_replays(steps):
    runs = []

    @flow(retries=2)
    def program():
        runs.append(double(len(runs) and 1))
        double(7)
        if len(runs) < 3:
            raise Broken
        return runs

    assert program() == [0, 2, 2]
    assert steps.take() == ["double 0", "double 1", "double 7"]


def test_a_retry_of_a_task_replays_what_it_called(steps):
    tries = []

    @task(retries=1)
    def outer():
        tries.append(double(5))
        if len(tries) == 1:
            raise Broken
        return tries

    assert outer() == [10, 10]
    assert steps.take() == ["double 5"]


def test_identical_calls_are_told_apart_by_their_ordinal(steps):
    broken = [True]

    @task(persist_result=True)
    def draw():
        did("draw")
        return len(drawn)

    drawn = []

    @flow
    def program():
        for _ in range(2):
            drawn.append(draw())
        if broken:
            raise Broken
        return [*drawn[2:], draw()]

    run = uuid7()
    attempt(program, 1, run)
    broken.clear()
    assert attempt(program, 2, run).state.result() == [0, 1, 4]
    assert steps.take() == ["draw"] * 3


def test_state_says_that_a_value_was_replayed_and_where_it_is(steps, server, until):
    @flow(retries=1)
    def program():
        state = double(4, return_state=True)
        if steps.take():
            raise Broken
        return state.name, state.result()

    assert program() == ("Replayed", 8)
    told = until(lambda: [e for e in server.all_entries("task.state") if e.get("name") == "Replayed"])
    first = next(e for e in server.all_entries("task.state") if e["state"] == "COMPLETED" and not e.get("name"))
    assert told[0]["state"] == "COMPLETED"
    assert told[0]["result"]["url"] == first["result"]["url"]
    assert first["result"]["url"].startswith("file:///")
    assert first["result"]["key"].startswith(f"runs/{first['run']}/")
    assert first["result"]["serializer"] == "pickle"
    assert first["result"]["size"] > 20


def test_hooks_of_what_is_replayed_are_not_called_again(steps):
    called = []

    @task(persist_result=True, on_completion=[lambda *_: called.append("hook")])
    def hooked():
        did("hooked")

    @flow(retries=1)
    def program():
        hooked()
        if steps.take():
            raise Broken

    program()
    assert called == ["hook"]


def test_a_state_that_was_returned_comes_back_as_it_was(steps):
    @task(persist_result=True)
    def skips():
        did("skips")
        return Completed(name="Skipped", message="nothing new", data=3)

    @flow(retries=1)
    def program():
        state = skips(return_state=True)
        if steps.take():
            raise Broken
        return state.name, state.message, state.data, skips()

    assert program() == ("Skipped", "nothing new", 3, 3)


def test_a_long_message_of_a_state_keeps_nobody_from_finding_the_value(steps):
    @task(persist_result=True)
    def talks():
        did("talks")
        return Completed(message="\N{SNAKE}" * 100_000, data=3)

    @flow(retries=1)
    def program():
        value = talks()
        if steps.take():
            raise Broken
        return value

    assert program() == 3
    assert steps.take() == []


def test_futures_count_as_their_producers(steps):
    broken = [True]

    @task(persist_result=True)
    def consume(value, more=None):
        did("consume")
        return value

    @flow
    def program():
        stored = double.submit(2)
        plain = forgetful.submit(2)
        values = [consume.submit([stored]), consume.submit(stored, more={"a": plain}), consume.submit(plain)]
        values = [value.result() for value in values]
        if broken:
            raise Broken
        return values

    run = uuid7()
    attempt(program, 1, run)
    assert steps.take() == ["consume", "consume", "consume", "double 2", "forgetful 2"]
    broken.clear()
    assert attempt(program, 2, run).state.result() == [[4], 4, 102]
    assert steps.take() == ["forgetful 2"]


def test_another_value_of_what_is_not_stored_executes_what_depends_on_it(steps):
    seen = []

    @task
    def now():
        seen.append(1)
        return len(seen)

    @flow(retries=1)
    def program():
        value = double.submit(now.submit()).result()
        if len(seen) == 1:
            raise Broken
        return value

    assert program() == 4
    assert steps.take() == ["double 1", "double 2"]


def test_failures_are_executed_again(steps):
    @task(persist_result=True)
    def sometimes():
        did("sometimes")
        if len(tries) < 2:
            raise Broken
        return "done"

    tries = []

    @flow(retries=1)
    def program():
        tries.append(1)
        return sometimes(), double(allow_failure(sometimes.submit()))

    assert program() == ("done", "donedone")
    assert steps.take() == ["double done", "sometimes", "sometimes", "sometimes"]


def test_mapped_calls_are_found_again_in_any_order(steps):
    @flow(retries=1)
    def program():
        futures = double.map([3, 1, 2, 1])
        values = sorted(future.result() for future in as_completed(futures))
        again = double.map([1, 2, 3] if broken else [2, 9, 1], wait_for=futures).result()
        if broken:
            broken.clear()
            raise Broken
        return values, again

    broken = [True]
    assert program() == ([2, 2, 4, 6], [4, 18, 2])
    assert steps.take() == ["double 1", "double 1", "double 1", "double 2", "double 2", "double 3", "double 3",
                            "double 9"]  # fmt: skip


def test_async_tasks_and_flows_are_replayed(steps):
    broken = [True]

    @flow(persist_result=True)
    async def part(n):
        did(f"part {n}")
        return await adouble(n)

    @flow
    async def program():
        values = await asyncio.gather(*(adouble(n) for n in range(3)), part(7), part(8))
        if broken:
            broken.clear()
            raise Broken
        return values

    run = uuid7()
    attempt(program, 1, run)
    assert steps.take() == ["adouble 0", "adouble 1", "adouble 2", "adouble 7", "adouble 8", "part 7", "part 8"]
    second = attempt(program, 2, run)
    assert second.state.result() == [0, 2, 4, 14, 16]
    assert steps.take() == []


def test_what_a_subflow_had_finished_is_replayed_within_it(steps):
    broken = [True]

    @flow
    def part(n):
        value = double(n)
        if broken and n == 2:
            raise Broken
        return value

    @flow
    def program():
        return [part(1), part(2), part.submit(3).result()]

    run = uuid7()
    attempt(program, 1, run)
    broken.clear()
    assert attempt(program, 2, run).state.result() == [2, 4, 6]
    assert steps.take() == ["double 1", "double 2", "double 3"]


def test_a_run_that_died_after_its_value_was_stored_is_not_executed_again(steps):
    @flow(persist_result=True)
    def program(n=1):
        did("program")
        return double(n)

    run = uuid7()
    attempt(program, 1, run)
    assert attempt(program, 2, run).state == Completed(name="Replayed")
    assert steps.take() == ["double 1", "program"]
    attempt(program, 3, run, parameters={"n": 2})
    assert steps.take() == ["double 2", "program"]


def test_what_cannot_be_hashed_is_known_by_its_place_and_the_log_says_so(steps, server, until):
    @task(persist_result=True)
    def reads(items, which):
        did(f"reads {which}")
        return which

    @flow(retries=1)
    def program():
        values = [reads((n for n in range(2)), which) for which in "ab"]
        if len(steps.path.read_text().splitlines()) == 2:
            did("failed")
            raise Broken
        return values

    assert program() == ["a", "b"]
    assert steps.take() == ["failed", "reads a", "reads b"]
    assert until(lambda: [e for e in server.all_entries("log") if "by its place" in e["message"]])


def test_methods_are_told_apart_by_their_instance(steps):
    class Shop:
        def __init__(self, name):
            self.name = name

        @task(persist_result=True)
        def stock(self):
            did(f"stock {self.name}")
            return self.name

    @flow(retries=1)
    def program():
        values = [Shop("b").stock(), Shop("a").stock()]
        if len(steps.path.read_text().splitlines()) < 3:
            did("failed")
            raise Broken
        return values

    assert program() == ["b", "a"]
    assert steps.take() == ["failed", "stock a", "stock b"]


@task
def spreads(n):
    did(f"spreads {n}")
    return [double(n), *(future.result() for future in double.map([n, n + 10]))]


@task(persist_result=True)
def kept_in_a_child(n):
    did(f"child {n}")
    return n, os.getpid()


def test_what_runs_in_child_processes_is_stored_and_replayed(steps):
    broken = [True]

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def program():
        kept = kept_in_a_child.map([1, 2]).result()
        values = spreads.map([1, 1, 2]).result()
        if broken:
            raise Broken
        return kept, values

    run = uuid7()
    attempt(program, 1, run)
    first = steps.take()
    assert first.count("double 1") == 4
    assert first.count("child 1") == 1
    broken.clear()
    kept, values = attempt(program, 2, run).state.result()
    assert values == [[2, 2, 22], [2, 2, 22], [4, 4, 24]]
    assert [n for n, _ in kept] == [1, 2]
    assert os.getpid() not in {pid for _, pid in kept}
    assert steps.take() == ["spreads 1", "spreads 1", "spreads 2"]


def test_an_unreadable_value_is_computed_again(steps, server, until):
    @flow(retries=1)
    def program():
        double(6)
        if len(steps.path.read_text().splitlines()) == 1:
            for each in get_result_store().storage.list("runs"):
                path = get_result_store().storage.base / each.path
                path.write_bytes(path.read_bytes()[:-4])
            raise Broken

    program()
    assert steps.take() == ["double 6", "double 6"]
    assert until(lambda: [e for e in server.all_entries("log") if "executed again" in e["message"]])


def test_a_lone_task_stores_its_value(steps, server, until):
    double.with_options(name="alone")(3)
    journal.flush(5)
    states = until(lambda: [e for e in server.all_entries("run.state") if e.get("result")])
    task_state = next(e for e in server.all_entries("task.state") if e.get("result"))
    assert states[0]["result"] == task_state["result"]


def test_a_future_that_is_passed_on_as_it_is_is_known_by_its_place(steps):
    @task(persist_result=True)
    def waits(quoted):
        did("waits")
        return quoted.result()

    @flow(retries=1)
    def program():
        value = waits(quote(forgetful.submit(1)))
        if "failed" not in steps.path.read_text():
            did("failed")
            raise Broken
        return value

    assert program() == 101
    assert steps.take() == ["failed", "forgetful 1", "forgetful 1", "waits"]
