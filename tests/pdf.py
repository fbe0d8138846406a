"""Read the text of a PDF that we made: enough of the format for its own fonts, which map their codes to Unicode."""

from __future__ import annotations

import base64
import re
import zlib


def text_of(content: bytes) -> str:
    """All that is shown, piece by piece, separated by spaces."""
    assert content.startswith(b"%PDF-"), content[:20]
    objects = dict(re.findall(rb"\n(\d+) 0 obj\n(.*?)endobj", content, re.DOTALL))
    fonts = _fonts(objects)
    shown = []
    for body in objects.values():
        stream = _stream(body)
        if b" Tf " in stream:
            shown += _pieces(stream, fonts)
    return " ".join(shown)


def _stream(body: bytes) -> bytes:
    found = re.search(rb"stream\r?\n(.*?)\r?\n?endstream", body, re.DOTALL)
    if not found:
        return b""
    data = found[1]
    if b"/ASCII85Decode" in body:
        data = base64.a85decode(b"<~" + data.strip(), adobe=True)
    return zlib.decompress(data) if b"/FlateDecode" in body else data


def _fonts(objects: dict[bytes, bytes]) -> dict[bytes, dict[int, str]]:
    """The characters of each font's codes, by the font's name in pages."""
    found = {}
    for body in objects.values():
        name, unicode = re.search(rb"/Name /(\S+)", body), re.search(rb"/ToUnicode (\d+) 0 R", body)
        if name and unicode:
            found[name[1]] = _codes(_stream(objects[unicode[1]]))
    return found


def _codes(cmap: bytes) -> dict[int, str]:
    codes: dict[int, str] = {}
    for code, text in re.findall(rb"<(\w{2})> <(\w{4,})>", cmap):
        codes[int(code, 16)] = bytes.fromhex(text.decode()).decode("utf-16-be")
    return codes


def _pieces(stream: bytes, fonts: dict[bytes, dict[int, str]]) -> list[str]:
    pieces = []
    font: bytes = b""
    for name, literal in re.findall(rb"/(\S+) [\d.]+ Tf|\(((?:[^()\\]|\\.)*)\) Tj", stream, re.DOTALL):
        if name:
            font = name
            continue
        raw = re.sub(rb"\\(\d{3}|.)", _escaped, literal, flags=re.DOTALL)
        known = fonts.get(font)
        pieces.append("".join(known[c] for c in raw) if known else raw.decode("latin-1"))
    return pieces


def _escaped(found: re.Match[bytes]) -> bytes:
    word = found[1]
    return bytes([int(word, 8)]) if word.isdigit() else {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(word, word)
