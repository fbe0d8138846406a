"""1.15: what is kept of a transaction: values when it commits, and the keys of those that have."""

import asyncio
import threading

import pytest

from orchestrator import flow, task, testing
from orchestrator.cache_policies import INPUTS
from orchestrator.exceptions import ResultNotStored, SlotTimeout
from orchestrator.result_storage import LocalDirectory
from orchestrator.transactions import IsolationLevel, atransaction, transaction
from tests.sdk.test_transactions import Broken, did, step, stored

__all__ = ["did", "step"]  # fixtures


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
