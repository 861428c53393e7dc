from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from recovery_nb import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.events import Event
from recovery_nb.records.elements import build, elements, id_element, split
from recovery_nb.selection import Choice

BACKUPS = ["backup_20251201_103000.json", "backup_2025-12-01T10-30-00-000Z.json"]
PLAIN = {"attachments.chunks": 4, "attachments.files": 3, "conversations": 600, "events_capped": 200, "quotes": 300,
         "sessions": 600, "types": 34, "users": 250}  # fmt: skip
Write = Callable[..., Path]


BUCKETS = 3
"""In which the samples hold their one time-series, `metrics`."""


def found(comparison: Comparison, collection: str) -> dict[str, int]:
    return {status: count for status, count in comparison.summary.collections[collection].items() if count}


def stored(database: Any, collection: str) -> dict[bytes | None, bytes]:
    cursor = database.client[database.name][collection].find_raw_batches()
    return {id_element(record): record for batch in cursor for record in split(batch)}


# --- the samples -------------------------------------------------------------------------------------------------


def test_every_record_of_a_dump_is_identical_to_what_was_loaded_from_it(shop: Any, case: Case, samples: Path) -> None:
    comparison = case.compare(samples / "mongodump" / "shop")

    assert {name: found(comparison, name) for name in PLAIN} == {name: {"identical": n} for name, n in PLAIN.items()}
    assert found(comparison, "system.buckets.metrics") == {"missing": BUCKETS}  # it was not loaded
    assert comparison.total.missing == BUCKETS
    assert comparison.summary.consistent
    assert any("metrics is a time-series, compared bucket by bucket" in note for note in comparison.summary.notes)


def test_a_dump_restored_into_an_empty_database_is_identical_to_it(case: Case, samples: Path) -> None:
    lost = case.compare(samples / "mongodump" / "shop")
    assert lost.total.missing == sum(PLAIN.values()) + BUCKETS

    result = case.restore(case.plan(lost))

    assert (result.restored, result.failed) == (sum(PLAIN.values()) + BUCKETS, 0)
    again = case.compare()
    assert again.clean
    assert {name: found(again, name) for name in PLAIN} == {name: {"identical": n} for name, n in PLAIN.items()}


@pytest.mark.parametrize("name", BACKUPS)
def test_the_old_json_backups_are_as_good_as_the_database(shop: Any, case: Case, samples: Path, name: str) -> None:
    comparison = case.compare(samples / "backups" / name)

    total = comparison.total
    assert total.identical + total.equivalent == 1_500
    assert comparison.clean
    assert total.extra == 0


@pytest.mark.parametrize("name", BACKUPS)
def test_deleted_conversations_come_back_from_json_with_their_original_bytes(
    shop: Any, case: Case, samples: Path, name: str
) -> None:
    conversations = shop.client[shop.name].conversations
    before = stored(shop, "conversations")
    gone = [one["_id"] for one in conversations.find({}, {"_id": 1}).sort("session_id").limit(200)]
    conversations.delete_many({"_id": {"$in": gone}})

    comparison = case.compare(samples / "backups" / name)
    assert found(comparison, "conversations") == {"identical": 400, "missing": 200}
    assert {row["inferred"] for row in comparison.rows()} == {"database"}
    result = case.restore(case.plan(comparison, only=["missing"]))

    assert (result.restored, result.failed) == (200, 0)
    assert stored(shop, "conversations") == before


@pytest.mark.parametrize("form", ["canonical", "relaxed"])
@pytest.mark.parametrize("name", ["conversations", "quotes", "sessions", "types", "users"])
def test_exports_differ_in_nothing_but_the_width_of_numbers(
    shop: Any, case: Case, samples: Path, name: str, form: str
) -> None:
    comparison = case.compare(samples / "mongoexport" / f"{name}.{form}.jsonl")

    assert list(comparison.counts) == [name]
    assert comparison.clean
    assert comparison.total.identical + comparison.total.equivalent == PLAIN[name]
    assert set(comparison.fields["kind"]) <= {"width"}


