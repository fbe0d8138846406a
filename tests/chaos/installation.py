"""An installation whose every process is in our hands: stores, two web servers, workers, two beats, two agents.

Everything reaches everything through proxies: agents the web servers, servers the stores. What was killed starts again
when its time has come; nothing restarts by itself.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from orchestrator.server import database_roles
from orchestrator.server.embedded import data_directory, ports
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Supervisor
from orchestrator.server.embedded.stack import ADDRESS_NAMES, Stack
from orchestrator.server.environment import BASE_DIR
from tests.chaos.proxy import Network, Proxy
from tests.stack import restore

MARK = "CHAOS_INSTALLATION"  # in the environment of all that we start, so that leaks are found
BIRTH = "CHAOS_BIRTH"  # in it too: which start of which process this comes from
INJECTED = str(Path(__file__).parent / "injected")
START_SECONDS = 300
STORES = ("postgres", "valkey")
SERVERS = ("web-1", "web-2", "work-1", "work-2", "ticks", "beat-1", "beat-2")
AGENTS = ("agent-1", "agent-2")
SHORT = {"LEASE_SECONDS": "8", "TICK_SECONDS": "0.5", "LOST_AFTER_AGENT_SECONDS": "20"}


@dataclass
class Process:
    """One of ours: what it is started as, and what became of it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    start_at: float | None = None  # by the monotonic clock: when it is to be started
    birth: str = ""

    def start(self) -> None:
        """Start it in a session of its own."""
        self.start_at, self.birth = None, f"{self.name} {time.monotonic()}"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=BASE_DIR,
                env={**self.environment, BIRTH: self.birth},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all of its session's group."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM to the process alone, which is what a service manager sends first."""
        if self.running:
            assert self.process is not None
            self.process.terminate()


class Store(Process):
    """An embedded store: it knows best how it is started."""

    def __init__(self, child: Child, console: Console, log: Path) -> None:
        super().__init__(child.name, child.command, {}, log, child.process)
        self._child, self._console = child, console

    def start(self) -> None:
        """Start it as the supervisor would."""
        self.start_at = None
        if self._child.process is not None and self._child.process.poll() is not None:
            self._child.bury()
        self._child.start(self._console)
        self.process = self._child.process

    def signal(self, number: signal.Signals) -> None:
        """PostgreSQL's processes lead groups of their own: a freeze has to reach them one by one."""
        if self.process is None:
            return
        with suppress(psutil.Error):
            family = psutil.Process(self.process.pid)
            others = family.children(recursive=True) if number in (signal.SIGSTOP, signal.SIGCONT) else []
            for each in [family, *others]:
                with suppress(psutil.Error):
                    each.send_signal(number)


@dataclass
class Keys:
    """Who may ask: a person's key, and the agents'."""

    person: str
    agent: str


