"""1.14: directories, buckets, addresses, blocks and the server keep values alike."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from pathlib import Path

import fsspec
import pytest

from orchestrator import flow, task, testing
from orchestrator.blocks import AwsCredentials, LocalFileSystem, RemoteFileSystem, S3Bucket
from orchestrator.exceptions import BlockError, MissingResult, ResultNotStored
from orchestrator.result_storage import storage_of
from orchestrator.results import get_result_store

KEY, SECRET = "AKIA", "hunter22"  # pragma: allowlist secret


@pytest.fixture
def bucket(moto, monkeypatch):
    """The environment of somebody who has a bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    client = AwsCredentials(region_name="us-east-1").get_client("s3")
    client.create_bucket(Bucket="results")
    yield client
    for each in client.list_objects_v2(Bucket="results").get("Contents", []):
        client.delete_object(Bucket="results", Key=each["Key"])
    client.delete_bucket(Bucket="results")


@pytest.fixture
def memory():
    yield
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def api():
    with testing.server():
        yield


class Shelf:
    """Not a block of ours, but one could be like it."""

    def __init__(self):
        self.kept = {}

    def write_path(self, path, content):
        self.kept[path] = content

    def read_path(self, path):
        if path not in self.kept:
            raise FileNotFoundError(path)
        return self.kept[path]

    def get_reference(self):
        return None


