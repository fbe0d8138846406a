"""Which transactions of a run may not be decided: those with records.

A storage that can't list or delete (the server, a block of yours) keeps a note of them instead, which is written before
one has its first record, and again when it is decided.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.results import ResultStore

_NOTE = "undecided"
_noting = threading.Lock()


def folders(store: ResultStore, around: str) -> list[str]:
    """The folders of their records, the last one first."""
    if needs_note(store):
        return sorted(_noted(store, around), reverse=True)
    return sorted({each.path.rpartition("/")[0] for each in store.storage.list(around)}, reverse=True)


def needs_note(store: ResultStore) -> bool:
    """True where records can't be found, or can't be removed."""
    from orchestrator.result_storage import ResultStorage

    kind = type(store.storage)
    return kind.list is ResultStorage.list or kind.delete is ResultStorage.delete


def note(store: ResultStore, folder: str, *, is_open: bool) -> None:
    """Write down that a transaction is not decided yet, or is."""
    around = folder.rpartition("/")[0]
    with _noting:
        noted = _noted(store, around)
        store.write(f"{around}/{_NOTE}", sorted(noted | {folder} if is_open else noted - {folder}))


def _noted(store: ResultStore, around: str) -> set[str]:
    from orchestrator.exceptions import MissingResult

    try:
        return set(store.read(f"{around}/{_NOTE}")[0])
    except MissingResult as error:
        if error.__cause__ is not None:
            raise
        return set()


def remove(store: ResultStore, folder: str, paths: list[str]) -> None:
    """Forget the records of one that is decided."""
    if needs_note(store):
        note(store, folder, is_open=False)
    for path in paths:
        with contextlib.suppress(NotImplementedError):  # Without the note it means nothing.
            store.storage.delete(path)
