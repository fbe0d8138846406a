"""Lists page by page, logs, variables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.contract.journals import Journal
from tests.contract.test_triggers import UNKNOWN, error
from tests.contract.worlds import World


def pages(world: World, path: str, **query: Any) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = world.api.get(path, **query, **({"cursor": cursor} if cursor else {})).json()
        assert page["items"]
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


# ── lists ────────────────────────────────────────────────────────────────────────────────────────


def test_runs_are_listed_newest_first_page_by_page(world: World) -> None:
    world.deploy()
    runs = []
    for _ in range(7):
        runs.append(world.trigger())
        world.pass_time(0.001)
    found = pages(world, "/flow-runs", limit=3)
    assert sorted(run["id"] for run in found) == sorted(runs)
    made = [datetime.fromisoformat(run["created_at"]) for run in found]
    assert made == sorted(made, reverse=True)


def test_filters(world: World) -> None:
    world.deploy()
    world.deploy("weekly", flow="report")
    weekly = world.trigger("report/weekly")
    world.trigger()
    journal = Journal(world.api)
    journal.send(journal.begin(), journal.state("FAILED", run_count=1))

    def found(**query: str) -> int:
        return len(world.api.get("/flow-runs", **query).json()["items"])

    assert (found(), found(state="FAILED"), found(state="scheduled,FAILED,"), found(state="RUNNING")) == (3, 1, 3, 0)
    assert (found(flow="etl"), found(flow="nobody"), found(flow="etl", state="SCHEDULED")) == (2, 0, 1)
    assert world.api.get("/flow-runs", deployment="report/weekly").json()["items"][0]["id"] == weekly


def test_runs_are_found_by_whatever_is_known_of_them(world: World) -> None:
    """7.4: several things at once, too."""
    world.deploy(version="v7")
    made = {
        "deployment": "etl/nightly",
        "name": "Monday of ACME",
        "tags": ["gpu", "big"],
        "idempotency_key": "once",
        "concurrency_key": "acme",
    }
    mine = world.api.post("/flow-runs", made).json()
    called = world.trigger(parent=mine["id"])
    others = {called, world.trigger(), world.trigger(tags=["gpu"])}

    def found(**query: Any) -> set[str]:
        answer = world.api.get("/flow-runs", **query)
        assert answer.status_code == 200, answer.content
        return {run["id"] for run in answer.json()["items"]}

    everyone = {mine["id"], *others}
    assert found(name="of acme") == found(tag="big,gpu") == found(idempotency_key="once") == {mine["id"]}
    assert found(concurrency_key="acme") == found(text="of acme") == found(id=f"{mine['id']},{UNKNOWN}") == {mine["id"]}
    assert found(text="ET", subflows="false") == found(id=",".join([mine["id"], *others])) == everyone
    assert len(found(tag="gpu")) == 2
    assert found(tag="huge") == found(name="a%e") == found(created_by="nobody") == found(origin="schedule") == set()
    assert found(created_by=mine["created_by"]) == found(origin="api", version="v7") == everyone
    assert found(deployment_version=1, flow="etl", state="SCHEDULED,RUNNING") == everyone
    assert found(deployment_version=2) == found(version="v8") == set()
    assert found(parent=mine["id"]) == found(parent=mine["id"], flow="etl") == {called}
    assert found(root=mine["id"]) == {mine["id"]}
    assert found(retry_of=mine["id"]) == set()


def test_runs_are_found_by_their_times(world: World) -> None:
    """7.4: when they were made, were to start, have started and have ended."""
    world.deploy()
    former, later = world.trigger(), None
    world.pass_time(60)
    journal = Journal(world.api)
    journal.send(journal.begin(), journal.state("COMPLETED", run_count=1))
    later = journal.root
    told = world.api.get(f"/flow-runs/{later}").json()
    between, made = told["created_at"], world.api.get(f"/flow-runs/{former}").json()["created_at"]

    def found(**query: str) -> list[str]:
        return [run["id"] for run in world.api.get("/flow-runs", **query).json()["items"]]

    assert (found(since=between), found(until=between)) == ([str(later)], [former])
    assert found(since=made, until=between) == [former]
    assert found(expected_since=made) == [str(later), former]
    assert found(expected_until=made) == []
    assert found(started_since=told["started_at"]) == found(ended_since=told["ended_at"]) == [str(later)]
    assert found(started_until=told["started_at"]) == found(ended_until=told["ended_at"]) == []


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/flow-runs", {"state": "DANCING"}, 400),
        ("/flow-runs", {"origin": "heaven"}, 400),
        ("/flow-runs", {"parent": "x"}, 400),
        ("/flow-runs", {"id": "x"}, 400),
        ("/flow-runs", {"subflows": "x"}, 400),
        ("/flow-runs", {"started_since": "2026-01-01T00:00:00"}, 400),
        ("/flow-runs", {"ended_until": "yesterday"}, 400),
        ("/flow-runs", {"deployment": "etl/nobody"}, 404),
        ("/flow-runs", {"limit": "0"}, 400),
        ("/flow-runs", {"limit": "201"}, 400),
        ("/flow-runs", {"limit": "many"}, 400),
        ("/flow-runs", {"cursor": "nonsense"}, 400),
        ("/deployments", {"cursor": "nonsense"}, 400),
        ("/variables", {"limit": "-1"}, 400),
    ],
)
def test_queries_that_are_none(world: World, path: str, query: dict[str, str], status: int) -> None:
    error(world.api.get(path, **query), status)


def test_logs_are_read_from_a_number_on(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), *(journal.log(f"line {number}") for number in range(5)))
    path = f"/flow-runs/{journal.root}/logs"
    first = world.api.get(path, limit=2).json()
    assert ([line["message"] for line in first["items"]], first["next"]) == (["line 0", "line 1"], 2)
    rest = world.api.get(path, after=2).json()
    assert ([line["line"] for line in rest["items"]], rest["next"]) == ([3, 4, 5], 5)
    assert world.api.get(path, after=5).json() == {"items": [], "next": 5}
    error(world.api.get(path, after="x"), 400)


def test_task_runs_come_page_by_page(world: World, journal: Journal) -> None:
    journal.send(journal.begin(), *(journal.task(label=f"t-{number}") for number in range(5)))
    found = pages(world, f"/flow-runs/{journal.root}/task-runs", limit=2)
    assert sorted(task["name"] for task in found) == [f"t-{number}" for number in range(5)]


# ── variables ────────────────────────────────────────────────────────────────────────────────────


def test_set_read_change_and_remove_a_variable(world: World) -> None:
    made = world.api.put("/variables/region", {"value": "eu-1", "tags": ["infra"]})
    changed = world.api.put("/variables/region", {"value": {"name": "eu-2", "weights": [1, 2.5, None]}})
    assert (made.status_code, changed.status_code) == (201, 200)
    variable = world.api.get("/variables/region").json()
    assert (variable["value"], variable["tags"]) == ({"name": "eu-2", "weights": [1, 2.5, None]}, ["infra"])
    assert world.api.delete("/variables/region").status_code == 204
    error(world.api.get("/variables/region"), 404)
    error(world.api.delete("/variables/region"), 404)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 1.5, "ü\u2028", 2**62, {"a.b": {"": 1}}])
def test_values_come_back_as_they_were(world: World, value: Any) -> None:
    world.api.put("/variables/x", {"value": value})
    assert world.api.get("/variables/x").json()["value"] == value


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("x", {"tags": []}, "value"),
        ("x", {"value": "x" * 70_000}, "value"),
        ("x", {"value": 1, "tags": [""]}, "tags"),
        ("Upper", {"value": 1}, "name"),
        ("a.b", {"value": 1}, "name"),
    ],
)
def test_variables_that_can_not_be_taken(world: World, name: str, body: dict[str, Any], field: str) -> None:
    assert list(error(world.api.put(f"/variables/{name}", body), 400)["fields"]) == [field]


def test_a_variable_is_overwritten_only_where_that_is_meant(world: World) -> None:
    """1.21: the server decides, so that of two who make one at once one is refused."""
    assert world.api.put("/variables/once", {"value": 1, "overwrite": False}).status_code == 201
    assert error(world.api.put("/variables/once", {"value": 2, "overwrite": False}), 409)["message"]
    assert world.api.get("/variables/once").json()["value"] == 1
    assert world.api.put("/variables/once", {"value": 3}).status_code == 200


def test_a_run_reads_and_writes_variables_by_its_token(world: World) -> None:
    """1.21: while it is held."""
    world.deploy()
    world.trigger()
    [claim] = world.agent().claim()
    own = world.with_key(claim["token"])
    assert own.put("/variables/limit", {"value": {"most": 5}, "tags": ["run"]}).status_code == 201
    assert own.get("/variables/limit").json()["value"] == {"most": 5}
    assert own.delete("/variables/limit").status_code == 204


def test_variables_come_page_by_page_by_name(world: World) -> None:
    names = [f"v-{number}" for number in range(7)]
    for name in reversed(names):
        world.api.put(f"/variables/{name}", {"value": name})
    assert [item["name"] for item in pages(world, "/variables", limit=3)] == names
