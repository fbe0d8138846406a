"""Configuration, client, variables, command line."""

import asyncio
import json
import stat
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from click.testing import CliRunner

from orchestrator import Variable, config, testing
from orchestrator.cli.root import cli, main
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exceptions import API_ERRORS, ApiError, NotConfigured, NotFound, Unauthorized, Unreachable


@pytest.fixture
def api():
    """A server that is reached over its port, as any other."""
    with testing.server(serve=True) as server:
        yield server


@pytest.fixture
def command():
    """Run a command; its exit code and output."""

    def run(*arguments, **options):
        return CliRunner().invoke(cli, list(arguments), **options)

    return run


ME = {"organization": "acme", "workspace": "main", "actor": "alice", "kind": "key", "role": "owner", "portal_url": "u"}


# Configuration


def test_nothing_is_configured_by_default():
    assert config.current_api() is None
    with pytest.raises(NotConfigured, match="orchestrator login"):
        config.require_api()


def test_the_environment_goes_before_the_profile(home, monkeypatch):
    path = config.save_profile("default", Api("http://profile/api/v1", 'k"ey'), {"workspace": "main"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert config.current_api() == Api("http://profile/api/v1", 'k"ey')
    config.save_profile("other", Api("http://other/api/v1", "k2"), {})
    assert config.current_api() == Api("http://other/api/v1", "k2")
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "default")
    assert config.current_api() == Api("http://profile/api/v1", 'k"ey')
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://env/api/v1/")
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "k3")
    assert config.current_api() == Api("http://env/api/v1", "k3")


def test_a_profile_that_is_not_there_is_named(monkeypatch):
    config.save_profile("default", Api("u", "k"), {})
    monkeypatch.setenv("ORCHESTRATOR_PROFILE", "gone")
    with pytest.raises(NotConfigured, match="no profile 'gone'"):
        config.current_api()


# Client


@pytest.mark.parametrize(("code", "kind"), [pair for pair in API_ERRORS.items() if pair[0] not in ("unreachable",)])
def test_each_code_has_its_class(server, code, kind):
    server.refuse = [(400, code)] * 10
    with Client() as client, pytest.raises(kind, match=f"told to say {code}"):
        client.post("/x")


def test_reading_is_tried_again_and_posting_is_not(server):
    server.routes["GET", "/me"] = lambda body: (200, ME)
    server.refuse = [(503, "unavailable")] * 2
    with Client() as client:
        assert client.get("/me") == ME
        server.refuse = [(503, "unavailable")]
        with pytest.raises(ApiError):
            client.post("/me")


def test_nobody_there(monkeypatch):
    with Client(Api("http://127.0.0.1:9/api/v1", "k")) as client, pytest.raises(Unreachable, match="could not be"):
        client.post("/x")


def test_lists_are_read_page_by_page(server):
    pages = {None: ([1, 2], "b"), "b": ([3], None)}

    def answer(body):
        path = server.requests[-1][1]
        cursor = "b" if "cursor=b" in path else None
        items, after = pages[cursor]
        return 200, {"items": items, "next": after}

    server.routes["GET", "/things"] = answer
    with Client() as client:
        assert list(client.pages("/things")) == [1, 2, 3]
        assert list(client.pages("/things", 2)) == [1, 2]


# Variables


def test_variables_in_sync_and_async_code(api):
    """1.21: values of JSON, defaults, `overwrite`, both ways of calling."""
    assert Variable.get("limit", default=1) == 1
    Variable.set("limit", {"a": [1]})
    assert Variable.get("limit") == {"a": [1]}
    with pytest.raises(ValueError, match="exists"):
        Variable.set("limit", 2, overwrite=False)

    async def later():
        await Variable.set("limit", 3)
        assert await Variable.aget("limit") == await Variable.get("limit") == 3
        await Variable.aset("other", [1], tags=["x"])
        assert await Variable.aunset("other") is True
        assert await Variable.aget("other", default="none") == "none"
        return await Variable.get("limit")

    assert asyncio.run(later()) == 3
    assert Variable.unset("limit") is True
    assert Variable.unset("limit") is False
    assert Variable.unset("limit/odd") is False


# Commands


def test_login_checks_the_key_and_keeps_it(server, command, monkeypatch):
    server.routes["GET", "/me"] = lambda body: (200, ME)
    done = command("login", "--url", server.url, "--key", "-", input="orc_secret\n")
    assert done.exit_code == 0, done.output
    assert "Logged in to acme/main as alice" in done.output
    assert "orc_secret" not in done.output
    monkeypatch.delenv("ORCHESTRATOR_API_URL")
    monkeypatch.delenv("ORCHESTRATOR_API_KEY")
    assert config.current_api() == Api(server.url, "orc_secret")
    assert json.loads(command("whoami", "-o", "json").output) == ME
    shown = json.loads(command("config", "-o", "json").output)
    assert (shown["api_url"], shown["profiles"]) == (server.url, ["default"])
    assert "secret" not in shown["api_key"]


