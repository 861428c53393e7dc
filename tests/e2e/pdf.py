"""The text of a PDF that Chromium printed, as a reader would copy it; enough of ISO 32000-1 for that, and no more."""

from __future__ import annotations

import re
import unicodedata
import zlib

OBJECT = re.compile(rb"(?:^|\n)(\d+) 0 obj\b(.*?)\bendobj", re.DOTALL)
STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
RANGE = re.compile(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>")
PAIR = re.compile(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>")
BLOCK = re.compile(r"begin(bfchar|bfrange)(.*?)end\1", re.DOTALL)
SHOWN = re.compile(r"/(F\d+) [\d.]+ Tf|(<[0-9A-Fa-f\s]*>)|(T[Jj])|(Tm|T\*|Td)")


def pdf_text(content: bytes) -> str:
    """Return all that is printed, with ligatures taken apart, and without the ends of lines."""
    objects = {int(found[1]): found[2] for found in OBJECT.finditer(content)}
    maps = {
        number: unicode_of(inflated(objects[int(reference[1])]).decode("latin-1"))
        for number, body in objects.items()
        if (reference := re.search(rb"/ToUnicode (\d+) 0 R", body))
    }
    fonts = {
        name.decode(): maps[int(number)]
        for body in objects.values()
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", body)
        if int(number) in maps
    }
    pages = (inflated(body).decode("latin-1") for body in objects.values() if b"/FlateDecode" in body)
    text = "".join(part for page in pages if " Tf" in page for part in drawn(page, fonts))
    return unicodedata.normalize("NFKC", text)


def inflated(body: bytes) -> bytes:
    stream = STREAM.search(body)
    try:
        return zlib.decompress(stream[1]) if stream else b""
    except zlib.error:
        return b""


def unicode_of(cmap: str) -> dict[int, str]:
    """Return what the glyphs of a font mean."""
    meanings = {}
    for kind, block in BLOCK.findall(cmap):
        if kind == "bfchar":
            meanings |= {int(code, 16): utf16(text) for code, text in PAIR.findall(block)}
        else:
            for first, last, text in RANGE.findall(block):
                codes = range(int(first, 16), int(last, 16) + 1)
                meanings |= {code: chr(int(text, 16) + place) for place, code in enumerate(codes)}
    return meanings


def utf16(digits: str) -> str:
    return bytes.fromhex(digits).decode("utf-16-be", "replace")


def drawn(page: str, fonts: dict[str, dict[int, str]]) -> list[str]:
    font: dict[int, str] = {}
    parts = []
    for name, glyphs, _, _ in SHOWN.findall(page):
        if name:
            font = fonts.get(name, {})
        elif glyphs:
            digits = re.sub(r"\s", "", glyphs[1:-1])
            parts += [font.get(int(digits[at : at + 4], 16), "") for at in range(0, len(digits), 4)]
    return parts
