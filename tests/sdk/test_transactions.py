"""1.15: tasks that count together or not at all."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from orchestrator import flow, task, testing
from orchestrator.cache_policies import INPUTS
from orchestrator.exceptions import ResultNotStored, SlotTimeout
from orchestrator.ids import uuid7
from orchestrator.result_storage import LocalDirectory
from orchestrator.transactions import (
    CommitMode,
    IsolationLevel,
    Transaction,
    atransaction,
    get_transaction,
    transaction,
    undo_leftovers,
)


class Broken(Exception):
    pass


@pytest.fixture
def did():
    return []


@pytest.fixture
def step(did):
    """A task that says what it does, what is committed, and what is undone."""

    @task
    def step(name):
        get_transaction().set("name", name)
        did.append(name)
        return name

    @step.on_commit
    def committed(txn):
        did.append(f"commit {txn.get('name')}")

    @step.on_rollback
    def undone(txn):
        did.append(f"undo {txn.get('name')}")

    return step


def broken(fn):
    """Call a function in a flow that fails by Broken."""
    with pytest.raises(Broken):
        flow(fn)()


def stored(home):
    return sorted(each.path.partition("/")[0] for each in LocalDirectory(home / "results").list())


# Committed, and rolled back.


def test_tasks_are_undone_in_reverse_order(step, did):
    def order():
        with transaction():
            step("a")
            step("b")
            raise Broken

    broken(order)
    assert did == ["a", "b", "undo b", "undo a"]


def test_tasks_are_committed_in_order_at_the_end(step, did):
    @flow
    def order():
        with transaction() as txn:
            step("a")
            step("b")
            assert not txn.is_committed()
            did.append("end")
        return txn.is_committed()

    assert order()
    assert did == ["a", "b", "end", "commit a", "commit b"]


def test_a_task_that_failed_is_not_undone(step, did):
    @task(on_rollback=[lambda txn: did.append("undo failing")])
    def failing():
        raise Broken

    def order():
        with transaction():
            step("a")
            failing()

    broken(order)
    assert did == ["a", "undo a"]


def test_each_task_counts_at_once_where_that_is_wanted(step, did):
    def order():
        with transaction(commit_mode=CommitMode.EAGER):
            step("a")
            raise Broken

    broken(order)
    assert did == ["a", "commit a"]


@pytest.mark.parametrize("says_so", [False, True])
def test_nothing_counts_unless_code_says_so(step, did, says_so):
    @flow
    def order():
        with transaction(commit_mode="OFF") as txn:
            step("a")
            if says_so:
                assert txn.commit()
                assert not txn.commit()
        return txn.state

    assert order() == ("COMMITTED" if says_so else "ROLLED_BACK")
    assert did == ["a", "commit a" if says_so else "undo a"]


def test_it_is_rolled_back_by_hand(step, did):
    @flow
    def order():
        with transaction() as txn:
            step("a")
            assert txn.rollback()
            assert not txn.rollback()
        assert txn.is_rolled_back()

    order()
    assert did == ["a", "undo a"]


def test_hooks_of_a_task_alone(step, did):
    """Without a transaction around it a task commits when it has completed."""
    flow(lambda: step("a"))()
    assert did == ["a", "commit a"]


def test_outside_of_flows_too(step, did):
    def order():
        with transaction():
            step("a")
            raise Broken

    with pytest.raises(Broken):
        order()
    assert did == ["a", "undo a"]


# Values.


def test_values_are_seen_within_and_not_without():
    @task
    def inner():
        here = get_transaction()
        here.set("own", 1)
        return here.get("outer"), here.get("missing", None)

    @flow
    def order():
        with transaction() as txn:
            txn.set("outer", 2)
            assert inner() == (2, None)
            with pytest.raises(ValueError, match="own"):
                txn.get("own")
            with transaction() as nested:
                assert nested.get("outer") == 2

    order()
    assert get_transaction() is None


# Nesting.


def test_a_transaction_within_one_counts_with_it(step, did):
    def order():
        with transaction():
            with transaction() as inner:
                step("a")
            assert inner.is_staged()
            step("b")
            raise Broken

    broken(order)
    assert did == ["a", "b", "undo b", "undo a"]


def test_a_transaction_within_one_may_fail_alone(step, did):
    def inner():
        with transaction():
            step("b")
            raise Broken

    @flow
    def order():
        with transaction():
            step("a")
            with pytest.raises(Broken):
                inner()
            step("c")

    order()
    assert did == ["a", "b", "undo b", "c", "commit a", "commit c"]


def test_tasks_of_tasks_are_undone_with_them(step, did):
    @task(on_rollback=[lambda txn: did.append("undo both")])
    def both():
        step("a")
        step("b")

    def order():
        with transaction():
            both()
            raise Broken

    broken(order)
    assert did == ["a", "b", "undo both", "undo b", "undo a"]


def test_a_task_that_is_executed_again_begins_afresh(step, did):
    @task(retries=1)
    def twice():
        step("a")
        if len(did) == 1:
            raise Broken

    @flow
    def order():
        with transaction():
            twice()

    order()
    assert did == ["a", "undo a", "a", "commit a"]


def test_tasks_of_subflows_count_with_it(step, did):
    part = flow(name="part")(lambda: step("a"))

    def order():
        with transaction():
            part()
            raise Broken

    broken(order)
    assert did == ["a", "undo a"]


# Threads and coroutines.


def test_what_was_submitted_is_waited_for(step, did):
    @flow
    def order():
        with transaction():
            step.map(["a", "b", "c"])
        did.append("end")

    order()
    assert sorted(did[:3]) == ["a", "b", "c"]
    assert sorted(did[3:6]) == ["commit a", "commit b", "commit c"]
    assert did[6] == "end"


def test_coroutines(did):
    @task
    async def step(name):
        get_transaction().set("name", name)
        await asyncio.sleep(0)
        did.append(name)

    @step.on_rollback
    async def undone(txn):
        await asyncio.sleep(0)
        did.append(f"undo {txn.get('name')}")

    @flow
    async def order(way):
        if way == "async":
            async with atransaction():
                await asyncio.gather(step("a"), step("b"))
                raise Broken
        with transaction():  # Its hooks are coroutines all the same.
            await step("c")
            raise Broken

    for way in ("async", "sync"):
        with pytest.raises(Broken):
            asyncio.run(order(way))
    assert sorted(did[:2]) == ["a", "b"]
    assert did[2:4] == [f"undo {did[1]}", f"undo {did[0]}"]
    assert did[4:] == ["c", "undo c"]


# What is stored.


def test_values_are_kept_back_until_it_commits(home):
    seen = []

    @task(persist_result=True)
    def step():
        return 1

    @flow
    def order(fails):
        with transaction():
            step()
            seen.append(stored(home))
            if fails:
                raise Broken

    with pytest.raises(Broken):
        order(True)
    assert stored(home) == []
    order(False)
    assert seen == [[], []]
    assert stored(home) == ["runs"]


def test_what_is_cached_is_kept_back_but_seen_within(home):
    calls = []

    @task(cache_policy=INPUTS)
    def compute(x):
        calls.append(x)
        return x

    @flow
    def order(fails):
        with transaction():
            assert [compute(1), compute(1)] == [1, 1]
            if fails:
                raise Broken

    with pytest.raises(Broken):
        order(True)
    assert calls == [1]
    assert stored(home) == []
    order(False)
    order(False)
    assert calls == [1, 1]


def test_what_cannot_be_stored_rolls_it_back(step, did):
    @task(persist_result=True)
    def unstorable():
        return threading.Lock()

    @flow
    def order():
        with transaction():
            step("a")
            unstorable()

    with pytest.raises(Exception, match="can't be stored"):
        order()
    assert did == ["a", "undo a"]


def test_a_commit_hook_that_fails_rolls_it_back(step, did, home):
    @task(persist_result=True, on_commit=[lambda txn: 1 / 0])
    def failing():
        return 1

    @flow
    def order():
        with transaction():
            step("a")
            failing()

    with pytest.raises(ZeroDivisionError):
        order()
    assert did == ["a", "commit a", "undo a"]
    assert stored(home) == []


def test_a_rollback_hook_that_fails_keeps_no_other_from_being_called(step, did, caplog):
    @task(on_rollback=[lambda txn: 1 / 0])
    def failing():
        pass

    def order():
        with transaction():
            step("a")
            failing()
            raise Broken

    broken(order)
    assert did == ["a", "undo a"]
    assert "on_rollback hook" in caplog.text


def test_a_storage_that_goes_away_at_the_commit_keeps_no_hook_from_being_called(step, did, tmp_path):
    """1.15: neither the values nor the records can be deleted then."""

    class Away(LocalDirectory):
        is_away = False

        def writing(self, path):
            if self.is_away:
                raise OSError("away")
            return super().writing(path)

        def delete(self, path):
            if self.is_away:
                raise OSError("away")
            return super().delete(path)

    storage = Away(tmp_path)

    @flow(persist_result=True, result_storage=storage)
    def order():
        with transaction():
            step("a")
            step("b")
            storage.is_away = True

    with pytest.raises(ResultNotStored):
        order()
    assert did == ["a", "b", "undo b", "undo a"]


@pytest.mark.parametrize("around", ["one", "nested", "task", "submitted"])
def test_what_a_call_of_the_transaction_has_computed_is_not_waited_for(around, monkeypatch):
    """1.15: its lock is held until the commit, which would never come."""
    monkeypatch.setattr("orchestrator.engine.caching.WAIT_SECONDS", 3.0)
    computed = []

    @task(cache_policy=INPUTS.configure(isolation_level="SERIALIZABLE"))
    def compute(x):
        computed.append(x)
        return x

    @task
    def twice():
        return compute(1), compute(1)

    @flow
    def order():
        with transaction():
            if around == "task":
                return twice()
            if around == "submitted":
                return tuple(compute.map([1, 1]).result())
            if around == "one":
                return compute(1), compute(1)
            with transaction():
                return compute(1), compute(1)

    assert order() == (1, 1)
    assert computed == [1]


# Keys.


def test_a_key_is_committed_once(step, did, home):
    @flow
    def order():
        with transaction(key="order/17") as txn:
            if txn.is_committed():
                return txn.read()
            step("a")
            txn.stage({"paid": True})
            assert txn.read() == {"paid": True}
        return None

    assert (order(), order()) == (None, {"paid": True})
    assert did == ["a", "commit a"]
    assert stored(home) == ["transactions"]


def test_a_key_may_be_written_over_or_not_at_all(tmp_path):
    def state(**options):
        with transaction(key="k", store=str(tmp_path / "here"), **options) as txn:
            return txn.is_committed()

    assert [state(write_on_commit=False), state(), state(), state(overwrite=True)] == [False, False, True, False]


def test_a_key_that_failed_is_not_committed(tmp_path):
    def order():
        with transaction(key="k", store=str(tmp_path)) as txn:
            assert not txn.is_committed()
            raise Broken

    for _ in range(2):
        with pytest.raises(Broken):
            order()


def test_only_one_of_a_key_is_under_way(tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.engine.undo.WAIT_SECONDS", 0.01)
    how = {"key": "k", "store": str(tmp_path), "isolation_level": IsolationLevel.SERIALIZABLE, "overwrite": True}
    with transaction(**how), pytest.raises(SlotTimeout), transaction(**how):
        pass
    with transaction(**how):
        pass

    async def both():
        async with atransaction(**how):
            with pytest.raises(SlotTimeout):
                async with atransaction(**how):
                    pass

    asyncio.run(both())


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="SOMETIMES"), transaction(commit_mode="SOMETIMES"):
        pass
    with pytest.raises(TypeError, match="on_rollback"):
        task(on_rollback=print)(print)


# What is told.


def test_what_was_undone_is_shown(step):
    @task
    def plain():
        pass

    @flow
    def order():
        with transaction():
            step("a")
            plain()
            raise Broken

    with testing.recorded() as told, pytest.raises(Broken):
        order()
    assert {each.task: each.name for each in told.tasks()} == {"step": "RolledBack", "plain": None}
    assert told.tasks("step")[0].state == "COMPLETED"


def test_where_a_value_was_stored_is_told_when_it_was():
    @task(persist_result=True)
    def step():
        return 1

    @flow
    def order():
        with transaction():
            step()

    with testing.recorded() as told:
        order()
    assert told.tasks("step")[0].result is not None


# Across a crash.

PROGRAM = """
    import os, sys
    from orchestrator import flow, task
    from orchestrator.engine.flow_run import Execution
    from orchestrator.result_storage import LocalDirectory, ResultStorage
    from orchestrator.transactions import get_transaction, transaction

    def did(what):
        with open(os.environ["DID"], "a") as file:
            file.write(what + "\\n")

    @task
    def charge(amount):
        get_transaction().set("charge", f"ch-{amount}")
        did(f"charge {amount}")
        return amount

    @charge.on_rollback
    def refund(txn):
        did(f"refund {txn.get('charge')} of {txn.get('customer')}, {txn.read()}")

    @task(persist_result=True)
    def ship():
        did("ship")
        if os.environ["DIES"] == "ship":
            os.kill(os.getpid(), 9)
        return "shipped"

    @ship.on_rollback
    def call_back(txn):
        did("call back")

    @ship.on_commit
    def shipped(txn):
        if os.environ["DIES"] == "commit":
            os.kill(os.getpid(), 9)
        did("shipped")

    class Plain(ResultStorage):
        def __init__(self):
            files = LocalDirectory(os.environ["PLAIN"])
            self.url, self.writing, self.reading = files.url, files.writing, files.reading

    @flow(log_prints=False, result_storage=Plain() if os.environ.get("PLAIN") else None)
    def order():
        with transaction() as txn:
            txn.set("customer", "ann")
            charge(20)
            charge(5)
            ship()
            if os.environ["DIES"] == "end":
                os.kill(os.getpid(), 9)
        if os.environ["DIES"] == "after":
            os.kill(os.getpid(), 9)

    if __name__ == "__main__":
        import program
        told = {"run": sys.argv[1], "attempt": int(sys.argv[2]), "token": "t", "parameters": {}}
        execution = Execution(told)
        program.order.execute(execution)
