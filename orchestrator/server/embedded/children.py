"""One child process of the supervisor: how it starts, how it ends, and that it never outlives us."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.server.embedded import unprivileged
from orchestrator.server.embedded.console import Console

FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
RESTARTS_A_MINUTE = 10
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass
class Child:
    """What the supervisor has to know of one process, and the process itself while it runs."""

    name: str
    command: Sequence[str]
    environment: Callable[[], Mapping[str, str] | None]
    """The variables it starts with. None: it can't start yet, ask again."""
    prepare: Callable[[], None] = lambda: None
    account: unprivileged.Account | None = None
    directory: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10.0
    hidden: tuple[str, ...] = ()
    """Lines with one of these phrases are not shown: they say what a newcomer can't use."""

    process: subprocess.Popen[bytes] | None = None
    next_start: float = 0.0
    ends: deque[float] = field(default_factory=deque)

    def start(self, console: Console) -> bool:
        """Start the process unless it can't start yet."""
        environment = self.environment()
        if environment is None:
            return False
        self.prepare()
        self.process = subprocess.Popen(
            self.command,
            env=dict(environment),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(self.stop_signal),
            **(self.account.process_options() if self.account else {}),
        )
        assert self.process.stdout is not None
        console.follow(self.name, self.process.stdout, self.hidden)
        return True

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def bury(self) -> int:
        """End what is left of a dead child's process group, and say when it may start again. Returns its exit code."""
        assert self.process is not None
        code = self.process.returncode
        self.signal_group(signal.SIGKILL)
        self.process = None
        now = time.monotonic()
        self.ends.append(now)
        while self.ends[0] < now - 60:
            self.ends.popleft()
        self.next_start = now + min(LONGEST_DELAY, FIRST_DELAY * 2 ** (len(self.ends) - 1))
        return code

    @property
    def hopeless(self) -> bool:
        return len(self.ends) > RESTARTS_A_MINUTE

    def ask_to_stop(self) -> None:
        if self.running:
            assert self.process is not None
            self.process.send_signal(self.stop_signal)

    def signal_group(self, number: signal.Signals) -> None:
        """Reach the child's own children too. Each child leads a session of its own, so the group is its pid."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except (ProcessLookupError, PermissionError):
                return


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Let the kernel signal the child when the thread that started it dies, kill -9 included (Linux only).

    It runs in the child after the change of user, which would clear the setting.
    """
    if _libc is None:
        return None
    prctl, parent = _libc.prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel
