"""1.16, 2.10: a run that replays another one, and what is to be executed again all the same."""

from orchestrator import flow, runtime, task
from orchestrator.assets import materialize
from orchestrator.ids import uuid7
from orchestrator.results import get_result_store, replaying
from orchestrator.testing import recorded
from tests.sdk.test_resume import Broken, attempt, did, double, steps

__all__ = ["steps"]  # a fixture


def test_another_run_replays_one_that_the_claim_names(steps):
    @flow(persist_result=True)
    def program(n=1):
        double(1)
        if broken:
            raise Broken
        return double(n)

    broken = [True]
    first, second, third = uuid7(), uuid7(), uuid7()
    attempt(program, 1, first)
    broken.clear()
    assert attempt(program, 1, second, replay_root=str(first), parameters={"n": 5}).state.result() == 10
    assert steps.take() == ["double 1", "double 5"]
    assert attempt(program, 1, third, replay_root=str(first), parameters={"n": 5}).state.name == "Replayed"
    assert steps.take() == []


def test_a_run_by_hand_replays_a_former_one(steps):
    @flow
    def program():
        did("program")
        return runtime_id(), double(1)

    def runtime_id():
        return runtime.flow_run.id

    run_id, _ = program()
    steps.take()
    with replaying(run_id):
        assert program()[1] == 2
        assert steps.take() == ["program"]
    program()
    assert steps.take() == ["double 1", "program"]


def test_runs_by_hand_make_a_chain(steps):
    @flow
    def program(*numbers):
        for number in numbers:
            double(number)
        return runtime.flow_run.id

    first = program(1)
    with replaying(first):
        second = program(1, 2)
    with replaying(second):
        third = program(1, 2, 3)
    assert steps.take() == ["double 1", "double 2", "double 3"]
    for id in (first, second, third):
        with replaying(id):
            program(3, 2, 1)
    assert steps.take() == []


def test_what_the_claim_names_is_executed_again_once(steps):
    """2.10: a ticked task, and a call by where its value is."""

    @flow
    def program():
        return [double(1), double.with_options(name="other")(2)]

    first, second = str(uuid7()), str(uuid7())
    attempt(program, 1, first)
    steps.take()
    told = {"replay_root": first, "again": {"double": [second]}}
    attempt(program, 1, second, **told)
    assert steps.take() == ["double 1"]
    attempt(program, 2, second, **told)
    assert steps.take() == []
    [other] = [each.path for each in get_result_store().storage.list() if of(each.path) == "other"]
    attempt(program, 1, uuid7(), replay_root=first, again={other: [second]})
    assert steps.take() == ["double 2"]


def of(path):
    return get_result_store().header(path).of


def test_what_a_retry_names_is_executed_again_and_then_replayed(steps):
    """1.16, 2.10: its former value counts no more, and what this run stores does."""
    broken = [True]

    @flow
    def program():
        first, second = double(1), double(2)
        if broken:
            raise Broken
        return first + second

    former, new, later = uuid7(), uuid7(), uuid7()
    assert attempt(program, 1, former).state.is_failed()
    assert steps.take() == ["double 1", "double 2"]
    again = {"replay_root": str(former), "again": {"double": [str(new)]}}
    assert attempt(program, 1, new, **again).state.is_failed()
    assert steps.take() == ["double 1", "double 2"]
    assert attempt(program, 2, new, **again).state.is_failed()
    assert steps.take() == []
    broken.clear()
    attempt(program, 1, later, replay_root=str(former), again={"double": [str(new), str(later)]})
    assert steps.take() == []
    attempt(program, 1, uuid7(), replay_root=str(former), again={"double": [str(uuid7())]})
    assert steps.take() == ["double 1", "double 2"]


def test_a_retry_names_a_single_call_by_where_its_value_is(steps, tmp_path):
    """1.16, 2.10: the others are replayed."""

    @task(persist_result=True, result_storage=tmp_path, result_storage_key="triples/{parameters[n]}")
    def triple(n):
        did(f"triple {n}")
        return 3 * n

    @flow
    def program():
        return [double(1), double(2), triple(1), triple(2)]

    former, new = uuid7(), uuid7()
    attempt(program, 1, former)
    steps.take()
    stored = [entry.path for entry in get_result_store().storage.list(f"runs/{former}")]
    assert len(stored) == 2
    again = {stored[0]: [str(new)], "triples/2": [str(new)]}
    attempt(program, 1, new, replay_root=str(former), again=again)
    done = steps.take()
    assert len(done) == 2
    assert done[1] == "triple 2"
    assert done[0] in {"double 1", "double 2"}


def test_assets_that_are_looked_up_are_not_made_again(steps):
    """1.21: and what is made of them knows where it comes from."""

    @materialize("s3://lake/raw", persist_result=True)
    def raw():
        return {"rows": 3}

    @materialize("s3://lake/clean")
    def clean(rows):
        did("clean")
        return rows

    @flow(retries=1)
    def program():
        clean(raw())
        if steps.take() == ["clean"] and not failed:
            failed.append(1)
            raise Broken

    failed = []
    with recorded() as told:
        program()
    made = [(event.resource["id"], [each["id"] for each in event.related]) for event in told.events()]
    assert made == [("s3://lake/raw", []), *[("s3://lake/clean", ["s3://lake/raw"])] * 2]
