"""A flow's code on its way to where it runs: packed into a bundle. `loading.py` is the other end.

A bundle is a zip of source files, the same bytes for the same files, addressed by its SHA-256. What has no module of
its own (`__main__`, a notebook, a flow made inside a function) is pickled by value and tied to this Python.
"""

from __future__ import annotations

import ast
import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from orchestrator.engine.definition import Definition
from orchestrator.exceptions import BundleError
from orchestrator.loading import PICKLE, PYTHON

MAX_BUNDLE = 50 << 20
LEFT_OUT = {
    ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", ".data", "data",
    ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", "site-packages", "dist", "build",
}  # fmt: skip
_LEFT_OUT_ENDINGS = (".pyc", ".pyo", ".so", ".egg-info", ".parquet", ".duckdb", ".sqlite3", ".log")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Code:
    """Where a flow is: the entrypoint, and the bundle that it is in, if it is in one."""

    entrypoint: str
    bundle: bytes | None = None
    python: str | None = None

    @property
    def sha256(self) -> str:
        """The bundle's address."""
        return hashlib.sha256(self.bundle or b"").hexdigest()


def code_of(flow: Definition[..., Any], source: str | os.PathLike[str] | None = None) -> Code:
    """Find a flow's code; pack it unless it is to be run from a directory.

    Args:
        source: A directory on the agents' machines.

    Raises:
        BundleError: The code can't be packed.
    """
    module = sys.modules.get(flow.fn.__module__)
    file = _file_of(module)
    name = _name_in(module, flow) if module is not None else None
    if source is not None:
        return Code(_entrypoint_under(Path(source), module, file, name, flow))
    if module is None or file is None or name is None or module.__name__ == "__main__":
        return _pickled(flow, file)
    root = _root_of(module, file)
    files = dict(_files(root, file))
    return Code(f"{file.relative_to(root).as_posix()}:{name}", _zipped(files))


def entrypoint_of(definition: Definition[..., Any]) -> str:
    """Where it would be found below the directory that its module is imported from, as far as that can be told."""
    module = sys.modules.get(definition.fn.__module__)
    file = _file_of(module)
    name = (_name_in(module, definition) if module is not None else None) or definition.fn.__name__
    if module is None or file is None:
        return f"{PICKLE}:{name}"
    root = file.parent if module.__name__ == "__main__" else _root_of(module, file)
    return f"{file.relative_to(root).as_posix()}:{name}"


def entrypoint_in_checkout(flow: Definition[..., Any]) -> str:
    """Where a flow is below the top of the checkout that its file is in.

    Raises:
        BundleError: It is in no file, or in no checkout.
    """
    from orchestrator.checkout import top_of

    module = sys.modules.get(flow.fn.__module__)
    file = _file_of(module)
    top = top_of(file.parent) if file is not None else None
    if module is None or file is None or top is None:
        raise BundleError(f"{flow.name} is in no checkout of git: take it by Flow.from_source(source, entrypoint).")
    name = _name_in(module, flow) or flow.fn.__name__
    return f"{file.relative_to(top.resolve()).as_posix()}:{name}"


def directory_of(flow: Definition[..., Any]) -> Path | None:
    """The directory from which any process can import the flow; None for what is in no file, or has no name there."""
    module = sys.modules.get(flow.fn.__module__)
    file = _file_of(module)
    if module is None or file is None or _name_in(module, flow) is None:
        return None
    return file.parent if module.__name__ == "__main__" else _root_of(module, file)


def _file_of(module: ModuleType | None) -> Path | None:
    found = getattr(module, "__file__", None)
    if not found or not found.endswith(".py"):
        return None
    return Path(found).resolve()


def _name_in(module: ModuleType, flow: Definition[..., Any]) -> str | None:
    """The name under which the module holds this very flow."""
    return next((name for name, value in vars(module).items() if value is flow), None)


def _entrypoint_under(
    source: Path, module: ModuleType | None, file: Path | None, name: str | None, flow: Definition[..., Any]
) -> str:
    if file is None:
        raise BundleError(f"{flow.name} is in no file, so no agent can find it in {source}.")
    name = name or flow.fn.__name__
    if file.is_relative_to(source.resolve()):
        return f"{file.relative_to(source.resolve()).as_posix()}:{name}"
    root = _root_of(module, file) if module is not None and module.__name__ != "__main__" else file.parent
    return f"{file.relative_to(root).as_posix()}:{name}"


def _root_of(module: ModuleType, file: Path) -> Path:
    """The directory that has to be on the path for the module's dotted name to work."""
    depth = module.__name__.count(".") + (1 if file.name == "__init__.py" else 0)
    return file.parents[depth]


# Which files.


def _files(root: Path, entry: Path) -> Iterator[tuple[str, bytes]]:
    """The files that the entry needs, by their names in the bundle: modules of the same tree that it imports."""
    seen: set[Path] = set()
    waiting = [entry, *_packages_around(root, entry)]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        yield path.relative_to(root).as_posix(), path.read_bytes()
        if path.suffix == ".py":
            waiting += [found for found in _imported(root, path) if found not in seen]


def _packages_around(root: Path, path: Path) -> Iterator[Path]:
    """All of the package that a file is in: what it imports late, and the data beside it."""
    relative = path.relative_to(root)
    if len(relative.parts) > 1:
        yield from _tree(root / relative.parts[0])


def _tree(directory: Path) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in LEFT_OUT and not name.endswith(".egg-info"))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.endswith(_LEFT_OUT_ENDINGS) and path.is_file():
                yield path


def _imported(root: Path, path: Path) -> Iterator[Path]:
    """The files of this tree that a module's import statements name."""
    try:
        parsed = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolved(root, alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield from _resolved(root, node.module)


def _resolved(root: Path, dotted: str) -> Iterator[Path]:
    top = dotted.partition(".")[0]
    if top == "orchestrator" or top in sys.stdlib_module_names:
        return
    package = root / top
    if (root / f"{top}.py").is_file():
        yield root / f"{top}.py"
    elif package.is_dir() and top not in LEFT_OUT and ((package / "__init__.py").exists() or any(package.glob("*.py"))):
        yield from _tree(package)


def _zipped(files: dict[str, bytes]) -> bytes:
    """A zip that depends on nothing but names and contents."""
    total = sum(map(len, files.values()))
    if total > 4 * MAX_BUNDLE:
        raise BundleError(_too_large(total, files))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.external_attr = 0o644 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, files[name])
    if packed.tell() > MAX_BUNDLE:
        raise BundleError(_too_large(packed.tell(), files))
    return packed.getvalue()


def _too_large(size: int, files: dict[str, bytes]) -> str:
    largest = sorted(files, key=lambda name: -len(files[name]))[:3]
    return (
        f"The flow's code comes to {size >> 20} MiB, more than the 50 MiB of a bundle. The largest files are "
        f'{", ".join(largest)}. Move data out of the package, or deploy with source="<directory>".'
    )


# By value.


def _pickled(flow: Definition[..., Any], file: Path | None) -> Code:
    import cloudpickle

    try:
        pickled = cloudpickle.dumps(flow)
    except Exception as error:
        raise BundleError(
            f"{flow.name} can't be pickled: {error}. Put it into a module of its own and deploy it from there."
        ) from error
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    files = {PICKLE: pickled, PYTHON: python.encode()}
    if file is not None:
        for found in _imported(file.parent, file):
            files.update(_files(file.parent, found))
    return Code(f"{PICKLE}:{flow.name}", _zipped(files), python)