@pytest.fixture(params=["directory", "s3", "s3-block", "memory", "memory-block", "local-block", "yours", "server"])
def given(request, tmp_path):
    kind = request.param
    if kind.startswith("s3"):
        request.getfixturevalue("bucket")
    if kind.startswith("memory"):
        request.getfixturevalue("memory")
    if kind == "s3-block":
        credentials = AwsCredentials(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
        url = request.getfixturevalue("moto")
        return S3Bucket(bucket_name="results", bucket_folder="deep/er", credentials=credentials, endpoint_url=url)
    if kind == "server":
        request.getfixturevalue("api")
    return {
        "directory": tmp_path / "results",
        "s3": "s3://results/of/runs",
        "memory": "memory://results/of",
        "memory-block": RemoteFileSystem(basepath="memory://results/block"),
        "local-block": LocalFileSystem(basepath=str(tmp_path / "block")),
        "yours": Shelf(),
        "server": "server",
    }[kind]


def test_values_are_stored_found_and_replaced(given):
    store = get_result_store(given, "json")
    with pytest.raises(MissingResult):
        store.read("a/b")
    stored = store.write("a/b", [1, "\u2603"])
    assert store.read("a/b")[0] == [1, "\u2603"]
    assert stored.url.endswith("a/b")
    store.write("a/b", [2])
    assert store.read("a/b")[0] == [2]
    assert store.header("a/b").serializer == "json"


def test_a_write_that_fails_leaves_what_was_there(given):
    store = get_result_store(given)
    store.write("a", 1)
    with pytest.raises(ResultNotStored):
        store.write("a", threading.Lock())
    assert store.read("a")[0] == 1


def test_calls_are_replayed_from_there(given):
    executed = []

    @task(persist_result=True)
    def load(n):
        executed.append(n)
        return n

    @flow(result_storage=given, retries=1)
    def program():
        values = load.map([1, 2]).result()
        if executed.count(1) and len(executed) < 3:
            executed.append("failed")
            raise ValueError
        return values

    assert program() == [1, 2]
    assert sorted(map(str, executed)) == ["1", "2", "failed"]


def test_objects_are_listed_and_deleted(given):
    storage = storage_of(given)
    store = get_result_store(given)
    store.write("a/1", 1)
    store.write("a/2", 2)
    store.write("b", 3)
    try:
        listed = list(storage.list("a"))
        everything = sorted(each.path for each in storage.list())
    except NotImplementedError:
        assert given == "server" or isinstance(given, Shelf)
        return
    assert everything == ["a/1", "a/2", "b"]
    assert sorted(each.path for each in listed) == ["a/1", "a/2"]
    assert all(each.size > 10 and each.written > 1e9 for each in listed)
    assert storage.delete("a/1")
    assert not storage.delete("a/1")
    assert [each.path for each in storage.list("a")] == ["a/2"]


def test_no_path_leads_out(given):
    if given == "server" or isinstance(given, Shelf):
        return  # What these do with a path is their own affair.
    with pytest.raises(ResultNotStored, match="not below"):
        get_result_store(given).write("../a", 1)


SIZE = 32 << 20


@pytest.mark.parametrize("given", ["s3"], indirect=True)
def test_large_values_go_to_a_bucket_and_back_without_a_copy(given):
    store = get_result_store(given)
    value = b"x" * SIZE
    tracemalloc.start()
    store.write("large", value)
    assert tracemalloc.get_traced_memory()[1] < 0.2 * SIZE
    value = None
    tracemalloc.reset_peak()
    value, _ = store.read("large")
    assert tracemalloc.get_traced_memory()[1] < 1.3 * SIZE
    tracemalloc.stop()
    assert len(value) == SIZE


@pytest.mark.parametrize(
    ("address", "kind"),
    [("gs://results/of/runs", "GCSStore"), ("az://results/of/runs", "AzureStore"), ("abfs://results", "AzureStore")],
)
def test_other_clouds_are_reached_by_their_addresses(monkeypatch, address, kind):
    """1.14: GCS and Azure, by the keys of the environment; neither is asked before there is something to store."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acme")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    storage = storage_of(address)
    assert type(storage._store).__name__ == kind
    assert storage.url("a/b") == f"{address}/a/b"


def test_a_bucket_that_is_not_there_fails_the_call(bucket):
    with pytest.raises(ResultNotStored, match=r"(?s)s3://nobodys/a.*NoSuchBucket.*storage is there"):
        get_result_store("s3://nobodys").write("a", 1)


def test_a_storage_that_is_out_of_reach_is_no_reason_to_execute_again(bucket, tmp_path):
    """What can't be looked up may have been done: the call fails, and can be tried again."""
    executed = []

    class Storage(type(storage_of(tmp_path))):
        def reading(self, path):
            raise TimeoutError("the network is down")

    @task(persist_result=True, result_storage=Storage(tmp_path))
    def load():
        executed.append(1)

    @flow(retries=1)
    def program():
        state = load(return_state=True)
        if len(executed) == 1 and state.is_completed():
            raise ValueError
        return state

    state = program(return_state=True)
    assert state.is_failed()
    assert "the network is down" in state.message
    assert executed == [1]


def test_a_block_is_loaded_by_its_name_once(home):
    with testing.server():
        LocalFileSystem(basepath=str(home / "named")).save("results")

        @task(result_storage="local-file-system/results")
        def load(n):
            return n

        @flow
        async def program():
            return [load(1), await aload(2)]

        @task(result_storage="local-file-system/results")
        async def aload(n):
            return n

        assert asyncio.run(program()) == [1, 2]
        LocalFileSystem.delete("results")
        assert load(3) == 3
        assert load.with_options(result_storage="local-file-system/none")(3, return_state=True).is_failed()
    assert len([each for each in (home / "named").rglob("*") if each.is_file()]) == 3


def test_a_value_that_is_too_large_for_the_server_says_what_to_do():
    with testing.server():

        @task(result_storage="server")
        def load():
            return b"x" * (513 << 10)

        with pytest.raises(ResultNotStored, match=r"512 KiB at most.*result_storage of your own"):
            load()


def test_passwords_are_not_told():
    assert storage_of("memory://user:pass@results/a").url("b") == "memory://results/a/b"


@pytest.mark.parametrize(("given", "why"), [("nosuch://a", "nosuch"), (S3Bucket, "no storage"), (7, "no storage")])
def test_what_is_no_storage_says_so(given, why):
    with pytest.raises((BlockError, ValueError), match=why):
        storage_of(given)


def test_unfinished_files_are_not_results(tmp_path, memory):
    for given in (Path(tmp_path / "r"), "memory://results"):
        store = get_result_store(given)
        store.write("a", 1)
        try:
            with store.storage.writing("b") as file:
                file.write(b"half")
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
        assert [each.path for each in store.storage.list()] == ["a"]
