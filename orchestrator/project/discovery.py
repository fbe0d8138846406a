"""The flows of a directory, found without executing a line of it, and a file that deploys them."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.checkout import address_of, branch_of
from orchestrator.sources import LEFT_OUT

MAX_FILES = 5_000
MAX_FILE = 1 << 20  # bytes

_HEAD = """\
# Which deployments this project has. `orchestrator deploy --all` makes the server know them, `--dry-run` says before
# what would change. ${NAME} is a variable of the environment, ${NAME:-text} has a default.
"""
_BUNDLE = """
# The code of each flow is packed and uploaded. It may stay where it is instead:
# source:
#   git:
#     url: %s
#     branch: %s
"""
_MORE = """\
    # parameters:
    #   day: today
    # tags: [nightly]
    # work_pool: default
    # concurrency_limit: 1
    # schedules:
    #   - cron: "0 6 * * mon-fri"
    #     timezone: Europe/Berlin
"""


def flows_in(directory: Path) -> list[str]:
    """The entrypoints of functions decorated with `@flow`, by the names of their files."""
    return [f"{path.relative_to(directory).as_posix()}:{name}" for path in _files(directory) for name in _flows(path)]


def _files(directory: Path) -> Iterator[Path]:
    seen = 0
    for parent, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in LEFT_OUT and not name.startswith("."))
        for name in sorted(names):
            if name.endswith(".py") and seen < MAX_FILES:
                seen += 1
                yield Path(parent, name)


def _flows(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > MAX_FILE:
            return
        parsed = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in parsed.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_is_flow, node.decorator_list)):
            yield node.name


def _is_flow(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(called, ast.Attribute):
        return called.attr == "flow" and isinstance(called.value, ast.Name)
    return isinstance(called, ast.Name) and called.id == "flow"


def new_file(directory: Path) -> tuple[str, list[str]]:
    """The text of a file that deploys each flow of a directory, and their entrypoints."""
    found = flows_in(directory)
    url = address_of(directory) or "https://git.example/team/flows.git"
    text = _HEAD + _BUNDLE % (url, branch_of(directory) or "main") + "\ndeployments:"
    text += "\n" if found else " []\n  # - name: default\n  #   entrypoint: flows/etl.py:etl\n"
    for number, entrypoint in enumerate(found):
        text += f"  - name: default\n    entrypoint: {json.dumps(entrypoint, ensure_ascii=False)}\n"
        text += _MORE if not number else ""
    return text, found
