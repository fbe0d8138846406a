"""Secrets are masked in whatever a run tells: log lines, messages, tracebacks, names, parameters.

`hide()` is called with the secrets of each block that is made or loaded. From then on `mask()` replaces them by
`********`, also where they are written in base64 (both alphabets, at any alignment), percent-encoded, with the escapes
of JSON, Python or HTML, or in a mixture of these. One pattern looks for all of them; while nothing is hidden, masking
costs a comparison.

What is not found: a secret shorter than six characters, one that is cut in two by two calls, and other encodings, such
as a hash or a compressed body.
"""

from __future__ import annotations

import functools
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MASK = "********"
SHORTEST = 6  # characters; shorter ones would make logs unreadable and protect nothing
SHORTEST_LINE = 12  # of a secret of several lines
LONGEST = 1_000  # characters that the pattern takes; longer secrets are looked for in pieces
MOST = 500  # pieces of secrets; the oldest are forgotten

_hidden: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None
_is_stale = False
_lock = threading.Lock()


def hide(secrets: Iterable[str]) -> None:
    """Mask these from now on, in all that this process tells."""
    global _is_stale, _pattern
    new = [piece for secret in secrets for piece in _pieces(secret) if piece not in _hidden]
    if not new:
        return
    with _lock:
        _hidden.update(dict.fromkeys(new))
        for oldest in list(_hidden)[:-MOST]:
            del _hidden[oldest]
        _is_stale, _pattern = True, _pattern or _NOTHING  # Built when something is told: blocks come in flocks.


def hidden() -> list[str]:
    """What is masked here, for a process that shall mask the same."""
    return list(_hidden)


def mask(text: str) -> str:
    """The text without what is hidden.

    >>> hide(["tr0ub4dor&3"])
    >>> mask("https://me:tr0ub4dor%263@db.example refused tr0ub4dor&3")
    'https://me:********@db.example refused ********'
    """
    if _pattern is None:
        return text
    if _is_stale:
        _build()
    return _pattern.sub(MASK, text)


def mask_json(value: Any) -> Any:
    """A JSON value without what is hidden, in its keys too."""
    return value if _pattern is None else _masked(value)


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(key) if isinstance(key, str) else key: _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MASK if str(value) in _hidden else value
    return value


def guard(stream: Any) -> None:
    """Mask what is written to a text stream from now on. For the output of a process that an agent reads.

    Under the text layer, so that it holds for loggers which were given the stream before, and for bytes.
    """
    layer = getattr(stream, "buffer", None)
    if layer is None or hasattr(layer, "_orchestrator_write"):
        return
    layer._orchestrator_write = layer.write
    layer.write = functools.partial(_write_masked, layer._orchestrator_write)


def _write_masked(write: Callable[[Any], int], data: Any) -> int:
    if _pattern is None:
        return write(data)
    text = bytes(data).decode("utf-8", "surrogateescape")
    masked = mask(text)
    if masked == text:
        return write(data)
    rest = memoryview(masked.encode("utf-8", "surrogateescape"))
    while rest:  # A stream without a buffer may take less than it was given.
        rest = rest[write(rest) or len(rest) :]
    return len(data)


def forget() -> None:
    """Hide nothing any more. For tests."""
    global _is_stale, _pattern
    with _lock:
        _hidden.clear()
        _is_stale, _pattern = False, None


def _pieces(secret: str) -> list[str]:
    """What is looked for: the secret, each long line of it, and pieces of it when it is very long."""
    whole = secret.strip()
    if len(whole) < SHORTEST:
        return []
    found = [whole[start : start + LONGEST] for start in range(0, len(whole), LONGEST)]
    if len(found) > 1 and len(found[-1]) < SHORTEST:
        found[-1] = whole[-LONGEST:]
    lines = [line.strip() for line in whole.splitlines()]
    if len(lines) > 1:
        found += [line[:LONGEST] for line in lines if len(line) >= SHORTEST_LINE]
    return found


# The pattern.

_NOTHING = re.compile(r"(?!)")


def _build() -> None:
    """One alternative for each way to write a secret, the longest first, by their first character."""
    global _is_stale, _pattern
    with _lock:
        if not _is_stale:
            return
        branches: dict[str, list[str]] = {}
        for secret in sorted(_hidden, key=len, reverse=True):
            for first, rest in _written(secret):
                branches.setdefault(first, []).append(rest)
        # Where each alternative begins with a plain character, the search skips all others at the speed of C.
        grouped = [f"{first}(?:{'|'.join(dict.fromkeys(rests))})" for first, rests in branches.items()]
        _pattern = re.compile("|".join(grouped) or _NOTHING.pattern, re.DOTALL)
        _is_stale = False


