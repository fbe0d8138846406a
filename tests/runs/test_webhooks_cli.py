"""2.7: `orchestrator webhook`, on the server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner, Result
from django.test import Client

from orchestrator import exchange
from orchestrator.cli.root import cli
from orchestrator.exceptions import Forbidden, Invalid, NotFound
from tests.cast import Company
from tests.runs.test_webhooks import SCHEMA, SECRET, run_of, send
from tests.runs.work import deploy

pytestmark = pytest.mark.django_db
URL = "http://acme.test/api/v1"


class Here:
    """The API of this process, as commands reach it."""

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> exchange.Reply:
        address = f"/api/v1{quote(path)}?{urlencode(query)}"
        answer = Client(headers=dict(headers)).generic(method, address, body, content_type="application/json")
        return exchange.Reply(answer.status_code, answer.headers, answer.content)


@pytest.fixture(autouse=True)
def server(acme: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    deploy(acme, parameter_schema=SCHEMA)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_API_URL", URL)
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", acme.key("ci"))
    exchange.open_at(URL, Here())  # type: ignore[arg-type]
    yield
    exchange.open_at(URL, None)


def command(*words: str, input: str | None = None) -> Result:
    return CliRunner().invoke(cli, ("webhook", *words), input=input)


def told(*words: str, input: str | None = None) -> Any:
    result = command(*words, "-o", "json", input=input)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def path_in(made: dict[str, Any]) -> str:
    return "/hooks/" + made["address"].rpartition("/")[2]


def test_2_7_one_is_made_and_triggers(acme: Company) -> None:
    made = told("create", "push 1", "etl/nightly", "--parameters", '{"n": {{ body.count }}}',
                "--filter", "{{ body.count > 1 }}", "--idempotency", "{{ body.id }}")  # fmt: skip
    assert (made["name"], made["acts_as"]) == ("push 1", "ci")
    run = run_of(acme, send(path_in(made), {"count": 2, "id": 7}))
    assert run.parameters == {"n": 2}
    assert send(path_in(made), {"count": 1}).json()["run"] is None
    table = command("ls").output.splitlines()
    assert table[0].split() == ["WEBHOOK", "DEPLOYMENT", "TOKEN", "SIGNED", "STATE", "ACTS", "AS"]
    assert table[1].split()[:3] == ["push", "1", "etl/nightly"]
    shown = command("inspect", "push 1").output
    for each in (str(run.id), "202  skipped", "{{ body.count > 1 }}"):
        assert each in shown, each
    assert [each["outcome"] for each in told("inspect", "push 1", "--deliveries", "1")["deliveries"]] == ["skipped"]
    assert told("inspect", "push 1", "--deliveries", "0")["deliveries"] == []


def test_2_7_the_address_is_told_once_and_the_secret_is_asked_for() -> None:
    made = told(
        "create", "push", "etl/nightly", "--signature", "header", "--signature-header", "X-Token", input=SECRET + "\n"
    )
    assert send(path_in(made), {}, **{"X-Token": "other"}).status_code == 403
    assert send(path_in(made), {}, **{"X-Token": SECRET}).status_code == 202
    changed = command(
        "create", "push", "etl/nightly", "--signature", "header", "--signature-header", "X-Key", input="\n"
    )
    assert changed.exit_code == 0
    assert "this once" not in changed.output
    assert send(path_in(made), {}, **{"X-Key": SECRET}).status_code == 202  # The secret stayed.


def test_2_7_one_is_rotated_paused_resumed_and_deleted() -> None:
    former = path_in(told("create", "push", "etl/nightly"))
    told_to_people = command("rotate", "push", "--overlap", "0")
    assert "this once" in told_to_people.output
    new = path_in(told("rotate", "push", "--overlap", "60"))
    assert [send(path, {}).status_code for path in (former, new)] == [404, 202]
    assert command("pause", "push").output == "push is paused.\n"
    assert "paused" in command("ls").output.splitlines()[1]
    assert send(new, {}).status_code == 409
    assert command("resume", "push").output == "push is on again.\n"
    assert [told(verb, "push")["paused"] for verb in ("pause", "resume")] == [True, False]
    assert send(new, {}).status_code == 202
    assert command("delete", "push", input="n\n").exit_code == 1
    assert command("delete", "push", "--yes").output == "push is deleted.\n"
    assert send(new, {}).status_code == 404


def test_2_7_what_is_refused_says_why(acme: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = command("create", "push", "etl/nightly", "--filter", "{{ run }}").exception
    assert isinstance(wrong, Invalid)
    assert list(wrong.fields or {}) == ["filter"]
    assert isinstance(command("create", "push", "etl/none").exception, NotFound)
    for name in ("inspect", "rotate", "pause", "resume"):
        assert isinstance(command(name, "push").exception, NotFound), name
    assert isinstance(command("delete", "push", "-y").exception, NotFound)
    assert command("create", "push", "etl/nightly", "--signature", "morse").exit_code == 2
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", acme.key("viewer", "viewer"))
    assert isinstance(command("create", "push", "etl/nightly").exception, Forbidden)
    assert command("ls").exit_code == 0
