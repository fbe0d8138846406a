"""Debounce: triggers that follow each other closely become one run, which starts when they have gone quiet.

Pure, and shared by every server, so that they agree on windows and on every word about them.
"""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST = 0.1  # seconds
LONGEST = 86_400.0  # seconds, of a window
LONGEST_IN_ALL = 30 * 86_400.0  # seconds, for which triggers may postpone a run
TIMES = 10
MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Debounce:
    """How triggers are gathered.

    Args:
        seconds: For how long none may come before the run starts.
        key: Only triggers of the same deployment and key are gathered.
        longest: Seconds after the first trigger at which the run starts whatever comes; ten times `seconds` by default.
    """

    seconds: float
    key: str = ""
    longest: float | None = None

    @property
    def in_all(self) -> float:
        """Seconds for which the run may be postponed.

        >>> Debounce(30).in_all, Debounce(30, longest=45).in_all
        (300, 45)
        """
        return min(TIMES * self.seconds, LONGEST_IN_ALL) if self.longest is None else self.longest

    def wrong(self) -> dict[str, str]:
        """What of it can't be taken, by the field that says it; nothing, if it can be used.

        >>> Debounce(30, "customer-7").wrong()
        {}
        >>> sorted(Debounce(0, longest=-1).wrong())
        ['debounce', 'debounce_max']
        """
        found = {}
        if not SHORTEST <= self.seconds <= LONGEST:  # NaN neither
            found["debounce"] = f"{SHORTEST} to {LONGEST:,.0f} seconds."
        if not min(self.seconds, LONGEST) <= self.in_all <= LONGEST_IN_ALL:
            found["debounce_max"] = f"As long as the window or longer, {LONGEST_IN_ALL:,.0f} seconds at most."
        if len(self.key) > MAX_KEY or not (self.key.isprintable() or not self.key):
            found["debounce_key"] = f"{MAX_KEY} printable characters at most."
        return found


def debounce_of(
    seconds: float | None, key: str | None, longest: float | None, default: float | None = None
) -> Debounce | None:
    """What the fields of a trigger ask for; None: nothing is gathered. A key without a window is refused by `wrong`.

    Args:
        seconds: 0 for no window, whatever the deployment says.
        default: The deployment's own window, for triggers that say nothing of one.

    >>> debounce_of(None, None, None), debounce_of(5, None, None)
    (None, Debounce(seconds=5, key='', longest=None))
    >>> debounce_of(None, "a", None, default=30), debounce_of(0, None, None, default=30)
    (Debounce(seconds=30, key='a', longest=None), None)
    """
    seconds = default if seconds is None else seconds
    if not seconds and not key and longest is None:
        return None
    return Debounce(seconds if seconds is not None else 0.0, (key or "").strip(), longest)
