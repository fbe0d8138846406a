"""Types of work pools: what the agents of a pool start for each run.

`process` is one; packages bring others, as entry points of the group `orchestrator.pool_types`. The name of an entry
point is the type; what it loads is a `PoolType`. Nothing of a plug-in is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator._version import __version__
from orchestrator.exceptions import PoolTypeError
from orchestrator.job_templates import BUILT_IN
from orchestrator.job_templates import PROCESS as PROCESS_TYPE

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from orchestrator.agent.launchers import Launcher, Means

__all__ = ["Installed", "PoolType", "find", "installed"]

GROUP = "orchestrator.pool_types"
"""The group of entry points."""


@dataclass(frozen=True, slots=True)
class PoolType:
    """A type of work pools.

    Attributes:
        type: Its name: small letters, digits and dashes, as the entry point is named.
        description: What its agents start, in one line.
        base_job_template: The template that new pools of this type get, see `docs/work-pools.md`.
        launcher: Makes what starts the runs of an agent. It should import what it needs only when it is called.
    """

    type: str
    description: str
    base_job_template: dict[str, Any]
    launcher: Callable[[Means], Launcher]

    def launcher_of(self, means: Means) -> Launcher:
        """Make the launcher of an agent.

        Raises:
            PoolTypeError: It can't be made.
        """
        try:
            return self.launcher(means)
        except Exception as error:
            raise PoolTypeError(f"The launcher of the pool type {self.type!r} can't be made: {_told(error)}") from error


def _processes(means: Means) -> Launcher:
    from orchestrator.agent.local import ProcessLauncher

    return ProcessLauncher(means)


PROCESS = PoolType(
    PROCESS_TYPE,
    "Processes of the agent's machine, kept warm where that can be.",
    BUILT_IN[PROCESS_TYPE],
    _processes,
)
"""The type that every agent has."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A type that is installed here, whether or not it can be used.

    Attributes:
        type: The name of the type.
        origin: The distributions that bring it, with their versions; more than one is an error.
    """

    type: str
    origin: tuple[str, ...]
    _entries: tuple[EntryPoint, ...] = ()

    def load(self) -> PoolType:
        """Import it.

        Raises:
            PoolTypeError: Several distributions bring it, or it can't be imported, or is no pool type of this name.
        """
        origin, *others = self.origin
        if others:
            raise PoolTypeError(
                f"The pool type {self.type!r} is brought by {' and '.join(self.origin)}. Uninstall all but one of them."
            )
        for entry in self._entries:
            return _loaded(entry, origin)
        return PROCESS


def _loaded(entry: EntryPoint, origin: str) -> PoolType:
    try:
        found = entry.load()
    except Exception as error:  # It is anybody's code.
        raise PoolTypeError(f"The pool type {entry.name!r} of {origin} can't be loaded: {_told(error)}") from error
    if not isinstance(found, PoolType) or found.type != entry.name:
        told = found if isinstance(found, PoolType) else type(found)
        raise PoolTypeError(f"{entry.value} of {origin} should be the PoolType {entry.name!r}, and is {told!r:.200}.")
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def installed() -> list[Installed]:
    """All types that are installed here, by name; none of them is imported.

    >>> [each.type for each in installed() if each.type == "process"]
    ['process']
    """
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        found.setdefault(entry.name, []).append(entry)
    types = [Installed(name, tuple(sorted(map(_origin, own))), tuple(own)) for name, own in found.items()]
    if PROCESS_TYPE not in found:  # A checkout whose metadata was written before there were entry points.
        types.append(Installed(PROCESS_TYPE, (f"orchestrator {__version__}",)))
    return sorted(types, key=lambda each: each.type)


def _origin(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else entry.value


def find(type: str) -> PoolType:
    """The type of this name, imported.

    Raises:
        PoolTypeError: It is not installed here, or can't be used.

    >>> find("process").base_job_template["job_configuration"]
    {'env': '{{ env }}', 'memory_mib': '{{ memory_mib }}'}
    """
    known = installed()
    for each in known:
        if each.type == type:
            return each.load()
    raise PoolTypeError(
        f"The pool type {type!r} is not installed here; there is {', '.join(each.type for each in known)}."
        f" Install the package that brings it (an entry point {type!r} of the group {GROUP}) into this Python"
        " environment, and try again."
    )
