"""1.10: task runners of others: on `TaskRunner`, and on `RemoteTaskRunner`, whose processes write journals too."""

import concurrent.futures
import contextvars
import multiprocessing
import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from orchestrator import flow, get_run_logger, journal, masking, runtime, task
from orchestrator.exceptions import CrashedRun, MissingContext
from orchestrator.futures import Future
from orchestrator.task_runners import RemoteTaskRunner, TaskRunner
from orchestrator.task_runners.remote import work
from orchestrator.testing import recorded


class ExecutorTaskRunner(RemoteTaskRunner):
    """On whatever executor of the standard library there is; a cluster's client looks no different."""

    def __init__(self, executor, max_workers=2):
        super().__init__(max_workers)
        self._executor = executor

    def duplicate(self):
        return ExecutorTaskRunner(self._executor, self.max_workers)

    def call(self, packed):
        return self._executor.submit(work, packed).result()


class OneThreadTaskRunner(TaskRunner):
    """The smallest runner that there may be."""

    def __init__(self):
        self._executor = concurrent.futures.ThreadPoolExecutor(1)

    def duplicate(self):
        return OneThreadTaskRunner()

    def submit(self, run, execute):
        future, context = Future(run), contextvars.copy_context()

        def carry_out():
            try:
                context.run(execute, run)
            finally:
                future.settle()

        self._executor.submit(carry_out)
        return future

    def close(self, end="wait"):
        self._executor.shutdown(wait=True, cancel_futures=end != "wait")


@pytest.fixture(scope="module")
def executor():
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@task
def add(a, b):
    return a + b


@flow
def part():
    return 1


@task(log_prints=True)
def tells(rows):
    print("printed there")
    masking.hide(["learnt-over-there"])
    return add(rows, [os.getpid()]), runtime.flow_run.name


@task
def calls_a_flow():
    return part()


@task
def make():
    return [0]


@task(retries=1)
def dies(path):
    if not path.exists():
        path.touch()
        os._exit(1)
    return runtime.task_run.run_count


def test_secrets_that_are_learnt_later_are_masked_elsewhere_too(server, executor, until):
    """1.10, 1.20: each call brings along what is to be masked."""

    @task
    def says(what):
        get_run_logger().info("said %s", what)

    @flow(task_runner=ExecutorTaskRunner(executor))
    def main():
        says.submit("nothing").result()
        masking.hide(["learnt-in-between-too"])
        says.submit("learnt-in-between-too").result()

    main()
    assert journal.flush(10)
    until(lambda: len([each for each in server.messages() if each.startswith("said")]) == 2)
    assert "said ********" in server.messages()


def test_a_runner_of_somebody_else_runs_tasks():
    """1.10: twenty lines on the base class: results, edges, failures."""

    @flow(task_runner=OneThreadTaskRunner())
    def main():
        one = add.submit(1, 1)
        return add.submit(one, add.submit("a", 1).result(raise_on_failure=False).__class__ is TypeError).result()

    with recorded() as told:
        assert main() == 3
    assert len(told.tasks("add")[2].parents) == 1


def test_processes_of_somebody_else_are_writers_of_their_own(server, executor, until):
    """1.10: states by writer 0, what is logged and called there by another number; each entry once."""

    @flow(name="main", task_runner=ExecutorTaskRunner(executor))
    def main():
        rows = make()
        value = tells.submit(rows).result()
        get_run_logger().info("learnt-over-there")
        return value, runtime.flow_run.name

    ((found, told_name), name) = main()
    assert found[0] == 0
    assert found[1] != os.getpid()
    assert told_name == name
    assert journal.flush(10)
    until(lambda: "add-tells-0.0" in server.tasks())  # The other process ships by itself.
    tasks = server.tasks()
    assert {label: entry["state"] for label, entry in tasks.items()} == dict.fromkeys(
        ("make-0", "tells-0", "add-tells-0.0"), "COMPLETED"
    )
    assert tasks["add-tells-0.0"]["parent_task"] == tasks["tells-0"]["id"]
    assert tasks["add-tells-0.0"]["parents"] == [tasks["make-0"]["id"]]
    writers = {
        stream.rpartition(".")[2]: {entry["kind"] for entry in told.values()} for stream, told in server.entries.items()
    }
    assert writers.pop("0") == {"run.state", "task.state", "log"}
    (kinds,) = writers.values()
    assert kinds == {"task.state", "log"}
    assert "printed there" in server.messages()
    assert "********" in server.messages()


def test_a_place_that_is_lost_is_a_crash_and_retried(tmp_path):
    """1.6, 1.10: as the loss of a process of our own is."""
    context = multiprocessing.get_context("spawn")
    pools = [concurrent.futures.ProcessPoolExecutor(1, context) for _ in range(2)]

    class Replaces(ExecutorTaskRunner):
        def duplicate(self):
            return Replaces(self._executor)

        def call(self, packed):
            try:
                return super().call(packed)
            except BrokenProcessPool:
                self._executor = pools[1]
                raise

    try:
        with recorded() as told:
            main = flow(task_runner=Replaces(pools[0]))(lambda: dies.submit(tmp_path / "seen").result())
            assert main() == 2
    finally:
        for pool in pools:
            pool.shutdown()
    history = told.tasks("dies")[0].history
    assert [name or kind for _, kind, name, _ in history] == ["RUNNING", "CRASHED", "AwaitingRetry", "Retrying"]
    assert "was lost: BrokenProcessPool" in history[1][3]


def test_flows_are_not_called_where_their_states_cannot_be_told():
    """1.10: an error that says where they can be."""

    class Here(RemoteTaskRunner):
        def duplicate(self):
            return Here()

        def call(self, packed):
            return work(packed)

    main = flow(task_runner=Here())(lambda: calls_a_flow.submit().result())
    with pytest.raises(MissingContext, match="Flow 'part' can't be called by a task"):
        main()


def test_what_a_runner_must_say_is_asked_for():
    """1.10: no runner by accident."""
    with pytest.raises(NotImplementedError, match="duplicate"):
        flow(task_runner=RemoteTaskRunner())(lambda: make.submit())()

    class Silent(RemoteTaskRunner):
        def duplicate(self):
            return Silent()

    error = flow(task_runner=Silent())(lambda: make.submit())(return_state=True).result(raise_on_failure=False)
    assert isinstance(error, CrashedRun)
