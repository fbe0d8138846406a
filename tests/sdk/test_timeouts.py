"""1.7: time-outs and cancels, for each kind of code in each place; the states say what really happened."""

import asyncio
import gc
import hashlib
import queue
import socket
import sys
import threading
import time
import weakref

import pytest

from orchestrator import flow, task
from orchestrator.engine import deadlines, interrupts, stopping, watch
from orchestrator.exceptions import FlowRunTimeout, TaskRunTimeout
from orchestrator.task_runners import ThreadPoolTaskRunner
from orchestrator.testing import recorded

HELD = 4_000_000  # rounds of a hash, in C: more than a second
SILENT: list[socket.socket] = []


@pytest.fixture(autouse=True, scope="module")
def silence():
    """A connection that nobody says anything in."""
    SILENT.extend(socket.socketpair())
    yield
    while SILENT:
        SILENT.pop().close()


def sleeps(seconds=1.5):
    time.sleep(seconds)


def computes(seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(100))


def reads(seconds=1.5):
    SILENT[0].settimeout(seconds)
    SILENT[0].recv(1)


def holds_on():
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", HELD)


@pytest.fixture
def impatient(monkeypatch):
    """Threads that don't hear are left behind soon."""
    monkeypatch.setattr(deadlines, "LEFT_AFTER", 0.15)
    monkeypatch.setattr(deadlines, "AGAIN", 0.1)


def timed(fn, **options):
    return task(timeout_seconds=0.1, **options)(fn)


# ── moments at which nothing is ended ────────────────────────────────────────────────────────────


def test_a_runner_that_takes_a_job_is_not_interrupted(monkeypatch):
    """1.7: a job that was counted and is in no queue would be waited for, in vain."""
    moments = []

    class Jobs(queue.SimpleQueue):
        def put(self, job):
            frame = sys._getframe()
            if job is not None:
                moments.append((interrupts.keeps_books(frame), stopping._interruptible(frame)))
            super().put(job)

    monkeypatch.setattr(queue, "SimpleQueue", Jobs)
    assert flow(lambda: task(len).submit([1]).result())() == 1
    assert moments == [(True, False)]


def test_what_finalizes_is_not_interrupted():
    """1.7: the interpreter would swallow the end of the code, which could go on for as long as it likes."""
    moments = []

    class Dies:
        def __del__(self):
            frame = sys._getframe()
            moments.append((interrupts.keeps_books(frame), stopping._interruptible(frame)))

    flow(lambda: Dies() and None)()
    assert moments == [(True, False)]


# ── main thread ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("body", [sleeps, computes, reads])
def test_in_the_main_thread_a_signal_ends_it_at_once(body):
    began = time.monotonic()
    with recorded() as told:
        state = flow(name="main")(timed(body))(seconds=30, return_state=True)
    assert time.monotonic() - began < 20
    assert isinstance(state.result(raise_on_failure=False), TaskRunTimeout)
    (run,) = told.tasks()
    assert (run.state, run.name) == ("FAILED", "TimedOut")
    assert told.states("main") == ["RUNNING", "FAILED"]


def test_in_the_main_thread_a_call_into_c_ends_when_it_returns():
    with recorded() as told:
        error = flow(timed(holds_on))(return_state=True).result(raise_on_failure=False)
    assert isinstance(error, TaskRunTimeout)
    assert told.tasks()[0].name == "TimedOut"


def test_code_that_swallows_its_end_has_timed_out_all_the_same():
    """In the main thread, in a worker, and in a coroutine."""

    def swallows():
        try:
            time.sleep(0.5)
        except BaseException:
            return "regardless"
        for _ in range(1_000):  # In a worker it comes with the next bytecode.
            time.sleep(0.001)
        return "regardless"

    def persists():
        try:
            return swallows()
        except BaseException:
            return "regardless"

    async def swallows_too():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return "regardless"

    for run in (
        lambda: flow(timed(persists))(return_state=True),
        lambda: flow(lambda: timed(persists).submit().result())(return_state=True),
        lambda: flow(lambda: timed(swallows_too).submit().result())(return_state=True),
    ):
        error = run().result(raise_on_failure=False)
        assert isinstance(error, TaskRunTimeout)
        assert "did not let itself be ended" in str(error)


