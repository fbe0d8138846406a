"""The supervisor's promises, with small children."""

import io
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from orchestrator.server.embedded import StackError, children
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor

SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(grandchild.pid, flush=True)
time.sleep(60)
"""
PARENT = """
import os, sys, time
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
child = Child("child", [sys.executable, "-c", "import time; time.sleep(60)"], lambda: os.environ)
child.start(Console(sys.stderr))
print(child.process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def terminal() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def supervisor(terminal: io.StringIO):
    supervisor = Supervisor(Console(terminal))
    yield supervisor
    supervisor.stop_all()


def python(name: str, code: str, **more) -> Child:
    return Child(name, [sys.executable, "-c", code], lambda: os.environ, **more)


def test_output_says_who_wrote_it_and_has_no_colour_in_a_pipe(supervisor: Supervisor, terminal: io.StringIO):
    supervisor.add(python("talker", "print('hello'); print('secret noise')", hidden=("noise",)))
    supervisor.children[0].process.wait(10)
    supervisor.wait_until(lambda: "hello" in terminal.getvalue(), "output", 5)
    assert terminal.getvalue().startswith("talker    │ hello\n")
    assert "noise" not in terminal.getvalue()


def test_a_child_that_dies_is_started_again(supervisor: Supervisor, terminal: io.StringIO):
    supervisor.add(python("sleeper", SLEEPER))
    first = supervisor.children[0].process
    first.kill()
    first.wait(10)
    supervisor.wait_until(
        lambda: supervisor.children[0].running and supervisor.children[0].process is not first, "it", 5
    )
    assert "ended with exit code -9; starting again in 0.2 s" in terminal.getvalue()


def test_delays_grow_to_five_seconds(monkeypatch):
    child = python("short", "pass")
    delays = []
    for _ in range(8):
        child.start(Console(io.StringIO()))
        child.process.wait(10)
        child.bury()
        delays.append(round(child.next_start - time.monotonic(), 1))
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_ten_restarts_within_a_minute_are_enough(supervisor: Supervisor, monkeypatch):
    monkeypatch.setattr(children, "LONGEST_DELAY", 0.0)
    supervisor.add(python("broken", "raise SystemExit(3)"))
    with pytest.raises(StackError, match=r"broken ended again \(exit code 3\) after 10 restarts"):
        supervisor.wait_until(lambda: False, "nothing", 30)
    assert len(supervisor.children[0].ends) == 11


def test_children_stop_in_reverse_order(supervisor: Supervisor, monkeypatch):
    order = []
    monkeypatch.setattr(Supervisor, "_stop", lambda self, child: order.append(child.name) or child.process.kill())
    for name in ("store", "web", "agent"):
        supervisor.add(python(name, SLEEPER))
    started = [child.process for child in supervisor.children]
    supervisor.stop_all()
    for process in started:
        process.wait(10)
    assert order == ["agent", "web", "store"]


def test_who_does_not_stop_is_killed_with_its_own_children(supervisor: Supervisor, terminal: io.StringIO):
    supervisor.add(python("stubborn", STUBBORN, stop_timeout=0.1))
    supervisor.wait_until(lambda: terminal.getvalue().endswith("\n"), "its child", 10)
    grandchild = int(terminal.getvalue().split()[-1])
    supervisor.stop_all()
    assert "didn't stop in time: killed" in terminal.getvalue()
    assert ended(grandchild)


def test_a_child_waits_until_it_can_start(supervisor: Supervisor):
    answers = iter([None, None, os.environ])
    supervisor.add(Child("late", [sys.executable, "-c", SLEEPER], lambda: next(answers)))
    assert not supervisor.children[0].running
    supervisor.wait_until(lambda: supervisor.children[0].running, "late", 5)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal on a parent's death is Linux's")
def test_children_die_with_a_killed_supervisor():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    assert ended(child)


def ended(pid: int) -> bool:
    """Wait until the process is gone, or dead and only waits to be reaped."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
