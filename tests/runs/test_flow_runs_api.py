"""Flow runs over HTTP: trigger, list, look, cancel, read logs and task runs."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from orchestrator.ids import uuid7
from runs.models import FlowRun
from runs.reads import run_page
from tenants.cursors import write_cursor
from tests.cast import Api, Company
from tests.contract.journals import Journal
from tests.runs.work import agent, claim, deploy, in_seconds, moment, start, trigger

pytestmark = pytest.mark.django_db


def error(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    body = response.json()
    assert list(body) == ["error"]
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "fields"}
    return body["error"]


def all_pages(api: Api, path: str, **query: Any) -> list[dict]:
    items: list[dict] = []
    cursor = None
    for _ in range(100):
        page = api.get(path, **query, **({"cursor": cursor} if cursor else {})).json()
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items
    raise AssertionError("the pages never end")


# ── trigger ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("by_name", [True, False])
def test_a_run_is_triggered_by_id_or_name(acme: Company, api: Api, by_name: bool) -> None:
    deployment = deploy(acme, tags=["nightly"])
    reference = "etl/nightly" if by_name else str(deployment.id)
    response = api.post("/flow-runs", {"deployment": reference, "parameters": {"day": "monday"}, "name": "mine"})

    assert response.status_code == 201
    run = response.json()
    assert (run["flow"], run["deployment"], run["name"], run["tags"]) == ("etl", "etl/nightly", "mine", ["nightly"])
    assert (run["state"]["type"], run["parameters"], run["origin"]) == ("SCHEDULED", {"day": "monday"}, "api")
    assert (run["attempt"], run["run_count"], run["parent"], run["root"]) == (0, 0, None, run["id"])
    assert run["url"].endswith(f"/o/acme/main/runs/{run['id']}")
    assert api.get(f"/flow-runs/{run['id']}").json()["id"] == run["id"]


def test_a_key_makes_it_once(acme: Company, api: Api) -> None:
    deploy(acme)
    body = {"deployment": "etl/nightly", "idempotency_key": "k"}
    first, second = api.post("/flow-runs", body), api.post("/flow-runs", body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


def test_a_run_of_the_future_says_when(acme: Company, api: Api) -> None:
    deploy(acme)
    at = in_seconds(3_600)
    run = api.post("/flow-runs", {"deployment": "etl/nightly", "scheduled_at": at.isoformat()}).json()
    assert datetime.fromisoformat(run["scheduled_at"]) == datetime.fromisoformat(run["due_at"]) == at


def test_a_parent_is_a_run_of_this_workspace(acme: Company, api: Api, globex: Company) -> None:
    (parent,) = trigger(acme, deploy(acme))
    (foreign,) = trigger(globex, deploy(globex))
    child = api.post("/flow-runs", {"deployment": "etl/nightly", "parent": str(parent)}).json()
    assert child["parent"] == str(parent)
    assert child["root"] == child["id"]
    answers = [
        error(api.post("/flow-runs", {"deployment": "etl/nightly", "parent": str(id)}), 404)
        for id in (foreign, uuid7())
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"parameters": {"day": 3}}, "parameters.day"),
        ({"parameters": {"surplus": 3}}, "parameters.surplus"),
        ({"parameters": []}, "parameters"),
        ({"scheduled_at": "tomorrow"}, "scheduled_at"),
        ({"scheduled_at": "2026-01-01T00:00:00"}, "scheduled_at"),
        ({"scheduled_at": "9999-12-31T23:59:59-12:00"}, "scheduled_at"),
        ({"priority": 40_000}, "priority"),
        ({"priority": 2**70}, "priority"),
        ({"tags": ["x" * 201]}, "tags"),
        ({"tags": "abc"}, "tags"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"parent": "nobody"}, "parent"),
        ({"deployment": None}, "deployment"),
    ],
)
def test_what_can_not_be_taken_is_said_by_field(acme: Company, api: Api, more: dict, field: str) -> None:
    schema = {"type": "object", "properties": {"day": {"type": "string"}}, "additionalProperties": False}
    deploy(acme, parameter_schema=schema)
    told = error(api.post("/flow-runs", {"deployment": "etl/nightly", **more}), 400)
    assert told["code"] == "invalid"
    assert list(told["fields"]) == [field]
    with acme.scope():
        assert not FlowRun.objects.exists()


UNKNOWN = "0192f0c1-2d3e-4f40-8a5b-6c7d8e9f0a1b"


@pytest.mark.parametrize("deployment", ["etl/nobody", "nobody/nightly", "nonsense", "", "/", "a/b/c", UNKNOWN, "x\x00"])
def test_an_unknown_deployment(acme: Company, api: Api, deployment: str) -> None:
    deploy(acme)
    response = api.post("/flow-runs", {"deployment": deployment})
    assert response.status_code in ((400, 404) if "\x00" in deployment else (404,))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"deployment": "\\ud800"}', b"[" * 5_000])
def test_what_is_no_request(api: Api, body: bytes) -> None:
    error(api.post("/flow-runs", body), 400)


def test_a_body_has_a_bound(api: Api) -> None:
    error(api.post("/flow-runs", b" " * (5 << 20)), 413)


# ── list ─────────────────────────────────────────────────────────────────────────────────────────


def test_filters(acme: Company, api: Api) -> None:
    nightly, other = deploy(acme), deploy(acme, "weekly", flow="report")
    trigger(acme, nightly, 2)
    (weekly,) = trigger(acme, other)
    journal = Journal(api)
    journal.send(journal.begin(), journal.state("FAILED", run_count=1))

    def found(**query: str) -> int:
        return len(api.get("/flow-runs", **query).json()["items"])

    assert found() == 4
    assert found(state="FAILED") == 1
    assert found(state="scheduled,FAILED,") == 4
    assert found(state="RUNNING") == 0
    assert found(flow="etl") == 3
    assert found(flow="nobody") == 0
    assert found(deployment=str(other.id)) == found(deployment="report/weekly") == 1
    assert api.get("/flow-runs", deployment="report/weekly").json()["items"][0]["id"] == str(weekly)
    assert found(flow="etl", state="SCHEDULED") == 2
    assert found(limit="1") == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"state": "DANCING"}, 400),
        ({"state": "running'; --"}, 400),
        ({"deployment": "etl/nobody"}, 404),
        ({"limit": "0"}, 400),
        ({"limit": "-1"}, 400),
        ({"limit": "201"}, 400),
        ({"limit": "many"}, 400),
        ({"limit": "0000000010000"}, 400),
        ({"limit": "0" * 8 + "1" + "9" * 5_000}, 400),
        ({"limit": "1.5"}, 400),
        ({"flow": "a\x00b"}, 400),
        ({"deployment": "a\x00b"}, 404),
        ({"deployment": "a/b\x00"}, 400),
    ],
)
def test_queries_that_are_none(acme: Company, api: Api, query: dict, status: int) -> None:
    error(api.get("/flow-runs", **query), status)


def test_pages_with_equal_times_lose_and_double_nothing(acme: Company, api: Api) -> None:
    ids = trigger(acme, deploy(acme), 23)
    with acme.scope():
        FlowRun.objects.filter(id__in=ids[:15]).update(created_at=moment())
    runs = all_pages(api, "/flow-runs", limit=4)

    assert len(runs) == 23
    assert {UUID(run["id"]) for run in runs} == set(ids)
    assert [(r["created_at"], r["id"]) for r in runs] == sorted(
        ((r["created_at"], r["id"]) for r in runs), reverse=True
    )


def test_new_runs_do_not_shift_the_pages(acme: Company, api: Api) -> None:
    deployment = deploy(acme)
    trigger(acme, deployment, 4)
    first = api.get("/flow-runs", limit=2).json()
    trigger(acme, deployment, 3)
    second = api.get("/flow-runs", limit=2, cursor=first["next"]).json()
    assert len({run["id"] for run in first["items"] + second["items"]}) == 4
    assert second["next"] is None


def packed(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "=",
        "%00",
        "\x00",
        "A" * 10_000,
        packed("2026-01-01T00:00:00|" + str(UUID(int=1))),  # no zone
        packed("2026-01-01T00:00:00+00:00|nobody"),
        packed("2026-01-01T00:00:00+00:00"),
        packed("|"),
        packed("'; DROP TABLE flow_run; --|" + str(UUID(int=1))),
        packed("99999-01-01T00:00:00+00:00|" + str(UUID(int=1))),
    ],
)
def test_a_cursor_that_is_none_of_ours(api: Api, cursor: str) -> None:
    assert list(error(api.get("/flow-runs", cursor=cursor), 400)["fields"]) == ["cursor"]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59"])
def test_a_cursor_at_the_end_of_time(acme: Company, api: Api, at: str) -> None:
    trigger(acme, deploy(acme))
    cursor = write_cursor(datetime.fromisoformat(at), UUID(int=2**128 - 1))
    error(api.get("/flow-runs", cursor=cursor), 400)


def test_a_cursor_of_another_tenant_shows_nothing_of_it(acme: Company, api: Api, eve_api: Api) -> None:
    trigger(acme, deploy(acme), 3)
    cursor = api.get("/flow-runs", limit=1).json()["next"]
    assert eve_api.get("/flow-runs", cursor=cursor).json() == {"items": [], "next": None}


def test_a_trigger_asks_the_database_six_times(acme: Company, api: Api, django_assert_max_num_queries) -> None:
    """Tenant, deployment, retention, run, audit, address of the portal; three more are of the test's savepoint."""
    body = {"deployment": str(deploy(acme).id)}
    api.post("/flow-runs", body)
    with django_assert_max_num_queries(9):
        assert api.post("/flow-runs", body).status_code == 201


