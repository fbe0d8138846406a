"""1.13: the values of calls that are the same: computed once, found again, computed anew when they are to be."""

import threading
from datetime import timedelta

import pytest

from orchestrator import flow, runtime, task, testing
from orchestrator.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    RUN_ID,
    TASK_SOURCE,
    CachePolicy,
    refresh_cache,
    task_input_hash,
)
from orchestrator.result_storage import LocalDirectory
from orchestrator.testing import time_control


@pytest.fixture
def counted():
    """A function that counts its calls, and a task of it with these options."""

    class Counted:
        def task(self, **options):
            def compute(x, y=0):
                self.calls.append((x, y))
                return [x, y]

            return task(**options)(compute)

        def __init__(self):
            self.calls = []

    return Counted()


def run(fn, *args, **parameters):
    """Call a function in a flow run of its own."""

    @flow
    def around(**parameters):
        return fn(*args)

    return around(**parameters)


def names(fn, *arguments):
    """The names of the states in which calls with these arguments end, in one run."""

    @flow
    def around():
        return [fn(each, return_state=True).name for each in arguments]

    return around()


# Policies.


def test_calls_with_the_same_inputs_are_computed_once(counted):
    compute = counted.task(cache_policy=INPUTS)
    assert names(compute, 1, 1, 2) == ["Completed", "Cached", "Completed"]
    assert run(compute, 2) == [2, 0]
    assert counted.calls == [(1, 0), (2, 0)]


def test_nothing_is_cached_without_a_policy(counted):
    compute = counted.task(persist_result=True)
    assert names(compute, 1, 1) == ["Completed", "Completed"]


def test_no_cache_is_no_policy(counted):
    assert names(counted.task(cache_policy=NO_CACHE), 1, 1) == ["Completed", "Completed"]
    assert INPUTS + NO_CACHE is INPUTS
    assert NO_CACHE + INPUTS is INPUTS


@pytest.mark.parametrize("policy", [INPUTS, RUN_ID, FLOW_PARAMETERS, INPUTS - "y", INPUTS + RUN_ID])
def test_tasks_that_are_given_the_same_do_not_share_a_value(policy):
    @task(cache_policy=policy)
    def double(x):
        return 2 * x

    @task(cache_policy=policy)
    def triple(x):
        return 3 * x

    @flow
    def around(n):
        return double(n), triple(n)

    assert around(1) == (2, 3)


def test_inputs_are_taken_off(counted):
    compute = counted.task(cache_policy=INPUTS + TASK_SOURCE - "y")
    assert run(lambda: (compute(1, 2), compute(1, 3), compute(2, 2))) == ([1, 2], [1, 2], [2, 2])


def test_defaults_are_inputs_as_they_are(counted):
    compute = counted.task(cache_policy=INPUTS)
    run(lambda: (compute(1), compute(1, 0), compute(x=1, y=0)))
    assert counted.calls == [(1, 0)]


def test_the_source_of_a_task_counts():
    def version(number):
        namespace = {}
        code = f"def compute(x):\n    return x + {number}\n"
        exec(code, namespace)
        return task(name="compute", cache_policy=INPUTS + TASK_SOURCE)(namespace["compute"])

    assert run(version(1), 10) == 11
    assert run(version(2), 10) == 12
    assert names(version(1), 10) == ["Cached"]


def test_the_parameters_of_the_flow_count(counted):
    compute = counted.task(cache_policy=FLOW_PARAMETERS)

    @flow
    def report(day):
        compute(runtime.flow_run.name)

    for day in ("monday", "tuesday", "monday"):
        report(day)
    assert len(counted.calls) == 2


def test_the_run_counts(counted):
    """By default a value is used within its run."""
    compute = counted.task(cache_policy=DEFAULT)
    assert names(compute, 1, 1) == ["Completed", "Cached"]
    assert names(compute, 1, 1) == ["Completed", "Cached"]


def test_subflows_are_runs_of_their_own(counted):
    compute = counted.task(cache_policy=RUN_ID)

    @flow
    def part(n):
        compute(0)
        compute(0)

    @flow
    def whole():
        part(1)
        part(2)

    whole()
    assert len(counted.calls) == 2


def test_keys_are_made_by_a_function(counted):
    compute = counted.task(cache_key_fn=lambda context, parameters: f"{context.task.name}/{parameters['x'] % 2}")
    assert run(lambda: [compute(n)[0] for n in range(4)]) == [0, 1, 0, 1]


def test_no_key_is_no_caching(counted):
    compute = counted.task(cache_key_fn=lambda context, parameters: None)
    assert names(compute, 1, 1) == ["Completed", "Completed"]


def test_the_function_that_people_know(counted):
    assert names(counted.task(cache_key_fn=task_input_hash), 1, 1, 2) == ["Completed", "Cached", "Completed"]


def test_policies_of_ones_own(counted):
    class Monthly(CachePolicy):
        def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
            return inputs["x"][:7]

    compute = counted.task(cache_policy=Monthly() + FLOW_PARAMETERS)
    assert run(lambda: [compute(day)[0] for day in ("2026-05-01", "2026-05-31", "2026-06-01")]) == [
        "2026-05-01", "2026-05-01", "2026-06-01",
    ]  # fmt: skip


