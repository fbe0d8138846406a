"""1.14: values of runs are stored where they are told to be, whole or not at all, and told of in the journal."""

import asyncio
import os
import threading
import tracemalloc

import numpy
import pytest

from orchestrator import clock, flow, task
from orchestrator.exceptions import MissingResult, ParameterBindError, ResultNotStored
from orchestrator.result_storage import LocalDirectory, storage_of
from orchestrator.results import Header, get_result_store
from orchestrator.serializers import Serializer


def paths(directory):
    return [each.path for each in LocalDirectory(directory).list()]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "results"


# Which calls are kept.


def test_nothing_is_stored_unless_somebody_says_so(home, directory):
    @task
    def one():
        return 1

    @task(persist_result=True, result_storage=directory)
    def two():
        return 2

    @flow
    def program():
        return one() + two()

    assert program() == 3
    assert len(paths(directory)) == 1
    assert not (home / "results").exists()


def test_tasks_and_subflows_follow_the_flow(directory):
    @task
    def one():
        return 1

    @task(persist_result=False)
    def never():
        return 2

    @flow
    def part():
        return one()

    @flow(persist_result=False)
    def unkept():
        return one()

    @flow(result_storage=directory, result_serializer="json")
    def program():
        return one() + never() + part() + unkept()

    assert program() == 5
    store = get_result_store(directory)
    assert sorted(store.header(path).of for path in paths(directory)) == ["one", "one", "part", "program"]
    assert {store.header(path).serializer for path in paths(directory)} == {"json"}


def test_the_setting_decides_where_no_decorator_does(home, monkeypatch):
    @task
    def one():
        return 1

    one()
    monkeypatch.setenv("ORCHESTRATOR_RESULTS_PERSIST", "true")
    one()
    assert len(paths(home / "results")) == 1
    monkeypatch.setenv("ORCHESTRATOR_RESULTS_STORAGE", str(home / "elsewhere"))
    monkeypatch.setenv("ORCHESTRATOR_RESULTS_SERIALIZER", "json")
    one()
    [path] = paths(home / "elsewhere")
    assert get_result_store(home / "elsewhere").header(path).serializer == "json"


@pytest.mark.parametrize(
    "options",
    [{"result_storage": "/r"}, {"result_serializer": "json"}, {"result_storage_key": "k"}],
    ids=lambda options: next(iter(options)),
)
def test_an_option_that_says_how_says_that(options):
    def fn(): ...

    assert task(**options)(fn).keeps is True
    assert task(persist_result=False, **options)(fn).keeps is False
    assert task(**options)(fn).with_options(name="other").keeps is True
    assert task(fn).keeps is None


def test_generators_keep_nothing(directory):
    with pytest.raises(TypeError, match="generator: what it yields is handed out and not kept"):

        @task(persist_result=True)
        def items():
            yield 1

    @task
    def numbers():
        yield from (1, 2)

    @flow(result_storage=directory)
    def program():
        return sum(numbers())

    assert program() == 3
    assert len(paths(directory)) == 1


def test_what_a_generator_flow_calls_follows_it(directory):
    @task
    def one():
        return 1

    @flow(persist_result=True, result_storage=directory)
    def program():
        yield one()
        yield one()

    assert sum(program()) == 2
    assert [get_result_store(directory).header(path).of for path in paths(directory)] == ["one", "one"]


# Where.


def test_a_storage_key_is_a_template(directory):
    @task(result_storage=directory, result_storage_key="{flow_run.name}/{task_run.name}-{parameters[day]}.json",
          result_serializer="json")  # fmt: skip
    def load(day, limit=3):
        return [day, limit]

    @flow(flow_run_name="nightly")
    def program():
        return load("monday")

    program()
    assert "nightly/load-0-monday.json" in paths(directory)
    assert get_result_store(directory).read("nightly/load-0-monday.json")[0] == ["monday", 3]


@pytest.mark.parametrize("template", ["{parameters[none]}", "{flow_run.none}", "{0}"])
def test_a_storage_key_that_names_nothing_fails_the_call(template, directory):
    @task(result_storage=directory, result_storage_key=template)
    def load(): ...

    with pytest.raises(ParameterBindError, match="result_storage_key"):
        flow(load.fn, name="x") and load()


def test_a_storage_key_leads_out_of_no_storage(directory):
    @task(result_storage=directory, result_storage_key="../outside")
    def load(): ...

    with pytest.raises(ResultNotStored, match="not below"):
        load()
    assert not (directory.parent / "outside").exists()


def test_what_another_run_has_written_to_the_key_is_not_replayed(directory):
    values = iter(range(10))

    @task(result_storage=directory, result_storage_key="latest")
    def load():
        return next(values)

    @flow(retries=1)
    def program(disturbed):
        value = load()
        if value == 0 or (disturbed and value == 2):
            if disturbed:
                flow(load)()  # A run of its own, or one that looks like it.
                get_result_store(directory).write("latest", 9, Header(call="runs/other/key"))
            raise ValueError
        return value

    with pytest.raises(ValueError):
        program(False)
    assert get_result_store(directory).read("latest")[0] == 0
    assert program(True) == 1
    assert program(True) == 4