def test_a_page_costs_the_same_whatever_is_on_it(acme: Company, api: Api, django_assert_max_num_queries) -> None:
    api.get("/me")
    for number in range(8):
        trigger(acme, deploy(acme, f"d{number}", flow=f"f{number}"), 3)
    with django_assert_max_num_queries(10):
        assert len(api.get("/flow-runs").json()["items"]) == 24


# ── one run ──────────────────────────────────────────────────────────────────────────────────────


def test_a_run_tells_its_life(acme: Company, api: Api) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    journal = start(claimed)
    journal.send(journal.task(), journal.task("FAILED"), journal.task())
    journal.send(journal.state("FAILED", run_count=1, message="no", duration=1_500_000))
    run = api.get(f"/flow-runs/{claimed.run}").json()

    assert run["state"]["type"] == "FAILED"
    assert run["state"]["message"] == "no"
    assert (run["duration"], run["attempt"], run["run_count"]) == (1.5, 1, 1)
    assert run["tasks"] == {"COMPLETED": 2, "FAILED": 1}
    assert run["started_at"] <= run["ended_at"]


@pytest.mark.parametrize("path", ["", "/logs", "/task-runs"])
def test_an_unknown_run(api: Api, path: str) -> None:
    assert error(api.get(f"/flow-runs/{uuid7()}{path}"), 404)["code"] == "not_found"


