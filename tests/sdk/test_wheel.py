"""The wheel: the SDK without the server, installed where nothing else is, and used."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.sdk.conftest import ROOT

TRIES = 3

USE = """
import importlib.util
for absent in ("django", "celery", "orchestrator.server", "runs", "tenants", "blocks"):
    assert importlib.util.find_spec(absent) is None, absent
from orchestrator import flow, task
from orchestrator.journal import flush

@task(retries=1)
def add(a, b):
    return a + b

@flow
def main(n: int, when: "str | None" = None):
    return sum(add.map(range(n), 1).result())

assert main("4") == 10
assert flush(10)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built from a copy, so that no build directory is left in it."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "orchestrator", source / "orchestrator", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("dist")
    attempt([sys.executable, "-m", "build", "--wheel", "--outdir", str(target), str(source)])
    return next(target.glob("*.whl"))


def attempt(command):
    """Run what needs the network: three times at most."""
    for left in range(TRIES, 0, -1):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return
        assert left > 1, done.stdout + done.stderr


def test_the_wheel_holds_the_sdk_and_nothing_of_the_server(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "orchestrator/py.typed" in names
    assert "orchestrator/engine/execute.py" in names
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"orchestrator"}
    assert not [name for name in names if name.startswith("orchestrator/server")]
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    registered = b"[orchestrator.pool_types]\nprocess = orchestrator.pool_types:PROCESS"
    assert registered in zipfile.ZipFile(wheel).read(entry_points)
    assert b"[pytest11]\norchestrator = orchestrator.testing.pytest_plugin" in zipfile.ZipFile(wheel).read(entry_points)


def test_an_installed_wheel_runs_a_flow_that_a_server_hears_of(wheel, server, tmp_path, home):
    environment = tmp_path / "environment"
    attempt([sys.executable, "-m", "venv", str(environment)])
    bin = environment / "bin"
    attempt([str(bin / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)])
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DJANGO_SETTINGS_MODULE")}
    done = subprocess.run([str(bin / "python"), "-c", USE], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert server.run_states() == ["RUNNING", "COMPLETED"]
    assert len(server.tasks()) == 4
    told = subprocess.run([str(bin / "orchestrator"), "--version"], env=clean, capture_output=True, text=True)
    assert told.stdout.startswith("orchestrator, version")
