"""1.18: concurrency() and rate_limit(), in sync code and in coroutines; `orchestrator limit`."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

from orchestrator import clock, flow, journal, task, testing
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.concurrency import asyncio as coroutines
from orchestrator.concurrency import desk as desks
from orchestrator.concurrency import holding
from orchestrator.concurrency.sync import concurrency, rate_limit
from orchestrator.context import current_flow_run
from orchestrator.exceptions import NotConfigured, RunCancelled, SlotError, SlotTimeout, Unreachable


@pytest.fixture(autouse=True)
def unsaid():
    """What is said once in a process is said once in a test."""
    holding._said.clear()


@pytest.fixture
def limits():
    """A server; a function makes limits."""
    with testing.server() as server, Client() as client:

        def made(name, slots=1, **more):
            client.put(f"/limits/{name}", {"slots": slots, **more})
            return server

        yield made


def occupied(server, name):
    asks = server.memory.store.asks.values()
    return sum(ask.occupy for ask in asks if ask.held_at and ("limit", name) in ask.keys)


def test_as_many_at_once_as_there_are_slots(limits, until):
    """1.18: concurrency."""
    server = limits("database", 3)
    inside, most = [], []
    gate = threading.Barrier(3)

    @task
    def work(n):
        with concurrency("database"):
            inside.append(n)
            most.append(len(inside))
            gate.wait(10)
            inside.remove(n)

    @flow
    def main():
        work.map(range(9)).wait()

    main()
    assert max(most) == 3
    until(lambda: not server.memory.store.asks)


def test_occupy_and_several_names(limits):
    server = limits("database", 3)
    limits("disk", 2)
    with concurrency(["database", "disk"], occupy=2):
        assert (occupied(server, "database"), occupied(server, "disk")) == (2, 2)
        with pytest.raises(SlotTimeout, match="2 of disk was not free within"), concurrency("disk", 2, 0):
            raise AssertionError("held")
        with concurrency("database"):
            pass


def test_coroutines(limits):
    server = limits("database", 2)

    async def main():
        async with coroutines.concurrency("database", occupy=2):
            assert occupied(server, "database") == 2
            with pytest.raises(SlotTimeout):
                async with coroutines.concurrency("database", timeout_seconds=0.02):
                    raise AssertionError("held")
        await coroutines.rate_limit("nothing")

    asyncio.run(main())


def test_a_holder_knows_its_run(limits):
    """1.18: the page of a limit says which task run holds a slot."""
    server = limits("database", 2)

    @task
    def load():
        with concurrency("database"):
            [ask] = server.memory.store.asks.values()
            return ask.label, ask.run

    @flow
    def main():
        return load()

    label, run = main()
    journal.flush(10)
    assert label == "load-0"
    assert run in server.memory.store.runs
    with concurrency("database"):
        [ask] = [ask for ask in server.memory.store.asks.values() if ask.run is None]
        assert ", process " in ask.label


def test_more_than_there_are(limits):
    limits("database", 2)
    with pytest.raises(SlotError, match="has 2 slots: 3 are never free"), concurrency("database", occupy=3):
        raise AssertionError("held")


def test_a_limit_that_is_not_there(limits, caplog):
    limits("database")
    with caplog.at_level("WARNING"), concurrency("nothing"):
        assert "There is no limit nothing in this workspace" in caplog.text
    with pytest.raises(SlotError, match="no limit nothing"), concurrency(["database", "nothing"], strict=True):
        raise AssertionError("held")
    with concurrency([]), concurrency("database", timeout_seconds=0):
        pass


@pytest.mark.parametrize("wrong", [{"occupy": 0}, {"timeout_seconds": -1}, {"names": "x" * 501}])
def test_what_can_not_be_asked(limits, wrong):
    limits("a")
    with pytest.raises(ValueError, match=next(iter(wrong))), concurrency(**{"names": "a", **wrong}):
        raise AssertionError("held")


def test_without_an_api(caplog):
    with caplog.at_level("WARNING"), concurrency("database"):
        rate_limit("api")
    assert caplog.text.count("No API is known: nothing limits this code") == 1
    with pytest.raises(NotConfigured), concurrency("database", strict=True):
        raise AssertionError("held")
    with pytest.raises(NotConfigured):
        rate_limit("database", strict=True)


def test_a_server_that_is_away(monkeypatch, caplog):
    """1.18: strict waits and then raises, lenient goes on with a warning."""
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9/api/v1")
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_test")
    monkeypatch.setattr(desks, "LENIENT_SECONDS", 0.05)
    monkeypatch.setattr(desks, "STRICT_SECONDS", 0.2)
    with caplog.at_level("WARNING"), concurrency("database"):
        rate_limit("api")
    assert "this goes on without slots of database" in caplog.text
    with pytest.raises(Unreachable), concurrency("database", strict=True):
        raise AssertionError("held")
    with pytest.raises(SlotTimeout), concurrency("database", timeout_seconds=0.01, strict=True):
        raise AssertionError("held")


def test_who_waits_when_the_server_comes_back_is_served(limits, until):
    server = limits("database")
    server.memory.refusals += [testing.memory.asked.Refusal("unavailable", "Soon.")] * 2
    with concurrency("database", timeout_seconds=10):
        assert occupied(server, "database") == 1


def test_a_run_that_is_stopped_waits_no_more(limits, until):
    server = limits("database")
    runs = []

    @flow
    def main():
        runs.append(current_flow_run())
        with concurrency("database"):
            raise AssertionError("held")

    def stopped():
        with pytest.raises(RunCancelled):
            main()

    with concurrency("database"):
        thread = threading.Thread(target=stopped)
        thread.start()
        until(lambda: len(server.memory.store.asks) == 2)
        runs[0].stopping_state.signalled("cancel")
        thread.join(10)
        assert not thread.is_alive()
        assert runs[0].state.is_cancelled()
        until(lambda: len(server.memory.store.asks) == 1)


# ── rates ────────────────────────────────────────────────────────────────────────────────────────


def test_so_many_a_second(limits):
    """1.18: rate_limit. A turn is waited for by the clock."""
    with testing.time_control() as time:
        limits("api", 2, rate=4)
        for _ in range(5):
            rate_limit("api")
        assert [round(seconds, 2) for seconds in time.waits] == [0.25, 0.25, 0.25]

        async def main():
            await coroutines.rate_limit("api", occupy=2)

        began = clock.now()
        asyncio.run(main())
        assert round((clock.now() - began) / 1e6, 2) == 0.5


def test_a_turn_that_comes_too_late_is_told_at_once(limits):
    limits("api", rate=0.001)
    rate_limit("api")
    with pytest.raises(SlotTimeout, match="only after 5 s"):
        rate_limit("api", timeout_seconds=5)


def test_a_limit_without_a_rate(limits):
    limits("api")
    with pytest.raises(SlotError, match="gives no slots back by itself"):
        rate_limit("api")


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────


def test_task_runs_with_a_limited_tag_wait_for_each_other(limits, until):
    """1.18: tags' limits: never more at once than there are slots, in any run."""
    server = limits("tag:gpu", 2)
    inside, most = [], []

    @task(tags={"gpu", "other"})
    def work(n):
        inside.append(n)
        most.append(occupied(server, "tag:gpu"))
        assert len(inside) <= 2
        inside.remove(n)
        return n

    @flow
    def main():
        return work.map(range(8)).result()

    assert main() == list(range(8))
    assert 1 <= min(most) <= max(most) <= 2
    until(lambda: not server.memory.store.asks)