def test_a_run_of_another_workspace_is_unknown(acme: Company, api: Api) -> None:
    from tenants.keys import create_key
    from tenants.provisioning import create_workspace

    (id,) = trigger(acme, deploy(acme))
    with acme.scope():
        second = create_workspace(organization=acme.organization, name="Second")
        other = Api(create_key(workspace=second, name="k")[1])
    for path in ("", "/logs", "/task-runs"):
        assert error(other.get(f"/flow-runs/{id}{path}"), 404) == error(other.get(f"/flow-runs/{uuid7()}{path}"), 404)
    assert other.post(f"/flow-runs/{id}/cancel").status_code == 404
    assert other.get("/flow-runs").json()["items"] == []


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────


def test_an_unclaimed_run_is_cancelled_at_once(acme: Company, api: Api) -> None:
    (id,) = trigger(acme, deploy(acme))
    run = api.post(f"/flow-runs/{id}/cancel").json()
    assert run["state"]["type"] == "CANCELLED"
    assert run["state"]["message"] == "Cancelled by developer."
    assert claim(acme, agent(acme)) == []
    assert error(api.post(f"/flow-runs/{id}/cancel"), 409)["code"] == "conflict"


def test_a_claimed_run_is_asked_to_stop(acme: Company, api: Api) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    journal = start(claimed)
    for _ in range(2):
        assert api.post(f"/flow-runs/{claimed.run}/cancel").json()["state"]["type"] == "CANCELLING"
    assert journal.send(from_seq=2)["signals"] == [{"run": str(claimed.run), "signal": "cancel"}]
    journal.send(journal.state("CANCELLED", run_count=1))
    assert api.get(f"/flow-runs/{claimed.run}").json()["state"]["type"] == "CANCELLED"