@functools.lru_cache(maxsize=MOST)
def _written(secret: str) -> list[tuple[str, str]]:
    return [*_spelled(secret), *_in_base64(secret)]


def _spelled(secret: str) -> list[tuple[str, str]]:
    """A secret with each character as it is, or escaped in any way, as (first character, pattern of the rest)."""
    tokens = _tokens(secret)
    rest = "".join(_any_of(spellings) for spellings in tokens[1:])
    return [(first, tail + rest) for first, tail in tokens[0]]


Spelling = tuple[str, str]
"""A pattern: its first character, escaped, and what follows."""

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
_SHORT_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
# Bounded: a text of backslashes alone must not make the search quadratic.
_SOME_BACKSLASHES = r"\\{1,8}"
_AGAIN = r"(?:25){0,4}"  # encoded several times: %2525…


def _tokens(secret: str) -> list[list[Spelling]]:
    """The spellings of each character. A row of backslashes is one, however often it was doubled."""
    tokens: list[list[Spelling]] = []
    for part in re.findall(r"\\+|.", secret, re.DOTALL):
        if part[0] == "\\":
            tokens.append(
                [(r"\\", rf"\\{{{len(part) - 1},{len(part) * 8}}}+"), ("%", rf"{_AGAIN}5[Cc](?:%{_AGAIN}5[Cc])*")]
            )
        else:
            tokens.append(_spellings(part))
    return tokens


def _spellings(char: str) -> list[Spelling]:
    if char in _SAFE:  # Nobody escapes it.
        return [(re.escape(char), "")]
    found = [(re.escape(char), ""), _percent(char)]
    escapes = [re.escape(_SHORT_ESCAPES[char])] if char in _SHORT_ESCAPES else []
    if ord(char) < 128:
        escapes += [re.escape(char)] if char not in _SHORT_ESCAPES else []
    escapes += _numbered(char)
    found.append((r"\\", rf"\\{{0,7}}(?:{'|'.join(escapes)})"))
    if char == " ":
        found += [(r"\+", ""), ("%", f"{_AGAIN}2[Bb]")]
    names = [f"#0*{ord(char)}", f"#[xX]0*{_hex(f'{ord(char):x}')}"]
    names += [_ENTITIES[char]] if char in _ENTITIES else []
    found.append(("&", f"(?:{'|'.join(names)});"))
    return found


def _percent(char: str) -> Spelling:
    encoded = [_hex(f"{byte:02x}") for byte in char.encode("utf-8", "surrogateescape")]
    return "%", _AGAIN + f"%{_AGAIN}".join(encoded)


def _numbered(char: str) -> list[str]:
    """What follows the backslash in `\\u00e9`, `\\xe9`, `\\U0001f600`, and in bytes `\\xc3\\xa9`."""
    code = ord(char)
    units = char.encode("utf-16-be", "surrogatepass")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    found = [_SOME_BACKSLASHES.join(f"u{_hex(pair)}" for pair in pairs)]
    if code < 256:
        found.append(f"x{_hex(f'{code:02x}')}")
    if code > 127:
        found.append(
            _SOME_BACKSLASHES.join(f"x{_hex(f'{byte:02x}')}" for byte in char.encode("utf-8", "surrogateescape"))
        )
        found.append(f"U{_hex(f'{code:08x}')}")
    return found


def _hex(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


def _any_of(spellings: list[Spelling]) -> str:
    patterns = [first + tail for first, tail in spellings]
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"


def _in_base64(secret: str) -> list[tuple[str, str]]:
    """The digits that a secret alone decides, for each place in a group of three bytes at which it may begin.

    What is before and behind it decides the digits at its ends, which tell at most four bits of it.
    """
    import base64

    data = secret.encode("utf-8", "surrogateescape")
    found: list[tuple[str, str]] = []
    for shift in range(3):
        digits = base64.b64encode(b"\0" * shift + data).decode("ascii")
        own = digits[-(-8 * shift // 6) : (8 * (shift + len(data))) // 6]
        patterns = [_BASE64.get(digit, digit) for digit in own]
        # Both alphabets; the last digit and the padding, if it ends there.
        tail = "".join(patterns[1:]) + r"(?:[A-Za-z0-9+/_-]?(?:=|%3[Dd]){1,2})?"
        found += [(first, tail) for first in _FIRST_BASE64.get(own[0], (own[0],))]
    return found


_BASE64 = {"+": r"(?:[+-]|%2[Bb])", "/": r"(?:[/_]|%2[Ff]|\\{1,8}/)"}
_FIRST_BASE64 = {"+": (r"\+", r"\-"), "/": ("/", "_")}


def _begin_anew() -> None:
    """In a forked child: whoever held the lock is not there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
