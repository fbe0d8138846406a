"""One terminal for many processes: every line says who wrote it."""

import sys
import threading
from typing import BinaryIO, TextIO

WIDTH = 9
LONGEST_LINE = 64 * 1024
COLOURS = ("36", "35", "32", "33", "34", "96", "95", "92")
RESET = "\x1b[0m"


class Console:
    """Writes whole lines under a lock, in colour on a terminal and plain into a pipe."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._coloured = self._stream.isatty()
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}

    def line(self, name: str, text: str) -> None:
        """Write one line behind its writer's name."""
        prefix = f"{name:<{WIDTH}}"
        if self._coloured:
            prefix = f"\x1b[{self._colour(name)}m{prefix}{RESET}"
        self.write(f"{prefix} │ {text}\n")

    def write(self, text: str) -> None:
        """Write as it is. A reader that went away is no reason to stop serving."""
        with self._lock:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                return

    def follow(self, name: str, pipe: BinaryIO, hidden: tuple[str, ...]) -> threading.Thread:
        """Repeat every line of a child's output in a thread of its own, but those with a hidden phrase."""
        thread = threading.Thread(target=self._repeat, args=(name, pipe, hidden), name=f"output of {name}", daemon=True)
        thread.start()
        return thread

    def _repeat(self, name: str, pipe: BinaryIO, hidden: tuple[str, ...]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST_LINE):
                text = line.decode("utf-8", "replace").rstrip()
                if text and not any(phrase in text for phrase in hidden):
                    self.line(name, text)

    def _colour(self, name: str) -> str:
        return self._seen.setdefault(name, COLOURS[len(self._seen) % len(COLOURS)])
