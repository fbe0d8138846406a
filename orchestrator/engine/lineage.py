"""Which task run made a value, so that passing a result on draws an edge without a future.

Nothing is kept alive by this: a value that takes a weak reference (arrays, data frames, objects) is watched by one;
of lists, dicts and sets, which take none, only the last few small ones are remembered.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import Any
from uuid import UUID

_KEPT = 8
_SMALL = 10_000


class Lineage:
    """The makers of the values that are alive in one flow run."""

    __slots__ = ("_recent", "_watched", "assets")

    def __init__(self) -> None:
        self._watched: dict[int, tuple[weakref.ref[Any], UUID]] = {}
        self._recent: OrderedDict[int, tuple[Any, UUID]] = OrderedDict()
        self.assets: dict[UUID, tuple[str, ...]] = {}  # By task run, see `orchestrator.assets`.

    def note(self, value: Any, maker: UUID) -> None:
        """Remember that `maker` made `value`."""
        key = id(value)
        kind = type(value)
        if kind is list or kind is dict or kind is set:
            if len(value) <= _SMALL:
                self._recent[key] = (value, maker)
                if len(self._recent) > _KEPT:
                    self._recent.popitem(last=False)
            return
        watched = self._watched
        try:
            watched[key] = (weakref.ref(value, lambda _: watched.pop(key, None)), maker)
        except TypeError:
            return  # Tuples, numbers and the like: shared constants would draw false edges.

    def maker(self, value: Any) -> UUID | None:
        """The task run that made `value`, if that is known."""
        key = id(value)
        known = self._recent.get(key)
        if known is not None and known[0] is value:
            return known[1]
        watched = self._watched.get(key)
        if watched is not None and watched[0]() is value:
            return watched[1]
        return None