def test_policies_must_agree():
    with pytest.raises(ValueError, match="scope"):
        INPUTS.configure(scope="run") + TASK_SOURCE.configure(scope="workspace")
    assert (INPUTS.configure(scope="run") + TASK_SOURCE).scope == "run"
    assert ((INPUTS + TASK_SOURCE).configure(wait_seconds=3) - "y").wait_seconds == 3
    with pytest.raises(ValueError, match="scope"):
        INPUTS.configure(scope="planet")
    with pytest.raises(ValueError, match="SOMETIMES"):
        INPUTS.configure(isolation_level="SOMETIMES")


def test_what_cannot_be_hashed_is_not_cached(caplog):
    @task(cache_policy=INPUTS)
    def compute(lock):
        return 1

    lock = threading.Lock()
    assert names(compute, lock, lock) == ["Completed", "Completed"]
    assert "not cached" in caplog.text


# Options.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cache_policy": "INPUTS"}, "cache_policies"),
        ({"cache_policy": INPUTS, "cache_key_fn": lambda c, p: "k"}, "Give one"),
        ({"cache_key_fn": "key"}, "function"),
        ({"cache_expiration": 5}, "needs"),
        ({"cache_policy": INPUTS, "cache_expiration": "1h"}, "timedelta"),
        ({"cache_policy": INPUTS, "cache_expiration": 0}, "NO_CACHE"),
        ({"cache_policy": INPUTS, "persist_result": False}, "persist_result"),
        ({"cache_policy": INPUTS, "result_storage_key": "a"}, "result_storage_key"),
        ({"refresh_cache": "yes"}, "refresh_cache"),
    ],
)
def test_options_that_contradict_are_refused(options, told):
    with pytest.raises(TypeError, match=told):
        task(**options)(print)


def test_generators_have_nothing_to_cache():
    def numbers():
        yield 1

    with pytest.raises(TypeError, match="generator"):
        task(cache_policy=INPUTS)(numbers)


def test_options_change_with_options(counted):
    compute = counted.task(cache_key_fn=lambda c, p: "k")
    assert names(compute.with_options(cache_policy=INPUTS), 1, 2) == ["Completed", "Completed"]
    assert names(compute.with_options(name="same"), 1, 2) == ["Completed", "Cached"]
    assert names(compute.with_options(cache_policy=NO_CACHE), 1, 2) == ["Completed", "Completed"]


def test_values_are_kept_without_another_word(counted, home):
    names(counted.task(cache_key_fn=lambda c, p: "k"), 1)
    assert "cache/local/k" in [each.path for each in LocalDirectory(home / "results").list()]


# Expiry, and computing anew.


def test_values_expire(counted):
    compute = counted.task(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))
    with time_control() as clock:
        assert names(compute, 1) == ["Completed"]
        clock.advance(3599)
        assert names(compute, 1) == ["Cached"]
        clock.advance(2)
        assert names(compute, 1, 1) == ["Completed", "Cached"]


def test_the_cache_is_refreshed_by_an_option(counted):
    values = iter(range(10))

    @task(cache_key_fn=lambda c, p: "k")
    def compute():
        return next(values)

    assert (run(compute), run(compute)) == (0, 0)
    assert run(compute.with_options(refresh_cache=True)) == 1
    assert run(compute) == 1


def test_the_cache_is_refreshed_for_a_run_and_by_a_setting(counted, monkeypatch):
    compute = counted.task(cache_policy=INPUTS)
    with refresh_cache():
        assert names(compute, 1, 1) == ["Completed", "Completed"]
        assert names(compute.with_options(refresh_cache=False), 1) == ["Cached"]
    monkeypatch.setenv("ORCHESTRATOR_REFRESH_CACHE", "true")
    assert names(compute, 1) == ["Completed"]
    with refresh_cache(False):
        assert names(compute, 1) == ["Cached"]


def test_what_cannot_be_read_is_computed_anew(counted, home, caplog):
    compute = counted.task(cache_key_fn=lambda c, p: "k")
    names(compute, 1)
    (home / "results" / "cache" / "local" / "k").write_bytes(b"rubbish")
    assert names(compute, 1, 1) == ["Completed", "Cached"]


def test_keys_of_any_form_are_kept_apart(counted):
    odd = ["../../etc/passwd", "a/b", "a_b", "ü", "x" * 5_000, "x" * 5_001, ".", " "]
    compute = counted.task(cache_key_fn=lambda c, p: p["x"])
    assert names(compute, *odd) == ["Completed"] * len(odd)
    assert names(compute, *odd) == ["Cached"] * len(odd)


# Scopes.


def test_scopes(counted):
    within_run = counted.task(cache_policy=INPUTS.configure(scope="run"))
    assert names(within_run, 1, 1) == ["Completed", "Cached"]
    assert names(within_run, 1) == ["Completed"]
    in_workspace = counted.task(cache_policy=INPUTS.configure(scope="workspace"))
    assert names(in_workspace, 1) == ["Completed"]
    assert names(in_workspace, 1) == ["Cached"]


def test_a_deployment_has_its_own_values():
    calls = []

    @task(cache_policy=INPUTS.configure(scope="deployment"))
    def compute(x):
        calls.append(x)

    @flow
    def nightly():
        compute(1)

    with testing.server() as server:
        for name in ("prod", "test"):
            nightly.deploy(name)
        for name in ("prod", "prod", "test"):
            server.trigger(f"nightly/{name}")
            server.work()
    assert calls == [1, 1]
