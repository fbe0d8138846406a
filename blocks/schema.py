"""Block types and data of tenants, checked as `orchestrator.block_data` does; refused in the API's shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from orchestrator import block_data
from orchestrator.block_data import Stored, Taken
from orchestrator.schema import SchemaRefusal
from tenants.errors import Invalid


def check_type(schema: Any) -> None:
    """Refuse what can't be the schema of a block type.

    Raises:
        Invalid: With the reason.
    """
    with _refused():
        block_data.check_type(schema)


def take(schema: Mapping[str, Any], data: Any, before: Stored | None = None) -> Taken:
    """Check new data and take its secrets out.

    Raises:
        Invalid: `fields` maps `data.name.0.inner` to what is wrong there.
    """
    with _refused():
        return block_data.take(schema, data, before)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except SchemaRefusal as refusal:
        # Without its cause, whose message may repeat a value.
        raise Invalid(str(refusal), fields=refusal.fields) from None
