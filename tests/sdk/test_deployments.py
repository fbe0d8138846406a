"""2.1, 2.2: Bundles, deployments, triggering from code."""

import asyncio
import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from orchestrator import deploy, flow, run_deployment, task
from orchestrator.deployments import arun_deployment
from orchestrator.exceptions import BundleError, Invalid, LoadError, NotConfigured, NotFound, ParameterTypeError
from orchestrator.loading import load_flow
from orchestrator.schedules import Cron
from orchestrator.sources import code_of
from orchestrator.states import StateType
from tests import alone
from tests.sdk.conftest import ROOT
from tests.sdk.fake_platform import FakePlatform

nightly = alone.load(Path(__file__).with_name("nightly_flow.py")).nightly
NO_ID = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def platform(monkeypatch):
    fake = FakePlatform()
    monkeypatch.setenv("ORCHESTRATOR_API_URL", fake.url)
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "orc_test")
    yield fake
    fake.close()


@pytest.fixture
def project(tmp_path):
    """A package, a sibling, and things that don't belong into a bundle."""
    root = tmp_path / "project"
    for name, text in {
        "etl/__init__.py": "",
        "etl/flows/__init__.py": "",
        "etl/flows/main.py": """
            from orchestrator import flow
            from etl import steps
            @flow
            def main(x: int):
                import lazy
                return steps.double(x) + lazy.ONE
        """,
        "etl/steps.py": "def double(x):\n    return 2 * x\n",
        "etl/query.sql": "SELECT 1",
        "etl/__pycache__/x.pyc": "",
        "etl/data/big.csv": "1",
        "lazy.py": "ONE = 1\n",
        "other.py": "",
        ".git/config": "",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


def in_project(project, script):
    """Run a script there, and read the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(project)])},
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


BUNDLE = """
    import io, json, zipfile
    from etl.flows.main import main
    from orchestrator.sources import code_of
    code = code_of(main)
    print(json.dumps([code.entrypoint, sorted(zipfile.ZipFile(io.BytesIO(code.bundle)).namelist()), code.sha256]))
"""


def test_a_bundle_holds_the_package_and_what_it_imports(project):
    entrypoint, names, sha256 = in_project(project, BUNDLE)
    assert entrypoint == "etl/flows/main.py:main"
    assert names == [
        "etl/__init__.py",
        "etl/flows/__init__.py",
        "etl/flows/main.py",
        "etl/query.sql",
        "etl/steps.py",
        "lazy.py",
    ]
    (project / "other.py").write_text("changed")
    os.utime(project / "lazy.py", (0, 0))
    assert in_project(project, BUNDLE)[2] == sha256
    (project / "lazy.py").write_text("ONE = 2\n")
    assert in_project(project, BUNDLE)[2] != sha256


def test_a_bundle_runs_elsewhere(project, tmp_path, python):
    script = """
        import base64, json
        from etl.flows.main import main
        from orchestrator.sources import code_of
        print(json.dumps(base64.b64encode(code_of(main).bundle).decode()))
    """
    import base64

    packed = base64.b64decode(in_project(project, script))
    target = tmp_path / "elsewhere"
    zipfile.ZipFile(io.BytesIO(packed)).extractall(target)
    done = python(
        f"""
        from orchestrator.loading import load_flow
        print(load_flow("etl/flows/main.py:main", {str(target)!r})(20))
        """
    )
    assert done.stdout == "41\n"


def test_what_lives_in_main_is_pickled_by_value(project, tmp_path, python):
    (project / "script.py").write_text(
        textwrap.dedent("""
        import base64, sys
        from orchestrator import flow, task
        from orchestrator.sources import code_of
        import lazy
        FACTOR = 3
        @task(retries=1)
        def times(x):
            return x * FACTOR + lazy.ONE
        @flow
        def main(x: int):
            return times.submit(x).result()
        code = code_of(main)
        assert code.entrypoint == "flow.pkl:main" and code.python == "%d.%d" % sys.version_info[:2]
        print(base64.b64encode(code.bundle).decode())
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "script.py"], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    import base64

    target = tmp_path / "elsewhere"
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(done.stdout)))
    assert sorted(archive.namelist()) == ["flow.pkl", "lazy.py", "python-version"]
    archive.extractall(target)
    loaded = python(
        f"""
        from orchestrator.loading import load_flow
        print(load_flow("flow.pkl:main", {str(target)!r})(7))
        """
    )
    assert loaded.stdout == "22\n"
    (target / "python-version").write_text("2.7")
    with pytest.raises(LoadError, match=r"pickled under Python 2\.7"):
        load_flow("flow.pkl:main", target)


