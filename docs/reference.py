"""`make docs`: write docs/reference.md, every public name of the SDK with its signature and docstring.

The examples in it are those of the docstrings, which the tests run.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "reference.md"

MODULES = (
    "orchestrator",
    "orchestrator.flows",
    "orchestrator.flow_runs",
    "orchestrator.input",
    "orchestrator.tasks",
    "orchestrator.cache_policies",
    "orchestrator.transactions",
    "orchestrator.futures",
    "orchestrator.results",
    "orchestrator.serializers",
    "orchestrator.result_storage",
    "orchestrator.background",
    "orchestrator.task_worker",
    "orchestrator.states",
    "orchestrator.task_runners",
    "orchestrator.context",
    "orchestrator.runtime",
    "orchestrator.logging",
    "orchestrator.annotations",
    "orchestrator.variables",
    "orchestrator.artifacts",
    "orchestrator.assets",
    "orchestrator.events",
    "orchestrator.schedules",
    "orchestrator.concurrency",
    "orchestrator.concurrency.sync",
    "orchestrator.concurrency.asyncio",
    "orchestrator.concurrency.locks",
    "orchestrator.deployments",
    "orchestrator.runner.storage",
    "orchestrator.pool_types",
    "orchestrator.agent.launchers",
    "orchestrator.blocks",
    "orchestrator.testing",
    "orchestrator.exceptions",
)
"""In the order in which a reader needs them. A name is told where it lives, and named where it is exported again."""

_UNSEEN = ("orchestrator.engine", "orchestrator.deployable", "orchestrator.delayable")
SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")

HEAD = """# Reference

Every public name of the SDK, from its docstring (`make docs` writes this file; the examples are run by the tests).
Times are in seconds, sizes in bytes, points in time in UTC, unless it says otherwise.
"""


def text() -> str:
    """The whole document."""
    return "\n".join([HEAD, *(part for name in MODULES for part in module(name))]).rstrip("\n") + "\n"


def module(name: str) -> Iterator[str]:
    """What a module tells, and its names."""
    found = importlib.import_module(name)
    yield f"## {name}\n"
    yield body(inspect.getdoc(found) or "")
    elsewhere = []
    for public in names(found):
        value = getattr(found, public)
        if inspect.ismodule(value) or public.startswith("__"):
            continue
        home = getattr(value, "__module__", name)
        if name == "orchestrator" or (home != name and home in MODULES):
            elsewhere.append(f"`{public}`")
        else:
            yield from described(public, value)
    if elsewhere:
        yield f"Also here, told where they live: {', '.join(elsewhere)}.\n"


def names(found: Any) -> list[str]:
    """The public names of a module, in its own order."""
    if hasattr(found, "__all__"):
        return sorted(found.__all__, key=lambda name: (not name[0].isupper(), name))
    return [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == found.__name__
    ]


def described(name: str, value: Any) -> Iterator[str]:
    """One name: a function, or a class with its methods."""
    yield f"### {name}\n"
    if inspect.isclass(value):
        yield f"```python\nclass {name}{signature(value)}\n```\n"
        yield body(inspect.getdoc(value) or "")
        for method, function in methods(value):
            yield f"#### {name}.{method}\n"
            yield f"```python\n{method}{signature(function)}\n```\n"
            yield body(inspect.getdoc(function) or "")
    elif callable(value):
        yield f"```python\n{name}{signature(value)}\n```\n"
        yield body(inspect.getdoc(value) or "")
    elif " at 0x" not in repr(value):
        yield f"`{value!r}`\n"


def methods(value: type) -> Iterator[tuple[str, Any]]:
    """The public methods that the class defines itself, and what it inherits from classes that nobody sees."""
    seen = set()
    for owner in value.__mro__:
        if owner is not value and not owner.__module__.startswith(_UNSEEN):
            continue
        for name, found in vars(owner).items():
            function = found.__func__ if isinstance(found, classmethod | staticmethod) else found
            if (name.startswith("_") and name != "__call__") or name in seen or not inspect.isfunction(function):
                continue
            seen.add(name)
            told = inspect.getdoc(function) or ""
            if told and "Not for user code" not in told:
                yield name, function


def signature(value: Any) -> str:
    """As it is called; what can't be told is left out."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(…)"
    parameters = [each.replace(annotation=each.empty) for each in found.parameters.values() if each.name != "self"]
    told = str(found.replace(parameters=parameters, return_annotation=found.empty))
    return re.sub(r"<(?:function|object|class) [^>]*>", "…", told)


def body(docstring: str) -> str:
    """A docstring as Markdown: sections are lists, examples are blocks."""
    lines: list[str] = []
    section = example = False
    for line in docstring.splitlines():
        if example and not line.strip():
            lines.append("```")
            example = False
        elif not example and line.lstrip().startswith(">>> "):
            lines += ["", "```pycon"] if lines and lines[-1].strip() else ["```pycon"]
            example = True
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            lines.append(f"**{line.rstrip(':')}**\n")
            section = True
        elif section and re.match(r"    \S", line):
            lines.append(entry(line.strip()))
        else:
            section = section and (not line.strip() or line.startswith(" "))
            lines.append(line)
    if example:
        lines.append("```")
    return "\n".join(lines).rstrip() + "\n"


def entry(line: str) -> str:
    """One item of a section: its names as code."""
    name, colon, rest = line.partition(": ")
    if colon and re.fullmatch(r"[\w*, ]+", name):
        return f"- `{name}`: {rest}"
    return f"- {line}"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