def test_a_restore_to_a_new_collection_knows_the_types_of_the_old_one(shop: Any, case: Case, samples: Path) -> None:
    comparison = case.compare(samples / "backups" / BACKUPS[0], collection="quotes", target="quotes_again")
    case.restore(case.plan(comparison))

    assert stored(shop, "quotes_again") == stored(shop, "quotes")


# --- one and several sources ---------------------------------------------------------------------------------------


def test_the_same_bytes_twice_are_a_finding_and_do_no_harm(database: Any, case: Case, write: Write) -> None:
    comparison = case.compare(write("c.bson", [{"_id": 1}, {"_id": 2}, {"_id": 1}]))

    assert found(comparison, "c") == {"missing": 2, "duplicate": 1}
    assert "2 times, all alike" in comparison.duplicates["note"][0]
    assert case.restore(case.plan(comparison)).restored == 2


def test_of_two_versions_in_one_source_none_is_taken_unless_it_is_named(
    database: Any, case: Case, write: Write, tmp_path: Path
) -> None:
    source = write("c.bson", [{"_id": 1, "v": "old"}, {"_id": 2}, {"_id": 1, "v": "new"}])
    comparison = case.compare(source)
    collection = database.client[database.name].c

    assert found(comparison, "c") == {"missing": 2, "duplicate": 1}
    assert "2 different versions" in comparison.duplicates["note"][0]
    assert {row["confidence"] for row in comparison.rows() if row["key"] == "1"} == {"low"}
    case.restore(case.plan(comparison))
    assert [one["_id"] for one in collection.find()] == [2]

    comparison = case.compare(source)
    for vague in (Choice("1"), Choice("1", source=str(source))):
        case.restore(case.plan(comparison, keys=[vague]))
        assert collection.count_documents({"_id": 1}) == 0

    offset = next(row["offset"] for row in comparison.versions() if row["key"] == "1" and row["offset"] > 0)
    keys = tmp_path / "keys.jsonl"
    keys.write_text(json.dumps({"collection": "c", "key": "1", "source": str(source), "offset": offset}))
    case.restore(case.plan(comparison, keys=keys))
    assert collection.find_one({"_id": 1}) == {"_id": 1, "v": "new"}


def test_the_newest_source_is_taken_first_and_the_analyst_may_choose_another(
    database: Any, case: Case, write: Write
) -> None:
    old = write("c.bson", [{"_id": 1, "v": "old"}, {"_id": 2, "v": "only here"}], day=1, folder="old")
    new = write("c.bson", [{"_id": 1, "v": "new"}], day=5, folder="new")
    comparison = case.compare(old, new)
    collection = database.client[database.name].c

    assert [row["candidates"] for row in comparison.rows()] == [2, 1]
    case.restore(case.plan(comparison))
    assert [one["v"] for one in collection.find().sort("_id")] == ["new", "only here"]

    collection.delete_many({})
    comparison = case.compare(old, new)
    case.restore(case.plan(comparison, keys=[Choice("1", source=str(old))]))
    assert list(collection.find()) == [{"_id": 1, "v": "old"}]


def test_a_source_that_lacks_a_record_is_not_silently_replaced_by_another(
    database: Any, case: Case, write: Write
) -> None:
    old = write("c.bson", [{"_id": 1}], day=1, folder="old")
    new = write("c.bson", [{"_id": 2}], day=5, folder="new")
    comparison = case.compare(old, new)

    with pytest.raises(BadInputError, match="none of the 1 keys"):
        case.plan(comparison, keys=[Choice("1", source=str(new))])


def test_of_equal_bytes_the_source_that_kept_its_types_is_named(database: Any, case: Case, tmp_path: Path) -> None:
    record = {"_id": bson.ObjectId(), "at": datetime(2025, 12, 1, tzinfo=UTC)}
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "c.bson").write_bytes(bson.encode(record))
    (folder / "newer.json").write_text(
        json.dumps({"timestamp": "2035-12-05T00:00:00Z", "collections": {"c": [record]}}, default=str)
    )
    comparison = case.compare(folder)

    rows = list(comparison.rows())
    assert [(row["status"], row["source_name"], row["inferred"]) for row in rows] == [("missing", "both", "")]


