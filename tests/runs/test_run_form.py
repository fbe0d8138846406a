"""The form that triggers a run, as a browser without scripts posts it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from runs.models import FlowRun, WorkPool, WorkQueue
from tests.cast import Api, Company
from tests.runs.work import deploy

pytestmark = pytest.mark.django_db

SCHEMA = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "format": "date"},
        "n": {"type": "integer", "minimum": 1, "default": 1},
        "sources": {"type": "array", "items": {"type": "object", "properties": {"url": {"type": "string"}}}},
    },
    "required": ["day"],
    "additionalProperties": False,
}


def queue(company: Company, name: str, pool: str = "default") -> Any:
    own = {"organization": company.organization, "workspace": company.workspace}
    with company.scope():
        found, _ = WorkPool.objects.get_or_create(**own, name=pool)
        return WorkQueue.objects.create(**own, pool=found, name=name)


def address(company: Company, deployment: Any) -> str:
    own = {"organization": company.organization.slug, "workspace": company.workspace.slug}
    return reverse("deployment-run", kwargs={**own, "id": deployment.id})


def test_2_7_a_debounced_run_is_moved_by_the_form_too(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    typed = {"p.day": "2026-01-02", "debounce": "60", "debounce_key": "a", "debounce_max": "90"}
    first = browse(alice).post(address(acme, deployment), typed)
    second = browse(alice).post(address(acme, deployment), {**typed, "p.n": "2"}, follow=True)
    wrong = browse(alice).post(address(acme, deployment), {**typed, "debounce": "soon", "debounce_max": "-1"})

    with acme.scope():
        run = FlowRun.objects.get()
    assert (run.debounced, run.debounce_key, run.parameters) == (2, "a", {"day": "2026-01-02", "n": 2})
    assert str(run.id) in first.headers["Location"]
    assert "A run was gathering triggers already: this one." in second.content.decode()
    assert wrong.status_code == 400
    assert "Enter a number of seconds." in wrong.content.decode()


def test_2_7_a_secret_is_chosen_from_the_secret_blocks(acme: Company, alice: Any, browse: Any) -> None:
    Api(acme.key("developer")).put("/blocks/secret/db", {"data": {"value": "planted-secret"}})
    schema = {"type": "object", "properties": {"key": {"type": "string", "format": "password", "writeOnly": True}}}
    deployment = deploy(acme, parameter_schema=schema)
    empty = browse(alice).get(address(acme, deployment)).content.decode()
    made = browse(alice).post(address(acme, deployment), {"p~mode": "form", "p.key": "", "p.key~block": "secret/db"})
    with acme.scope():
        run = FlowRun.objects.get()
    again = browse(alice).get(address(acme, deployment), {"from": str(run.id)}).content.decode()

    assert made.status_code == 302
    assert (run.parameters, run.secrets) == ({"key": {"$block": "secret/db"}}, {"/key": "secret/db"})
    assert '<option value="secret/db">db</option>' in empty
    assert '<option value="secret/db" selected>db</option>' in again
    assert "planted-secret" not in empty + again


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b'{"day": "2026-01-02", "n": 5}', 200, 'value="5"'),
        (b'{"day": "2026-01-02", "n": 0}', 200, "0 is less than the minimum of 1"),
        (b'{"day": "2026-01-02", "m": 1}', 200, "The flow has no such parameter."),
        (b"[1]", 400, "The file holds no parameters"),
        (b"{", 400, "The file is no JSON"),
        (b'"' + b"x" * (512 << 10), 400, "A file has 512 KiB at most."),
    ],
)
def test_2_7_parameters_come_from_a_file_and_nothing_is_triggered(
    acme: Company, alice: Any, browse: Any, content: bytes, status: int, told: str
) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    file = SimpleUploadedFile("p.json", content, "application/json")
    typed = {"_do": "file", "file": file, "p~mode": "form", "p.day": "", "name": "kept"}
    response = browse(alice).post(address(acme, deployment), typed)
    page = response.content.decode()
    assert response.status_code == status
    assert told in page
    assert 'value="kept"' in page
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_the_runs_own_options(acme: Company, alice: Any, browse: Any) -> None:
    fast = queue(acme, "fast")
    deployment = deploy(acme, parameter_schema=SCHEMA)
    typed = {
        "p.day": "2026-01-02", "name": "by hand", "tags": "a, b,", "priority": "7", "work_queue": "fast",
        "scheduled_at": "2030-07-01T12:00", "scheduled_at~zone": "Europe/Oslo", "idempotency_key": "once",
    }  # fmt: skip
    first = browse(alice).post(address(acme, deployment), typed)
    second = browse(alice).post(address(acme, deployment), typed)

    with acme.scope():
        run = FlowRun.objects.get()
    assert first.status_code == second.status_code == 302
    assert first.headers["Location"] == second.headers["Location"]
    assert (run.name, run.tags, run.priority, run.queue_id) == ("by hand", ["a", "b"], 7, fast.id)
    assert run.scheduled_at.isoformat() == "2030-07-01T10:00:00+00:00"
    assert run.parameters == {"day": "2026-01-02"}


def test_all_that_is_wrong_is_said_at_once_and_kept(acme: Company, alice: Any, browse: Any) -> None:
    queue(acme, "elsewhere", pool="other")
    deployment = deploy(acme, parameter_schema=SCHEMA)
    typed = {"p.day": "soon", "p.n": "0", "scheduled_at": "later", "priority": "high", "work_queue": "elsewhere"}
    response = browse(alice).post(address(acme, deployment), typed)
    page = response.content.decode()

    assert response.status_code == 400
    for told in (
        "A date, as 2026-05-19.",
        "0 is less than the minimum of 1",
        "A date and time",
        "Enter a whole number.",
    ):
        assert told in page, told
    assert 'value="soon"' in page
    typed |= {"p.day": "2026-01-02", "p.n": "1", "scheduled_at": "", "priority": ""}
    again = browse(alice).post(address(acme, deployment), typed)
    assert "The deployment&#x27;s pool has no queue &#x27;elsewhere&#x27;." in again.content.decode()
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_the_form_and_the_api_refuse_with_the_same_words(acme: Company, alice: Any, browse: Any, api: Api) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    wrong = {"day": "2026-01-02", "n": 0, "sources": [{"url": 5}]}
    told = api.post("/flow-runs", {"deployment": "etl/nightly", "parameters": wrong}).json()["error"]["fields"]
    typed = {"p.day": "2026-01-02", "p.n": "0", "p.sources": '[{"url": 5}]', "p.sources~mode": "json"}
    form = browse(alice).post(address(acme, deployment), typed).context["form"]

    assert told["parameters.n"] == "0 is less than the minimum of 1"
    assert {each.path: each.error for each in form.wrong} == {
        "parameters.n": told["parameters.n"],
        "parameters.sources": f"0.url: {told['parameters.sources.0.url']}",
    }


def test_a_button_within_the_form_triggers_nothing(acme: Company, alice: Any, browse: Any) -> None:
    deployment = deploy(acme, parameter_schema=SCHEMA)
    typed = {"p.day": "2026-01-02", "p.sources~mode": "form", "p.sources~branch": "1", "p.sources~b1~mode": "form"}
    response = browse(alice).post(address(acme, deployment), {**typed, "_do": "add:p.sources~b1"})
    assert response.status_code == 200
    assert 'name="p.sources~b1.0~mode"' in response.content.decode()
    with acme.scope():
        assert not FlowRun.objects.exists()


def test_a_large_form_takes_no_more_queries_than_a_small_one(acme: Company, alice: Any, browse: Any) -> None:
    block = {"type": "object", "properties": {"$block": {"type": "string"}}, "required": ["$block"]}
    kinds: list[dict[str, Any]] = [{"type": "string"}, {"type": "integer"}, {**block, "x-block-type": "s3-bucket"}]
    client, counts = browse(alice), []
    for size in (3, 300):
        schema = {"type": "object", "properties": {f"x{number}": kinds[number % 3] for number in range(size)}}
        deployment = deploy(acme, f"of-{size}", parameter_schema=schema)
        client.get(address(acme, deployment))
        with CaptureQueriesContext(connection) as captured:
            response = client.get(address(acme, deployment))
        counts.append(len(captured))
        assert response.content.count(b'class="field"') >= size
    assert counts[0] == counts[1]
