from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb import Case
from recovery_nb.compare.export import export
from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.selection import Choice, read_keys

OID = "65a000000000000000000001"


def keys_of(tmp_path: Path, text: str, name: str = "keys.txt") -> list[Choice]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return list(read_keys(path))


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        (f"{OID}\nsess-1\n\n  7  \n", [Choice(OID), Choice("sess-1"), Choice("7")]),
        ("\ufeffsess-1\r\nsess-2\r\n", [Choice("sess-1"), Choice("sess-2")]),
        ("key\nsess-1\n", [Choice("sess-1")]),
        ("{a: 1, b: [x, null]}\n{}\n", [Choice("{a: 1, b: [x, null]}"), Choice("{}")]),
        ("a\u2028b\n", [Choice("a\u2028b")]),
        (f'{{"$oid": "{OID}"}}\n"text"\n', [Choice(OID), Choice("text")]),
        ('{"key": {"$numberLong": "7"}}', [Choice("7")]),
        ('{"_id": {"a": 1, "b": 2}}', [Choice("{a: 1, b: 2}")]),
        (
            '{"collection": "c", "key": "k", "source": "s.bson", "offset": 28}\n{"key": 7}\n',
            [Choice("k", "c", "s.bson", 28), Choice("7")],
        ),
        (f'["a", 7, {{"$oid": "{OID}"}}, {{"key": "b", "collection": "c"}}]',
         [Choice("a"), Choice("7"), Choice(OID), Choice("b", "c")]),
        ("collection,status,key\nc,missing,k\nd,changed,7\n", [Choice("k", "c"), Choice("7", "d")]),
        ("collection,key\nc,'=1+1\nc,'+49 30\nc,'plain\n",
         [Choice("=1+1", "c"), Choice("+49 30", "c"), Choice("'plain", "c")]),
        ('key,note\n"two\nlines","x, y"\n', [Choice("two\nlines")]),
    ],
)  # fmt: skip
def test_each_form_of_a_keys_file_is_read(tmp_path: Path, text: str, choices: list[Choice]) -> None:
    assert keys_of(tmp_path, text) == choices


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"collection": "c"}', "line 1: no key"),
        (b'{"key": 1', "broken JSON"),
        (b"[1, 2", "broken JSON"),
        (b'{"key": {"$oid": "zz"}}', "is no key"),
        (b'{"key": {"$numberDecimal": "zz"}}', "is no key"),
        (b'{"key": 123456789012345678901234567890}', "is no key"),
        (b'{"key": "a", "offset": "12"}', "offset '12' is no number"),
    ],
)
def test_a_keys_file_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(content)

    with pytest.raises(BadInputError, match=message) as caught:
        read_keys(path)
    assert "\n" not in str(caught.value)


def test_a_keys_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot read the keys file"):
        read_keys(tmp_path / "nowhere")


@pytest.fixture
def case(database: Any, tmp_path: Path) -> Any:
    with Case.open(tmp_path / "case", database=database.uri) as opened:
        yield opened


def dump(path: Path, *documents: dict[str, Any]) -> Path:
    path.write_bytes(b"".join(map(bson.encode, documents)))
    return path


def test_only_the_named_records_are_planned_and_the_rest_are_told(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name].c.insert_one({"_id": "same"})
    comparison = case.compare(dump(tmp_path / "c.bson", *({"_id": name} for name in ("a", "b", "same"))))
    keys = read_keys_of(tmp_path, "a\nnowhere\nsame\n")
    plan = case.plan(comparison, keys=keys)

    assert [write.key_text for write in plan.writes()] == ["a"]
    assert [choice.key for choice in keys.unmatched] == ["nowhere", "same"]


def read_keys_of(tmp_path: Path, text: str) -> Any:
    (tmp_path / "keys.txt").write_text(text)
    return read_keys(tmp_path / "keys.txt")


def test_a_key_is_meant_for_its_collection_alone(database: Any, case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    folder.mkdir()
    for name in ("c", "d"):
        dump(folder / f"{name}.bson", {"_id": 1})
    plan = case.plan(case.compare(folder), keys=[Choice("1", collection="d")])

    assert [write.collection for write in plan.writes()] == ["d"]
    assert len(list(case.plan(keys=[Choice("1")]).writes())) == 2


def test_a_source_of_another_comparison_is_refused(database: Any, case: Case, tmp_path: Path) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": 1}))

    with pytest.raises(BadInputError, match=r"other.bson is not a source of this comparison"):
        case.plan(comparison, keys=[Choice("1", source="other.bson")])


def test_keys_that_are_no_difference_are_refused(database: Any, case: Case, tmp_path: Path) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": 1}))

    with pytest.raises(BadInputError, match="none of the 2 keys is among the differences"):
        case.plan(comparison, keys=[Choice("x"), Choice("y")])


def test_a_named_record_is_taken_even_where_the_database_is_newer(database: Any, case: Case, tmp_path: Path) -> None:
    from datetime import datetime

    collection = database.client[database.name].c
    collection.insert_one({"_id": 1, "updated_at": datetime(2026, 1, 1)})
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": 1, "updated_at": datetime(2025, 1, 1)}))

    assert case.plan(comparison, on_conflict="replace").to_write == 0
    assert case.plan(comparison, keys=[Choice("1")], on_conflict="replace").to_write == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_what_compare_writes_is_a_keys_file(database: Any, case: Case, tmp_path: Path, ending: str) -> None:
    ids = ["=1+1", "plain", "-7", "{x", "a,b", 'q"q', "two\nlines", bson.ObjectId(OID), 7, {"a": 1}]
    comparison = case.compare(dump(tmp_path / "c.bson", *({"_id": one} for one in ids)))
    out = tmp_path / f"differences.{ending}"
    export(comparison, out)
    plan = case.plan(comparison, keys=out)

    assert plan.to_write == len(ids)


def test_formulas_are_inert_in_csv_only(database: Any, case: Case, tmp_path: Path) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": "=cmd()"}))
    for ending in ("csv", "jsonl"):
        export(comparison, tmp_path / f"out.{ending}")

    assert next(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))["key"] == "'=cmd()"
    assert json.loads((tmp_path / "out.jsonl").read_text())["key"] == "=cmd()"


def test_a_source_that_changed_since_it_was_compared_is_refused(database: Any, case: Case, tmp_path: Path) -> None:
    path = dump(tmp_path / "c.bson", {"_id": 1, "v": "a"})
    comparison = case.compare(path)
    dump(path, {"_id": 1, "v": "b"})

    with pytest.raises(DamagedSourceError, match="has changed since it was compared"):
        case.plan(comparison)
