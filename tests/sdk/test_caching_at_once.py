"""1.13: who asks for what is being computed waits for it, and is the next one to compute it if that fails."""

import asyncio
import subprocess
import sys
import textwrap
import threading

import pytest

from orchestrator import flow, task, testing
from orchestrator.cache_policies import INPUTS, CacheKeyFnPolicy
from orchestrator.exceptions import SlotTimeout
from orchestrator.result_storage import LocalDirectory
from tests.sdk.test_caching import counted, run

__all__ = ["counted"]  # a fixture


def test_threads_that_compute_the_same_wait_for_the_first():
    calls, ready = [], threading.Barrier(4)

    @task(cache_key_fn=lambda c, p: "k")
    def compute(n):
        calls.append(n)
        return n

    @task
    def call(n):
        ready.wait(10)
        return compute(n)

    @flow
    def around():
        return call.map(range(4)).result()

    assert set(around()) == set(calls)
    assert len(calls) == 1


def test_coroutines_that_compute_the_same_wait_for_the_first():
    calls = []

    @task(cache_key_fn=lambda c, p: "k")
    async def compute(n):
        calls.append(n)
        await asyncio.sleep(0.01)
        return n

    @flow
    async def around():
        return await asyncio.gather(*(compute(n) for n in range(5)))

    assert len(set(asyncio.run(around()))) == 1
    assert len(calls) == 1


def test_a_failure_lets_the_next_one_compute():
    failing, begun = threading.Event(), threading.Event()

    @task(cache_key_fn=lambda c, p: "k")
    def compute(fails):
        if fails:
            begun.set()
            failing.wait(10)
            raise ValueError("no")
        return "done"

    @flow
    def around():
        first = compute.submit(True)
        begun.wait(10)
        second = compute.submit(False)
        failing.set()
        return first.wait() or first.state.name, second.result()

    assert around() == ("Failed", "done")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_storage_that_fails_under_the_lock_lets_the_next_one_compute(tmp_path, is_async):
    """1.13: the lock was taken, and what is there can't be looked at."""

    class Failing(LocalDirectory):
        looks = 0

        def reading(self, path):
            if path.startswith("cache/"):
                self.looks += 1
                if self.looks == 2:
                    raise OSError("away")
            return super().reading(path)

    options = {"result_storage": Failing(tmp_path)}
    policy = INPUTS.configure(isolation_level="SERIALIZABLE", wait_seconds=0.01)

    @task(cache_policy=policy, **options)
    def compute(x):
        return x

    @task(cache_policy=policy, **options)
    async def acompute(x):
        return x

    def call():
        told = acompute(1, return_state=True) if is_async else compute(1, return_state=True)
        return asyncio.run(told) if is_async else told

    failed, then = call(), call()
    assert (failed.message, then.result()) == ("OSError: away", 1)


def test_a_task_may_call_itself_with_the_same_key():
    @task(cache_key_fn=lambda c, p: "k")
    def compute(depth):
        return compute(depth - 1) + 1 if depth else 0

    assert run(compute, 2) == 2


@pytest.mark.parametrize("level", ["READ_COMMITTED", None])
def test_waiting_has_an_end(counted, level):
    """1.13: SERIALIZABLE fails where it can't have the lock; READ_COMMITTED, as without a word, goes on without it."""
    begun, end = threading.Event(), threading.Event()

    def slow(x):
        begun.set()
        end.wait(10)
        return x

    policy = CacheKeyFnPolicy(lambda c, p: "k").configure(wait_seconds=0.01)
    held = task(name="compute", cache_policy=policy)(slow)
    strict = counted.task(cache_policy=policy.configure(isolation_level="SERIALIZABLE"))
    lenient = counted.task(cache_policy=policy.configure(isolation_level=level))

    @flow
    def around():
        first = held.submit(1)
        begun.wait(10)
        try:
            return strict(2, return_state=True).result(raise_on_failure=False), lenient(3)
        finally:
            end.set()
            first.wait()

    error, value = around()
    assert isinstance(error, SlotTimeout)
    assert value == [3, 0]


def test_waiting_is_shown():
    begun, end, seen = threading.Event(), threading.Event(), []

    @task(cache_key_fn=lambda c, p: "k")
    def compute(n):
        begun.set()
        end.wait(10)
        return n

    class Locks:
        """Locks that say when somebody waits."""

        def lock(self, name, timeout_seconds):
            from orchestrator.concurrency import locks

            if timeout_seconds:
                end.set()
            return locks.lock(name, timeout_seconds=timeout_seconds)

    second = compute.with_options(cache_policy=CacheKeyFnPolicy(lambda c, p: "k").configure(lock_manager=Locks()))

    @flow
    def around():
        first = compute.submit(1)
        begun.wait(10)
        seen.append(second(2, return_state=True))
        return first.result()

    with testing.recorded() as told:
        around()
    waited = next(each for each in told.tasks() if each.name == "Cached")
    assert waited.history[0][2] == "AwaitingCache"


PROGRAM = """
    import sys, time
    from pathlib import Path
    from orchestrator import flow, task
    from orchestrator.cache_policies import INPUTS

    place = Path(sys.argv[1])

    @task(cache_policy=INPUTS)
    def compute(x):
        (place / f"begun-{sys.argv[2]}").touch()
        while not (place / "go").exists() and sys.argv[2] != "second":
            time.sleep(0.01)
        return sys.argv[2]

    @flow(log_prints=False)
    def around():
        return compute(7)

    print(around())
"""


def started(tmp_path, name):
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(PROGRAM))
    return subprocess.Popen([sys.executable, script, tmp_path, name], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("killed", [False, True])
def test_processes_that_compute_the_same_wait_for_the_first(tmp_path, until, killed):
    """And go on at once when it is killed."""
    first = started(tmp_path, "first")
    until((tmp_path / "begun-first").exists)
    second = started(tmp_path, "second")
    if killed:
        first.kill()
    else:
        (tmp_path / "go").touch()
    assert second.communicate(timeout=30)[0].strip() == ("second" if killed else "first")
    first.communicate(timeout=30)
    assert (tmp_path / "begun-second").exists() is killed
