"""Figures that were measured in several parts: a suite that is measured anew replaces only its own.

All of a benchmark takes an hour of a machine that does nothing else, most of it for Prefect.
"""

import json
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from benchmarks import machine

DIRECTORY = Path(__file__).parent / ".work" / "figures"


class Kept:
    """What each suite told of each product, and where and when: `{product: {suite: (origin, figures)}}`."""

    def __init__(self, name: str, *, on_disk: bool) -> None:
        self._path = DIRECTORY / f"{name}.json" if on_disk else None
        self._told: dict[str, dict[str, tuple[str, dict[str, float]]]] = (
            json.loads(self._path.read_text()) if self._path and self._path.exists() else {}
        )
        self._origin = machine.origin()

    def put(self, product: str, suite: str, figures: dict[str, float]) -> None:
        self._told.setdefault(product, {})[suite] = (self._origin, figures)
        if self._path:
            DIRECTORY.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._told, indent=1))

    def figures(self) -> dict[str, dict[str, float]]:
        """By product, of all its suites."""
        return {
            product: {name: value for _, figures in suites.values() for name, value in figures.items()}
            for product, suites in self._told.items()
        }

    def origins(self) -> list[str]:
        """A line for what one product told in one go."""
        lines = []
        for product, suites in self._told.items():
            by_origin = sorted(((origin, suite) for suite, (origin, _) in suites.items()), key=itemgetter(0))
            for origin, together in groupby(by_origin, key=itemgetter(0)):
                lines.append(f"{product} ({', '.join(suite for _, suite in together)}): {origin}")
        return lines
