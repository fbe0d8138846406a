"""Free TCP ports."""

import socket

import psutil

from orchestrator.server.embedded import StackError

TRIES = 100


def is_free(host: str, port: int) -> bool:
    """Say whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def any_free(host: str = "127.0.0.1", preferred: int | None = None) -> int:
    """The preferred port when it is free, else one that the system chooses."""
    if preferred and is_free(host, preferred):
        return preferred
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def next_free(host: str, first: int) -> int:
    """The first free port from `first` upwards."""
    for port in range(first, min(first + TRIES, 65_536)):
        if is_free(host, port):
            return port
    raise StackError(f"No free port on {host} from {first} to {first + TRIES - 1}. Choose one by --port.")


def accepts(host: str, port: int, timeout: float = 0.5) -> bool:
    """Say whether something listens there."""
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def listens(pid: int, port: int) -> bool:
    """Say whether the process, or one below it, listens on the port."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for each in family
            for connection in each.net_connections(kind="tcp")
        )
    except psutil.Error:
        return False
