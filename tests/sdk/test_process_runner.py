"""1.10: tasks in child processes: what they are given, tell and return; how they end."""

import asyncio
import ctypes
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from orchestrator import allow_failure, flow, get_run_logger, journal, masking, quote, runtime, tags, task, testing
from orchestrator.assets import Asset, materialize
from orchestrator.exceptions import CrashedRun, ForeignError, NotPicklable, RunCancelled, TaskRunTimeout
from orchestrator.states import Completed
from orchestrator.task_runners import ProcessPoolTaskRunner
from orchestrator.testing import recorded
from tests.sdk.conftest import ROOT, dead

ROUNDS = 400_000_000  # of a hash, in C: minutes


def pooled(fn, workers=1, grace=0.2, **options):
    """Call a flow with a pool of its own."""
    return flow(task_runner=ProcessPoolTaskRunner(max_workers=workers, grace_seconds=grace), **options)(fn)()


@task
def pid():
    return os.getpid()


@task
def add(a, b=0):
    return a + b


@task
def make(n):
    return [n]


@flow(flow_run_name="part of {n}")
def part(n):
    return add(n, 1)


@task(log_prints=True)
def tells(n, rows):
    print("printed", n)
    get_run_logger().warning("logged", extra={"n": n})
    futures = [add.submit(number, 1) for number in range(n)]
    direct = add(rows, [1])
    return sum(future.result() for future in futures), part(n), direct, os.getpid()


class Unreadable(Exception):
    """Is pickled, and can't be read again."""

    def __init__(self, what, why):
        super().__init__(what)


@dataclasses.dataclass
class Opens:
    """Pickled without complaint; read back never."""

    def __reduce__(self):
        return _closed, ()


def _closed():
    raise ValueError("no way back")


@task
def fails(kind):
    if kind == "unreadable":
        raise Unreadable("a", "b")
    if kind == "exit":
        raise SystemExit(3)
    raise KeyError(kind)


@task
def returns(kind):
    return {"lock": threading.Lock, "opens": Opens, "future": lambda: add.submit(1), "state": _skipped}[kind]()


def _skipped():
    return Completed(name="Skipped", message="nothing new")


