"""The embedded PostgreSQL: made once by initdb, reached on 127.0.0.1 by TCP with a password."""

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from orchestrator.server.embedded import StackError, binaries, orphans
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.data_directory import prepare_for_server, write_private

HOST = "127.0.0.1"
SUPERUSER = "postgres"
MAX_CONNECTIONS = 120
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path may have 107 bytes, a checkout's path has more
    "max_connections": str(MAX_CONNECTIONS),
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    "io_method": "sync",
    "max_locks_per_transaction": "256",  # one query may touch every partition of a tall table
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
}
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
HIDDEN = ("LOG:  ", "FATAL:  the database system is ")


class Postgres:
    """One cluster in `<data directory>/postgres`. Without `durable` it forgets at a power cut: for tests."""

    def __init__(self, data_dir: Path, port: int, *, durable: bool = True) -> None:
        self.port = port
        self.durable = durable
        self.home = data_dir / "postgres"
        self.cluster = self.home / "cluster"
        self.owner = prepare_for_server(self.home)
        self.programs = binaries.postgres_programs(data_dir)
        self.password = self._password()

    @property
    def admin_url(self) -> str:
        """The address of the superuser's own database."""
        return f"postgresql://{SUPERUSER}:{self.password}@{HOST}:{self.port}/postgres"

    def initialize(self) -> None:
        """Make the cluster beside and rename it, so that a killed initdb leaves nothing that looks like one."""
        if self.cluster.exists():
            return
        half = self.home / "cluster.new"
        shutil.rmtree(half, ignore_errors=True)
        command = [self.programs / "initdb", "-D", half, "-U", SUPERUSER, f"--pwfile={self._password_file}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions", "--lc-messages=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if not self.durable:
            command.append("--no-sync")
        options = self.owner.process_options() if self.owner else {}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=self.home, env=self._environment(), **options
        )
        if done.returncode != 0:
            raise StackError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        half.rename(self.cluster)

    def child(self) -> Child:
        """The server as the supervisor runs it. SIGINT is PostgreSQL's fast shutdown."""
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else FORGETFUL)
        command = [str(self.programs / "postgres"), "-D", str(self.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        return Child(
            name="postgres",
            command=command,
            environment=self._environment,
            prepare=self._forget_dead_postmaster,
            account=self.owner,
            directory=str(self.home),
            stop_signal=signal.SIGINT,
            stop_timeout=20,
            hidden=HIDDEN,
        )

    def ready(self) -> bool:
        """Say whether the server takes connections: recovery after a crash may need some seconds."""
        try:
            psycopg.connect(self.admin_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _forget_dead_postmaster(self) -> None:
        """Remove the pid file of a killed server.

        Its number may be alive again as another process, or forever as a zombie where nobody reaps; PostgreSQL would
        refuse to start. Nobody works in the cluster any more, so nothing can be harmed.
        """
        pid_file = self.cluster / "postmaster.pid"
        if pid_file.exists() and not orphans.works_in(self.cluster):
            pid_file.unlink(missing_ok=True)

    @property
    def _password_file(self) -> Path:
        return self.home / "superuser.password"

    def _password(self) -> str:
        """Written before initdb reads it, so that a start that was cut off can go on."""
        if not self._password_file.exists():
            write_private(self._password_file, secrets.token_hex(24), self.owner)
        return self._password_file.read_text(encoding="utf-8").strip()

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LC_ALL": "C", "TZ": "UTC"}
