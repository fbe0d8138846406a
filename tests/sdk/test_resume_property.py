"""1.16: whatever a program is like, and wherever its process dies: no finished call whose value was stored is executed
twice, and no unfinished one is skipped.

Each attempt is a process of its own, forked, which dies at a certain one of its events: before and after a task's side
effect, and before, in the midst of, and after each store. What was stored when it died is counted from outside.
"""

import asyncio
import itertools
import logging
import os
import threading
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import flow, task
from orchestrator.engine.flow_run import Execution
from orchestrator.futures import as_completed
from orchestrator.ids import uuid7
from orchestrator.result_storage import LocalDirectory
from orchestrator.results import get_result_store
from orchestrator.task_runners import ThreadPoolTaskRunner


class Death:
    """Ends the process at a certain one of its events; and what was executed, in a file that outlives it."""

    def __init__(self, at: int, log: Path):
        self.at = at
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._events = itertools.count(1)
        self._lock = threading.Lock()

    def event(self):
        with self._lock:
            if next(self._events) == self.at:
                os._exit(9)

    def executed(self, label):
        self.event()
        os.write(self.log, f"{label}\n".encode())
        self.event()


death: Death


class Mortal(LocalDirectory):
    """A directory in which the process may die at any point of a write."""

    @contextmanager
    def writing(self, path):
        death.event()
        with super().writing(path) as file:
            death.event()
            yield file
            death.event()
        death.event()


def step(label, value):
    death.executed(label)
    return [label, len(repr(value))]


@task(persist_result=True)
def kept(label, value=None):
    return step(label, value)


@task(persist_result=False)
def unkept(label, value=None):
    return step(label, value)


@task(persist_result=True)
async def akept(label, value=None):
    await asyncio.sleep(0)
    return step(label, value)


@task(persist_result=False)
def calls_others(labels):
    death.executed(f"around {labels[0]}")
    return [kept(label) for label in labels]


# A program is a list of parts: ("step", way, kept?, letters), ("nest", letters), ("flow", way, kept?, program). Each
# part is given a number, so that a label (number and letter) stands for one call, or for identical ones.

letters = st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
steps = st.tuples(st.just("step"), st.sampled_from(["call", "chain", "map", "as_completed"]), st.booleans(), letters)
nests = st.tuples(st.just("nest"), letters)


def flows(parts):
    return st.tuples(st.just("flow"), st.sampled_from(["call", "submit", "async"]), st.booleans(), programs(parts))


def programs(parts):
    return st.lists(parts, min_size=1, max_size=4)


def numbered(program, numbers):
    """The same with labels for letters, and names for flows."""
    found = []
    for part in program:
        number = next(numbers)
        if part[0] == "flow":
            found.append((*part[:3], f"flow {number}", numbered(part[3], numbers)))
        else:
            found.append((*part[:-1], [f"{number}{letter}" for letter in part[-1]]))
    return found


anything = programs(steps | nests | flows(steps | nests | flows(steps | nests)))


def perform(parts):
    """What a sync flow does."""
    value, waiting = None, []
    for part in parts:
        if part[0] == "nest":
            waiting.append(calls_others.submit(part[1]))
        elif part[0] == "step":
            value = perform_step(*part[1:], value)
        elif part[1] == "submit":
            waiting.append(flow_of(part).submit())
        else:
            value = asyncio.run(flow_of(part)()) if part[1] == "async" else flow_of(part)()
    return [value, [future.result() for future in waiting]]


def perform_step(way, is_kept, names, value):
    which = kept if is_kept else unkept
    if way == "call":
        return [which(name, value) for name in names]
    if way == "chain":
        first = which.submit("first of " + names[0], value)
        return [future.result() for future in [which.submit(name, [first]) for name in names]]
    futures = which.map(names)
    return sorted(future.result() for future in (as_completed(futures) if way == "as_completed" else futures))


async def aperform(parts):
    """What an async one does: all of it at once."""

    async def one(part):
        if part[0] == "nest":
            return calls_others(part[1])
        if part[0] == "flow":
            return await flow_of(part)()
        return await asyncio.gather(*(akept(name) for name in part[3]))

    return await asyncio.gather(*map(one, parts))


def flow_of(part):
    _, way, is_kept, name, parts = part

    def body():
        return [name, perform(parts)]

    async def abody():
        return [name, await aperform(all_async(parts))]

    return flow(name=name, persist_result=is_kept)(abody if way == "async" else body)


def all_async(parts):
    """What an async flow calls: its subflows are async too, and its steps are kept."""
    return [("flow", "async", *part[2:]) if part[0] == "flow" else part for part in parts]


def to_execute(part, stored, is_async=False):
    """The labels that a part executes, after what was stored before: counted by hand."""
    if part[0] == "nest":
        return [f"around {part[1][0]}", *unfinished(part[1], stored)]
    if part[0] == "step":
        names = [*part[3], *(["first of " + part[3][0]] if part[1] == "chain" and not is_async else [])]
        return unfinished(names, stored) if part[2] or is_async else names
    _, way, is_kept, name, parts = part
    if is_kept and stored[name]:
        return []
    if way == "async":
        parts = all_async(parts)
    return [label for each in parts for label in to_execute(each, stored, way == "async")]


def unfinished(names, stored):
    return [label for label, count in Counter(names).items() for _ in range(count - stored[label])]


def whats_stored(directory):
    """How many values there are of each label and subflow; read from outside."""
    store = get_result_store(directory)
    return Counter(store.read(each.path)[0][0] for each in store.storage.list())


def attempt(number, run, parts, directory, log, die_at):
    """One attempt in a process of its own; whether it came to its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        global death
        death = Death(die_at, log)
        root = flow(name="root", result_storage=Mortal(directory), persist_result=False,
                    task_runner=ThreadPoolTaskRunner(max_workers=3))(lambda: perform(parts))  # fmt: skip
        execution = Execution({"run": str(run), "attempt": number, "token": "t"})
        execution.alone = False
        logging.disable()
        os._exit(0 if root.execute(execution).state.is_completed() else 1)
    finally:
        os._exit(2)


@settings(
    max_examples=int(os.environ.get("RESUME_EXAMPLES", "15")),
    derandomize="RESUME_EXAMPLES" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(anything, st.lists(st.integers(1, 60), max_size=4))
def test_what_was_stored_is_not_executed_again_and_all_else_is(tmp_path_factory, program, deaths):
    directory = tmp_path_factory.mktemp("resumed")
    parts, run = numbered(program, itertools.count()), uuid7()
    for number, die_at in enumerate([*deaths, 0], 1):
        stored, log = whats_stored(directory / "results"), directory / f"log{number}"
        due = Counter(label for part in parts for label in to_execute(part, stored))
        done = attempt(number, run, parts, directory / "results", log, die_at)
        executed = Counter(log.read_text().splitlines())
        if done:
            assert executed == due
            return
        assert executed <= due
    raise AssertionError("The last attempt, which nobody killed, did not complete.")