def test_the_books_of_a_run_are_not_torn():
    """A flow's time-out that comes while a task's states are written waits until they are."""

    @task
    def quick(n):
        return n

    @flow(timeout_seconds=0.1)
    def busy():
        while True:
            quick(1)

    with recorded() as told:
        for _ in range(3):
            assert isinstance(busy(return_state=True).result(raise_on_failure=False), FlowRunTimeout)
    assert {entry.state for entry in told.tasks()} <= {"COMPLETED", "CRASHED"}
    assert all(entry.started and entry.ended for entry in told.tasks())


class Held:
    """Something that a weak reference can point to."""


def loses_its_first_end(deaf_for=20):
    """The first end comes in the callback of a weak reference, where the interpreter ignores it."""
    until = time.monotonic() + deaf_for
    lost = []

    def callback(_):
        try:
            while time.monotonic() < until:
                sum(range(100))
        except BaseException:
            lost.append(True)
            raise

    held = Held()
    reference = weakref.ref(held, callback)
    del held
    assert lost, reference
    while time.monotonic() < until:
        sum(range(100))
    return "never ended"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("place", ["main", "worker"])
def test_an_end_that_got_lost_comes_again(monkeypatch, place):
    """1.7: nothing runs for ever since its only end came where exceptions are ignored."""
    monkeypatch.setattr(deadlines, "AGAIN", 0.05)
    call = timed(loses_its_first_end)
    state = flow(lambda: call() if place == "main" else call.submit().result())(return_state=True)
    error = state.result(raise_on_failure=False)
    assert isinstance(error, TaskRunTimeout)
    assert "let itself be ended" not in str(error)


@pytest.mark.parametrize("place", ["main", "worker"])
def test_no_end_comes_in_a_callback_of_the_garbage_collector(place):
    """1.7: whatever is raised there is ignored; it comes right after."""
    began = []

    def collects(phase, _):
        if phase == "start":
            began.append(True)
            computes(0.3)

    def goes_on():
        gc.collect()
        computes()

    gc.callbacks.append(collects)
    try:
        call = timed(goes_on)
        state = flow(lambda: call() if place == "main" else call.submit().result())(return_state=True)
    finally:
        gc.callbacks.remove(collects)
    assert began
    assert isinstance(state.result(raise_on_failure=False), TaskRunTimeout)


@pytest.mark.parametrize("place", ["main", "worker"])
def test_what_code_does_in_the_end_is_not_disturbed(monkeypatch, place):
    """1.7: the end comes again to who lost it, not to who leaves his blocks."""
    monkeypatch.setattr(deadlines, "AGAIN", 0.01)
    done = []

    def leaves():
        try:
            computes()
        finally:
            for _ in range(5):
                try:
                    {}["nothing"]
                except KeyError:
                    computes(0.05)
            done.append(True)

    call = timed(leaves)
    state = flow(lambda: call() if place == "main" else call.submit().result())(return_state=True)
    assert isinstance(state.result(raise_on_failure=False), TaskRunTimeout)
    assert done == [True]


# ── worker threads ───────────────────────────────────────────────────────────────────────────────


def test_in_a_worker_an_exception_ends_it_at_the_next_bytecode():
    began = time.monotonic()
    with recorded() as told:
        state = flow(lambda: timed(computes).submit().result())(return_state=True)
    assert time.monotonic() - began < 20
    assert isinstance(state.result(raise_on_failure=False), TaskRunTimeout)
    assert told.tasks()[0].name == "TimedOut"
    assert "left behind" not in told.tasks()[0].message


