"""A flow or a task from its entrypoint: imported from a directory, or unpickled where it had no module of its own.

Apart from `sources.py`, since every run's process begins with this.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.exceptions import LoadError
from orchestrator.flows import Flow

if TYPE_CHECKING:
    from orchestrator.tasks import Task

PICKLE = "flow.pkl"
PYTHON = "python-version"


def load_flow(entrypoint: str, directory: str | os.PathLike[str]) -> Flow[..., Any]:
    """Load a flow from a directory.

    Args:
        entrypoint: `path/in/directory.py:name`.

    Raises:
        LoadError: There is no such file or name, it is no flow, or its module raises.
    """
    found = _found(entrypoint, directory)
    if not isinstance(found, Flow):
        raise LoadError(
            f"{entrypoint} is {type(found).__name__}, not a flow. Decorate it with @flow, and deploy again."
        )
    return found


def load(entrypoint: str, directory: str | os.PathLike[str]) -> Flow[..., Any] | Task[..., Any]:
    """Load what was deployed, a flow or a task, from a directory.

    Args:
        entrypoint: `path/in/directory.py:name`.

    Raises:
        LoadError: There is no such file or name, it is neither, or its module raises.
    """
    from orchestrator.tasks import Task

    found = _found(entrypoint, directory)
    if not isinstance(found, Flow | Task):
        raise LoadError(
            f"{entrypoint} is {type(found).__name__}, not a flow and not a task. Decorate it with @flow or @task, and"
            " deploy again."
        )
    return found


def _found(entrypoint: str, directory: str | os.PathLike[str]) -> Any:
    path, _, name = entrypoint.rpartition(":")
    directory = str(Path(directory).resolve())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    return _unpickled(Path(directory, path)) if path == PICKLE else _attribute(directory, path, name)


def load_module(path: str | os.PathLike[str]) -> ModuleType:
    """Load a Python file by its path.

    Raises:
        LoadError: It raises, or is no Python file.
    """
    file = Path(path).resolve()
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    return _module(str(file.parent), file.name)


def _unpickled(path: Path) -> Any:
    import pickle

    written = path.with_name(PYTHON).read_text().strip()
    present = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if written != present:
        raise LoadError(
            f"This flow was pickled under Python {written}; here is {present}. Run an agent under {written}."
        )
    try:
        return pickle.loads(path.read_bytes())  # noqa: S301 - only agents unpickle, only what their workspace deployed
    except Exception as error:
        raise LoadError(f"The pickled flow can't be loaded: {type(error).__name__}: {error}") from error


def _attribute(directory: str, path: str, name: str) -> Any:
    if not Path(directory, path).is_file():
        raise LoadError(f"There is no file {path} in {directory}. Check the entrypoint and deploy again.")
    module = _module(directory, path)
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"{path} has no {name!r}. Check the entrypoint and deploy again.") from None
    return found


def _module(directory: str, path: str) -> ModuleType:
    parts = list(Path(path).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    try:
        if parts and all(part.isidentifier() for part in parts):
            _make_room(directory, parts[0])
            return importlib.import_module(".".join(parts))
        return load_by_path(Path(directory, path))
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"{path} can't be imported: {type(error).__name__}: {error}") from error


def _make_room(directory: str, name: str) -> None:
    """A module of the same name from another directory gives way; who has imported it keeps it."""
    known = [each for each in sys.modules if each == name or each.startswith(f"{name}.")]
    if all(_is_below(directory, sys.modules[each]) for each in known):
        return
    for each in known:
        del sys.modules[each]
    sys.path.remove(directory)
    sys.path.insert(0, directory)


def _is_below(directory: str, module: ModuleType) -> bool:
    """A package without a file of its own has what its modules have."""
    file = getattr(module, "__file__", None)
    return file is None or Path(file).resolve().is_relative_to(directory)


def load_by_path(path: str | os.PathLike[str]) -> ModuleType:
    """Load a file whose name is none that `import` takes."""
    import importlib.util

    path = Path(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