def test_a_refused_login_keeps_nothing(server, command):
    server.refuse = [(401, "unauthorized")]
    done = command("login", "--url", server.url, "--key", "bad")
    assert isinstance(done.exception, Unauthorized)
    assert config.profiles() == {}


def test_errors_are_one_line_and_exit_code_1(server, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["flow-run", "inspect", "nothing"])
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Error: no GET /flow-runs/nothing here\n"


def test_a_wrong_command_is_exit_code_2(command):
    assert command("deployment", "run", "x", "--param", "nothing").exit_code == 2
    assert command("nothing").exit_code == 2


RUN = {
    "id": "r1",
    "name": "calm-otter",
    "flow": "nightly",
    "state": {"type": "COMPLETED", "name": "Completed", "message": None},
    "started_at": "2026-01-01T00:00:00+00:00",
    "duration": 65.0,
    "url": "http://portal/r1",
    "scheduled_at": None,
}


def test_runs_are_listed_inspected_and_cancelled(server, command):
    server.routes |= {
        ("GET", "/flow-runs"): lambda body: (200, {"items": [RUN], "next": None}),
        ("GET", "/flow-runs/r1"): lambda body: (200, RUN),
        ("POST", "/flow-runs/r1/cancel"): lambda body: (200, {**RUN, "state": {"type": "CANCELLING", "name": ""}}),
    }
    table = command("flow-run", "ls", "--state", "completed").output
    assert "calm-otter" in table
    assert "1 min 5 s" in table
    assert "\x1b[" not in table
    assert "state=COMPLETED" in server.requests[0][1]
    assert json.loads(command("flow-run", "ls", "-o", "json").output) == [RUN]
    assert "nightly" in command("flow-run", "inspect", "r1").output
    assert command("flow-run", "cancel", "r1").output == "calm-otter is CANCELLING.\n"


def test_runs_are_listed_by_what_is_known_of_them(server, command):
    """7.4: and what a page finds nothing of may be on the next one."""
    pages = iter([{"items": [], "next": "more"}, {"items": [RUN], "next": None}])
    server.routes[("GET", "/flow-runs")] = lambda body: (200, next(pages))
    asked = ("--tag", "gpu", "--tag", "big", "--origin", "api", "--retry-of", str(UUID(int=7)), "--name", "calm")
    made = command("flow-run", "ls", *asked, "--ended-since", "2026-01-01T00:00:00Z", "-o", "json")
    assert json.loads(made.output) == [RUN]
    query = dict(parse_qsl(server.requests[0][1].partition("?")[2]))
    assert query == {
        "tag": "gpu,big", "origin": "api", "retry_of": str(UUID(int=7)), "name": "calm",
        "ended_since": "2026-01-01T00:00:00Z", "limit": "20",
    }  # fmt: skip
    assert command("flow-run", "ls", "--origin", "heaven").exit_code == 2


def test_a_deployment_is_run_and_watched_to_its_end(server, command):
    states = iter(["RUNNING", "RUNNING", "FAILED"])
    lines = [{"line": n, "t": "2026-01-01T00:00:00.123+00:00", "level": 20, "message": f"line {n}"} for n in (1, 2, 3)]

    def logs(body):
        after = int(server.requests[-1][1].partition("after=")[2].partition("&")[0])
        return 200, {"items": [line for line in lines if line["line"] > after][:2], "next": None}

    server.routes |= {
        ("POST", "/flow-runs"): lambda body: (201, RUN),
        ("GET", "/flow-runs/r1"): lambda body: (200, {**RUN, "state": {"type": next(states), "message": "oh"}}),
        ("GET", "/flow-runs/r1/logs"): logs,
    }
    done = command("deployment", "run", "nightly/prod", "--param", "n=3", "--param", "day=x", "--watch")
    assert done.exit_code == 3
    assert [line[-6:] for line in done.output.splitlines() if "INFO" in line] == ["line 1", "line 2", "line 3"]
    assert "ended FAILED" in done.output
    sent = json.loads(server.requests[0][2])
    assert sent["parameters"] == {"n": 3, "day": "x"}


def test_deployments_are_found_by_name_and_paused(api, command):
    source = {"type": "path", "path": "/flows"}
    body = {"flow": "a b", "name": "prod", "entrypoint": "flows.py:a", "source": source}
    with Client() as client:
        made = client.post("/deployments", {**body, "schedule": {"cron": "* * * * *"}})
    assert command("deployment", "pause", "a b/prod").output == "The schedules of a b/prod are paused.\n"
    assert "* * * * *" in command("deployment", "ls").output
    with Client() as client:
        assert client.get(f"/deployments/{made['id']}")["schedules"][0]["active"] is False


def test_journals_are_listed(command, home):
    assert json.loads(command("journal", "ls", "-o", "json").output) == []
    assert "RUN" in command("journal", "ls").output


def test_a_missing_variable_is_an_error(api, command):
    done = command("variable", "get", "gone")
    assert isinstance(done.exception, NotFound)
