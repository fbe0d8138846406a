"""2.1: `orchestrator init`, and `orchestrator deploy` of an orchestrator.yaml."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator import testing
from orchestrator.cli.root import cli
from orchestrator.client import Client
from orchestrator.deployments import placed
from orchestrator.exceptions import ProjectError
from orchestrator.project.file import read
from orchestrator.project.plan import all_described

FLOWS = """
import orchestrator
from orchestrator import flow

@flow
def load(limit: int = 1) -> None: ...

@orchestrator.flow(name="clean-up")
async def clean() -> None: ...

class Not:
    @flow
    def one(self) -> None: ...

def helper() -> None: ...
"""
FILE = """
deployments:
  - name: nightly
    entrypoint: jobs/etl.py:load
    parameters: {limit: 5}
    concurrency_limit: 2
    on_limit: CANCEL_OLD
    schedules:
      - {cron: "0 6 * * *", slug: morning}
      - {interval: 900}
  - name: weekly
    entrypoint: jobs/etl.py:clean
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A directory with two flows, in which commands are called, before a server in memory."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "etl.py").write_text(FLOWS)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text(FLOWS)
    (tmp_path / "broken.py").write_text("def (")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with testing.server():
        yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("jobs", "other")]:
        del sys.modules[name]


def written(project: Path, text: str = FILE) -> None:
    (project / "orchestrator.yaml").write_text(textwrap.dedent(text))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def output_of(*arguments: str) -> str:
    done = call(*arguments)
    assert done.exit_code == 0, done.output or done.exception
    return done.output


def deployments() -> dict[str, Any]:
    with Client() as client:
        return {f"{each['flow']}/{each['name']}": each for each in client.pages("/deployments", 100)}


def test_a_file_for_the_flows_of_a_directory(project):
    told = output_of("init")
    assert "has 2 deployments" in told
    assert "jobs/etl.py:clean" in told
    assert "already" in str(call("init").exception)
    output_of("deploy", "--all")
    assert set(deployments()) == {"load/default", "clean-up/default"}
    (project / "jobs" / "etl.py").unlink()
    assert "No function decorated with @flow" in output_of("init", "--force")
    assert "There are none yet" in str(call("deploy").exception)


def test_what_a_file_names_is_deployed(project):
    written(project)
    assert "choose by --name (nightly, weekly), or take --all" in call("deploy").output
    assert "Deployed load/nightly (version 1)" in output_of("deploy", "-n", "night*", "-m", "begun")
    nightly = deployments()["load/nightly"]
    assert nightly["parameters"] == {"limit": 5}
    assert {each["slug"] for each in nightly["schedules"]} == {"morning", "default"}
    assert len(json.loads(output_of("deploy", "--all", "-o", "json"))) == 2
    versions = json.loads(output_of("deployment", "versions", "load/nightly", "-o", "json"))
    assert [each["message"] for each in versions] == ["begun"]
    assert "has no deployment 'hourly'. It has nightly, weekly." in str(call("deploy", "-n", "hourly").exception)


def test_what_would_change(project):
    written(project)
    told = output_of("deploy", "--all", "--dry-run")
    assert "+ load/nightly" in told
    assert "2 to make, 0 to change, 0 unchanged" in told
    assert deployments() == {}
    output_of("deploy", "--all")
    assert "0 to make, 0 to change, 2 unchanged" in output_of("deploy", "--all", "--dry-run")

    text = (
        FILE.replace("limit: 5", "limit: 7")
        .replace("0 6 * * *", "0 7 * * *")
        .replace("interval: 900", "interval: 60")
        .replace("limit: 2", "limit: 3")
    )
    written(project, text)
    changes = json.loads(output_of("deploy", "--all", "--dry-run", "-o", "json"))
    by_name = {each["deployment"]: {one["name"]: one for one in each["settings"]} for each in changes}
    assert [each["change"] for each in changes] == ["change", "none"]
    assert by_name["load/nightly"]["parameters.limit"] == {"name": "parameters.limit", "before": "5", "after": "7"}
    assert by_name["load/nightly"]["concurrency_limit"]["after"] == "3"
    assert "0 7" in by_name["load/nightly"]["schedules.morning"]["after"]
    assert "900" in by_name["load/nightly"]["schedules.default"]["before"]
    assert "~ load/nightly" in output_of("deploy", "-n", "nightly", "--dry-run")
    assert "parameters.limit: 5 -> 7" in output_of("deploy", "-n", "nightly", "--dry-run")


