"""Statistics and their look."""

import statistics
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie, interpolated."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def three_digits(value: float) -> str:
    """As many digits as a measurement on a busy machine is worth.

    >>> three_digits(12345.6), three_digits(12.345), three_digits(0.01234)
    ('12,300', '12.3', '0.0123')
    """
    if value == 0:
        return "0"
    if abs(value) >= 100:
        magnitude = len(str(int(abs(value)))) - 3
        return f"{round(value, -magnitude):,.0f}"
    return f"{value:.3g}"
