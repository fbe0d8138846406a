"""2.5: How an agent comes by the processes of runs: warm, spare, reused, fresh; and what becomes of them."""

import hashlib
import io
import json
import os
import signal
import zipfile

import pytest

from orchestrator.agent import templates
from tests.sdk.conftest import dead

FLOWS = """
    import ctypes, json, os, random, sys, time
    from pathlib import Path
    from orchestrator import flow, runtime
    IMPORTED_BY = os.getpid()
    seen = []

    def blas_threads():
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].rstrip("\\n") for line in maps if "openblas" in line}
        for library in map(ctypes.CDLL, sorted(paths)):
            for prefix, end in (("scipy_", "64_"), ("", "64_"), ("", "")):
                name = f"{prefix}openblas_get_num_threads{end}"
                if hasattr(library, name):
                    return getattr(library, name)()
        return 0

    @flow
    def tell(path: str, **more):
        seen.append(path)
        facts = {
            "pid": os.getpid(), "parent": os.getppid(), "imported": IMPORTED_BY, "seen": len(seen),
            "random": random.random(), "cwd": os.getcwd(), "key": os.environ.get("ORCHESTRATOR_API_KEY"),
            "level": os.environ.get("LEVEL"), "flags": sys.flags.optimize, "run": str(runtime.flow_run.id),
            "blas_threads": blas_threads(),
        }
        os.chdir("/")
        Path(path).write_text(json.dumps(facts))

    @flow
    def waits(path: str):
        Path(path).write_text(json.dumps({"pid": os.getpid(), "parent": os.getppid()}))
        while not Path(path + ".go").exists():
            time.sleep(0.01)

    @flow
    def exits(path: str):
        Path(path).write_text(json.dumps({"pid": os.getpid()}))
        os._exit(5)

    @flow
    def leaves_a_file_open(path: str):
        global file
        file = open(path, "w")
        file.write("{}")

    @flow
    def grows(path: str):
        kept = []
        while True:
            kept.append(b"x" * (8 << 20))
            time.sleep(0.02)
"""
WITH_THREADS = """
    import threading
    threading.Thread(target=threading.Event().wait, daemon=True).start()
"""


@pytest.fixture
def told(platform, tmp_path, until):
    """Trigger a run and read what it wrote."""
    count = iter(range(10_000))

    def trigger(deployment, read=True, **more):
        path = tmp_path / f"told-{next(count)}"
        run = platform.trigger(deployment, {"path": str(path)}, **more)
        if not read:
            return run, path
        until(lambda: path.exists() and path.read_text())
        until(lambda: platform.run_states(run)[-1:] == ["COMPLETED"])
        return json.loads(path.read_text())

    return trigger


def is_over(platform, run):
    return platform.run_states(run)[-1:] in (["COMPLETED"], ["FAILED"])


# Warm.


def test_warm_runs_are_forked_from_one_import_and_share_nothing_that_they_change(working, code, told):
    working()
    deployment = code("tell", FLOWS)
    first, second, third = (told(deployment) for _ in range(3))
    assert first["imported"] == first["parent"] == second["imported"] == third["parent"]
    assert len({each["pid"] for each in (first, second, third)}) == 3
    assert [each["seen"] for each in (first, second, third)] == [1, 1, 1]
    assert len({each["random"] for each in (first, second, third)}) == 3
    assert {each["cwd"] for each in (first, second, third)} == {deployment["source"]["path"]}
    assert first["key"] is None


def test_runs_that_come_at_once_wait_for_one_import(working, code, told, until, platform):
    working(limit=8)
    deployment = code("tell", FLOWS)
    runs = [told(deployment, read=False) for _ in range(8)]
    until(lambda: all(is_over(platform, run) for run, _ in runs))
    assert len({json.loads(path.read_text())["imported"] for _, path in runs}) == 1


def test_a_bundle_is_kept_warm_by_its_address(working, code, told, platform, tmp_path):
    working()
    path_deployment = code("tell", FLOWS)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(tmp_path / "code" / "flows.py", "flows.py")
    sha256 = hashlib.sha256(packed.getvalue()).hexdigest()
    platform.bundles[sha256] = packed.getvalue()
    deployment = {**path_deployment, "source": {"type": "bundle", "sha256": sha256}}
    assert told(deployment)["imported"] == told(deployment)["imported"] != told(path_deployment)["imported"]


def test_changed_code_is_imported_again(working, code, told, tmp_path):
    working()
    deployment = code("tell", FLOWS)
    first, second = told(deployment), told(deployment)
    code("tell", FLOWS + "\n    CHANGED = True\n")
    third = told(deployment)
    assert first["imported"] == second["imported"] != third["imported"]


