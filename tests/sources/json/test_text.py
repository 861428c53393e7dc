from __future__ import annotations

import random

import pytest

from recovery_nb.sources.content import Memory
from recovery_nb.sources.json import text as json_text
from recovery_nb.sources.json.text import NoEndError, Text

PARTS = [b"[", b"{", b"]", b"}", b"[]", b'"x]"', b'"\\"["', b",", b"1", b" ", b"[[[[", b"]]]]"]


def end_of(text: bytes) -> int | None:
    """Return where the value ends that begins the text, one byte at a time."""
    depth, inside, at = 0, False, 0
    while at < len(text):
        byte = text[at : at + 1]
        if inside:
            at += byte == b"\\"
            inside = byte != b'"'
        elif byte == b'"':
            inside = True
        elif byte in b"[{":
            depth += 1
        elif byte in b"]}":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return None


@pytest.mark.seeded(5)
def test_brackets_counted_in_bulk_end_where_they_do_one_by_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    for _ in range(500):
        monkeypatch.setattr(json_text, "_DENSE", chance.choice([1, 2, 5]))
        monkeypatch.setattr(json_text, "_STRETCH", chance.choice([3, 17, 1000]))
        text = b"[" + b"".join(chance.choice(PARTS) for _ in range(chance.randint(1, 60)))
        try:
            found = Text(Memory(text)).value_end(0, limit=1 << 40)
        except NoEndError:
            found = None
        assert found == end_of(text), text


def test_millions_of_brackets_are_counted() -> None:
    text = b"[" * 5_000_000 + b"]" * 5_000_000
    assert Text(Memory(text)).value_end(0, limit=1 << 40) == len(text)