def test_who_waits_is_shown(limits, until):
    """1.18: AwaitingSlot on the page and in the timeline."""
    server = limits("tag:gpu")

    @task(tags={"gpu"})
    def work():
        return 1

    @flow
    def main():
        return work()

    with concurrency("tag:gpu"), ThreadPoolExecutor() as pool:
        done = pool.submit(main)
        [waiting] = until(lambda: [each for run in server.runs() for each in run.tasks.values()])
        assert (waiting.state_type, waiting.state_name) == ("SCHEDULED", "AwaitingSlot")
        assert waiting.message == "Waits for a slot of tag:gpu."
        assert waiting.started_at is None
        with Client() as client:
            client.delete("/limits/tag:gpu")
        assert done.result(10) == 1
    journal.flush(10)
    [done] = [each for run in server.runs() for each in run.tasks.values()]
    assert done.state_type == "COMPLETED"
    assert [state for _, state, *_ in done.history] == ["SCHEDULED", "RUNNING"]


def test_what_a_task_run_calls_shares_its_slot(limits):
    limits("tag:gpu")

    @task(tags={"gpu"})
    def inner():
        return 1

    @task(tags={"gpu"})
    def outer():
        return inner() + inner.submit().result()

    @flow
    def main():
        return outer() + outer()

    assert main() == 4


def test_coroutines_and_retries(limits, until):
    server = limits("tag:gpu")
    tried = []

    @task(tags={"gpu"}, retries=1)
    async def work():
        tried.append(occupied(server, "tag:gpu"))
        await asyncio.sleep(0)
        if len(tried) == 1:
            raise ValueError("once")

    @flow
    async def main():
        await asyncio.gather(work(), work())

    asyncio.run(main())
    assert tried == [1, 1, 1]
    until(lambda: not server.memory.store.asks)


def test_tags_without_a_limit_cost_one_look(limits):
    server = limits("database")
    asked = []
    answer = server.memory.request

    def request(method, path, *rest):
        asked.append(path)
        return answer(method, path, *rest)

    server.memory.request = request

    @task(tags={"gpu"})
    def work():
        return 1

    @flow
    def main():
        return sum(work() for _ in range(20))

    assert main() == 20
    assert [path for path in asked if path != "/journal"] == ["/limits"]


# ── the command line ─────────────────────────────────────────────────────────────────────────────


def test_orchestrator_limit(limits):
    server = limits("database", 2)

    def run(*arguments):
        done = CliRunner().invoke(cli, ["limit", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert "tag:gpu: 3 slots, 1.5 come back a second, inactive" in run(
        "set", "tag:gpu", "3", "--rate", "1.5", "--inactive"
    )
    assert "tag:gpu: 4 slots" in run("set", "tag:gpu", "4", "--rate", "0", "--active")
    with concurrency("database"):
        assert [each["held"] for each in json.loads(run("ls", "-o", "json"))] == [1, 0]
        assert "tag:gpu" not in run("ls", "--prefix", "data")
        shown = json.loads(run("inspect", "database", "-o", "json"))
        assert shown["holders"][0]["id"] in run("inspect", "database")
        assert "Taken away: 1." in run("reset", "database", "--yes", "--holder", shown["holders"][0]["id"])
    assert "Taken away: 0." in run("reset", "database", "-y")
    run("delete", "database", "-y")
    assert list(server.memory.store.limits) == ["tag:gpu"]
