"""Words of bulk operations: why a run is left out of one. Shared by every server that answers the API."""

from __future__ import annotations

from typing import Any

OPEN = ("waiting", "running")  # states in which an operation may still do something
MAX_DELAY = 3_600  # seconds
MAX_FILTER = 50  # things that are asked for
MAX_IDS = 1_000  # runs that a filter names
DID = {
    "cancel": "asked to stop",
    "retry": "retried",
    "delete": "deleted",
    "pause": "asked to wait",
    "resume": "resumed",
}
"""What was done to each run, by the kind of the operation."""
FOR_GOOD = "Deleted runs can't be restored: what they told and made goes with them. It can be undone until it begins."
LEFT_OUT = {
    "called": "another run called it: what is done to that one is done to the whole",
    "ended": "it has ended",
    "not_running": "its code does not run",
    "pausing": "it is asked to wait already",
    "paused": "it waits already",
    "not_paused": "it is not paused",
    "asks": "it asks people something: answer it there",
    "reused": "a run that goes on reuses what it stored",
    "cancelling": "it is asked to stop already",
    "not_ended": "it has not ended",
    "by_hand": "nothing is deployed that it could be started from",
    "retried": "it was retried already",
    "restricted": "its deployment is restricted, and not for you",
}
"""Each reason why a run is not hit, by its code."""
REFUSED = {
    "conflict": "its state does not allow it",
    "deleted": "it was deleted in this moment",
    "forbidden": "you may not do this to it",
    "invalid": "its parameters can't be taken any more",
    "limit_reached": "the organization may start no new runs",
    "not_found": "its deployment was deleted in this moment",
}
"""Each refusal of a run whose turn has come, by its code."""


def wrong_in_filter(filter: dict[str, Any]) -> dict[str, str]:
    """What is wrong with a filter, by field: a word without a value would mean all runs where few are meant.

    >>> wrong_in_filter({"state": "FAILED", "deployment": "", "tag": [","]})
    {'filter.deployment': 'It has no value.', 'filter.tag': 'It has no value.'}
    """
    if len(filter) > MAX_FILTER or {"limit", "cursor"} & filter.keys():
        return {"filter": "It has the words of the list of runs, without its page."}
    empty = [name for name, told in filter.items() if not "".join(words_of(told)).strip(" ,")]
    return {f"filter.{name}"[:200]: "It has no value." for name in empty}


def words_of(told: Any) -> list[str]:
    """A value of a filter as the words of a query string.

    >>> words_of(["a", 1]), words_of(False)
    (['a', '1'], ['false'])
    """
    values = told if isinstance(told, list) else [told]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def described(reasons: dict[str, int]) -> list[dict[str, object]]:
    """Counts by reason as the API tells of them, the most frequent first.

    >>> described({"ended": 2})
    [{'reason': 'ended', 'why': 'it has ended', 'runs': 2}]
    """
    told = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    words = LEFT_OUT | REFUSED
    return [{"reason": reason, "why": words.get(reason, reason), "runs": number} for reason, number in told]