@pytest.mark.parametrize("given", ["nowhere", "a/b/c", 5, "nosuch://x/y"])
def test_what_is_no_storage_fails_the_call(given):
    called = []

    @task(result_storage=given)
    def load():
        called.append(1)

    state = load(return_state=True)
    assert state.is_failed()
    assert "storage" in state.message
    assert called == []


def test_addresses_and_paths_are_directories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("./r", "~/r", str(tmp_path / "r"), tmp_path / "r", f"file://{tmp_path}/r"):
        assert storage_of(given).base == tmp_path / "r"


# Whole or not at all.


def test_what_cannot_be_stored_fails_the_call_and_says_what_to_do(directory):
    @task(result_storage=directory)
    def opens():
        return threading.Lock()

    state = opens(return_state=True)
    assert state.is_failed()
    with pytest.raises(ResultNotStored, match=r"_thread\.lock can't be stored by .*'pickle'.*persist_result=False"):
        state.result()
    assert paths(directory) == []
    assert [name for _, _, names in os.walk(directory) for name in names] == []


def test_a_storage_that_takes_no_writes_fails_the_call(tmp_path):
    (tmp_path / "file").write_text("")

    @task(result_storage=tmp_path / "file")
    def load(): ...

    with pytest.raises(ResultNotStored, match="Look whether the storage is there"):
        load()


def test_objects_are_private(directory):
    get_result_store(directory).write("a/b", 1)
    assert (directory / "a" / "b").stat().st_mode & 0o077 == 0
    assert (directory / "a").stat().st_mode & 0o077 == 0


def test_what_is_not_there_or_no_result_says_so(directory):
    store = get_result_store(directory)
    with pytest.raises(MissingResult, match=r"nothing at file:///.*/results/a"):
        store.read("a")
    with pytest.raises(MissingResult, match="nothing at"):
        store.header("a")
    directory.mkdir()
    for content in (
        b"",
        b"text",
        b"{}\n1",
        b"[]\n",
        b'{"orchestrator":9}\n1',
        b'{"orchestrator":1,"serializer":"?"}\n',
    ):
        (directory / "a").write_bytes(content)
        with pytest.raises(MissingResult):
            store.read("a")


def test_what_is_read_is_read_by_what_wrote_it(directory):
    get_result_store(directory, "compressed/json").write("a", [1])
    assert get_result_store(directory, "pickle").read("a")[0] == [1]


def test_headers_tell_of_the_value(directory):
    store = get_result_store(directory)
    before = clock.now()
    stored = store.write("a", "value", Header(call="runs/1/2", of="load", expires=before + 5))
    assert stored.size == (directory / "a").stat().st_size
    header = store.header("a")
    assert (header.call, header.of, header.serializer, header.expires) == ("runs/1/2", "load", "pickle", before + 5)
    assert header.created >= before
    assert not Header().expired
    assert Header(expires=before).expired


# In memory.


def test_values_that_are_not_held_are_read_when_they_are_asked_for(directory):
    @task(result_storage=directory, cache_result_in_memory=False, result_serializer="json")
    def load(n):
        return [n] * 3

    @task
    def total(items):
        return sum(items)

    @flow
    def program():
        futures = load.map([1, 2])
        assert [future.state.data for future in futures] != [[1] * 3, [2] * 3]
        later = total.submit(futures[0]).result(), [future.result() for future in futures]
        return later, load(4), load(5, return_state=True).result(), asyncio.run(futures[1].state.aresult())

    assert program() == ((3, [[1] * 3, [2] * 3]), [4] * 3, [5] * 3, [2] * 3)


def test_a_value_that_is_neither_held_nor_stored_any_more_says_so(directory):
    @task(result_storage=directory, cache_result_in_memory=False)
    def load():
        return 1

    @flow
    def program():
        future = load.submit()
        future.wait()
        for path in paths(directory):
            LocalDirectory(directory).delete(path)
        return future.result()

    with pytest.raises(MissingResult):
        program()


SIZE = 64 << 20


def _peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [lambda: b"x" * SIZE, lambda: numpy.ones(SIZE // 8)], ids=["bytes", "array"])
def test_large_values_are_not_copied(make, directory):
    store = get_result_store(directory)
    value = make()
    assert _peak(lambda: store.write("a", value)) < 0.1 * SIZE
    value = None
    back = []
    assert _peak(lambda: back.append(store.read("a")[0])) < 1.3 * SIZE
    assert len(back[0]) in (SIZE, SIZE // 8)


def test_async_calls_leave_the_event_loop_while_they_are_stored(directory):
    threads = set()

    class Slow(Serializer):
        type = "test-slow"

        def dumps(self, value):
            threads.add(threading.current_thread())
            return b"1"

        def loads(self, data):
            return 1

    @task(result_storage=directory, result_serializer=Slow())
    async def load():
        return 1

    @flow
    async def program():
        return await load()

    asyncio.run(program())
    assert threads
    assert threading.current_thread() not in threads