def test_what_was_written_after_the_backup_is_not_overwritten(database: Any, case: Case, write: Write) -> None:
    earlier, later = datetime(2025, 12, 1, tzinfo=UTC), datetime(2025, 12, 9, tzinfo=UTC)
    collection = database.client[database.name].c
    collection.insert_many([{"_id": 1, "updated_at": later, "v": 2}, {"_id": 2, "updated_at": earlier, "v": 2}])
    comparison = case.compare(
        write("c.bson", [{"_id": 1, "updated_at": earlier, "v": 1}, {"_id": 2, "updated_at": earlier, "v": 1}])
    )

    assert [bool(row["newer"]) for row in comparison.rows()] == [True, False]
    case.restore(case.plan(comparison, on_conflict="replace"))
    assert [one["v"] for one in collection.find().sort("_id")] == [2, 1]


def test_records_that_no_source_holds_are_extra_and_no_loss(database: Any, case: Case, write: Write) -> None:
    database.client[database.name].c.insert_many([{"_id": 1}, {"_id": 2}])
    database.client[database.name].other.insert_one({"_id": 1})
    comparison = case.compare(write("c.bson", [{"_id": 1}]))

    assert found(comparison, "c") == {"identical": 1, "extra": 1}
    assert list(comparison.extra["key"]) == ["2"]
    assert comparison.clean
    assert comparison.summary.uncovered == ["other"]


# --- a database that moves -----------------------------------------------------------------------------------------


def test_differences_are_reported_as_they_are_now(database: Any, tmp_path: Path, write: Write) -> None:
    collection = database.client[database.name].c
    stays = [{"_id": f"same{n}", "v": 1} for n in range(5)]
    moves = [{"_id": name, "v": 1} for name in ("deleted", "inserted", "mended", "changed")]
    collection.insert_many([*stays, {"_id": "deleted", "v": 2}, {"_id": "mended", "v": 2}, {"_id": "changed", "v": 2},
                            {"_id": "extra, then deleted"}])  # fmt: skip
    moved = []

    def write_in_between(event: Event) -> None:
        if event.what == "c" and event.verb == "compare" and not moved:
            moved.append(True)
            collection.delete_one({"_id": "deleted"})
            collection.delete_one({"_id": "extra, then deleted"})
            collection.insert_one({"_id": "inserted", "v": 1})
            collection.update_one({"_id": "mended"}, {"$set": {"v": 1}})
            collection.update_one({"_id": "changed"}, {"$set": {"v": 3}})

    source = write("c.bson", [*stays, *moves])
    with Case.open(tmp_path / "case", database=database.uri, emit=write_in_between) as case:
        comparison = case.compare(source)

    assert moved
    assert {row["key"]: row["status"] for row in comparison.rows()} == {"deleted": "missing", "changed": "changed"}
    assert found(comparison, "c") == {"identical": 7, "changed": 1, "missing": 1}
    assert comparison.fields["database"].tolist() == ["3 (int)"]


def test_records_without_an_id_are_looked_up_again_by_their_key(database: Any, tmp_path: Path) -> None:
    collection = database.client[database.name].sessions
    collection.create_index("session_id", unique=True)
    collection.insert_one({"_id": 1, "session_id": "a", "v": 1})
    source = tmp_path / "sessions.json"
    source.write_text(json.dumps([{"session_id": name, "v": 1} for name in ("a", "b", "c")]))
    moved = []

    def write_in_between(event: Event) -> None:
        if event.what == "sessions" and not moved:
            moved.append(True)
            collection.insert_one({"_id": 2, "session_id": "b", "v": 1})

    with Case.open(tmp_path / "case", database=database.uri, emit=write_in_between) as case:
        comparison = case.compare(source)

    assert moved
    assert found(comparison, "sessions") == {"identical": 2, "missing": 1}


# --- keys ----------------------------------------------------------------------------------------------------------


def test_a_source_without_ids_is_compared_by_a_unique_field_and_says_so(
    shop: Any, case: Case, samples: Path, tmp_path: Path
) -> None:
    sessions = json.loads((samples / "backups" / BACKUPS[0]).read_text())["collections"]["sessions"]
    for one in sessions:
        del one["_id"]
    source = tmp_path / "sessions.json"
    source.write_text(json.dumps(sessions))
    shop.client[shop.name].sessions.create_index("session_id", unique=True)
    shop.client[shop.name].sessions.delete_many({"session_id": sessions[0]["session_id"]})
    comparison = case.compare(source)

    assert comparison.summary.keys == {"sessions": ["session_id"]}
    assert any("compared by session_id" in note for note in comparison.summary.notes)
    assert found(comparison, "sessions") == {"identical": 599, "missing": 1}
    assert case.restore(case.plan(comparison)).restored == 1
    assert found(case.compare(), "sessions") == {"identical": 600}


