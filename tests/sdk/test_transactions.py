"""1.15: tasks that count together or not at all."""

import asyncio
import threading

import pytest

from orchestrator import flow, task, testing
from orchestrator.result_storage import LocalDirectory
from orchestrator.transactions import CommitMode, Transaction, atransaction, get_transaction, transaction


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