"""


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    """Execute an attempt in a process of its own; what was done by it."""
    script, log, run = tmp_path / "program.py", tmp_path / "did", uuid7()
    script.write_text(textwrap.dedent(PROGRAM))
    monkeypatch.setenv("DID", str(log))

    def execute(number, dies=""):
        log.unlink(missing_ok=True)
        environment = {**os.environ, "DIES": dies, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
        subprocess.run([sys.executable, script, str(run), str(number)], env=environment, timeout=60, check=not dies)
        return log.read_text().splitlines() if log.exists() else []

    execute.run = run
    return execute


UNDONE = ["refund ch-5 of ann, 5", "refund ch-20 of ann, 20"]
WHOLE = ["charge 20", "charge 5", "ship", "shipped"]


def test_the_next_attempt_undoes_what_was_half_done(attempt):
    """1.15: kill -9 in a task of the transaction: those that had finished are undone, then all is done again."""
    assert attempt(1, dies="ship") == ["charge 20", "charge 5", "ship"]
    assert attempt(2) == [*UNDONE, *WHOLE]


def test_a_storage_that_can_neither_list_nor_delete_will_do(attempt, monkeypatch, tmp_path):
    """1.15: the server and blocks of yours can't; what was committed there isn't undone."""
    monkeypatch.setenv("PLAIN", str(tmp_path / "plain"))
    assert attempt(1, dies="end") == ["charge 20", "charge 5", "ship"]
    assert attempt(2, dies="after") == ["call back", *UNDONE, *WHOLE]
    assert attempt(3) == []  # All is replayed, and nothing is undone.


@pytest.mark.parametrize("dies", ["end", "commit"])
def test_a_transaction_that_was_not_decided_is_undone_whole(attempt, dies):
    attempt(1, dies=dies)
    assert attempt(2) == ["call back", *UNDONE, *WHOLE]


def test_what_was_committed_stays(attempt):
    assert attempt(1, dies="after") == WHOLE
    assert attempt(2) == ["charge 20", "charge 5"]  # They keep no values: they are executed, and nothing is undone.


def test_the_undoing_may_be_asked_for(attempt, did, monkeypatch, tmp_path):
    attempt(1, dies="ship")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert undo_leftovers(attempt.run) == 2
    assert (tmp_path / "did").read_text().splitlines()[-2:] == UNDONE
    assert undo_leftovers(attempt.run) == 0


def test_a_task_whose_undoing_cannot_be_kept_is_told_of(step, caplog):
    @flow(persist_result=True)
    def order():
        with transaction() as txn:
            txn.set("lock", threading.Lock())
            step("a")

    order()
    assert "can't be undone" in caplog.text


def test_a_transaction_by_itself_is_made_too():
    txn = Transaction()
    assert txn.is_pending()
    assert not txn.is_active()