@dataclass
class Installation:
    """All of it. `start()` first; `heal()` before anything is proved; `stop()` in the end."""

    folder: Path
    postgres_url: str = ""  # of an administrator; empty: an embedded one
    redis_url: str = ""
    small: bool = False  # without the workers of the queue `work`, which runs need not, and with less to do
    dump: Path | None = None  # of a migrated database, instead of migrations
    processes: dict[str, Process] = field(default_factory=dict)
    proxies: dict[str, Proxy] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    log: Callable[[str], None] = print
    keys: Keys = field(default_factory=lambda: Keys("", ""))
    database_url: str = ""  # of an administrator, past the proxy: for proofs
    peak: dict[str, tuple[int, int]] = field(default_factory=dict)  # memory (bytes) and descriptors by process
    _supervisor: Supervisor | None = None
    _lock: Any = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None
    died: list[str] = field(default_factory=list)  # processes that ended though nobody killed them

    # Start.

    def start(self) -> None:
        """Bring everything up, and wait until both agents can work."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        addresses = self._start_stores()
        web_ports = self._web_ports = [ports.any_free(), ports.any_free()]
        self.proxies["web"] = self.network.proxy("web", [("127.0.0.1", port) for port in web_ports])
        addresses["PUBLIC_URL"] = f"http://127.0.0.1:{self.proxies['web'].port}"
        self._addresses = addresses
        if self.dump is None:
            self._manage("migrate", "--verbosity", "0", login="owner")
        else:
            restore(self.dump, self.data, self.database_url)
        self._bootstrap()
        self._add_servers(web_ports)
        self._add_agents()
        for name in (*SERVERS, *AGENTS):
            if name in self.processes:
                self.processes[name].start()
        self._wait_until_served()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def api_url(self) -> str:
        """Where the agents, and we, ask: through the proxy."""
        return f"http://127.0.0.1:{self.proxies['web'].port}/api/v1"

    def home(self, agent: str) -> Path:
        """Where an agent and its flows keep their journals."""
        return self.folder / f"home-{agent}"

    def clock(self, name: str) -> Path:
        """The file by which the clock of a process is moved."""
        return self.folder / f"clock-{name}"

    def full_disk(self, agent: str) -> Path:
        """The file that makes the disk of an agent's journals full."""
        return self.folder / f"full-{agent}"

    def _start_stores(self) -> dict[str, str]:
        data_directory.prepare(self.data)
        given = self._prepare_given_database() if self.postgres_url else {}
        if self.redis_url:
            given["REDIS_URL"] = self.redis_url
        self._stores_log = (self.logs / "stores.log").open("w")
        console = Console(self._stores_log)
        self._lock = data_directory.lock(self.data)
        self._lock.__enter__()
        self._supervisor = Supervisor(console)
        stack = Stack(self.data, self._supervisor, dict(given))
        stack.start_stores()
        for child in self._supervisor.children:
            self.processes[child.name] = Store(child, console, self.logs / "stores.log")
        if stack.postgres is not None:
            self.database_url = urlsplit(stack.postgres.admin_url)._replace(path="/orchestrator").geturl()
        return self._behind_proxies(stack.addresses)

    def _prepare_given_database(self) -> dict[str, str]:
        name = f"chaos_{secrets.token_hex(4)}"
        prepared = database_roles.prepare(admin_url=self.postgres_url, database=name, new_passwords=True)
        self.database_url = urlsplit(self.postgres_url)._replace(path=f"/{name}").geturl()
        return prepared.urls

    def _behind_proxies(self, addresses: Mapping[str, str]) -> dict[str, str]:
        changed = dict(addresses)
        stores = {"postgres": [n for n in ADDRESS_NAMES if n.startswith("DATABASE")], "redis": ["REDIS_URL"]}
        for store, names in stores.items():
            url = urlsplit(addresses[names[0]])
            target = (url.hostname or "127.0.0.1", url.port or {"postgres": 5432, "redis": 6379}[store])
            proxy = self.proxies[store] = self.network.proxy(store, [target])
            for name in names:
                changed[name] = _at_port(addresses[name], proxy.port)
        return changed

    def _environment(self, **more: str) -> dict[str, str]:
        ours = {*ADDRESS_NAMES, "ORCHESTRATOR_DATA_DIR", "ORCHESTRATOR_DATABASE_LOGIN", "DJANGO_SETTINGS_MODULE"}
        rest = {name: value for name, value in os.environ.items() if name not in ours}
        return {**rest, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(BASE_DIR), MARK: str(self.folder), **more}

    def _server_environment(self, login: str, **more: str) -> dict[str, str]:
        own = {
            **self._addresses,
            **SHORT,
            "ORCHESTRATOR_DATA_DIR": str(self.data),
            "ORCHESTRATOR_DATABASE_LOGIN": login,
            "DJANGO_SETTINGS_MODULE": "orchestrator.server.settings",
        }
        return self._environment(**{**own, **more})

    def _manage(self, *arguments: str, login: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self._server_environment(login),
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _bootstrap(self) -> None:
        names = ["--email", "alice@example.com", "--organization", "Acme", "--workspace", "Main", "--json"]
        person = json.loads(self._manage("bootstrap", *names, login="worker"))["api_key"]
        agent = json.loads((self.data / "agent.json").read_text())["api_key"]
        self.keys = Keys(person, agent)

    def _add_servers(self, web_ports: Sequence[int]) -> None:
        celery = [sys.executable, "-m", "celery", "--quiet", "-A", "orchestrator.server"]
        worker = [*celery, "worker", "--loglevel", "WARNING"]
        worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        for number, port in enumerate(web_ports, 1):
            command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1"]
            command += ["--port", str(port), "--log-level", "warning", "orchestrator.server.asgi:application"]
            self._add(f"web-{number}", command, self._server_environment("web", **self._injected(f"web-{number}")))
            if not self.small:
                work = [*worker, "-Q", "work", "-P", "threads", "-c", "2", "-n", f"work{number}@%h"]
                self._add(f"work-{number}", work, self._server_environment("worker"))
            beat = [*celery, "beat", "--loglevel", "WARNING", "-s", str(self.folder / f"beat-{number}")]
            self._add(f"beat-{number}", [*beat, "--pidfile="], self._server_environment("worker"))
        ticks = [*worker, "-Q", "ticks", "-P", "solo", "-n", "ticks@%h"]
        self._add("ticks", ticks, self._server_environment("worker"))

    def _add_agents(self) -> None:
        for name in AGENTS:
            own = {
                "ORCHESTRATOR_API_URL": self.api_url,
                "ORCHESTRATOR_API_KEY": self.keys.agent,
                "ORCHESTRATOR_HOME": str(self.home(name)),
                "ORCHESTRATOR_AGENT_GRACE_SECONDS": "2",
                "ORCHESTRATOR_AGENT_DRAIN_SECONDS": "3",
                "ORCHESTRATOR_EXIT_SECONDS": "3",
                **self._injected(name),
                "CHAOS_DISK": str(self.full_disk(name)),
                "CHAOS_FOLDER": str(self.home(name) / "journals"),
            }
            command = [sys.executable, "-m", "orchestrator.cli", "agent", "start", "--name", name, "--limit", "5"]
            self._add(name, command, self._environment(**own))

    def _injected(self, name: str) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join([INJECTED, str(BASE_DIR)]), "CHAOS_CLOCK": str(self.clock(name))}

    def _add(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.processes[name] = Process(name, command, environment, self.logs / f"{name}.log")

    def _wait_until_served(self) -> None:
        """Until both web servers answer, and reach both stores."""
        deadline = time.monotonic() + START_SECONDS
        for port in self._web_ports:
            while not _answers(port):
                assert time.monotonic() < deadline, f"no web server at {port}: see {self.logs}"
                time.sleep(0.05)

    # While it is up.

    def _keep(self) -> None:
        """Start what is to be started, note what ended by itself, and how large everything grew."""
        while not self._ended.wait(0.1):
            for process in self.processes.values():
                self._look_after(process)

    def _look_after(self, process: Process) -> None:
        now = time.monotonic()
        if process.running:
            self._measure(process)
        elif process.start_at is None:
            assert process.process is not None
            self.log(f"{process.name} ended by itself, exit code {process.process.returncode}")
            self.died.append(f"{process.name}: exit code {process.process.returncode}")
            process.start_at = now + 1.0
        elif process.start_at <= now:
            process.start()
            self.log(f"{process.name} starts")

    def _measure(self, process: Process) -> None:
        assert process.process is not None
        with suppress(psutil.Error):
            family = psutil.Process(process.process.pid)
            members = [family, *(family.children() if process.name.startswith("web") else [])]
            memory = sum(each.memory_info().rss for each in members)
            open_files = sum(each.num_fds() for each in members)
            before = self.peak.get(process.name, (0, 0))
            self.peak[process.name] = (max(before[0], memory), max(before[1], open_files))

    def kill(self, name: str, pause: float) -> None:
        """Kill -9, with all that it started in its group; it starts again after a pause.

        What is frozen goes on first: PostgreSQL's other processes end when they see that the first one is gone, and as
        long as one of them stands still, its shared memory is in use and it can't start again.
        """
        process = self.processes[name]
        process.start_at = time.monotonic() + pause
        process.signal(signal.SIGCONT)
        process.signal(signal.SIGKILL)

    def stop_for(self, name: str, pause: float) -> None:
        """Ask it to stop, as a service manager would; it starts again when it has ended and the pause is over."""
        process = self.processes[name]
        process.start_at = time.monotonic() + pause
        process.ask_to_stop()

    def freeze(self, name: str) -> None:
        """Let it be for a while neither dead nor alive."""
        self.processes[name].signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let it go on."""
        self.processes[name].signal(signal.SIGCONT)

    def flow_processes(self) -> list[psutil.Process]:
        """What executes flows, or stands by to do so: below the agents, or left by them."""
        return [each for each in self.marked() if _executes(each)]

    def orphans(self) -> list[psutil.Process]:
        """Those of them that were started by agents which are no more."""
        living = {self.processes[name].birth for name in AGENTS if self.processes[name].running}
        return [each for each in self.flow_processes() if _variable(each, BIRTH) not in living]

    def marked(self) -> list[psutil.Process]:
        """Every living process that carries our mark in its environment."""
        return [each for each in psutil.process_iter() if _variable(each, MARK) == str(self.folder)]

    # The end.

    def heal(self) -> None:
        """Good weather, right clocks, room on the disks, everybody awake and up."""
        for proxy in self.proxies.values():
            self.network.call(lambda proxy=proxy: proxy.clear_up())
        for name in (*AGENTS, "web-1", "web-2"):
            self.clock(name).unlink(missing_ok=True)
        for agent in AGENTS:
            self.full_disk(agent).unlink(missing_ok=True)
        for name, process in self.processes.items():
            self.thaw(name)
            if process.start_at is not None:
                process.start_at = time.monotonic()
        self._wait_until_served()

    def stop(self) -> list[str]:
        """Stop all but the stores; what is left of processes afterwards."""
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join(10)
        ours = [self.processes[name] for name in (*AGENTS, *SERVERS) if name in self.processes]
        for process in ours:
            process.signal(signal.SIGCONT)
            process.ask_to_stop()
        deadline = time.monotonic() + 20
        for process in ours:
            if process.process is not None:
                with suppress(subprocess.TimeoutExpired):
                    process.process.wait(max(0.1, deadline - time.monotonic()))
        unstopped = [process for process in ours if process.running]
        for process in unstopped:
            process.signal(signal.SIGKILL)
        # Granian that is asked to stop while it starts forgets that, and is deaf to it from then on.
        self.died += [f"{process.name}: didn't stop when it was asked to" for process in unstopped]
        psutil.wait_procs(self.marked(), timeout=3)
        deaf = [f"{process.name} didn't stop" for process in unstopped if not process.name.startswith("web")]
        return deaf + [f"{each.pid}: {' '.join(_words(each))}" for each in self.marked()]

    def stop_stores(self) -> None:
        """Stop the rest."""
        for each in self.marked():
            with suppress(psutil.Error):
                each.kill()
        if self._supervisor is not None:
            self._supervisor.stop_all()
            self._stores_log.close()
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
        self.network.close()


def _at_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    who = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{who}@127.0.0.1:{port}" if who else f"127.0.0.1:{port}").geturl()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _variable(process: psutil.Process, name: str) -> str | None:
    """Of the environment that it, or whom it was forked from, was started with. The dead have none."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(name)
    except (psutil.Error, OSError):
        return None


def _executes(process: psutil.Process) -> bool:
    words = " ".join(_words(process))
    return "orchestrator.engine" in words


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