def test_it_may_finish_before_it_hears_of_it(acme: Company, api: Api) -> None:
    trigger(acme, deploy(acme))
    (claimed,) = claim(acme, agent(acme))
    journal = start(claimed)
    api.post(f"/flow-runs/{claimed.run}/cancel")
    assert journal.send(journal.state("COMPLETED", run_count=1))["rejected"] == []
    assert api.get(f"/flow-runs/{claimed.run}").json()["state"]["type"] == "COMPLETED"


# ── logs, task runs ──────────────────────────────────────────────────────────────────────────────


def test_logs_in_pages(acme: Company, api: Api) -> None:
    journal = Journal(api)
    journal.send(journal.begin(), *(journal.log(f"line {number}", level=30) for number in range(25)))
    path = f"/flow-runs/{journal.root}/logs"
    first = api.get(path, limit=10).json()
    rest = api.get(path, after=first["next"]).json()
    empty = api.get(path, after=rest["next"]).json()

    assert [item["message"] for item in first["items"] + rest["items"]] == [f"line {number}" for number in range(25)]
    assert first["items"][0] | {"t": ""} == {
        "line": 1, "t": "", "level": 30, "logger": "", "message": "line 0", "task": None, "attempt": 1,
        "run": str(journal.root), "extra": None,
    }  # fmt: skip
    assert (first["next"], rest["next"], empty) == (10, 25, {"items": [], "next": 25})
    assert api.get(path, after=-5, limit=5_000).json()["next"] == 25


def test_what_a_line_carries_is_in_the_api_and_on_the_page(acme: Company, api: Api) -> None:
    """1.20: structured extras."""
    journal = Journal(api)
    extra = msgspec.Raw(b'{"order":7,"customer":"acm\xc3\xa9"}')
    journal.send(journal.begin(), journal.log("paid", extra=extra), journal.log("plain"))
    items = api.get(f"/flow-runs/{journal.root}/logs").json()["items"]
    assert [item["extra"] for item in items] == [{"order": 7, "customer": "acmé"}, None]
    with acme.scope():
        told = run_page.log(FlowRun.objects.get(id=journal.root))["lines"]
    assert [sorted(line[5].split()) for line in told] == [['customer="acmé"', "order=7"], []]


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"after": "1" * 19}, {"after": "1.5"}, {"limit": 5_001}, {"after": "٣"}]
)
def test_log_queries_that_are_none(acme: Company, api: Api, query: dict) -> None:
    (id,) = trigger(acme, deploy(acme))
    error(api.get(f"/flow-runs/{id}/logs", **query), 400)


def test_a_subflow_shows_its_own_lines_and_the_root_all(acme: Company, api: Api) -> None:
    journal, child = Journal(api), uuid7()
    journal.send(
        journal.begin(),
        journal.log("root"),
        journal.subflow(child),
        journal.log("child", run=child),
        journal.log("end"),
    )
    lines = [item["message"] for item in api.get(f"/flow-runs/{journal.root}/logs").json()["items"]]
    own = api.get(f"/flow-runs/{child}/logs").json()
    assert lines == ["root", "child", "end"]
    assert [(item["line"], item["message"]) for item in own["items"]] == [(2, "child")]
    assert own["next"] == 2


def test_task_runs_in_pages(acme: Company, api: Api) -> None:
    journal = Journal(api)
    tasks = [journal.task(label=f"t-{number}") for number in range(12)]
    journal.seq = 0
    begin = journal.begin()
    for number, task in enumerate(tasks, 2):
        task.seq = number
    journal.send(begin, *tasks, from_seq=1)
    path = f"/flow-runs/{journal.root}/task-runs"

    assert [item["name"] for item in all_pages(api, path, limit=5)] == [f"t-{number}" for number in range(12)]
    item = api.get(path, limit=1).json()["items"][0]
    assert item["state"] == {"type": "COMPLETED", "name": "Completed", "message": None}
    assert (item["duration"], item["task"]) == (0.001, "flows.extract")
    error(api.get(path, cursor="nonsense"), 400)
    error(api.get(path, cursor="\x00"), 400)
