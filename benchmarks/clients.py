"""A user process under measurement, asked line by line; its program is `programs/client.py`."""

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import end, last_lines


class Client:
    """Use it as a context manager: the process starts at the first line, and is gone after the last."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str], log: Path) -> None:
        self._command = [str(word) for word in command]
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Client":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._log.parent,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            end(process)
        process.stdout.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def ask(self, do: str, timeout: float, **arguments: object) -> Any:
        """Have it do something; its answer.

        Raises:
            RuntimeError: The process ended instead, or took too long; with the end of its log.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._line(time.monotonic() + timeout)
        if not line.endswith(b"\n"):
            raise RuntimeError(f"No answer to {do!r} within {timeout:.0f} s. {last_lines(self._log)}")
        return json.loads(line)

    def _line(self, deadline: float) -> bytes:
        """One line, or what came of it."""
        assert self._process is not None
        assert self._process.stdout is not None
        pipe, read = self._process.stdout.fileno(), b""
        while not read.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                break
            piece = os.read(pipe, 1 << 16)
            if not piece:
                break
            read += piece
        return read