def test_database_records_that_lack_the_chosen_field_are_extra(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name].sessions.insert_many([{"_id": 1, "session_id": "a"}, {"_id": 2}, {"_id": 3}])
    source = tmp_path / "sessions.json"
    source.write_text(json.dumps([{"session_id": "a"}]))

    assert found(case.compare(source), "sessions") == {"identical": 1, "extra": 2}


def test_records_that_nothing_identifies_are_refused(database: Any, case: Case, tmp_path: Path) -> None:
    source = tmp_path / "things.json"
    source.write_text(json.dumps([{"a": 1}, {"a": 2}]))

    with pytest.raises(BadInputError, match=r"have no _id.*--key"):
        case.compare(source)


def test_a_few_records_without_an_id_are_corrupt(database: Any, case: Case, write: Write) -> None:
    comparison = case.compare(write("c.bson", [{"_id": 1}, {"a": 1}, {"_id": 2}]))

    assert found(comparison, "c") == {"missing": 2, "corrupt": 1}
    assert comparison.corrupt["reason"].tolist() == ["the record has no _id"]


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        ([{"_id": 1}], [{"_id": 1, "k": 1}], "1 records of c in the database lack the key k"),
        ([{"_id": 1, "k": 1}, {"_id": 2, "k": 1}], [{"_id": 1, "k": 1}], "not unique.*in the database"),
        ([{"_id": 1, "k": 1}], [{"_id": 1, "k": 1}, {"_id": 2}], "1 records of c in .*c.bson lack the key k"),
        ([{"_id": 1, "k": 1}], [{"_id": 1, "k": 1}, {"_id": 2, "k": 1.0}], "not unique.*c.bson"),
    ],
)
def test_a_key_that_identifies_nothing_is_refused(
    database: Any, case: Case, write: Write, inside: list[Any], outside: list[Any], message: str
) -> None:
    database.client[database.name].c.insert_many(inside)

    with pytest.raises(BadInputError, match=message):
        case.compare(write("c.bson", outside), key=["k"])
    assert not list((case.folder / "comparisons").glob("*")), "nothing is left of what failed"


def test_a_key_of_several_fields_serves(database: Any, case: Case, write: Write) -> None:
    database.client[database.name].c.insert_many([{"_id": 1, "a": 1, "b": 1}, {"_id": 2, "a": 1, "b": 2}])
    comparison = case.compare(write("c.bson", [{"_id": 9, "a": 1, "b": 1}, {"_id": 8, "a": 3, "b": 1}]), key=["a", "b"])

    assert found(comparison, "c") == {"changed": 1, "missing": 1, "extra": 1}
    assert comparison.changed["fields"].tolist() == ["/_id"]
    assert comparison.missing["key"].tolist() == ["3 | 1"]


# --- placing -------------------------------------------------------------------------------------------------------


def test_an_unknown_collection_is_refused_and_the_known_are_named(database: Any, case: Case, write: Write) -> None:
    with pytest.raises(BadInputError, match=r"no source holds a collection 'nowhere'.*known are: c"):
        case.compare(write("c.bson", [{"_id": 1}]), collection="nowhere")


def test_one_target_takes_one_collection(shop: Any, case: Case, samples: Path) -> None:
    with pytest.raises(BadInputError, match="there is one target"):
        case.compare(samples / "mongodump" / "shop", target="t")


def test_a_target_stands_in_for_the_collection(database: Any, case: Case, write: Write) -> None:
    database.client[database.name].t.insert_one({"_id": 1})
    comparison = case.compare(write("c.bson", [{"_id": 1}, {"_id": 2}]), target="t")

    assert found(comparison, "t") == {"identical": 1, "missing": 1}
    assert "the target is the user's" in comparison.summary.placements[0]["reason"]