def test_job_variables_make_a_template_of_their_own(working, code, told):
    working()
    deployment = code("tell", FLOWS)
    plain = told(deployment)
    debug = told(deployment, job_variables={"env": {"LEVEL": "debug"}})
    assert (plain["level"], debug["level"]) == (None, "debug")
    assert plain["imported"] != debug["imported"]
    at_start = {"env": {"PYTHONOPTIMIZE": "1"}}
    first, second = (told(deployment, job_variables=at_start) for _ in range(2))
    assert (plain["flags"], first["flags"], first["imported"]) == (0, 1, second["imported"])


def test_a_killed_template_is_replaced_and_its_runs_go_on(working, code, told, platform, until):
    working()
    run, path = told(code("waits", FLOWS), read=False)
    until(lambda: path.exists() and path.read_text())
    template = json.loads(path.read_text())["parent"]
    os.kill(template, signal.SIGKILL)
    until(lambda: dead(template))
    other, other_path = told(code("waits"), read=False)
    until(lambda: other_path.exists() and other_path.read_text())
    assert json.loads(other_path.read_text())["parent"] != template
    for each in (path, other_path):
        each.with_name(each.name + ".go").touch()
    until(lambda: is_over(platform, run) and is_over(platform, other))
    assert platform.ended == []


def test_a_run_whose_template_was_killed_is_killed_by_a_cancel(working, code, told, platform, until):
    working()
    run, path = told(code("waits", FLOWS), read=False)
    until(lambda: path.exists() and path.read_text())
    facts = json.loads(path.read_text())
    os.kill(facts["parent"], signal.SIGKILL)
    os.kill(facts["pid"], signal.SIGSTOP)  # It hears nothing.
    platform.cancels.append(run)
    # A stopped process that lost its parent may be woken by the kernel, and then obeys; else it is killed.
    until(lambda: dead(facts["pid"]))


def test_a_killed_base_is_replaced(working, code, told, until):
    agent = working()
    base = agent.launcher.templates.base()
    os.kill(base.pid, signal.SIGKILL)
    until(lambda: base.gone)
    assert told(code("tell", FLOWS))["parent"]
    assert agent.launcher.templates.base().pid != base.pid


@pytest.mark.parametrize("process", ["warm", "fresh", "reuse"])
def test_the_exit_code_of_a_run_is_told(working, code, told, platform, until, process):
    working()
    run, _ = told(code("exits", FLOWS), read=False, process=process)
    ended = until(lambda: platform.ended)[0]
    assert (ended["run"], ended["exit"], ended["reason"]) == (run, 5, "exited")


def test_files_that_a_warm_run_leaves_open_are_written(working, code, told):
    working()
    assert told(code("leaves_a_file_open", FLOWS)) == {}


def test_numpy_can_be_forked_and_has_its_threads_back(working, code, told):
    pytest.importorskip("numpy")
    working()
    deployment = code("tell", "    import numpy, numpy.random\n" + FLOWS)
    first, second = told(deployment), told(deployment)
    assert first["parent"] == second["parent"] == first["imported"]
    assert first["blas_threads"] == len(os.sched_getaffinity(0))


# What is kept warm, and for how long.


def test_no_more_is_kept_warm_than_may_be(working, code, told, until):
    agent = working(templates=2)
    deployment = code("tell", FLOWS)
    levels = [told(deployment, job_variables={"env": {"LEVEL": str(n)}}) for n in range(4)]
    assert agent.launcher.counts() == (2, 0)
    until(lambda: dead(levels[0]["parent"]) and dead(levels[1]["parent"]))
    assert not dead(levels[3]["parent"])


def test_what_is_not_used_is_let_go(working, code, told, until):
    agent = working()
    template = told(code("tell", FLOWS))["parent"]
    agent.settings.template_idle = 0.0
    agent.launcher.tidy()
    assert agent.launcher.counts() == (0, 0)
    until(lambda: dead(template))


def test_templates_keep_to_their_memory_but_for_the_last_one(working, code, told):
    agent = working(template_memory=0)
    deployment = code("tell", FLOWS)
    for level in ("a", "b"):
        told(deployment, job_variables={"env": {"LEVEL": level}})
    agent.launcher.tidy()
    assert agent.launcher.counts() == (1, 0)


def test_many_runs_leave_no_descriptors_and_no_processes(working, code, told, until, platform):
    agent = working(limit=20)
    deployment = code("tell", FLOWS)
    told(deployment)
    until(lambda: not agent.holdings)
    before = len(os.listdir("/proc/self/fd"))
    runs = [told(deployment, read=False)[0] for _ in range(200)]
    until(lambda: all(is_over(platform, run) for run in runs))
    until(lambda: not agent.holdings)
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)  # A connection to the server, kept for the next.
    assert len(agent.launcher.groups()) == 2


def test_nothing_is_left_of_an_agent_that_stopped(working, code, told, until, home):
    agent = working()
    template = told(code("tell", FLOWS))["parent"]
    groups = agent.launcher.groups()
    assert template in groups
    assert list((home / "agents").glob("*/socket"))
    agent.stop()
    until(lambda: all(dead(pid) for pid in groups))
    until(lambda: not list((home / "agents").glob("*/socket")))


# Spares.