@pytest.mark.parametrize("body", [sleeps, reads, holds_on])
def test_a_worker_that_does_not_hear_is_left_behind_and_counted(impatient, body):
    """The task has timed out, others go on in its place, and the log and the states say what is left."""

    @task
    def after():
        return threading.get_ident()

    @flow(name="main", task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        stuck = timed(body).submit()
        return stuck.result(timeout=20, raise_on_failure=False), after.submit().result(timeout=20)

    with recorded() as told:
        state = main(return_state=True)
    error, ident = state.result()
    assert isinstance(error, TaskRunTimeout)
    assert "It can't be interrupted, so its thread was left behind." in str(error)
    assert ident != threading.get_ident()
    stuck = told.tasks(body.__name__)[0]
    assert (stuck.state, stuck.name) == ("FAILED", "TimedOut")
    assert "Threads left behind so far: 1." in "".join(line.message for line in told.logs())
    assert told.run_states()[-1].message == "1 thread was left behind."


def test_a_thread_that_comes_back_tells_nothing_more(impatient):
    """What is stuck and ends after all changes no state, and is counted no longer."""
    gate, calls = threading.Event(), []

    @task(timeout_seconds=0.1, retries=1, on_failure=[lambda *_: calls.append("failed")])
    def stuck():
        calls.append("called")
        if len(calls) == 1:
            gate.wait(30)
        return len(calls)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        value = stuck.submit().result(timeout=20)
        gate.set()
        add = task(lambda: time.sleep(0.2))
        add.submit().wait()
        return value

    with recorded() as told:
        assert main() == 2
    assert calls == ["called", "called"]
    entry = told.tasks("stuck")[0]
    assert entry.state == "COMPLETED"
    assert [name or kind for _, kind, name, _ in entry.history] == ["RUNNING", "TimedOut", "AwaitingRetry", "Retrying"]
    assert told.run_states()[-1].message is None


def test_a_flow_that_ends_leaves_behind_what_cannot_be_cancelled(monkeypatch):
    """The flow's state says how many; the tasks are CANCELLED and say why."""
    monkeypatch.setattr(ThreadPoolTaskRunner, "stop_grace", 0.1)
    gate = threading.Event()

    @task
    def stuck():
        gate.wait(30)

    @flow(name="main", timeout_seconds=0.3)
    def main():
        kept.extend(stuck.submit() for _ in range(2))
        time.sleep(30)

    kept = []
    try:
        with recorded() as told:
            state = main(return_state=True)
            assert state.name == "TimedOut"
            assert {future.state.name for future in kept} == {"Cancelled"}
    finally:
        gate.set()
    assert told.run_states()[-1].message.endswith("2 threads were left behind.")
    assert all("left behind" in entry.message for entry in told.tasks("stuck"))


# ── coroutines ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", ["loop", "worker"])
@pytest.mark.parametrize("kind", ["awaits", "computes", "stubborn"])
def test_coroutines_are_cancelled_until_they_end(impatient, kind, place):
    """At the next await; again, if they swallow it; and where they never await, as a thread is."""
    swallowed = []

    async def awaits():
        await asyncio.sleep(30)

    async def computes_and_never_awaits():
        computes()

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                swallowed.append(1)
                if len(swallowed) == 3:
                    raise

    body = {"awaits": awaits, "computes": computes_and_never_awaits, "stubborn": stubborn}[kind]
    limited = timed(body)

    @flow
    async def main():
        if place == "worker":
            return await limited.submit().result_async()
        return await limited()

    with recorded() as told:
        error = asyncio.run(main(return_state=True)).result(raise_on_failure=False)
    assert isinstance(error, TaskRunTimeout)
    assert told.tasks()[0].name == "TimedOut"
    assert len(swallowed) == (3 if kind == "stubborn" else 0)


def test_only_the_coroutine_whose_time_is_up_is_ended(impatient):
    """Others in the loop go on, an outer time-out ends the inner ones, and a cancel stays a cancel."""

    @task(timeout_seconds=0.1)
    async def short():
        await asyncio.sleep(30)

    @task(timeout_seconds=20)
    async def long():
        await asyncio.sleep(0.4)
        return "through"

    @task(timeout_seconds=0.1)
    async def around():
        return await long()

    @flow
    async def main():
        ended = await asyncio.gather(short(return_state=True), long(), around(return_state=True))
        cancelled = asyncio.ensure_future(long())
        await asyncio.sleep(0.01)
        cancelled.cancel()
        return ended[0].name, ended[1], ended[2].name, await asyncio.gather(cancelled, return_exceptions=True)

    first, second, third, (error,) = asyncio.run(main())
    assert (first, second, third) == ("TimedOut", "through", "TimedOut")
    assert isinstance(error, asyncio.CancelledError)


# ── the watch ────────────────────────────────────────────────────────────────────────────────────


def test_time_outs_of_runs_that_ended_do_not_pile_up(monkeypatch):
    """A hundred thousand quick tasks with an hour each leave a short list behind."""
    monkeypatch.setattr(watch, "TIDY_FROM", 50)
    monkeypatch.setattr(watch, "watch", watch.Watch())
    quick = task(timeout_seconds=3600)(lambda n: n)
    assert sum(flow(lambda: quick.map(range(500)).result())()) == sum(range(500))
    assert len(watch.watch._heap) <= 101
