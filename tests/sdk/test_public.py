"""What people import: names, weight, types."""

import importlib
import subprocess
import sys

import pytest

import orchestrator
from tests.sdk.conftest import ROOT


def test_all_names_what_is_there():
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name) is not None
    assert set(orchestrator.__all__) - {"__version__"} == set(orchestrator._HOME)
    assert orchestrator.__all__ == sorted(orchestrator.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orchestrator.nothing


def test_modules_are_where_people_look_for_them():
    for path in (
        "futures.as_completed",
        "futures.wait",
        "states.Completed",
        "task_runners.ConcurrentTaskRunner",
        "task_runners.ProcessPoolTaskRunner",
        "task_runners.ThreadPoolTaskRunner",
        "exceptions.MissingContext",
        "runtime.flow_run",
        "variables.Variable",
        "schedules.Cron",
        "deployments.run_deployment",
        "logging.get_run_logger",
        "tasks.exponential_backoff",
        "testing.recorded",
    ):
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(f"orchestrator.{module}"), name)


HEAVY = [
    "asyncio",
    "cloudpickle",
    "ctypes",
    "django",
    "http.client",
    "httpx",
    "json",
    "msgspec",
    "pydantic",
    "rich",
    "socket",
    "ssl",
    "subprocess",
    "tomllib",
    "urllib.request",
    "zstandard",
]


def test_the_import_is_light(python):
    done = python(
        """
        import sys
        from orchestrator import flow, task
        ours = [name for name in sys.modules if name.partition(".")[0] == "orchestrator"]
        assert len(ours) <= 40, ours
        print(*[name for name in sys.argv[1:] if name in sys.modules])
        """,
        *HEAVY,
    )
    assert done.stdout.strip() == ""


def test_a_flow_without_an_api_loads_no_network_library(python):
    done = python(
        """
        import sys
        from orchestrator import flow, task
        @task
        def add(a, b): return a + b
        @flow
        def main(n: int): return [add(n, 1), add.submit(n, 2).result(), add.map([1, 2], 1).result()]
        assert main(1) == [2, 3, [2, 3]]
        print(*[name for name in sys.argv[1:] if name in sys.modules])
        """,
        *HEAVY,
    )
    assert done.stdout.strip() == ""


def test_nothing_is_written_without_an_api(python, home):
    python("from orchestrator import flow\nflow(lambda: 1)()\n")
    assert not home.exists()


TYPED = """
from collections.abc import Callable
from typing import assert_type
from orchestrator import Flow, Task, flow, task
from orchestrator.futures import Future, FutureList
from orchestrator.states import State

@task
def add(a: int, b: int = 1) -> int:
    return a + b

@task(retries=3)
async def fetch(url: str) -> bytes:
    return b""

@flow(name="main")
def main(n: int) -> str:
    assert_type(add(1), int)
    assert_type(add(1, return_state=True), State)
    assert_type(add.submit(1), Future[int])
    assert_type(add.map([1, 2]), FutureList[int])
    assert_type(add.map([1, 2]).result(), list[int])
    assert_type(fetch.submit("x"), Future[bytes])
    return str(n)

async def later() -> None:
    assert_type(await fetch("x"), bytes)

assert_type(main(1), str)
assert_type(main.with_options(retries=2)(1), str)
assert_type(main(1, return_state=True), State)
"""
WRONG = TYPED + '\nmain("x")\n'


@pytest.mark.parametrize(("source", "fine"), [(TYPED, True), (WRONG, False)])
def test_type_checkers_see_the_users_own_signature(tmp_path, source, fine):
    (tmp_path / "typed.py").write_text(source)
    settings = f'{{"extraPaths": ["{ROOT}"], "include": ["typed.py"], "typeCheckingMode": "standard"}}'
    (tmp_path / "pyrightconfig.json").write_text(settings)
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "-p", str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode == 0) is fine, done.stdout
