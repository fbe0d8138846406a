"""1.13: caching with a server: its index is filled and heard, and done without while it is away."""

import json

import pytest

from orchestrator import clock, config, flow, journal, task, testing
from orchestrator.cache_policies import CacheKeyFnPolicy
from orchestrator.engine import cache_index
from orchestrator.exceptions import Unreachable
from orchestrator.results import get_result_store
from orchestrator.testing.memory.asked import Refusal


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(cache_index, "FRESH", 0.0)  # Asked at each call.
    with testing.server() as server:
        yield server


@pytest.fixture
def compute():
    values = iter(range(100))

    @task(cache_policy=CacheKeyFnPolicy(lambda c, p: "flights"))
    def compute():
        return next(values)

    return compute


def names(fn, times=1):
    @flow
    def around():
        return [fn(return_state=True).name for _ in range(times)]

    told = around()
    journal.flush(5)
    return told


def ask(server, path, method="GET", body=b""):
    headers = {"Authorization": f"Bearer {server.key}"}
    return json.loads(server.memory.request(method, path, {}, headers, body).body)


def test_the_index_knows_who_made_and_who_used_a_value(server, compute):
    assert names(compute, 3) == ["Completed", "Cached", "Cached"]
    entry = ask(server, "/cache-entries/by-key/flights")
    assert (entry["task"], entry["hits"], entry["state"]) == ("compute", 2, "live")
    assert entry["url"].endswith("/cache/testing/main/flights")
    assert entry["size"] > 0


def test_what_was_invalidated_is_computed_anew(server, compute):
    names(compute, 2)
    assert ask(server, "/cache-entries/invalidate", "POST", b'{"key": "flights"}')["invalidated"] == 1
    assert names(compute, 2) == ["Completed", "Cached"]
    assert ask(server, "/cache-entries/by-key/flights")["state"] == "live"


def test_what_was_made_anew_is_used_though_the_index_does_not_know_yet(server, compute):
    """The word about it is under way."""
    names(compute)
    ask(server, "/cache-entries/invalidate", "POST", b'{"all": true}')
    entry = server.memory.store.cache["flights"]
    names(compute)
    entry.invalidated_at = clock.now() - 1_000_000
    entry.task = None
    assert names(compute) == ["Cached"]


def test_a_value_that_was_invalidated_is_known_whatever_the_clocks_say(server, compute):
    names(compute)
    entry = server.memory.store.cache["flights"]
    entry.invalidated_at = entry.made_at - 60_000_000
    header = get_result_store().header("cache/testing/main/flights")
    assert header.by == str(entry.task)
    assert not cache_index.index()._is_usable("flights", header)


def test_workspaces_do_not_share_values(server, compute):
    assert names(compute) == ["Completed"]
    api = config.use_api(None)
    try:
        assert names(compute, 2) == ["Completed", "Cached"]
    finally:
        config.use_api(api)
    assert names(compute) == ["Cached"]


def test_the_storage_is_trusted_while_nobody_answers(server, compute, monkeypatch):
    names(compute)

    def away(self, *args, **kwargs):
        raise Unreachable("gone")

    monkeypatch.setattr(cache_index.Client, "request", away)
    assert names(compute) == ["Cached"]


def test_nothing_is_cached_where_the_workspace_is_not_known(server, compute, monkeypatch, caplog):
    monkeypatch.setattr(cache_index, "_known", None)
    server.memory.refusals += [Refusal("unavailable", "Away.")]
    api = cache_index.index()
    assert [api.place(), api.place()] == [None, None]  # Nobody asks again at once.
    monkeypatch.setattr(cache_index.Index, "place", lambda self: None)
    assert names(compute, 2) == ["Completed", "Completed"]
    assert "not cached" in caplog.text


def test_the_server_is_asked_once_a_second(server, compute, monkeypatch):
    monkeypatch.setattr(cache_index, "FRESH", 3600.0)
    monkeypatch.setattr(cache_index, "_known", None)
    asked = []
    ask_once = cache_index.Client.request
    monkeypatch.setattr(
        cache_index.Client, "request", lambda self, *args, **kwargs: asked.append(args) or ask_once(self, *args)
    )
    names(compute, 50)
    assert asked == [("GET", "/me"), ("GET", "/cache-entries/invalidate")]
