"""`make stranger`: follow the docs from two other machines, as one who has nothing of this checkout but the wheel.

A developer deploys a flow from a repository with a password; an agent executes it. Each is a user with a home of its
own and an environment in which only the wheel is installed; the agent is in a network of its own as well, out of which
nothing leads but two connections: to the API and to the repository. Needs root, to become these users.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.sdk.repositories import GitServer, commit
from tests.whole_stack import WholeStack

ROOT = Path(__file__).parent.parent
DEVELOPER, AGENT = 47_111, 47_112
PASSWORD = "planted-token-4711"
TIMEOUT = 300
FLOW = """
import os
from orchestrator import flow

@flow(log_prints=True)
def etl(rows: int = 3):
    print(f"user {os.getuid()} of {os.readlink('/proc/self/ns/net')} loads {rows} rows")
"""
DEPLOY = """
from orchestrator import Flow
from orchestrator.blocks import GitCredentials
from orchestrator.runner.storage import GitRepository

GitCredentials(username="ci", token="{password}").save("ours")
source = GitRepository("{url}", "git-credentials/ours", branch="main")
Flow.from_source(source, "flows/etl.py:etl").deploy("prod")
"""


class Machine:
    """A user with a home, and an environment in which the wheel is; within a network."""

    def __init__(self, folder: Path, uid: int, wheel: Path, enter: list[str] | None = None) -> None:
        self.home, self.uid, self._enter = folder / f"home-{uid}", uid, enter or []
        self.home.mkdir(mode=0o700)
        os.chown(self.home, uid, uid)
        self.variables = {"HOME": str(self.home), "PATH": f"{self.home}/venv/bin:/usr/local/bin:/usr/bin:/bin"}
        kept = ("PIP_", "SSL_", "REQUESTS_")  # How libraries are got on this machine; the network isn't the point here.
        self._installs = {name: value for name, value in os.environ.items() if name.startswith(kept)}
        copy = shutil.copy(wheel, self.home)
        self.run(self._python(), "-m", "venv", "venv", outside=True)
        self.run("venv/bin/python", "-m", "pip", "install", "-qq", str(copy), outside=True)

    def _python(self) -> str:
        """One that this user may execute: that of this checkout may lie in somebody's home."""
        for name in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
            tried = self.command(
                name, "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))", outside=True
            )
            if subprocess.run(tried, cwd="/", capture_output=True, timeout=TIMEOUT).returncode == 0:
                return name
        raise RuntimeError("No Python of 3.11 or newer is there for other users: apt-get install python3-venv")

    def command(self, *words: str, outside: bool = False) -> list[str]:
        # `env`, since setpriv itself may still execute what the user may not.
        become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups", "env"]
        return [*([] if outside else self._enter), *become, *words]

    def run(self, *words: str, outside: bool = False) -> str:
        """Run a command to its end; what it says.

        Raises:
            RuntimeError: It failed.
        """
        environment = self.variables | (self._installs if outside else {})
        done = subprocess.run(
            self.command(*words, outside=outside),
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        print(f"$ {' '.join(words)[:200]}\n{done.stdout}", flush=True)
        return done.stdout

    @contextmanager
    def service(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command meanwhile; it is asked to stop in the end."""
        with (self.home / "service.log").open("wb") as log:
            process = subprocess.Popen(
                self.command(*words), cwd=self.home, env=self.variables, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(TIMEOUT)


@contextmanager
def network(folder: Path, ports: list[int]) -> Iterator[list[str]]:
    """A network of its own, where so many ports lead to those here, by sockets in a folder; the words that enter it."""
    for port in ports:
        _relay(_listening(folder / f"{port}.socket"), lambda port=port: socket.create_connection(("127.0.0.1", port)))
    inside = [sys.executable, "-m", "tests.stranger", "--inside", str(folder), *map(str, ports)]
    with subprocess.Popen(["unshare", "--net", *inside], cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield ["nsenter", f"--target={process.pid}", "--net"]
        finally:
            process.terminate()


def _inside(folder: Path, ports: list[int]) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for port in ports:
        listener = socket.create_server(("127.0.0.1", port))
        _relay(listener, lambda port=port: _connected(folder / f"{port}.socket"))
    print("ready", flush=True)
    threading.Event().wait()


def _listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def _relay(listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
    """Hand on what comes to a listener, both ways."""

    def accept() -> None:
        while True:
            near = listener.accept()[0]
            far = connect()
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()


def walk(folder: Path) -> None:
    """What the docs say, in their order."""
    subprocess.run(
        [sys.executable, "-m", "build", "-qq", "--wheel", "--outdir", str(folder / "dist"), str(ROOT)], check=True
    )
    wheel = next((folder / "dist").glob("*.whl"))
    pushed = commit(folder / "repositories" / "flows", flows__etl=FLOW)
    with ExitStack() as stack:
        repositories = GitServer(folder / "repositories", PASSWORD)
        stack.callback(repositories.close)
        platform = stack.enter_context(WholeStack(folder).running("--no-agent"))
        told = platform.bootstrap()
        ports = [int(urlsplit(url).port or 0) for url in (told["api_url"], repositories.url)]
        developer = Machine(folder, DEVELOPER, wheel)
        enter = stack.enter_context(network(folder, ports))
        agent = Machine(folder, AGENT, wheel, enter)
        developer.run("orchestrator", "login", "--url", told["api_url"], "--key", told["api_key"])
        script = DEPLOY.format(password=PASSWORD, url=f"{repositories.url}/flows/.git")
        developer.run("python", "-c", script)
        agent.run("orchestrator", "login", "--url", told["api_url"], "--key", told["api_key"])
        stack.enter_context(agent.service("orchestrator", "agent", "start"))
        said = developer.run("orchestrator", "deployment", "run", "etl/prod", "--param", "rows=5", "--watch")
        check(developer, said, pushed)
        again = commit(folder / "repositories" / "flows", flows__etl=FLOW.replace("loads", "has loaded"))
        check(developer, developer.run("orchestrator", "deployment", "run", "etl/prod", "--watch"), again)
        left = [path for path in agent.home.rglob("*") if path.is_file() and _holds(path)]
        assert not left, f"the token lies in {left}"


def _holds(path: Path) -> bool:
    return PASSWORD.encode() in path.read_bytes()


def check(developer: Machine, said: str, commit: str) -> None:
    """The run was executed by the other user, in the other network, from what had been pushed."""
    runs = developer.run("orchestrator", "flow-run", "ls", "--limit", "1", "-o", "json")
    assert commit in runs or commit[:12] in runs, (commit, runs)
    log = developer.run("orchestrator", "flow-run", "logs", _newest(runs))
    assert f"user {AGENT} of net:" in log, log
    assert os.readlink("/proc/self/ns/net") not in log, log
    assert "COMPLETED" in said.upper(), said


def _newest(runs: str) -> str:
    return str(json.loads(runs)[0]["id"])


def main() -> int:
    """Walk, and say how long it took."""
    if sys.argv[1:2] == ["--inside"]:
        _inside(Path(sys.argv[2]), [int(port) for port in sys.argv[3:]])
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-stranger-"))
    folder.chmod(0o755)
    try:
        walk(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"A stranger came through in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