@pytest.mark.parametrize("options", [{"viewOn": "c", "pipeline": []}, {"timeseries": {"timeField": "t"}}])
def test_what_stores_no_records_of_its_own_is_passed_over_with_a_note(
    database: Any, case: Case, tmp_path: Path, options: dict[str, Any]
) -> None:
    database.client[database.name].create_collection("special", **options)
    source = tmp_path / "b.json"
    source.write_text(json.dumps({"collections": {"special": [{"_id": 1}], "c": [{"_id": 2}]}}))
    comparison = case.compare(source)

    assert list(comparison.counts) == ["c"]
    assert any(note.startswith("special is a ") for note in comparison.summary.notes)


def test_a_capped_collection_is_compared(database: Any, case: Case, write: Write) -> None:
    database.client[database.name].create_collection("log", capped=True, size=4096)
    database.client[database.name].log.insert_many([{"_id": n} for n in range(3)])

    assert found(case.compare(write("log.bson", [{"_id": n} for n in range(4)])), "log") == {
        "identical": 3, "missing": 1,
    }  # fmt: skip


def test_a_list_without_a_name_is_placed_by_its_files_name_or_by_its_fields(
    shop: Any, case: Case, samples: Path, tmp_path: Path
) -> None:
    quotes = json.loads((samples / "backups" / BACKUPS[0]).read_text())["collections"]["quotes"][:5]
    reasons = {}
    for name in ("export_quotes_20251201.json", "unknown.json"):
        (tmp_path / name).write_text(json.dumps(quotes))
        comparison = case.compare(tmp_path / name)
        assert found(comparison, "quotes")["identical"] == 5
        reasons[name] = comparison.summary.placements[0]["reason"]

    assert "the file's name" in reasons["export_quotes_20251201.json"]
    assert "its fields: " in reasons["unknown.json"]


def test_a_list_that_belongs_nowhere_is_refused(database: Any, case: Case, tmp_path: Path) -> None:
    source = tmp_path / "2025-12-01.json"
    source.write_text(json.dumps([{"_id": 1}]))

    with pytest.raises(BadInputError, match=r"cannot tell which collection.*--collection"):
        case.compare(source)
    assert found(case.compare(source, collection="c"), "c") == {"missing": 1}


# --- damage --------------------------------------------------------------------------------------------------------


def test_damage_is_counted_once_where_it_belongs(database: Any, case: Case, write: Write) -> None:
    good = [bson.encode({"_id": n, "v": "x" * 40}) for n in range(3)]
    write("a.bson", [*good[:2], b"\xff" * 30, good[2]])
    write("b.bson", good)
    comparison = case.compare(write("c.bson", [b"\xff" * 30]).parent)

    assert found(comparison, "a") == {"missing": 3, "corrupt": 1}
    assert found(comparison, "b") == {"missing": 3}
    assert found(comparison, "c") == {"corrupt": 1}
    assert comparison.total.corrupt == len(comparison.corrupt) == 2


def broken_behind_its_id() -> bytes:
    record = bson.encode({"_id": bson.ObjectId("65a000000000000000000001"), "v": "text", "w": 1})
    return record.replace(b"\x05\x00\x00\x00text", b"\x55\x00\x00\x00text")


@pytest.mark.parametrize("key", [[], ["w"]])
def test_a_record_that_is_broken_behind_its_id_is_corrupt(
    database: Any, case: Case, write: Write, key: list[str]
) -> None:
    oid = bson.ObjectId("65a000000000000000000001")
    database.client[database.name].c.insert_one({"_id": oid, "v": "text", "w": 1})
    good = bson.encode({"_id": bson.ObjectId(), "v": "more", "w": 2})
    comparison = case.compare(write("c.bson", [broken_behind_its_id(), good]), key=key)

    counts = found(comparison, "c")
    assert counts["corrupt"] == 1
    assert counts["missing"] == 1
    assert "document" in comparison.corrupt["reason"][0] or "value" in comparison.corrupt["reason"][0]


def test_a_broken_record_that_is_missing_is_never_written(database: Any, case: Case, write: Write) -> None:
    comparison = case.compare(write("c.bson", [broken_behind_its_id()]))
    result = case.restore(case.plan(comparison))

    assert result.restored == 0
    assert database.client[database.name].c.count_documents({}) == 0


