"""1.18: locks by the server and by files, in sync code and in coroutines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator import flow, testing
from orchestrator.concurrency import desk as desks
from orchestrator.concurrency.locks import alock, lock
from orchestrator.config import require_api
from orchestrator.exceptions import ApiError, SlotLost, SlotTimeout, Unauthorized, Unreachable
from tests.sdk.conftest import ROOT


@pytest.fixture(params=["server", "files"])
def place(request):
    """Where locks are held."""
    if request.param == "files":
        yield "files"
        return
    with testing.server():
        yield "server"


def test_one_at_a_time(place):
    """1.18: what a lock guards is never done by two at once."""
    inside, most, done = 0, 0, 0

    def work(_):
        nonlocal inside, most, done
        with lock("a"):
            inside += 1
            most = max(most, inside)
            os.sched_yield()
            done += 1
            inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert (most, done) == (1, 40)


def test_coroutines(place):
    inside, most = 0, 0

    async def work():
        nonlocal inside, most
        async with alock("a"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async def main():
        await asyncio.gather(*(work() for _ in range(20)))

    asyncio.run(main())
    assert most == 1


def test_a_lock_that_is_not_free_in_time(place):
    with lock("a"), lock("b", timeout_seconds=0):
        for seconds in (0, 0.05):
            with (
                pytest.raises(SlotTimeout, match="The lock of a was not free within"),
                lock("a", timeout_seconds=seconds),
            ):
                raise AssertionError("two at once")
    with lock("a", timeout_seconds=0):
        pass


def test_in_a_coroutine_too(place):
    async def main():
        async with alock("a"):
            for seconds in (0, 0.05):
                with pytest.raises(SlotTimeout):
                    async with alock("a", timeout_seconds=seconds):
                        raise AssertionError("two at once")

    asyncio.run(main())


def test_a_coroutine_that_is_cancelled_waits_no_more(place):
    async def main():
        async def wait():
            async with alock("a"):
                raise AssertionError("two at once")

        async with alock("a"):
            task = asyncio.create_task(wait())
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with alock("a", timeout_seconds=5):
            pass

    asyncio.run(main())


@pytest.mark.parametrize("name", ["", "x" * 501])
def test_names_that_no_lock_has(place, name):
    with pytest.raises(ValueError, match="names"), lock(name):
        raise AssertionError("held")


def test_what_raises_gives_it_back(place):
    with pytest.raises(ZeroDivisionError), lock("a"):
        _ = 1 / 0
    with lock("a", timeout_seconds=5):
        pass


def test_inside_of_a_flow(place):
    @flow
    def guarded():
        with lock("a"):
            return "alone"

    assert guarded() == "alone"


# ── the server's ─────────────────────────────────────────────────────────────────────────────────


def test_the_oldest_waiter_is_served_first():
    """1.18: first in, first out."""
    with testing.server() as server:
        order = []

        def wait(number):
            with lock("a"):
                order.append(number)

        with lock("a"):
            threads = []
            for number in range(5):
                threads.append(threading.Thread(target=wait, args=(number,)))
                threads[-1].start()
                while len(server.memory.store.asks) < number + 2:
                    os.sched_yield()
        for thread in threads:
            thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_a_process_that_is_killed_lets_go_of_a_file(tmp_path):
    """1.18: without a server, the kernel does."""
    script = tmp_path / "holds.py"
    script.write_text(
        "from orchestrator.concurrency.locks import lock\nwith lock('a'):\n    print(1, flush=True)\n    input()\n"
    )
    child = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout.readline()
    with pytest.raises(SlotTimeout), lock("a", timeout_seconds=0):
        raise AssertionError("two at once")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with lock("a", timeout_seconds=0):
        pass


def test_a_child_that_was_forked_holds_no_file(home):
    """1.18: it has the file open, and may live for long."""
    read, write = os.pipe()
    with lock("a"):
        child = os.fork()
        if not child:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
    try:
        with lock("a", timeout_seconds=0):
            pass
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_more_names_than_the_server_takes_at_once_wait_here(monkeypatch):
    """1.18: else neither what is held could be kept, nor given back."""
    monkeypatch.setattr(desks, "MAX_USED", 2)
    inside, most = [], []

    async def holds(name):
        async with alock(name):
            inside.append(name)
            most.append(len(inside))
            await asyncio.sleep(0)
            inside.remove(name)

    async def all_of_them():
        await asyncio.gather(*(holds(str(number)) for number in range(7)))

    with testing.server():
        asyncio.run(asyncio.wait_for(all_of_them(), 10))
    assert len(most) == 7
    assert max(most) <= 2


def test_a_loop_that_is_gone_keeps_no_other_from_its_slots():
    """1.18: it was closed in the midst of its block, and its slots are lost then."""

    with testing.server() as server:
        loop = asyncio.new_event_loop()
        held = alock("a", raise_on_lease_renewal_failure=True)
        loop.run_until_complete(held.__aenter__())
        loop.close()
        lose(server)
        for name in ("b", "c"):
            with lock(name, timeout_seconds=5):
                pass
        assert held is not None


def test_a_key_that_is_revoked_ends_all_waits(monkeypatch, until):
    """1.18: whoever waits without end would never hear of it, nor who holds."""
    with testing.server() as server, lock("held"):
        ended = []

        def waits():
            try:
                with lock("held"):
                    raise AssertionError("two at once")
            except ApiError as error:
                ended.append(error)

        waiting = threading.Thread(target=waits)
        waiting.start()
        until(lambda: len(server.memory.store.asks) == 2)
        desk = desks.desk_of(require_api())

        def refused(*_, **__):
            raise Unauthorized("This key is revoked.")

        monkeypatch.setattr(desk._transport, "request", refused)
        desk._keep_now()
        waiting.join(10)
        assert [type(error) for error in ended] == [Unauthorized]


def test_a_lock_that_is_lost_says_so(caplog, until):
    with testing.server() as server, caplog.at_level("WARNING"), lock("a"):
        lose(server)
        until(lambda: "The lock of a was lost" in caplog.text)


def test_or_interrupts_what_it_guards():
    def works():
        with lock("a", raise_on_lease_renewal_failure=True):
            lose(server)
            while True:
                os.sched_yield()

    async def works_too():
        async with alock("b", raise_on_lease_renewal_failure=True):
            lose(server)
            await asyncio.sleep(60)

    with testing.server() as server:
        with pytest.raises(SlotLost):
            works()
        with pytest.raises(SlotLost):
            asyncio.run(works_too())


def lose(server):
    """Somebody takes the slots away; the process hears of it when it asks how things stand."""
    with server.memory.store.changed:
        server.memory.store.asks.clear()
    desks.desk_of(require_api())._keep_now()


def test_a_server_that_is_away(monkeypatch, caplog):
    """1.18: strict waits and then raises, lenient goes on with a warning."""
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_test")
    monkeypatch.setattr(desks, "LENIENT_SECONDS", 0.05)
    monkeypatch.setattr(desks, "STRICT_SECONDS", 0.2)
    with lock("a", strict=False):
        pass
    assert "goes on without slots of a" in caplog.text
    with pytest.raises(Unreachable), lock("a"):
        raise AssertionError("held")


def test_it_is_given_back_at_the_end_of_the_process_in_whatever_state(python):
    """1.18: also by a thread that never comes to its end."""
    python(
        """
        import threading
        from orchestrator import testing
        from orchestrator.concurrency.locks import lock

        def hold(ready):
            with lock("a"):
                ready.set()
                threading.Event().wait()

        world = testing.server()
        server = world.__enter__()
        ready = threading.Event()
        threading.Thread(target=hold, args=(ready,), daemon=True).start()
        ready.wait(10)
        import atexit
        def check():
            assert not server.memory.store.asks
            print("given back")
        atexit._run_exitfuncs()
        check()
        """
    )
