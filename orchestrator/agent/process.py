"""A fresh Python process for each run.

The run and its token go through an inherited pipe, never the environment or the command line, where others could read
them; the agent's own key is taken out of the environment. The pipe stays open: its end tells the process that the
agent is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

from orchestrator.agent.launchers import Claimed, Ending
from orchestrator.agent.settings import Settings
from orchestrator.config import Api

KEPT_LINES = 50
MAX_LINE = 4_000
_SECRET = ("ORCHESTRATOR_API_KEY", "ORCHESTRATOR_PROFILE")


class ProcessLauncher:
    """Starts `python -m orchestrator.engine.execute`."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api = api
        self._settings = settings

    def launch(self, claimed: Claimed) -> ChildProcess:
        theirs, ours = os.pipe()
        try:
            # -P: a module of the user's that is named like one of the standard library must not hide it from us.
            process = subprocess.Popen(
                [self._settings.python, "-P", "-m", "orchestrator.engine.execute", str(theirs)],
                pass_fds=(theirs,),
                cwd=claimed.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        child = ChildProcess(process, ours, claimed.name, self._settings)
        child.order(
            {
                "claim": claimed.claim,
                "api_url": self._api.url,
                "directory": claimed.directory,
                "grace": self._settings.grace,
            }
        )
        return child

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name not in _SECRET}
        package = str(Path(__file__).resolve().parents[2])
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        if "site-packages" not in package and package not in paths:
            environment["PYTHONPATH"] = os.pathsep.join([*filter(None, paths), package])
        environment["PYTHONUNBUFFERED"] = "1"
        return environment


class ChildProcess:
    """One run's process, in a process group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, name: str, settings: Settings) -> None:
        self._process = process
        self._pipe: int | None = pipe
        self._name = name
        self._grace = settings.grace
        self._repeats = settings.output
        self._lock = threading.Lock()
        self._killer: threading.Timer | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._reader = threading.Thread(target=self._pass_on_output, name=f"output-{name}", daemon=True)
        self._reader.start()

    def order(self, what: dict[str, object]) -> None:
        """Write one line into the pipe. A process that is gone hears nothing."""
        data = json.dumps(what).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            while data and self._pipe is not None:
                data = data[os.write(self._pipe, data) :]

    def signal(self, word: str) -> None:
        """Tell it to stop, and kill it after the grace."""
        self.order({"signal": word})
        self._kill_later()

    def terminate(self) -> None:
        """SIGTERM, then kill after the grace."""
        with contextlib.suppress(OSError):
            self._process.terminate()
        self._kill_later()

    def kill(self) -> None:
        """Kill the process group."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _kill_later(self) -> None:
        with self._lock:
            if self._killer is None:
                self._killer = threading.Timer(self._grace, self.kill)
                self._killer.daemon = True
                self._killer.start()

    def wait(self) -> Ending:
        """Wait for the end; nothing of its process group is left afterwards."""
        code = self._process.wait()
        if self._killer is not None:
            self._killer.cancel()
        self.kill()
        with self._lock:
            if self._pipe is not None:
                os.close(self._pipe)
                self._pipe = None
        self._reader.join(timeout=5.0)
        return Ending(code, list(self._lines))

    def _pass_on_output(self) -> None:
        stream: IO[bytes] | None = self._process.stdout
        assert stream is not None
        with stream:
            while line := stream.readline(MAX_LINE):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                self._lines.append(text)
                if self._repeats:
                    self._repeat(text)

    def _repeat(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"{self._name} | {text}\n")
            sys.stdout.flush()