def test_a_record_with_a_field_name_twice_is_compared_as_a_whole(database: Any, case: Case, write: Write) -> None:
    parts = list(elements(bson.encode({"_id": 1, "a": 1})))
    twice = build([*parts, *elements(bson.encode({"a": 2}))])
    database.client[database.name].c.insert_one(RawBSONDocument(twice))

    assert found(case.compare(write("c.bson", [twice])), "c") == {"identical": 1}
    other = case.compare(write("c.bson", [{"_id": 1, "a": 2}], folder="other"))
    assert found(other, "c") == {"changed": 1}


def test_keys_of_the_whole_sample_are_fetched_by_their_exact_bytes(shop: Any, case: Case, samples: Path) -> None:
    dump = samples / "mongodump" / "shop" / "types.bson"
    originals = split(dump.read_bytes())
    shop.client[shop.name].types.delete_many({})
    comparison = case.compare(dump)
    assert case.restore(case.plan(comparison)).restored == 34

    assert set(stored(shop, "types").values()) == set(originals)


# --- what cannot be what it seems --------------------------------------------------------------------------------


def test_of_a_record_that_does_not_decode_an_older_copy_is_taken_and_the_damage_told(
    database: Any, case: Case, write: Write
) -> None:
    whole = [bson.encode({"_id": bson.ObjectId(f"{n:024x}"), "name": f"n{n}"}) for n in range(6)]
    broken = whole[2].replace(b"\x02name", b"\x77name")
    lost = whole[4].replace(b"\x02name", b"\x77name")
    write("people.bson", [*whole[:2], broken, whole[3], lost], day=9)
    write("people.bson", whole[:4], day=1, folder="old")
    comparison = case.compare(write("people.bson", [*whole[:2], broken, whole[3], lost], day=9).parent, *[
        write("people.bson", whole[:4], day=1, folder="old")
    ])  # fmt: skip
    counts = comparison.counts["people"]
    assert (counts.missing, counts.corrupt) == (4, 2)
    assert case.restore(case.plan(comparison)).restored == 4
    assert sorted(stored(database, "people").values()) == sorted(whole[:4])


def test_databases_that_lie_side_by_side_are_not_mixed(database: Any, case: Case, tmp_path: Path) -> None:
    for name in (database.name, "other"):
        (tmp_path / "dump" / name).mkdir(parents=True)
        (tmp_path / "dump" / name / "users.bson").write_bytes(bson.encode({"_id": name}))
    comparison = case.compare(tmp_path / "dump")
    assert comparison.counts["users"].missing == 1
    assert any("which is of the database other" in note for note in comparison.summary.notes)
    assert case.compare(tmp_path / "dump" / "other").counts["users"].missing == 1
    (tmp_path / "dump" / database.name).rename(tmp_path / "dump" / "third")
    with pytest.raises(BadInputError, match=r"holds several databases \(other, third\)"):
        case.compare(tmp_path / "dump")


def test_a_member_that_cannot_be_opened_costs_only_itself(database: Any, case: Case, write: Write) -> None:
    write("users.bson", [{"_id": n} for n in range(5)])
    folder = write("secret.bson", [b"age-encryption.org/v1\n-> X25519 abc\nabc\n--- abc\n" + bytes(100)]).parent
    comparison = case.compare(folder)
    assert comparison.counts["users"].missing == 5
    (entry,) = comparison.sources.values()
    assert [(one.member, "encrypted with age" in one.reason) for one in entry.damage] == [("secret.bson", True)]


def test_a_name_that_is_no_utf8_is_no_obstacle(database: Any, case: Case, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"M\xfcller.jsonl")
    path.write_text('{"_id": 1}\n')
    comparison = case.compare(path, collection="users")
    assert case.restore(case.plan(comparison)).restored == 1
    assert [entry.path for entry in case.catalog.entries()] == [path]


def test_an_empty_time_is_refused_and_not_passed_over(database: Any, case: Case, write: Write) -> None:
    with pytest.raises(BadInputError, match="not a point in time"):
        case.compare(write("users.bson", [{"_id": 1}]), as_of="")
