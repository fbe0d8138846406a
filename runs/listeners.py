"""Those who wait in this process until they hear a word about what they wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

Found = TypeVar("Found")


class Listeners:
    """Events by the name of what is waited for. All who wait for a name hear each word about it."""

    def __init__(self, listen: Callable[[], None]) -> None:
        self._listen = listen
        self.of_name: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def listening(self, names: Iterable[str]) -> Iterator[asyncio.Event]:
        """An event that is set by a word about any of these. Look after this, not before: a word may come meanwhile."""
        self._listen()
        event, told = asyncio.Event(), set(names)
        for name in told:
            self.of_name[name].add(event)
        try:
            yield event
        finally:
            for name in told:
                self.of_name[name].discard(event)
                if not self.of_name[name]:
                    del self.of_name[name]

    async def wait(self, name: str, look: Callable[[], Awaitable[Found]], *, known: Found, seconds: float) -> Found:
        """What `look` finds: at once if that is not what is known, else when a word comes, or when the time is over."""
        with self.listening([name]) as event:
            if (found := await look()) != known:
                return found
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
            return await look()

    def hear(self, name: str | None) -> None:
        """A word came in; None: some may have been missed."""
        for each in list(self.of_name) if name is None else [name]:
            for event in self.of_name.get(each, ()):
                event.set()
