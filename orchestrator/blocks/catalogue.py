"""The types that ship with Orchestrator, as the server reads them: `python -m orchestrator.blocks.catalogue FILE`."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from orchestrator.blocks.block import Block
from orchestrator.blocks.registry import BUILT_IN, built_in
from orchestrator.blocks.schema import schema_of


def catalogue() -> list[dict[str, Any]]:
    """All types by slug: {slug, name, class, description, icon, schema, methods}."""
    return [_entry(slug) for slug in sorted(BUILT_IN)]


def _entry(slug: str) -> dict[str, Any]:
    cls = built_in(slug)
    return {
        "slug": slug,
        "name": cls.get_block_type_name(),
        "class": cls.__name__,
        "description": cls.get_description(),
        "icon": cls._icon,
        "schema": schema_of(cls),
        "methods": methods_of(cls),
    }


def methods_of(cls: type[Block]) -> list[str]:
    """What blocks of a type can do, beyond what all blocks can. Coroutines that do the same are left out."""
    names = [name for name in dir(cls) if not name.startswith("_") and not hasattr(Block, name)]
    functions = [name for name in names if inspect.isfunction(getattr(cls, name))]
    return [name for name in functions if not (name.startswith("a") and name[1:] in functions)]


def main(path: str) -> None:
    """Write the catalogue."""
    Path(path).write_text(json.dumps(catalogue(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
