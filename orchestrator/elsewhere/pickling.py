"""Values as bytes, for other processes of the same code.

What a module holds goes by its name, tasks and flows too; what has no module that another process could import
(`__main__`, a notebook, a function made in a function) goes by value, by cloudpickle.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import io
import pickle
import sys
from functools import cache
from types import FunctionType
from typing import Any

import cloudpickle

from orchestrator.engine.definition import Definition


def dumps(value: Any) -> bytes:
    """A value as bytes. Raises whatever its parts raise when they are pickled."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """The value again."""
    return pickle.loads(data)  # noqa: S301 - it comes from a process of this very run


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | Definition):
            place = _place(obj)
            if place is not None:
                return _found, place
        elif isinstance(obj, type) and obj.__module__ in sys.modules:
            file = _file_of_unimportable(obj.__module__)
            if file is not None and _at(obj.__module__, obj.__qualname__) is obj:
                return _found, (obj.__module__, obj.__qualname__, file, False)
        return super().reducer_override(obj)


def _place(value: Any) -> tuple[str, str, str | None, bool] | None:
    """Where another process finds it: module, name, the file of a module that can't be imported by its name, and
    whether it is the function behind the task or flow that is found there."""
    function = value.fn if isinstance(value, Definition) else value
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<")
    if module is None or module == "__main__" or "<" in name:
        return None
    found = _at(module, name)
    if found is value:
        file = _file_of_unimportable(module)
        return (module, name, file, False) if file or isinstance(value, Definition) else None
    if isinstance(found, Definition) and found.fn is value:
        return module, name, _file_of_unimportable(module), True
    return None


def _at(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        # Not by getattr alone: a task in a class would be bound by it.
        found = vars(found).get(part) if isinstance(found, type) else getattr(found, part, None)
    return found


@cache
def _file_of_unimportable(module: str) -> str | None:
    """The file of a module that was loaded by its path, as the agent does with `my-flow.py`."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if module == "__main__" or path is None or "." in module or not path.endswith(".py"):
        return None
    spec = importlib.machinery.PathFinder.find_spec(module)
    return None if spec is not None and spec.origin == path else path


def _found(module: str, name: str, file: str | None, behind: bool) -> Any:
    if module not in sys.modules:
        if file is None:
            importlib.import_module(module)
        else:
            from orchestrator.loading import load_by_path

            load_by_path(file)
    found = _at(module, name)
    if found is None:
        raise AttributeError(f"Module {module!r} has no {name!r} in this process.")
    return found.fn if behind else found
