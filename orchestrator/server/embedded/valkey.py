"""The embedded Valkey: keeps what it was told (append-only file), never evicts, wants a password."""

import os
import socket
from pathlib import Path

from orchestrator.server.embedded import binaries
from orchestrator.server.embedded.children import Child
from orchestrator.server.embedded.data_directory import prepare_for_server, write_private

HOST = "127.0.0.1"
DATABASES = 64
HIDDEN = ("signal-handler", "ready to exit", "Memory overcommit", "TCP backlog", "Your system is configured")


class Valkey:
    """One server in `<data directory>/valkey`. The password goes by a file: arguments are seen by everybody."""

    def __init__(self, data_dir: Path, port: int, password: str, *, durable: bool = True) -> None:
        self.port = port
        self.password = password
        self.durable = durable
        self.home = data_dir / "valkey"
        self.owner = prepare_for_server(self.home)
        self.program = binaries.valkey_program(data_dir)

    def url(self, database: int = 0) -> str:
        """The address of one of its numbered databases."""
        return f"redis://:{self.password}@{HOST}:{self.port}/{database}"

    def child(self) -> Child:
        """The server as the supervisor runs it."""
        return Child(
            name="valkey",
            command=[str(self.program), str(self._configuration_file)],
            environment=lambda: {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LC_ALL": "C"},
            prepare=self._write_configuration,
            account=self.owner,
            directory=str(self.home),
            hidden=HIDDEN,
        )

    def ready(self) -> bool:
        """Say whether the server answers: it reads its file first."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = connection.recv(256)
                return b"+PONG" in answer or (answer == b"+OK\r\n" and b"+PONG" in connection.recv(256))
        except OSError:
            return False

    def _write_configuration(self) -> None:
        settings = {
            "bind": HOST,
            "port": self.port,
            "requirepass": self.password,
            "databases": DATABASES,
            "maxmemory-policy": "noeviction",
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "save": '""',
            "loglevel": "warning",
            "always-show-logo": "no",
            "set-proc-title": "yes",
        }
        lines = "".join(f"{name} {value}\n" for name, value in settings.items())
        write_private(self._configuration_file, lines, self.owner)

    @property
    def _configuration_file(self) -> Path:
        return self.home / "valkey.conf"