def test_what_cannot_be_pickled_says_what_to_do():
    import threading

    lock = threading.Lock()

    @flow
    def holds():
        return lock

    with pytest.raises(BundleError, match="Put it into a module"):
        code_of(holds)


def test_too_much_code_names_the_largest_files(project, monkeypatch):
    (project / "etl" / "model.bin").write_bytes(os.urandom(200_000))
    script = BUNDLE.replace("import io", "import orchestrator.sources as s; s.MAX_BUNDLE = 100_000; import io")
    with pytest.raises(AssertionError, match=r"BundleError.*etl/model\.bin"):
        in_project(project, script)


@pytest.mark.parametrize(
    ("entrypoint", "why"),
    [("gone.py:x", "no file gone.py"), ("lazy.py:two", "has no 'two'"), ("lazy.py:ONE", "is int, not a flow")],
)
def test_entrypoints_that_lead_nowhere(project, entrypoint, why):
    with pytest.raises(LoadError, match=why):
        load_flow(entrypoint, project)
    sys.path.remove(str(project.resolve()))
    sys.modules.pop("lazy", None)


def test_deploy_sends_the_code_once_and_all_settings(platform):
    surroundings = {"env": {"LEVEL": "debug"}, "memory_mib": 512}
    nightly.deploy(
        "prod",
        cron="0 3 * * *",
        parameters={"limit": 5},
        tags=["eu"],
        crash_retries=4,
        process="reuse",
        job_variables=surroundings,
    )
    nightly.deploy("prod", interval=60)
    first, second = platform.deployments
    assert first | {"parameter_schema": None, "source": None, "git": None} == {
        "flow": "nightly",
        "name": "prod",
        "parameter_schema": None,
        "parameters": {"limit": 5},
        "description": "Load a day.",
        "tags": ["eu", "own"],
        "version": "3",
        "work_pool": "default",
        "work_queue": None,
        "schedules": [{"cron": "0 3 * * *", "timezone": "UTC", "day_or": True}],
        "retries": 2,
        "retry_delay": 5.0,
        "crash_retries": 4,
        "concurrency_limit": None,
        "on_limit": "ENQUEUE",
        "concurrency_key": "",
        "key_slots": None,
        "process": "reuse",
        "job_variables": surroundings,
        "debounce": None,
        "entrypoint": first["entrypoint"],
        "source": None,
        "python": None,
        "git": None,
    }
    assert second["schedules"][0]["interval"] == 60
    assert (second["process"], second["job_variables"]) == ("warm", {})
    assert first["source"] == second["source"]
    assert len(platform.bundles) == 1


def test_several_deployments_at_once(platform):
    ids = deploy(
        nightly.to_deployment("a", schedule=Cron("0 1 * * *", "Europe/Berlin")), nightly.to_deployment("b", source=ROOT)
    )
    assert len(ids) == 2
    assert platform.deployments[1]["source"] == {"type": "path", "path": str(ROOT)}
    assert platform.deployments[1]["entrypoint"] == "tests/sdk/nightly_flow.py:nightly"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"process": "hot"}, "'fresh', 'warm', 'reuse', not 'hot'"),
        ({"job_variables": {"env": {"LEVEL": 3}}}, "names to texts"),
        ({"job_variables": {"env": ""}}, "names to texts"),
        ({"job_variables": {"env": {"A=B": "x"}}}, "names to texts"),
        ({"job_variables": {"memory_mib": "much"}}, "16 or more; not 'much'"),
        ({"job_variables": {"memory_mib": 1}}, "16 or more; not 1"),
    ],
)
def test_processes_and_job_variables_are_checked_before_anything_is_sent(platform, options, told):
    with pytest.raises(ValueError, match=told):
        nightly.deploy("prod", **options)
    assert platform.deployments == []