@task
def dies(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "exit":
        os._exit(7)
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "term":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    return os.getpid()


# ── what happens there is told here ──────────────────────────────────────────────────────────────


def told_by_a_child():
    def main():
        with tags("nightly"):
            rows = make(0)
            return tells.submit(2, rows).result()

    return pooled(main, name="main")


def check_what_it_told(told, value):
    assert value[:3] == (3, 3, [0, 1])
    assert value[3] != os.getpid()
    outer, made = told["tells-0"], told["make-0"]
    inner = [told[label] for label in ("add-tells-0.0", "add-tells-0.1", "add-tells-0.2")]
    assert outer["parents"] == [made["id"]]
    assert [each["parent_task"] for each in inner] == [outer["id"]] * 3
    assert inner[2]["parents"] == [made["id"]]
    assert {tuple(each["tags"]) for each in (outer, *inner)} == {("nightly",)}
    assert {each["state"] for each in told.values()} == {"COMPLETED"}


def by_label(entries):
    return {entry["label"]: {"parents": [], "tags": [], "parent_task": None, **entry} for entry in entries}


def test_logs_prints_tasks_and_subflows_of_a_child_are_told_with_their_parents(server):
    """1.10: attached: all comes by writer 0, each entry once."""
    value = told_by_a_child()
    assert journal.flush(10)
    check_what_it_told(by_label(server.all_entries("task.state")), value)
    assert len(server.applied) == 1
    (stream,) = server.entries
    assert stream.endswith(".0")
    states = server.all_entries("run.state")
    root, sub = states[0], next(entry for entry in states if entry["run"] != states[0]["run"])
    assert sub["about"]["name"] == "part of 2"
    assert sub["about"]["parent"] == root["run"]
    assert sub["about"]["parent_task"] == server.tasks()["tells-0"]["id"]
    lines = [entry for entry in server.all_entries("log") if entry.get("task") == server.tasks()["tells-0"]["id"]]
    assert [(line["message"], line.get("level", 20), line.get("extra")) for line in lines] == [
        ("printed 2", 20, None),
        ("logged", 30, {"n": 2}),
    ]
    assert all(root["t"] <= entry["t"] for entry in server.all_entries())


def test_what_a_child_tells_while_the_server_is_away_is_kept_and_sent_later(server, home, until):
    """1.10: server away: the child's entries are in the one file of the run."""
    server.refuse.extend([(503, "unavailable")] * 1000)
    value = told_by_a_child()
    files = list((home / "journals").glob("*.ndjson"))
    assert len(files) == 1
    until(lambda: b"printed 2" in files[0].read_bytes())
    server.refuse.clear()
    assert journal.flush(30)
    check_what_it_told(by_label(server.all_entries("task.state")), value)


def test_a_long_task_called_in_a_child_is_told_of_while_it_runs(server, until, tmp_path):
    """1.10: a page shows what is under way in a child."""
    gate = tmp_path / "gate"

    @task
    def inner():
        while not gate.exists():
            time.sleep(0.01)

    @task
    def outer():
        inner()

    thread = threading.Thread(target=pooled, args=(lambda: outer.submit().result(),))
    thread.start()
    try:
        until(lambda: server.tasks().get("inner-outer-0.0", {}).get("state") == "RUNNING")
    finally:
        gate.touch()
        thread.join()


def test_the_context_goes_along():
    """1.10, 1.22: runtime facts, tags and the environment of the flow run are there."""

    @task
    def facts(x):
        run, here = runtime.flow_run, runtime.task_run
        return run.id, run.name, run.flow_name, run.parameters, run.tags, here.name, here.tags, here.parameters, here.id

    @flow(name="Facts", tags=["a"], task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main(day, lock):
        with tags("b"):
            future = facts.submit(5)
        return future.result(), runtime.flow_run.id, runtime.flow_run.name, str(future.task_run_id)

    told, id, name, task_id = main("monday", threading.Lock())
    assert told == (id, name, "Facts", {"day": "monday"}, ["a"], "facts-0", ["a", "b"], {"x": 5}, task_id)


@task
def knows_its_run():
    return runtime.deployment.version, runtime.deployment.parameters, runtime.flow_run.job_variables


def test_what_the_server_said_of_a_run_goes_along():
    """1.10, 1.22: facts of the deployment are the same there."""
    seen = []

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main(day):
        seen.extend([knows_its_run(), knows_its_run.submit().result()])

    with testing.server() as server:
        main.deploy("prod", version="8", job_variables={"env": {"A": "b"}})
        server.trigger("main/prod", {"day": "monday"})
        server.work()
    assert seen == [("8", {"day": "monday"}, {"env": {"A": "b"}})] * 2


def test_secrets_are_masked_on_both_sides():
    """1.10, 1.20: what is hidden here is hidden there, and what a child learns is hidden here afterwards."""

    @task
    def learns():
        masking.hide(["learnt-in-the-child"])
        get_run_logger().info("known-before learnt-in-the-child")

    def main():
        learns.submit().result()
        get_run_logger().info("learnt-in-the-child")

    masking.hide(["known-before"])
    with recorded() as told:
        pooled(main)
    messages = [line.message for line in told.logs()]
    assert "******** ********" in messages
    assert "********" in messages
    assert not [message for message in messages if "learnt" in message]


def test_secrets_that_are_learnt_later_are_masked_in_children_that_are_there():
    """1.10, 1.20: by a block, say, that the flow loads between two tasks."""

    @task
    def says(what):
        get_run_logger().info("said %s", what)

    def main():
        says.submit("nothing").result()
        masking.hide(["learnt-in-between"])
        says.submit("learnt-in-between").result()

    with recorded() as told:
        pooled(main)
    assert {line.message for line in told.logs() if "said" in line.message} == {"said nothing", "said ********"}


def test_metadata_of_an_asset_come_back_from_its_maker():
    """1.10, 1.21: also what was added before the maker failed, to be tried again."""
    lake = Asset("s3://lake/flights.parquet")

    @materialize(lake, retries=1)
    def load():
        lake.add_metadata({f"rows-{runtime.task_run.run_count}": 3})
        if runtime.task_run.run_count == 1:
            raise ValueError

    with recorded() as told:
        pooled(lambda: load.submit().result())
    [made] = told.events()
    assert json.loads(bytes(made.payload))["metadata"] == {"rows-1": 3, "rows-2": 3}


def test_closures_lambdas_async_tasks_and_local_classes():
    """1.10: what no module holds goes by value."""
    base = 10

    class Point:
        def __init__(self, x):
            self.x = x

    @task
    def moved(point, by):
        return Point(point.x + by() + base)

    @task
    async def slowly(x):
        await asyncio.sleep(0.01)
        return add(x, 1)

    def main():
        found = moved.submit(Point(1), lambda: 2).result()
        return type(found) is Point, found.x, slowly.submit(1).result(), slowly.map([1, 2]).result()

    assert pooled(main) == (True, 13, 2, [2, 3])


def test_futures_states_and_failures_pass_between_processes_as_between_threads():
    """1.4, 1.10: dependencies, allow_failure, returned states and futures."""

    @task
    def kind(error):
        return type(error).__name__

    def main():
        one = add.submit(1)
        failed = fails.submit("x")
        dependent, skipped = add.submit(failed, 1), returns.submit("state")
        dependent.wait()
        skipped.wait()
        return (
            add.submit(one, add.submit(1)).result(),
            dependent.state.name,
            kind.submit(allow_failure(failed)).result(),
            skipped.state.name,
            returns.submit("future").result(),
        )

    assert pooled(main, workers=2) == (2, "NotReady", "KeyError", "Skipped", 1)


def test_nested_submit_runs_in_the_child_and_never_deadlocks():
    """1.10: a tree of submitted tasks on one process."""

    @task
    def tree(depth):
        if depth == 0:
            return {os.getpid()}
        return set.union(*(child.result() for child in [tree.submit(depth - 1), tree.submit(depth - 1)]))

    assert len(pooled(lambda: tree.submit(4).result())) == 1


# ── what can't pass ──────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_pickled_fails_the_task_and_says_what_it_was():
    """1.10: a clear error, at once, and the process goes on."""

    def main():
        futures = [
            add.submit(1, threading.Lock()),
            returns.submit("lock"),
            returns.submit("opens"),
            add.submit(Opens()),
            add.submit(lambda: None, quote([add.submit(1)])),
        ]
        errors = [future.result(timeout=20, raise_on_failure=False) for future in futures]
        return errors, {future.state.name for future in futures}, add.submit(1, 1).result()

    errors, names, after = pooled(main)
    assert {type(error) for error in errors} == {NotPicklable}
    assert "its argument 'b' can't: TypeError: cannot pickle '_thread.lock' object" in str(errors[0])
    assert "What returns-0 returned can't be sent" in str(errors[1])
    assert "was sent from its process and can't be read: ValueError: no way back" in str(errors[2])
    assert "can't be read there: ValueError: no way back" in str(errors[3])
    assert "a future belongs to its process" in str(errors[4])
    assert (names, after) == ({"Failed"}, 2)


def test_exceptions_come_with_the_traceback_that_they_had():
    """1.10: also those that pickle can't make again, and those that end a process."""

    def main():
        return [fails.submit(kind).result(raise_on_failure=False) for kind in ("x", "unreadable", "exit")]

    with recorded() as told:
        plain, unreadable, exit = pooled(main)
    assert isinstance(plain, KeyError)
    assert "raise KeyError(kind)" in str(plain.__cause__)
    assert isinstance(unreadable, ForeignError)
    assert str(unreadable) == "tests.sdk.test_process_runner.Unreadable: a"
    assert isinstance(exit, SystemExit)
    first, second, third = told.tasks("fails")
    assert (first.state, second.state, third.state) == ("FAILED", "FAILED", "CRASHED")
    assert first.error.traceback.startswith("Traceback")
    assert first.error.traceback.endswith("KeyError: 'x'\n")
    assert "orchestrator/elsewhere" not in first.error.traceback
    assert "raise Unreadable" in second.error.traceback


# ── how they end ─────────────────────────────────────────────────────────────────────────────────


def test_a_child_that_dies_crashes_its_task_and_the_pool_goes_on():
    """1.10: the state says how."""
    ways = {
        "kill": "was killed by SIGKILL, perhaps because the machine ran out of memory",
        "exit": "ended with exit code 7",
        "segfault": "was killed by SIGSEGV",
        "term": "was told to end by SIGTERM",
    }

    def main():
        futures = dies.map(list(ways))
        return futures.result(raise_on_failure=False), [future.state for future in futures], pid.submit().result()

    with recorded() as told:
        errors, states, after = pooled(main)
    assert {type(error) for error in errors} == {CrashedRun}
    assert {state.name for state in states} == {"Crashed"}
    assert [state.message for state in states] == [
        f"CrashedRun: The process of task run 'dies-{n}' {says}." for n, says in enumerate(ways.values())
    ]
    assert after != os.getpid()
    assert {entry.state for entry in told.tasks("dies")} == {"CRASHED"}


def test_a_child_that_dies_between_two_tasks_is_replaced(tmp_path, until):
    """1.10: by what a task left running, say. The next one had no part in it."""
    fire = tmp_path / "fire"

    @task
    def leaves_a_bomb():
        def bomb():
            while not fire.exists():
                time.sleep(0.01)
            os._exit(9)

        threading.Thread(target=bomb).start()
        return os.getpid()

    def main():
        first = leaves_a_bomb.submit().result()
        fire.touch()
        until(lambda: dead(first))
        return first, pid.submit().result()

    first, second = pooled(main)
    assert first != second


def test_a_crash_is_retried_while_retries_remain(tmp_path):
    """1.6, 1.10: an attempt crashes, the run goes on in another process; its hooks are called here."""
    heard = []

    @task(retries=1, on_crashed=[lambda *_: heard.append("crashed")], on_completion=[lambda *_: heard.append("done")])
    def flaky(path):
        if not path.exists():
            path.touch()
            os._exit(1)
        return runtime.task_run.run_count

    with recorded() as told:
        assert pooled(lambda: flaky.submit(tmp_path / "seen").result()) == 2
    assert heard == ["done"]
    names = [name or kind for _, kind, name, _ in told.tasks("flaky")[0].history]
    assert names == ["RUNNING", "CRASHED", "AwaitingRetry", "Retrying"]


@task(timeout_seconds=0.2)
def sleeps():
    time.sleep(60)


@task(timeout_seconds=0.2)
def holds_on():
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", ROUNDS)


@task(timeout_seconds=0.2)
def swallows():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@task(timeout_seconds=0.2)
async def sleeps_async():
    await asyncio.sleep(60)


def test_a_timeout_ends_whatever_a_child_does():
    """1.7: by a signal; and what no signal ends is killed, and a fresh process takes its place."""
    told = {}

    def main():
        for body in (sleeps, sleeps_async, holds_on, swallows):
            before = pid.submit().result()
            future = body.submit()
            error = future.result(timeout=30, raise_on_failure=False)
            assert isinstance(error, TaskRunTimeout)
            assert (future.state.type, future.state.name) == ("FAILED", "TimedOut")
            killed = "so its process was killed" in future.state.message
            assert killed is (before != pid.submit().result())
            told[body.name] = killed

    pooled(main)
    assert told == {"sleeps": False, "sleeps_async": False, "holds_on": True, "swallows": True}


def test_a_timeout_ends_what_never_lets_go_of_the_interpreter():
    """1.7: though no other thread of the child gets to do anything from the first moment on."""

    @task(timeout_seconds=0.2)
    def holds_the_interpreter():
        sum(range(10**12))

    def main():
        return holds_the_interpreter.submit().final_state().message

    assert "so its process was killed" in pooled(main, timeout_seconds=10)


def test_the_time_of_a_timeout_begins_with_the_function():
    """1.7: what it takes to start a process is not the task's."""

    @task(timeout_seconds=0.15)
    def quick():
        return 1

    assert pooled(lambda: quick.submit().result()) == 1


@pytest.mark.parametrize("body", [sleeps, holds_on], ids=["sleep", "C"])
def test_a_flow_that_ends_early_ends_its_children(body, tmp_path):
    """1.7, 1.10: cancelled by the end of the flow, at once or after the grace; nothing is left."""
    patient = body.with_options(timeout_seconds=None)
    pids = []

    @task
    def tells_pid():
        (tmp_path / str(os.getpid())).touch()
        patient.fn()

    def main():
        kept.append(tells_pid.submit())
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        pids.extend(int(path.name) for path in tmp_path.iterdir())
        time.sleep(60)

    kept = []
    state = flow(task_runner=ProcessPoolTaskRunner(max_workers=1, grace_seconds=0.2), timeout_seconds=1.5)(main)(
        return_state=True
    )
    assert state.name == "TimedOut"
    assert kept[0].state.is_cancelled()
    assert all(dead(each) for each in pids)


def test_a_cancel_by_the_server_ends_children(server, until):
    """1.7, 1.10: RunCancelled is raised in the child, cleaning up runs there, the states say CANCELLED."""

    @task
    def waits():
        get_run_logger().info("begun")
        try:
            time.sleep(60)
        finally:
            get_run_logger().info("cleaned up")

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main():
        waits.submit()
        until(lambda: "begun" in server.messages())
        server.signals.append({"run": runtime.flow_run.id, "signal": "cancel"})
        get_run_logger().info("now")
        time.sleep(60)

    with pytest.raises(RunCancelled):
        main()
    assert journal.flush(10)
    assert server.tasks()["waits-0"]["state"] == "CANCELLED"
    assert server.run_states() == ["RUNNING", "CANCELLED"]
    assert "cleaned up" in server.messages()


GUARDLESS = """
    import os, sys, time
    from orchestrator import flow, task
    from orchestrator.task_runners import ProcessPoolTaskRunner

    class Point:
        def __init__(self, x): self.x = x

    @task
    def double(point):
        os.write(1, b"%d\\n" % os.getpid())
        if len(sys.argv) > 1:
            import hashlib
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 400_000_000)
        return Point(2 * point.x)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def main():
        return [point.x for point in double.map([Point(1), Point(2)]).result()]

    assert main() == [2, 4]
"""


def test_a_script_needs_no_guard(python):
    """1.10: children don't run the script again."""
    assert len(python(GUARDLESS).stdout.split()) == 2


def test_nothing_is_left_when_the_parent_is_killed(tmp_path, until):
    """1.10: kill -9 of the flow's process ends children that are in the midst of a call into C."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(GUARDLESS))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script), "hold"], stdout=subprocess.PIPE, env=environment)
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: all(dead(child) for child in children))


def test_children_end_with_the_flow():
    """1.10: no process and no thread is left."""
    threads = threading.active_count()
    pids = pooled(lambda: [future.result() for future in [pid.submit() for _ in range(4)]], workers=2)
    assert all(dead(each) for each in pids)
    assert threading.active_count() <= threads


def test_options_and_names():
    """1.10: a runner is chosen by an option, and refuses what makes no sense."""
    runner = ProcessPoolTaskRunner()
    assert runner.max_workers == len(os.sched_getaffinity(0))
    assert flow(lambda: pid.submit().result()).with_options(task_runner=runner)() != os.getpid()
    with pytest.raises(ValueError, match="max_workers"):
        ProcessPoolTaskRunner(max_workers=0)
    with pytest.raises(ValueError, match="grace_seconds"):
        ProcessPoolTaskRunner(grace_seconds=-1)


# ── under an agent ───────────────────────────────────────────────────────────────────────────────

DEPLOYED = """
    import hashlib, os
    from pathlib import Path
    from orchestrator import flow, runtime, task
    from orchestrator.task_runners import ProcessPoolTaskRunner

    class Told:
        def __init__(self, text): self.text = text

    @task
    def tell(path):
        if path.name == "hold":
            path.write_text(str(os.getpid()))
            hashlib.pbkdf2_hmac("sha256", b"x", b"y", 400_000_000)
        return Told(f"{os.getpid()} {runtime.deployment.flow_name} {os.environ.get('ORCHESTRATOR_API_KEY')}")

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def told(path: str):
        (pid, *facts), own = tell.submit(Path(path)).result().text.split(), os.getpid()
        Path(path).write_text(" ".join([str(int(pid) != own), *facts]))
"""


@pytest.mark.parametrize("process", ["warm", "fresh"])
def test_a_run_of_an_agent_has_children(platform, working, code, until, tmp_path, process):
    """1.10: from a file that no import statement could name; without the agent's key."""
    working()
    deployment = code("told", process=process)
    (tmp_path / "code" / "my-flow.py").write_text(textwrap.dedent(DEPLOYED))
    path = tmp_path / "told"
    run = platform.trigger({**deployment, "entrypoint": "my-flow.py:told"}, {"path": str(path)})
    until(lambda: platform.run_states(run)[-1:] == ["COMPLETED"])
    assert path.read_text() == "True told None"


def test_a_cancel_under_an_agent_ends_children_in_calls_into_c(platform, working, code, until, tmp_path):
    """1.7, 1.10: nothing of the run is left after the agent's grace."""
    working(grace=0.5)
    path = tmp_path / "hold"
    run = platform.trigger(code("told", DEPLOYED), {"path": str(path)})
    child = int(until(lambda: path.exists() and path.read_text()))
    platform.cancels.append(run)
    until(lambda: dead(child))


def test_a_server_reads_what_children_tell():
    """1.10: rows, lines and subflows as those of a thread, in the order in which they were told."""
    with testing.server() as server:
        value = told_by_a_child()
        (run,) = server.runs("main")
        server.assert_completed(run)
        assert value[:3] == (3, 3, [0, 1])
        assert {task.state_type for task in server.tasks(run)} == {"COMPLETED"}
        assert len(server.tasks(run)) == 5
        server.assert_logged(run, "printed 2")
        (sub,) = server.runs("part")
        server.assert_completed(sub)
        assert sub.parent_id == run.id
        assert [task.label for task in server.tasks(sub)] == ["add-0"]
