"""Damage at the border between two lists of a mapping: whose the records behind it are, and what nobody can tell."""

from __future__ import annotations

import json
from pathlib import Path

import bson
import pytest

from recovery_nb.records.batch import Damage, Ref
from recovery_nb.sources.content import File
from recovery_nb.sources.json.files import JsonSource

Row = tuple[str, int]

ORDERS = [("orders", n) for n in range(30)]
QUOTES = [("quotes", n) for n in range(30)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "backup.json"


def backup(*, own_fields: bool = False, indent: int | None = None) -> str:
    """Return a mapping of three collections; records of all look the same unless they have fields of their own."""
    lists = {
        name: [
            {
                "_id": n,
                name if own_fields else "number": n,
                f"{name}_total" if own_fields else "total": n,
                "items": [{"sku": i} for i in range(3)],
                "when": {"$date": n},
            }
            for n in range(30)
        ]
        for name in ("customers", "orders", "quotes")
    }
    return json.dumps({"timestamp": "x", "collections": lists, "metadata": {"total": 90}}, indent=indent)


def read(file: Path, text: str) -> tuple[list[Row], list[Row], list[Damage]]:
    """Return the records, those whose collection is not known, and the other damages."""
    file.write_bytes(text.encode())
    source = JsonSource(File.on_disk(file))
    rows: list[Row] = []
    unknown: list[Row] = []
    damages: list[Damage] = []
    for item in source.read():
        if isinstance(item, Damage):
            damages.append(item)
            continue
        refs = [Ref("", offset, length) for offset, length in zip(item.offsets, item.lengths, strict=True)]
        assert list(source.fetch(refs)) == list(item.records)
        ids = [(item.collection, bson.decode(record)["_id"]) for record in item.records]
        (rows if item.collection else unknown).extend(ids)
    return rows, unknown, damages


def customers(count: int) -> list[Row]:
    return [("customers", n) for n in range(count)]


def nobodys(*numbers: int) -> list[Row]:
    return [("", n) for n in numbers]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("own_fields", [True, False], ids=["own fields", "same fields"])
def test_a_name_behind_a_broken_record_tells_whose_the_next_are(
    file: Path, indent: int | None, *, own_fields: bool
) -> None:
    text = backup(own_fields=own_fields, indent=indent)
    start = text.rindex('"$date"', 0, text.index('"orders": ['))
    rows, unknown, damages = read(file, text[:start] + "!" + text[start:])
    assert rows == customers(29) + ORDERS + QUOTES
    assert (unknown, len(damages)) == ([], 1)


def test_a_name_tells_even_if_its_own_list_is_damaged_further_on(file: Path) -> None:
    text = backup()
    start = text.rindex('"$date"', 0, text.index('"orders": ['))
    other = text.index('"sku"', text.index('"_id": 5,', text.index('"orders": [')))
    rows, unknown, damages = read(file, text[:start] + "!" + text[start:other] + "!" + text[other + 1 :])
    assert rows == customers(29) + [row for row in ORDERS if row[1] != 5] + QUOTES
    assert (unknown, len(damages)) == ([], 2)


@pytest.mark.parametrize("bracket", ["}", ",", "x", '"', "\0"])
def test_a_name_tells_where_the_bracket_before_it_is_lost(file: Path, bracket: str) -> None:
    rows, unknown, damages = read(file, backup().replace('], "orders"', bracket + ', "orders"'))
    assert rows == customers(30) + ORDERS + QUOTES
    assert unknown == []
    assert damages or bracket == ","


@pytest.mark.parametrize("border", ['], #orders": [', '], "orders"; [', '], "orders": {', '], "orders": x', "\0" * 14])
def test_without_a_name_records_are_nobodys_up_to_the_next_name(file: Path, border: str) -> None:
    rows, unknown, damages = read(file, backup().replace('], "orders": [', border))
    assert rows == customers(30) + QUOTES
    assert set(unknown) >= set(nobodys(*range(1, 30)))
    assert damages


def test_records_that_look_others_than_those_before_the_damage_are_nobodys(file: Path) -> None:
    text = backup(own_fields=True)
    start = text.index('"customers": 28')
    end = text.index('"items"', text.index('"orders": ['))
    rows, unknown, damages = read(file, text[:start] + "\0" * (end - start) + text[end:])
    assert rows == customers(28) + QUOTES
    assert unknown == nobodys(*range(1, 30))
    assert len(damages) == 1


@pytest.mark.parametrize(("old", "new"), [('"number": 7', '"number": #'), ('"number": 7', 'number": 7'), ("7}}", "7}")])
def test_damage_inside_one_record_leaves_the_others_in_their_list(file: Path, old: str, new: str) -> None:
    rows, unknown, damages = read(file, backup().replace(old, new, 1))
    assert rows == [row for row in customers(30) if row[1] != 7] + ORDERS + QUOTES
    assert (unknown, len(damages)) == ([], 1)


def test_a_list_within_a_broken_record_is_no_collection(file: Path) -> None:
    text = backup()
    start = text.index('"sku": 2', text.index('"_id": 7,'))
    rows, unknown, _ = read(file, text[:start] + "!" + text[start + 1 :])
    assert rows == [row for row in customers(30) if row[1] != 7] + ORDERS + QUOTES
    assert unknown == []


@pytest.mark.parametrize("junk", ["{", "}", '"', "x"])
def test_a_byte_between_two_records_costs_none(file: Path, junk: str) -> None:
    text = backup()
    start = text.index('{"_id": 7,')
    rows, unknown, damages = read(file, text[:start] + junk + text[start:])
    assert rows == customers(30) + ORDERS + QUOTES
    assert (unknown, len(damages)) == ([], 1)


@pytest.mark.parametrize("other", ['"deleted"', "[1, 2, 3]", '"a string of many words"'])
@pytest.mark.parametrize("place", [0, 7])
def test_what_is_no_record_and_sound_json_hides_no_border(file: Path, other: str, place: int) -> None:
    text = backup()
    start = text.index(f'{{"_id": {place},', text.index('"orders": ['))
    rows, unknown, damages = read(file, text[:start] + other + ", " + text[start:])
    assert rows == customers(30) + ORDERS + QUOTES
    assert (unknown, len(damages)) == ([], 1)