def test_an_entrypoint_alone(project):
    assert "+ load/default" in output_of("deploy", "jobs/etl.py:load", "--dry-run")
    output_of("deploy", "jobs/etl.py:load")
    assert "1 unchanged" in output_of("deploy", "jobs/etl.py:load", "--dry-run")
    tried = output_of("deploy", "jobs/etl.py:load", "-p", "limit=3", "--canary", "10", "-m", "Three at once")
    assert "on trial as version 2" in tried
    assert call("deploy", "jobs/etl.py:load", "--all").exit_code == 2
    written(project)
    refused = call("deploy", "--all", "--pool", "gpu")
    assert "--pool goes with an ENTRYPOINT" in refused.output


def test_2_6_an_entrypoint_says_by_options_what_a_file_could(project):
    said = ["--description", "Loads", "--version", "2026.11", "--crash-retries", "2", "--interval", "900"]
    late = ["--anchor", "2026-01-05T06:00:00+01:00", "--slug", "quarters", "--catch-up", "all", "--catch-up-max", "3"]
    command = ("deploy", "jobs/etl.py:load", *said, *late, "--skip-if-late", "60")
    told = json.loads(output_of(*command, "-o", "json"))
    assert (told["description"], told["version"]) == ("Loads", "2026.11")
    (schedule,) = told["schedules"]
    wanted = {"interval": 900.0, "slug": "quarters", "catch_up": "all", "catch_up_max": 3, "skip_if_late": 60.0}
    assert wanted.items() <= schedule.items()
    assert schedule["anchor"].startswith("2026-01-05T05:00:00")
    assert "1 unchanged" in output_of(*command, "--dry-run")
    output_of(*command, "--crash-retries", "3")
    assert "crash_retries: 2 -> 3" in output_of("deployment", "diff", "load/default")
    days = json.loads(output_of("deploy", "jobs/etl.py:clean", "--cron", "0 6 1 * 1", "--day-and", "-o", "json"))
    assert days["schedules"][0]["day_or"] is False
    for options, why in (
        (["--timezone", "Europe/Oslo"], "Give one of --cron, --interval and --rrule"),
        (["--cron", "0 6 * * *", "--interval", "60"], "Give one of --cron, --interval and --rrule"),
        (["--interval", "0"], "An interval is between 1 second and 10 years, not 0 s."),
        (["--interval", "60", "--anchor", "soon"], "There can be no such schedule"),
        (["--cron", "0 6 * *"], "There can be no such schedule"),
    ):
        refused = call("deploy", "jobs/etl.py:load", *options)
        assert (refused.exit_code, why in refused.output) == (2, True), refused.output


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("jobs/etl.py:load", "jobs/etl.py:nothing", "4: deployments[0].entrypoint: jobs/etl.py has no 'nothing'"),
        ("jobs/etl.py:load", "jobs/no.py:load", "4: deployments[0].entrypoint: There is no file jobs/no.py"),
        ("jobs/etl.py:load", "jobs/etl.py:helper", "4: deployments[0].entrypoint: jobs/etl.py:helper is function"),
        ("limit: 5", "limit: many", "5: deployments[0].parameters: "),
        ("limit: 5", "most: 5", "5: deployments[0].parameters: "),
        ("parameters: {limit: 5}", "job_variables: {env: 5}", "5: deployments[0].job_variables: "),
    ],
)
def test_what_does_not_fit_the_code(project, old, new, told):
    written(project, FILE.replace(old, new))
    done = call("deploy", "--all")
    assert isinstance(done.exception, ProjectError)
    assert told in str(done.exception)
    assert deployments() == {}


def test_two_that_are_one_to_the_server(project):
    (project / "other.py").write_text(FLOWS)
    again = '  - {name: nightly, entrypoint: "other.py:load"}\n'
    written(project, FILE + again)
    assert "13: deployments[2]: load/nightly is deployed by line 3 already" in str(call("deploy", "--all").exception)


def test_code_that_stays_in_its_repository(project):
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://git.example/team/all.git"], check=True)
    assert (
        "url: https://git.example/team/all.git" in (output_of("init"), (project / "orchestrator.yaml").read_text())[1]
    )
    git = 'source: {git: {url: "https://git.example/team/all.git", branch: main}}\n'
    (project / "jobs" / "orchestrator.yaml").write_text(
        git + "deployments: [{name: a, entrypoint: 'etl.py:load', work_pool: default}]"
    )
    found = read(project / "jobs" / "orchestrator.yaml")
    (deployment,) = all_described(found, found.deployments)
    told, bundle = placed(deployment)
    assert told["entrypoint"] == "jobs/etl.py:load"
    assert told["source"] == {"type": "git", "url": "https://git.example/team/all.git", "branch": "main"}
    assert bundle is None
