"""The font of what is printed: the portal's own Inter, embedded, so that every name shows as it is written.

The pages' font comes as one WOFF2 file a script, with a variable weight. Each becomes a TTF of one weight, which is
kept in the data directory. A text is set in runs, each in the first font that has its characters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from django.conf import settings
from reportlab.lib.fonts import addMapping
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

SCRIPTS = ("latin", "latin-ext", "cyrillic", "cyrillic-ext", "greek", "greek-ext", "vietnamese")
WEIGHTS = {"regular": 400, "bold": 600}
SOURCE = Path(settings.BASE_DIR) / "node_modules" / "@fontsource-variable" / "inter" / "files"
OTHERS = "STSong-Light"  # Every reader of PDF brings it: for the scripts of East Asia, which Inter has not.
LAST_RESORT = "Helvetica"
NOT_DRAWN = ("GDEF", "GPOS", "GSUB", "STAT")  # Of layout: ReportLab reads none, and they take most of the making.
_lock = threading.Lock()


@cache
def fonts(weight: str) -> tuple[str, ...]:
    """The names under which the fonts of a weight are registered, most used first."""
    with _lock:
        names = [_register(script, weight) for script in SCRIPTS]
        pdfmetrics.registerFont(UnicodeCIDFont(OTHERS))
    return tuple(name for name in names if name)


def _register(script: str, weight: str) -> str:
    """Register one script's font; nothing where the packages of the pages are not installed."""
    source = SOURCE / f"inter-{script}-wght-normal.woff2"
    if not source.is_file():
        return ""
    name = f"Inter-{script}-{weight}"
    pdfmetrics.registerFont(TTFont(name, _made(source, name, WEIGHTS[weight])))
    addMapping(name, 0, 0, name)
    return name


def _made(source: Path, name: str, weight: int) -> Path:
    """The TTF of one weight: made once, and put into its place in one step."""
    folder = Path(settings.DATA_DIR) / "fonts"
    target = folder / f"{name}-{source.stat().st_size}.ttf"
    if target.is_file():
        return target
    from fontTools.ttLib import TTFont as Font
    from fontTools.varLib.instancer import instantiateVariableFont

    folder.mkdir(parents=True, exist_ok=True)
    font = Font(source)
    for table in set(NOT_DRAWN).intersection(font.keys()):
        del font[table]
    font = instantiateVariableFont(font, {"wght": weight})
    font["name"].names = [record for record in font["name"].names if record.nameID != 6]
    font["name"].setName(name, 6, 3, 1, 0x409)  # By this name ReportLab tells files apart.
    font.flavor = None
    part = target.with_name(f"{target.name}.{threading.get_ident()}.part")
    font.save(part)
    part.replace(target)
    return target


def runs(text: str, weight: str) -> Iterator[tuple[str, str]]:
    """(font, characters) of a text, in order."""
    for name, characters in groupby(text, key=lambda character: _font_of(character, weight)):
        yield name, "".join(characters)


@cache
def _font_of(character: str, weight: str) -> str:
    for name in fonts(weight):
        if ord(character) in pdfmetrics.getFont(name).face.charToGlyph:
            return name
    return OTHERS if ord(character) > 0x2E7F or (not fonts(weight) and ord(character) > 0xFF) else LAST_RESORT


def width(text: str, weight: str, size: float) -> float:
    """How wide a text is set, in points."""
    return sum(pdfmetrics.stringWidth(part, name, size) for name, part in runs(text, weight))
