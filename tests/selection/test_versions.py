"""Which version a choice means, and which collections choices are of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from gridfs import GridFS

from recovery_nb.errors import BadInputError
from recovery_nb.selection import Choice, Keys
from recovery_nb.selection.picking import Picker, collections_of

BsonFile = Callable[..., Path]


@pytest.fixture
def compared(bench: Any, bson_file: BsonFile) -> Any:
    """Two backups of a collection: of 1 they hold two versions, of 2 the same, and "2" is in the second alone."""
    old = bson_file("old/users.bson", [{"_id": 1, "v": "old"}, {"_id": 2, "v": "same"}])
    new = bson_file("new/users.bson", [{"_id": 1, "v": "new"}, {"_id": 2, "v": "same"}, {"_id": "2", "v": "text"}])
    return bench.case.compare(old, new)


def chosen(bench: Any, comparison: Any, *choices: Choice) -> list[Any]:
    return sorted((bson.decode(one.planned)["v"], one.hold) for one in bench.select(comparison, keys=choices))


def test_each_choice_gets_the_version_of_its_source(bench: Any, compared: Any, tmp_path: Path) -> None:
    old, new = (str(tmp_path / name / "users.bson") for name in ("old", "new"))

    assert chosen(bench, compared, Choice("1", source=old)) == [("old", "")]
    assert chosen(bench, compared, Choice("1", source=new)) == [("new", "")]
    assert chosen(bench, compared, Choice("2", "users", old)) == [("same", "")]


def test_a_choice_by_place_means_no_other_record_of_the_same_look(bench: Any, compared: Any, tmp_path: Path) -> None:
    new = str(tmp_path / "new" / "users.bson")
    (text,) = (row for row in compared.rows() if row["key"] == "2" and row["id"][0] == 0x02)

    assert chosen(bench, compared, Choice("2", "users", new, text["offset"])) == [("text", "")]
    assert chosen(bench, compared, Choice("2", "users", new, 1)) == []


def test_where_several_versions_answer_the_record_waits(bench: Any, compared: Any) -> None:
    held = "several versions answer to this choice; name the one to take in a keys file"

    assert chosen(bench, compared, Choice("1", offset=0)) == [("new", held)]  # both stand at the head of their files


def test_the_lines_of_an_export_restore_what_they_list(bench: Any, bson_file: BsonFile, tmp_path: Path) -> None:
    from recovery_nb.compare.export import export

    comparison = bench.case.compare(bson_file("users.bson", [{"_id": number, "v": 1} for number in range(5_000)]))
    export(comparison, tmp_path / "out.jsonl")
    plan = bench.case.plan(keys=tmp_path / "out.jsonl")

    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])["offset"] > 0
    assert (plan.to_write, bench.case.unmatched) == (5_000, [])


def test_a_source_is_named_by_its_path_its_name_or_its_id(bench: Any, bson_file: BsonFile) -> None:
    comparison = bench.case.compare(bson_file("users.bson", [{"_id": 1, "v": 1}]))
    (entry,) = comparison.sources.values()

    for name in (entry.id, entry.name, str(entry.path)):
        assert chosen(bench, comparison, Choice("1", source=name)) == [(1, "")]
    with pytest.raises(BadInputError, match="is not a source of this comparison"):
        Picker(comparison, (), Keys.of([Choice("1"), Choice("2", source="another.bson")]))


def test_a_comparison_whose_versions_cannot_be_read_is_said_in_one_line(bench: Any, compared: Any) -> None:
    (compared.folder / "candidates.parquet").write_bytes(b"PAR1 no more")

    with pytest.raises(BadInputError, match=r"candidates.parquet cannot be read") as caught:
        chosen(bench, compared, Choice("1", offset=0))
    assert "\n" not in str(caught.value)


def test_the_collections_of_named_records_are_those_that_a_selection_is_of(bench: Any, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        bench.db[name].insert_many([{"_id": number} for number in range(3)])
    source = bench.dump()
    for name in ("a", "b", "c"):
        bench.db[name].delete_many({"_id": {"$gt": 0}})
    comparison = bench.case.compare(source)

    for choices in ([Choice("1")], [Choice("1", "b")], [Choice("0")], [Choice("1", "a"), Choice("2", "c")]):
        expected = {one.collection for one in bench.select(comparison, keys=choices)}
        assert collections_of(comparison, Keys.of(choices)) == expected


def test_of_a_file_only_its_chunks_tell_which_collections_come_back(bench: Any) -> None:
    file = GridFS(bench.db).put(b"content", _id="file")
    source = bench.dump()
    GridFS(bench.db).delete(file)
    comparison = bench.case.compare(source)

    assert collections_of(comparison, Keys.of([Choice("file")])) is None
