"""Real Celery workers on the database of this test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.server import environment

SECONDS = 180.0


@contextmanager
def worker(directory: Path, *, queues: str = "work", beat: bool = False, **variables: str) -> Iterator[Any]:
    """A worker process, killed in the end with its children: `beat`, which makes its ticks, is one."""
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "orchestrator.server", "worker", "-Q", queues]
    command += ["-P", "threads", "-c", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    command += ["-B", "-s", str(directory / "beat")] if beat else []
    variables = {**os.environ, "ORCHESTRATOR_DATABASE_LOGIN": "worker", **variables}
    with (directory / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=environment.BASE_DIR, env=variables, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def until(what: str, is_so: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Ask again and again until the answer is true; answer it."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"{what} did not come about within {seconds:.0f} s"
        time.sleep(0.05)
    return answer