def test_imports_that_start_threads_get_a_process_for_each_run(working, code, told, until):
    agent = working()
    deployment = code("tell", FLOWS + WITH_THREADS)
    first = told(deployment)
    until(lambda: agent.launcher.counts() == (0, 1))
    second = told(deployment)
    assert first["pid"] == first["imported"]
    assert second["pid"] == second["imported"] != first["pid"]
    assert {first["seen"], second["seen"]} == {1}


# Reuse.


def test_a_reused_process_takes_run_after_run_and_forgets_whose_they_were(working, code, told, until):
    working()
    deployment = code("tell", FLOWS)
    first, second, third = (told(deployment, process="reuse") for _ in range(3))
    assert first["pid"] == second["pid"] == third["pid"]
    assert [each["seen"] for each in (first, second, third)] == [1, 2, 3]
    assert len({each["run"] for each in (first, second, third)}) == 3
    assert {each["cwd"] for each in (first, second, third)} == {deployment["source"]["path"]}


def test_runs_at_once_are_taken_by_as_many_reused_processes(working, code, told, until, platform):
    working()
    runs = [told(code("waits", FLOWS), read=False, process="reuse") for _ in range(3)]
    until(lambda: all(path.exists() and path.read_text() for _, path in runs))
    assert len({json.loads(path.read_text())["pid"] for _, path in runs}) == 3
    for _, path in runs:
        path.with_name(path.name + ".go").touch()
    until(lambda: all(is_over(platform, run) for run, _ in runs))


def test_a_process_that_was_told_to_stop_is_not_reused(working, code, told, until, platform):
    working()
    run, path = told(code("waits", FLOWS), read=False, process="reuse")
    until(lambda: path.exists() and path.read_text())
    pid = json.loads(path.read_text())["pid"]
    platform.cancels.append(run)
    until(lambda: platform.run_states(run)[-1:] == ["CANCELLED"])
    until(lambda: dead(pid))
    assert platform.ended == []
    assert told(code("tell"), process="reuse")["seen"] == 1


# Fresh.


def test_a_fresh_process_imports_for_itself(working, code, told):
    working()
    deployment = code("tell", FLOWS)
    first, second = (told(deployment, process="fresh", job_variables={"env": {"LEVEL": "x"}}) for _ in range(2))
    assert first["pid"] == first["imported"] != second["imported"]
    assert first["parent"] == os.getpid()
    assert first["level"] == "x"


# When it can't be kept warm.


def test_code_that_fails_to_be_imported_fails_the_run_and_nothing_else(working, code, told, platform, until):
    working()
    run, _ = told(code("tell", "    raise RuntimeError('not today')\n"), read=False)
    until(lambda: platform.run_states(run)[-1:] == ["FAILED"])
    assert "not today" in platform.all_entries("run.state")[-1]["message"]
    assert told(code("tell", FLOWS))["seen"] == 1


def test_an_import_that_hangs_is_given_up_and_the_run_begins_all_the_same(working, code, told, tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "IMPORT_WITHIN", 0.5)
    working()
    flag = tmp_path / "hung"
    hangs_once = f"""
    import pathlib, time
    if not pathlib.Path({str(flag)!r}).exists():
        pathlib.Path({str(flag)!r}).touch()
        time.sleep(600)
    """
    facts = told(code("tell", hangs_once + FLOWS))
    assert facts["pid"] == facts["imported"]


def test_a_run_that_is_cancelled_during_the_import_is_never_started(working, code, told, platform, until, tmp_path):
    working()
    flag = tmp_path / "importing"
    hangs = f"""
    import pathlib, time
    pathlib.Path({str(flag)!r}).touch()
    time.sleep(600)
    """
    run, path = told(code("tell", hangs + FLOWS), read=False)
    until(flag.exists)
    platform.cancels.append(run)
    ended = until(lambda: platform.ended)[0]
    assert (ended["run"], ended["reason"]) == (run, "never_started")
    assert not path.exists()


def test_code_that_asks_the_server_while_it_is_imported_does_so_as_each_run(working, code, told, platform):
    platform.routes["GET", "/variables/x"] = lambda body: (200, {"name": "x", "value": 1})
    working()
    deployment = code("tell", "    from orchestrator import Variable\n    X = Variable.get('x')\n" + FLOWS)
    first, second = told(deployment), told(deployment)
    assert (first["pid"], second["pid"]) == (first["imported"], second["imported"])
    assert "orr_" in {key[:4] for key in platform.keys}


# Memory.


@pytest.mark.parametrize("process", ["warm", "fresh"])
def test_a_run_that_uses_more_memory_than_it_may_is_ended_and_says_so(working, code, told, platform, until, process):
    working()
    run, _ = told(code("grows", FLOWS), read=False, process=process, job_variables={"memory_mib": 128})
    ended = until(lambda: platform.ended)[0]
    assert (ended["run"], ended["exit"], ended["reason"]) == (run, -9, "killed")
    assert "128 MiB of the job variable memory_mib" in ended["message"]