def test_the_command_takes_processes_and_job_variables(platform, project):
    from click.testing import CliRunner

    from orchestrator.cli.deploy import deploy as command

    deployed = platform.deploy
    platform.routes["POST", "/deployments"] = lambda body: (201, {**deployed(body)[1], "id": NO_ID})
    platform.routes["GET", f"/deployments/{NO_ID}"] = lambda body: (
        200,
        {"flow": "main", "name": "default", "number": 1},
    )
    options = ["--process", "fresh", "--env", "LEVEL=debug", "--env", "EMPTY=", "--memory", "256"]
    options += ["--job-variable", "nice=7"]
    done = CliRunner().invoke(command, [f"{project}/etl/flows/main.py:main", *options])
    assert done.exit_code == 0, done.output
    told = platform.deployments[0]
    assert (told["process"], told["job_variables"]) == (
        "fresh",
        {"nice": 7, "env": {"LEVEL": "debug", "EMPTY": ""}, "memory_mib": 256.0},
    )
    assert CliRunner().invoke(command, [f"{project}/etl/flows/main.py:main", "--env", "LEVEL"]).exit_code == 2


def test_what_can_not_be_deployed(platform):
    with pytest.raises(ValueError, match="without '/'"):
        nightly.deploy("a/b")
    with pytest.raises(ParameterTypeError, match="valid integer"):
        nightly.deploy("a", parameters={"limit": "many"})
    assert platform.deployments == []


def test_without_an_api_deploy_says_what_to_do():
    with pytest.raises(NotConfigured, match="orchestrator login"):
        nightly.deploy("prod")


def run_json(state="SCHEDULED", **more):
    return {
        "id": "01a204b9-7af9-769e-80b5-977c2ad055b6",
        "name": "calm-otter",
        "flow": "nightly",
        "deployment": "nightly/prod",
        "state": {"type": state, "name": state.capitalize(), "message": None, "timestamp": "2026-01-01T00:00:00+00:00"},
        "parameters": {},
        "url": "http://portal/runs/1",
        **more,
    }


@pytest.fixture
def triggered(platform):
    """What run_deployment sent; the run completes at the third look."""
    sent = []
    states = iter(["PENDING", "RUNNING"])
    platform.routes["POST", "/flow-runs"] = lambda body: sent.append(json.loads(body)) or (201, run_json())
    path = "/flow-runs/01a204b9-7af9-769e-80b5-977c2ad055b6"
    platform.routes["GET", path] = lambda body: (200, run_json(next(states, "COMPLETED")))
    return sent


def test_run_deployment_waits_for_the_end(triggered):
    run = run_deployment("nightly/prod", {"day": "monday"}, poll_interval=0.01, tags=["x"], flow_run_name="by-hand")
    assert (run.state.type, run.name, run.url) == (StateType.COMPLETED, "calm-otter", "http://portal/runs/1")
    sent = triggered[0]
    assert sent.pop("idempotency_key")
    assert sent == {"deployment": "nightly/prod", "parameters": {"day": "monday"}, "name": "by-hand", "tags": ["x"]}


def test_run_deployment_returns_at_once_with_timeout_0(triggered):
    assert run_deployment("nightly/prod", timeout=0, idempotency_key="k").state.is_scheduled()
    assert triggered[0]["idempotency_key"] == "k"


def test_run_deployment_in_async_code_and_inside_a_flow(triggered, platform):
    from orchestrator import journal

    @task
    async def triggers():
        return await run_deployment("nightly/prod", poll_interval=0.01)

    @flow
    async def main():
        await arun_deployment("nightly/prod", timeout=0, as_subflow=False)
        return (await triggers()).state.name

    assert asyncio.run(main()) == "Completed"
    assert journal.flush(10)
    root = platform.all_entries("run.state")[0]["run"]
    assert "parent" not in triggered[0]
    assert (triggered[1]["parent"], triggered[1]["parent_task"]) == (root, platform.tasks()["triggers-0"]["id"])


def test_a_refused_trigger_names_the_fields(platform):
    error = {"code": "invalid", "message": "The parameters don't fit.", "fields": {"parameters.day": "is required"}}
    platform.routes["POST", "/flow-runs"] = lambda body: (400, {"error": error})
    with pytest.raises(Invalid, match="don't fit") as caught:
        run_deployment("nightly/prod")
    assert caught.value.fields == {"parameters.day": "is required"}
    platform.routes.pop(("POST", "/flow-runs"))
    with pytest.raises(NotFound):
        run_deployment("nightly/gone")
