"""1.1, 2.1: `serve` executes what it deploys, from files of this machine; `from_source` takes code from elsewhere."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator import Flow, flow, serve, serving, testing
from orchestrator.client import Client
from orchestrator.config import Api
from orchestrator.exceptions import LoadError, NotConfigured
from orchestrator.fetching import fetched, split
from orchestrator.serving import queue_of

PROGRAM = """
from orchestrator import flow, get_run_logger, serve

@flow
def greet(name: str = "nobody"):
    get_run_logger().info("hello %s", name)

@flow(name="add up")
def add(a: int, b: int):
    get_run_logger().info("is %d", a + b)

if __name__ == "__main__":
    serve(greet.to_deployment("prod", interval=86_400), add.to_deployment("prod"), limit=2)
"""


def test_no_two_deployments_share_a_queue():
    """1.1: whoever serves the one would be given the runs of the other."""
    names = [("x-y", "z"), ("x", "y-z"), ("x y", "z"), ("x/y", "z"), ("y" * 200, "a"), ("y" * 200, "b")]
    queues = {queue_of(flow(lambda: None, name=of).to_deployment(name)) for of, name in names}
    assert len(queues) == len(names)
    assert all(len(queue) < 180 for queue in queues)


@pytest.fixture
def served():
    with testing.server(serve=True, lease_seconds=20, wait_seconds=1) as server:
        yield server


def schedule_of(deployment):
    with Client() as client:
        return client.get(f"/deployments/by-name/{deployment}")["schedules"][0]


def test_two_processes_begin_to_serve_at_once(served, monkeypatch):
    """1.1, 1.19: each finds that there is no queue yet, and one of them makes it."""
    deployment = flow(lambda: None, name="twice").to_deployment("prod")
    looks = serving._is_there

    def look(client, queues, name):
        found = looks(client, queues, name)
        if not found:
            monkeypatch.setattr(serving, "_is_there", looks)
            client.post(queues, {"name": name})
        return found

    monkeypatch.setattr(serving, "_is_there", look)
    with Client(Api(served.url, served.key)) as client:
        serving._make_queue(client, deployment)
        serving._make_queue(client, deployment)


def test_it_executes_what_it_serves_until_it_is_told_to_stop(served, program, until, tmp_path):
    process = program(PROGRAM)
    runs = [served.trigger("greet/prod", {"name": "you"}), served.trigger("add up/prod", {"a": 1, "b": 2})]
    until(lambda: all(run.is_final for run in runs))
    for run, line in zip(runs, ("hello you", "is 3"), strict=True):
        served.assert_completed(run)
        served.assert_logged(run, line)
    (tmp_path / "program.py").write_text(PROGRAM.replace("hello %s", "good-bye %s"))
    later = served.trigger("greet/prod", {"name": "you"})
    until(lambda: later.is_final)
    served.assert_logged(later, "good-bye you")
    assert schedule_of("greet/prod")["active"] is True
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert schedule_of("greet/prod")["active"] is False
    assert "Serving greet/prod" in (tmp_path / "serve.log").read_text()


def test_what_it_paused_at_its_end_goes_on_when_it_is_back(served, program):
    for _ in range(2):
        process = program(PROGRAM)
        assert schedule_of("greet/prod")["active"] is True
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert schedule_of("greet/prod")["active"] is False


def test_other_agents_leave_its_runs_alone(served, program, tmp_path):
    process = program(PROGRAM)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    run = served.trigger("greet/prod")
    with Client() as client:
        agent = client.post("/agents", {"pool": "default", "name": "other", "queues": ["default"]})["id"]
        assert client.post(f"/agents/{agent}/claim", {"slots": 5})["runs"] == []
    assert not run.is_final


def test_there_must_be_something_to_serve():
    with pytest.raises(TypeError, match="to_deployment"):
        serve()
    with pytest.raises(TypeError, match="not Flow"):
        serve(flow(lambda: 1))
    with pytest.raises(NotConfigured):
        flow(lambda: 1, name="alone").serve()


def repository(path: Path) -> str:
    """A git repository with two commits; the first one's id."""

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main"]
        done = subprocess.run(["git", "-C", path, *identity, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    path.mkdir()
    git("init")
    for value in (1, 2):
        (path / "flows.py").write_text(
            f"from orchestrator import flow\n\n@flow\ndef answer() -> int:\n    return {value}\n"
        )
        git("add", ".")
        git("commit", "-m", f"{value}")
    git("tag", "v2")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    return git("rev-parse", "HEAD~1")


def test_a_flow_is_taken_from_a_repository_at_a_revision(tmp_path, home):
    first = repository(tmp_path / "flows")
    address = f"file://{tmp_path / 'flows'}"
    assert Flow.from_source(address, "flows.py:answer").fn() == 2
    assert Flow.from_source(f"{address}@{first}", "flows.py:answer").fn() == 1
    assert flow.from_source(f"{address}@v2", "flows.py:answer")() == 2


def test_code_that_was_fetched_is_not_replaced_under_who_runs_it(tmp_path, home):
    first = repository(tmp_path / "flows")
    address = f"file://{tmp_path / 'flows'}"
    kept = fetched(f"{address}@{first}")
    (kept / "written-by-a-run").touch()
    newest = fetched(address)
    assert fetched(f"{address}@{first}") == kept != newest
    assert (kept / "written-by-a-run").exists()
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, newest.name}


def test_code_that_nobody_fetches_any_more_is_removed(tmp_path, home):
    first = repository(tmp_path / "flows")
    address = f"file://{tmp_path / 'flows'}"
    kept = fetched(f"{address}@{first}")
    os.utime(kept, (0, 0))
    assert [path for path in fetched(address).parent.iterdir() if path == kept] == []


def test_a_flow_is_taken_from_a_directory(tmp_path):
    (tmp_path / "more.py").write_text("from orchestrator import flow\n\n@flow\ndef seven() -> int:\n    return 7\n")
    assert Flow.from_source(tmp_path, "more.py:seven")() == 7


@pytest.mark.parametrize("source", ["/not/there", "file:///not/there", "file:///not/there@main"])
def test_a_source_that_is_not_there_is_told(source, home):
    with pytest.raises(LoadError, match=r"no directory|can't be fetched"):
        fetched(source)


def test_a_password_in_an_address_is_not_told(home):
    with pytest.raises(LoadError) as raised:
        fetched("http://user:hunter22@127.0.0.1:1/flows.git@main")
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("git@git.example:team/flows.git@v1", ("git@git.example:team/flows.git", "v1")),
        ("ssh://git@git.example:22/flows@main", ("ssh://git@git.example:22/flows", "main")),
        ("https://git.example/a@b/flows", ("https://git.example/a@b/flows", "")),
    ],
)
def test_a_revision_is_told_from_an_address(source, parts):
    assert split(source) == parts


def test_2_3_what_is_served_runs_here_whatever_the_type_of_the_pool(served, program, until):
    template = {"variables": {"type": "object"}, "job_configuration": {}}
    with Client() as client:
        client.post("/work-pools", {"name": "boxes", "type": "docker", "base_job_template": template})
    program(
        PROGRAM.replace('"prod", interval=86_400', '"prod", work_pool_name="boxes"').replace(
            ', add.to_deployment("prod")', ""
        )
    )
    run = served.trigger("greet/prod", {"name": "you"})
    until(lambda: run.is_final)
    served.assert_completed(run)
