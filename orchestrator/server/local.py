"""What `manage.py up` does: stores, roles, migrations, then the serving processes under one supervisor."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import psycopg
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from orchestrator.server import environment
from orchestrator.server.embedded import StackError, data_directory, ports
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.console import Console
from orchestrator.server.embedded.processes import Stop, Supervisor
from orchestrator.server.embedded.stack import ADDRESS_NAMES, Stack, agent_environment, child_environment

FIRST_PORT = 8000
WORK_THREADS = int(environment.number("WORK_THREADS", 4))
START_SECONDS = 60
MIGRATE_SECONDS = 300
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
CELERY_NOISE = (
    "_warn_or_raise_security_error",
    "SecurityWarning",  # Celery says on five lines that root runs it, which the person at the terminal knows
    "absolutely not recommended!",
    "Please specify a different user using the --uid option.",
    "User information: uid=",
    "worker: Warm shutdown",
    "Requeuing undeliverable message",  # at the end, of what was fetched ahead
)


def up(*, host: str, port: int | None, with_agent: bool, open_browser: bool) -> None:
    """Start everything, say where it is, and look after it until somebody asks to stop."""
    began = time.monotonic()
    _check_assets()
    data_dir = environment.data_dir().absolute()
    data_directory.prepare(data_dir)
    console = Console()
    try:
        with data_directory.lock(data_dir), Supervisor(console) as supervisor:
            chosen = _choose_port(host, port)
            stack = Stack(data_dir, supervisor, _given_addresses())
            stack.start_stores()
            stack.publish(stack.addresses.get("PUBLIC_URL") or f"http://{EVERYWHERE.get(host, host)}:{chosen}")
            _migrate(stack)
            _start_web(stack, host, chosen)
            _start_workers(stack, with_agent)
            console.write(_welcome(stack, time.monotonic() - began, with_agent))
            if open_browser:
                webbrowser.open(stack.addresses["PUBLIC_URL"])
            supervisor.watch()
    except Stop:
        console.write("Stopped.\n")


def _check_assets() -> None:
    """Pages name their files by a manifest; without it every page would answer 500."""
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        raise StackError("The pages' scripts and styles aren't built yet. `make install` builds them.")


def _choose_port(host: str, asked: int | None) -> int:
    if asked is None:
        return ports.next_free(host, FIRST_PORT)
    if not ports.is_free(host, asked):
        raise StackError(f"Port {asked} of {host} is taken. Without --port the next free one is used.")
    return asked


def _given_addresses() -> dict[str, str]:
    return {name: value for name in ADDRESS_NAMES if (value := environment.text(name))}


def _migrate(stack: Stack) -> None:
    """Migrate in a process that logs in as owner, unless the database has every migration already."""
    if not _migrations_missing(stack.addresses["DATABASE_OWNER_URL"]):
        return
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"],
        cwd=environment.BASE_DIR,
        env=dict(child_environment(stack.data_dir, login="owner")()),
        timeout=MIGRATE_SECONDS,
        start_new_session=True,  # Ctrl-C is ours to handle
        check=False,
    )
    if done.returncode != 0:
        raise StackError("The migration failed; its lines above say why.")


def _migrations_missing(owner_url: str) -> bool:
    with psycopg.connect(owner_url, connect_timeout=10) as connection:
        if not connection.execute("SELECT to_regclass('public.django_migrations') IS NOT NULL").fetchone()[0]:
            return True
        applied = set(connection.execute("SELECT app, name FROM django_migrations").fetchall())
    return bool(set(MigrationLoader(None).disk_migrations) - applied)


def _start_web(stack: Stack, host: str, port: int) -> None:
    """Start the web server and wait until it answers: the others' imports would only hold it up."""
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", host, "--port", str(port)]
    web = _server(
        "web", [*command, "--log-level", "warning", "orchestrator.server.asgi:application"], stack, login="web"
    )
    stack.supervisor.add(web)
    url = f"http://{EVERYWHERE.get(host, host)}:{port}"
    stack.supervisor.wait_until(lambda: _serves(web, port) and _answers(url), "The web server", START_SECONDS)


def _start_workers(stack: Stack, with_agent: bool) -> None:
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "orchestrator.server", "worker"]
    celery += ["--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    ticks = ["-Q", "ticks", "-P", "solo", "-n", "ticks@%h", "-B", "-s", str(stack.data_dir / "beat-schedule")]
    work = ["-Q", "work", "-P", "threads", "-c", str(WORK_THREADS), "-n", "work@%h"]
    stack.supervisor.add(_server("ticks", celery + ticks, stack, login="worker"))
    stack.supervisor.add(_server("work", celery + work, stack, login="worker"))
    if with_agent:
        stack.supervisor.add(_agent(stack.data_dir))


def _server(name: str, command: list[str], stack: Stack, *, login: str) -> Child:
    environment_of_child = child_environment(stack.data_dir, login=login)
    directory = str(environment.BASE_DIR)
    return Child(name, command, environment_of_child, directory=directory, hidden=CELERY_NOISE)


def _agent(data_dir: Path) -> Child:
    """The agent of the default pool starts as soon as `bootstrap` has written its key."""
    return Child(
        name="agent",
        command=[sys.executable, "-m", "orchestrator.cli", "agent", "start", "--pool", "default"],
        environment=lambda: agent_environment(data_dir),
        directory=str(environment.BASE_DIR),
    )


def _serves(web: Child, port: int) -> bool:
    """Two stacks that start at once may choose the same port: the other one's answer is not ours."""
    return web.process is not None and ports.listens(web.process.pid, port)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:  # noqa: S310
            return answer.status < 400
    except urllib.error.HTTPError as error:
        return error.code == 404
    except OSError:
        return False


def _welcome(stack: Stack, seconds: float, with_agent: bool) -> str:
    lines = [f"Orchestrator runs: {stack.addresses['PUBLIC_URL']}   (started in {seconds:.1f} s, Ctrl-C stops it)"]
    lines.append(f"Its data is in {stack.data_dir}")
    if with_agent and agent_environment(stack.data_dir) is None:
        lines.append(
            "Nobody is here yet: create an account in the portal, or let `manage.py bootstrap` make one with a key."
        )
    return "\n" + "\n".join(f"  {line}" for line in lines) + "\n\n"
