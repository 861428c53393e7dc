from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast

import bson
import pytest
from pymongo import MongoClient

from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.records.batch import Damage, Ref, moment
from recovery_nb.records.extended_json import to_bson
from recovery_nb.sources.base import Kind, Typing
from recovery_nb.sources.content import File
from recovery_nb.sources.detect import sources_of
from recovery_nb.sources.log import records as log_records
from recovery_nb.sources.log.files import LogSource, looks_like_json_log, looks_like_log
from recovery_nb.sources.log.records import is_record

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
LOG = (SAMPLES / "backups" / "app.log").read_bytes()
STAMP = "2025-11-01T08:00:00Z INFO store - "
RECORD = '{"_id": "r1", "name": "Zoë {\\"x\\"}", "parts": [{"_id": "p1", "n": 1, "m": 2}]}'


class Row(NamedTuple):
    collection: str
    record: bytes
    offset: int
    length: int
    at: int | None


def rows_of(source: LogSource) -> tuple[list[Row], list[Damage]]:
    rows: list[Row] = []
    damages: list[Damage] = []
    for piece in source.read():
        if isinstance(piece, Damage):
            damages.append(piece)
            continue
        times = piece.at or [None] * len(piece)
        zipped = zip(piece.records, piece.offsets, piece.lengths, times, strict=True)
        rows += [Row(piece.collection, *rest) for rest in zipped]
    refs = [Ref("", row.offset, row.length) for row in rows]
    assert list(source.fetch(refs)) == [row.record for row in rows]
    partial = [Ref("", damage.offset, damage.length, partial=True) for damage in damages if damage.partial]
    assert list(source.fetch(partial)) == [damage.partial for damage in damages if damage.partial]
    return rows, damages


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.log"


def read(file: Path, content: str | bytes) -> tuple[list[Row], list[Damage]]:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return rows_of(LogSource(File.on_disk(file)))


def found(file: Path, content: str) -> list[object]:
    rows, damages = read(file, content)
    assert not damages
    return [bson.decode(row.record)["_id"] for row in rows]


# An application's log


def test_every_record_of_the_sample_is_found_and_nothing_else() -> None:
    source = LogSource(File.on_disk(SAMPLES / "backups" / "app.log"))
    rows, damages = rows_of(source)
    lines = [line for line in LOG.splitlines() if b" doc=" in line]
    expected = [line[line.index(b" doc=") + 5 : line.rindex(b" took=")] for line in lines]
    assert len(expected) == 150
    assert [row.record for row in rows] == [to_bson(text) for text in expected]
    assert [LOG[row.offset : row.offset + row.length] for row in rows] == expected
    assert not damages
    assert source.kind is Kind.LOG
    assert source.typing() is Typing.PLAIN
    header = source.header()
    assert header.taken_at == datetime(2025, 11, 5, 3, 53, 0, 287000, UTC)
    assert header.taken_from == "last entry"


def test_a_record_has_the_time_of_its_entry() -> None:
    rows, _ = rows_of(LogSource(File.on_disk(SAMPLES / "backups" / "app.log")))
    stamps = [line[:24].decode() for line in LOG.splitlines() if b" doc=" in line]
    times = [row.at >> 32 for row in rows if row.at is not None]
    assert times == [int(datetime.fromisoformat(stamp).timestamp()) for stamp in stamps]


@pytest.mark.parametrize(
    "line",
    [
        f"{STAMP}doc={RECORD} took=3ms",
        f"{STAMP}saved {RECORD}",
        f"{STAMP}{RECORD}",
        RECORD,
        f"{STAMP}insertOne({RECORD})",
        f'{STAMP}replaceOne({{"_id": "r1", "v": 7}}, {RECORD})',
        f"{STAMP}[{RECORD}]",
        f'{STAMP}{{"event": {{"doc": {RECORD}}}}}',
        f'{STAMP}{{"deep": [[{{"rows": [{RECORD}]}}]]}}',
        f"{STAMP}saved:\n{json.dumps(json.loads(RECORD), indent=2)}",
        f"{STAMP}doc={json.dumps(json.loads(RECORD), indent=4)} ok",
        f"{STAMP}payload={json.dumps(RECORD)}",
        json.dumps({"level": "info", "msg": "saved", "payload": RECORD, "time": "2025-11-01T08:00:00Z"}),
        json.dumps({"log": json.dumps({"level": "info", "payload": RECORD}) + "\n", "stream": "stdout"}),
        json.dumps({"log": f"{STAMP}doc={RECORD}\n", "stream": "stdout", "time": "2025-11-01T08:00:00Z"}),
    ],
)
def test_a_record_is_found_wherever_it_stands(file: Path, line: str) -> None:
    rows, damages = read(file, f"{STAMP}start\n{line}\n{STAMP}end\n")
    assert [row.record for row in rows] == [to_bson(RECORD.encode())]
    assert not damages


def test_several_records_of_one_line_are_told_apart(file: Path) -> None:
    assert found(file, STAMP + 'old={"_id": 5, "a": "x"} new={"_id": 6, "a": "y"}, [{"_id": 7, "a": "z"}]\n') == [
        5,
        6,
        7,
    ]
    assert found(file, STAMP + 'docs=[{"_id": 8, "a": "x"}, {"_id": 9, "a": "y"}]\n') == [8, 9]


@pytest.mark.parametrize(
    "text",
    [
        "status=200 {not json}",
        "{'_id': 'python', 'a': 1, 'b': None}",
        'query={"_id": "x"}',
        'filter={"_id": "x", "state": "open"}',
        'find({"_id": "x", "state": "open"}, {"_id": 0, "name": 1})',
        'updateOne({"_id": "x", "state": "open"}, {"$set": {"state": "shut", "by": {"_id": 1, "b": "c"}}})',
        'looked for {"_id": {"$in": ["x", "y"]}, "a": "b"}',
        'looked for {"_id": "x", "n": {"$gt": 5}}',
        'pipeline=[{"$match": {"a": 1}}, {"$group": {"_id": "$a", "n": {"$sum": 1}, "m": "x"}}]',
        'projection={"_id": 1, "name": 1}',
        'update={"$set": {"_id": "x", "a": "b"}}',
        'request {"id": 17, "method": "GET", "url": "/", "status": 200}',
        'config={"_id": "rs0", "version": 1, "members": [{"_id": 0, "host": "localhost:1", "votes": 2}]}',
        'took {"ms": 17, "rows": [1, 2]}',
        'ns=config.transactions doc={"_id": "x", "a": "b"}',
        '{"level": "info", "session_id": "s", "msg": "said {}", "time": "2025-11-01T08:00:00Z", "a": 1}',
    ],
)
def test_what_is_no_record_says_nothing(file: Path, text: str) -> None:
    assert read(file, f"{STAMP}{text}\n{text}\n" if text[0] == "{" else f"{STAMP}{text}\n") == ([], [])


def test_a_session_with_enough_fields_is_a_record(file: Path) -> None:
    rows, _ = read(file, STAMP + 'doc={"session_id": "s", "a": 1, "b": 2, "c": 3} and {"session_id": "t", "a": 1}\n')
    assert [bson.decode(row.record)["session_id"] for row in rows] == ["s"]


@pytest.mark.parametrize(
    ("line", "collection"),
    [
        (f"{STAMP}saved conversation doc={RECORD}", ""),
        (f"{STAMP}collection=quotes doc={RECORD}", "quotes"),
        (f"{STAMP}doc={RECORD} ns=shop.quotes took=3ms", "quotes"),
        (f"{STAMP}ns: shop.old.quotes {RECORD}", "old.quotes"),
        (f"{STAMP}db.quotes.insertOne({RECORD})", "quotes"),
        (f"{STAMP}collection=quotes:\n{RECORD}", "quotes"),
        (f'{{"level": 30, "msg": "saved", "collection": "quotes", "doc": {RECORD}, "time": 1}}', "quotes"),
        (f'{{"command": {{"insert": "quotes", "documents": [{RECORD}], "$db": "shop"}}}}', "quotes"),
        (f'{{"ns": {{"db": "shop", "coll": "quotes"}}, "fullDocument": {RECORD}}}', "quotes"),
        (f'{{"collection": "quotes", "payload": {json.dumps(RECORD)}}}', "quotes"),
    ],
)
def test_a_collection_is_taken_from_what_names_it(file: Path, line: str, collection: str) -> None:
    rows, _ = read(file, f"{STAMP}start\n{line}\n")
    assert [row.collection for row in rows] == [collection]


def test_records_over_many_lines_are_read_from_a_log_of_any_length(file: Path) -> None:
    documents = [{"_id": n, "text": ["word " * 20] * 50, "part": {"_id": n, "a": "b", "c": "d"}} for n in range(1500)]
    entries = [
        f"2025-11-01T08:{n % 60:02}:00Z INFO ns=shop.words saved\n"
        f"2025-11-01T08:{n % 60:02}:30Z INFO collection=texts docs={json.dumps(documents[n : n + 3], indent=2)} done\n"
        for n in range(0, len(documents), 3)
    ]
    rows, damages = read(file, "".join(entries))
    assert file.stat().st_size > 2 * 4 * 1024 * 1024
    assert [bson.decode(row.record) for row in rows] == documents
    assert {row.collection for row in rows} == {"texts"}
    assert {((row.at or 0) >> 32) % 60 for row in rows} == {30}
    assert not damages


# Times


@pytest.mark.parametrize(
    "stamp",
    [
        "2025-11-01T08:00:00Z",
        "2025-11-01T10:00:00.000+02:00",
        "2025-11-01 08:00:00,000",
        "[2025-11-01 08:00:00 +0000]",
        "2025/11/01 08:00:00 [error] 7#7:",
        '1.2.3.4 - - [01/Nov/2025:09:00:00 +0100] "POST /" 200',
        "[Sat Nov  1 08:00:00.000000 2025]",
        "1761984000",
        "1761984000000",
        "<13>1 2025-11-01T08:00:00Z host app",
    ],
)
def test_times_of_many_programs_are_read(file: Path, stamp: str) -> None:
    rows, _ = read(file, f"{stamp} saved doc={RECORD}\n")
    assert [row.at for row in rows] == [moment(1761984000)]


@pytest.mark.parametrize("time", ['"2025-11-01T08:00:00Z"', "1761984000", "1761984000000", "1.761984e9"])
def test_the_time_of_a_structured_entry_is_its_own(file: Path, time: str) -> None:
    record = RECORD.replace('"r1",', '"r1", "time": "1999-01-01T00:00:00Z",')
    rows, _ = read(file, f'{{"level": "info", "doc": {record}, "ts": {time}, "msg": "saved"}}\n')
    assert [row.at for row in rows] == [moment(1761984000)]


def test_an_entry_without_a_time_has_the_one_before_it_and_is_newer(file: Path) -> None:
    rows, _ = read(file, f"2025-11-01T08:00:00Z start\n{RECORD}\nsaved {RECORD}\n   at line 1\ndoc={RECORD}\n")
    assert [row.at for row in rows] == [moment(1761984000) + n for n in range(3)]


def test_without_any_time_there_is_none(file: Path) -> None:
    rows, _ = read(file, f"Nov  1 08:00:00 host app: doc={RECORD}\n")
    assert [row.at for row in rows] == [None]


def test_of_several_versions_the_later_is_the_newer_even_when_the_clock_is_set_back(file: Path) -> None:
    stamps = ["2025-10-26 02:59:59", "2025-10-26 02:00:00", "2025-10-26 02:00:00", "2025-10-26 03:10:00"]
    versions = [f'{stamp} INFO doc={{"_id": 1, "v": "{n}"}}\n' for n, stamp in enumerate(stamps)]
    rows, _ = read(file, "".join(versions))
    assert [bson.decode(row.record)["v"] for row in rows] == ["0", "1", "2", "3"]
    times = [row.at for row in rows if row.at is not None]
    assert times == sorted(set(times))


def test_one_wrong_time_costs_no_other_entry_its_own(file: Path) -> None:
    rows, _ = read(file, "".join(f'{year}-11-01T08:00:00Z doc={{"_id": 1, "v": "x"}}\n' for year in (2025, 2035, 2025)))
    assert rows[0].at == rows[2].at == moment(1761984000)


# Updates


@pytest.mark.parametrize(
    "text",
    [
        "update users set {}",
        "patch users {}",
        "PATCH /users/5 {}",
        "patched {}",
        "changed: {}",
        "changes={}",
        "changes = {} took=3ms",
        "delta: {}",
        "delta:\n{}",
        "diff {}",
        "fields={}",
        "user.changes='{}'",
        '{{"event": "saved", "changes": {}}}',
        '{{"event": "saved", "fields": {}, "n": 1}}',
        '{{"event": "saved", "rows": [{{"patch": {}}}]}}',
        # The entry is broken: no line break parts it from the next.
        '{{"event": "sa changes={}',
    ],
)
def test_an_update_is_shown_and_not_taken_for_the_whole_record(file: Path, text: str) -> None:
    update = '{"_id": "u1", "name": "Ann2", "customer": {"_id": 7, "name": "part"}}'
    content = f"{STAMP}{text.format(update)}\n{STAMP}doc={RECORD}\n"
    rows, damages = read(file, content)
    assert [bson.decode(row.record)["_id"] for row in rows] == ["r1"]
    shown = [damage for damage in damages if damage.reason == "an update, which need not be the whole record"]
    assert [damage.partial for damage in shown] == [to_bson(update.encode())]
    assert [(damage.offset, damage.length) for damage in shown] == [(content.index(update), len(update))]


@pytest.mark.parametrize("name", ["changes", "fields", "patch"])
def test_an_update_within_a_string_is_shown_with_its_collection(file: Path, name: str) -> None:
    update = '{"_id": "u1", "name": "Ann2"}'
    entry = json.dumps({"collection": "users", name: update})
    rows, damages = read(file, f"{STAMP}{entry}\n{STAMP}{json.dumps(f'ns=shop.users {name}={update}')}\n")
    assert not rows
    assert [damage.collection for damage in damages] == ["users", "users"]
    assert [damage.partial for damage in damages] == [to_bson(update.encode())] * 2


@pytest.mark.parametrize(
    "text",
    [
        "update {}",
        "updated {}",
        "updated users {}",
        "update users {}",
        "settings {}",
        "offset {}",
        "patched doc {}",
        "patch applied to users {}",
        "changes saved, doc={}",
        "changes[0] {}",
        '{{"changes": {{"before": {{"_id": 1}}, "after": {}}}}}',
        '{{"changes": 3, "doc": {}}}',
        '{{"update": {}}}',
    ],
)
def test_a_whole_record_is_no_update_because_the_word_is_near(file: Path, text: str) -> None:
    rows, damages = read(file, f"{STAMP}{text.format(RECORD)}\n")
    assert [row.record for row in rows] == [to_bson(RECORD.encode())]
    assert not damages


@pytest.mark.parametrize(
    "text",
    [
        'fields={"_id": 1, "name": 1}',
        'fields={"author": {"_id": "x", "name": "y"}}',
        'fields=[{"_id": "x", "name": "y"}]',
        '{"find": "users", "fields": [{"_id": "x", "name": "y"}]}',
        'set {"_id": "x"}',
        'set {"$set": {"_id": "x", "name": "y"}}',
        'ns=config.transactions set {"_id": "x", "name": "y"}',
    ],
)
def test_what_is_neither_record_nor_update_says_nothing(file: Path, text: str) -> None:
    assert read(file, f"{STAMP}{text}\n") == ([], [])


# What is a record


@pytest.mark.parametrize("held", [True, False])
def test_what_is_plainly_a_record_is_one_by_a_look_at_each_field(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(0)
    values = [
        "x",
        "a\0b",
        "",
        "$5",
        "\n$5",
        "###",
        "uid\0",
        1,
        0,
        2,
        True,
        False,
        None,
        1.5,
        ["a"],
        ["$a"],
        bson.ObjectId(),
    ]
    values += [
        {},
        {"$gt": 1},
        {"$ref": "a", "$id": 1},
        {"_id": ["a"]},
        {"a": {"$gt": 1}},
        bson.Int64(1),
        bson.Regex("a"),
    ]
    names = ["_id", "_id", "_id", "id", "session_id", "paid", "a", "b", "$set", "", "$"]

    def element() -> bytes:
        return bson.encode({dice.choice(names): dice.choice(values)})[4:-1]

    bodies = [b"".join(element() for _ in range(dice.randint(1, 4))) for _ in range(20_000)]
    records = [(len(body) + 5).to_bytes(4, "little") + body + b"\0" for body in bodies]
    quick = [is_record(record, held=held) for record in records]
    monkeypatch.setattr(log_records, "_is_plainly_one", lambda _: False)
    assert quick == [is_record(record, held=held) for record in records]
    assert 1000 < sum(quick) < 19_000


# MongoDB's own log


def test_the_server_s_log_gives_replacements_and_no_conditions(tmp_path: Path) -> None:
    client: MongoClient[dict[str, object]]
    with EmbeddedMongod(tmp_path / "server") as server, MongoClient(server.uri()) as client:
        shop = client["shop"]
        shop.command("profile", 0, slowms=-1)
        quotes = shop["quotes"]
        quotes.insert_many([{"_id": 1, "a": "x"}, {"_id": 2, "a": "y"}])
        quotes.replace_one({"_id": 1, "a": "x"}, {"_id": 1, "a": "x2", "when": datetime(2025, 11, 1, tzinfo=UTC)})
        quotes.replace_one({"_id": 2, "a": "y"}, {"a": "without its key"})
        quotes.update_one({"_id": 2, "a": "y"}, {"$set": {"a": "z"}})
        quotes.find_one_and_replace({"_id": 2, "b": 1}, {"_id": 2, "b": "whole", "parts": [{"_id": 7, "n": "m"}]})
        list(quotes.find({"_id": 1, "a": "x2"}, {"_id": 0, "a": 1}))
        list(quotes.aggregate([{"$group": {"_id": "$a", "n": {"$sum": 1}, "m": {"$max": "$z"}}}]))
        quotes.delete_one({"_id": 1, "a": "x2"})
        long = [{"n": n, "text": "x" * 100} for n in range(300)]
        quotes.replace_one({"_id": 2}, {"_id": 2, "b": "cut", "long": long, "c": "never logged"})
        log = server.log.read_bytes()
    assert looks_like_json_log(log[:65536])
    copy = tmp_path / "mongod.log"
    copy.write_bytes(log)
    source = LogSource(File.on_disk(copy))
    rows, damages = rows_of(source)
    assert [(row.collection, bson.decode(row.record)) for row in rows] == [
        ("quotes", {"_id": 1, "a": "x2", "when": datetime(2025, 11, 1)}),
        ("quotes", {"_id": 2, "b": "whole", "parts": [{"_id": 7, "n": "m"}]}),
    ]
    # The server logs no more than 10 kB of an entry: what it cut looks whole, and is not.
    assert [bson.decode(damage.partial) for damage in damages] == [{"_id": 2, "b": "cut"}]
    assert source.typing() is Typing.RELAXED
    stated = json.loads(log.splitlines()[-1])["t"]["$date"]
    assert source.header().taken_at == datetime.fromisoformat(stated)


# What a log looks like


@pytest.mark.parametrize(
    ("head", "log", "json_log"),
    [
        (LOG[:65536], True, False),
        (f"[2025-11-01 08:00:00] INFO {RECORD}\n".encode(), True, False),
        (f"saved doc={RECORD}\n".encode(), True, False),
        (b'{"level":30,"time":1761984000000,"pid":7,"msg":"a"}\n{"level":30,"time":1761984000001,"msg":"b"}\n', 1, 1),
        (b'{"@timestamp":"2025-11-01T08:00:00Z","log.level":"INFO","message":"a"}\n' * 2, True, True),
        (b'{"level":"info","ts":1761984000.5,"msg":"a"}\n' * 2, True, True),
        (b'{"level":"info","ts":1761984000.5,"msg":"alone"}\n', False, False),
        (b'{"_id":1,"level":"info","message":"a","timestamp":"2025-11-01T08:00:00Z"}\n' * 3, False, False),
        (b'{"_id":1,"a":"x"}\n' * 3, False, False),
        (b'[{"_id":1,"a":"x"}]\n', False, False),
        ((SAMPLES / "mongoexport" / "conversations.relaxed.jsonl").read_bytes()[:65536], False, False),
        ((SAMPLES / "mongoexport" / "conversations.array.json").read_bytes()[:65536], False, False),
        ((SAMPLES / "backups" / "export_spec_v1.json").read_bytes()[:65536], False, False),
        (b"# Notes\n\nNothing in here is a log.\n", False, False),
        (b"\0\1\2\3", False, False),
        (b"", False, False),
    ],
)
def test_logs_are_told_by_their_lines(head: bytes, log: bool, json_log: bool) -> None:
    assert looks_like_log(head) == log
    assert looks_like_json_log(head) == json_log


# Damage


def test_a_record_that_is_cut_is_damage_with_its_leading_fields(file: Path) -> None:
    cut = STAMP + 'doc={"_id": "r1", "name": "whole", "rest": "is mi'
    rows, damages = read(file, f"{cut}\n{STAMP}doc={RECORD}\n{cut}")
    assert [bson.decode(row.record)["_id"] for row in rows] == ["r1"]
    assert [bson.decode(damage.partial) for damage in damages] == [{"_id": "r1", "name": "whole"}] * 2
    assert [damage.offset for damage in damages] == [cut.index("{"), len(f"{cut}\n{STAMP}doc={RECORD}\n".encode()) + 38]
    assert damages[-1].reason == "the file ends inside a record"


def test_parts_of_a_broken_record_are_not_taken_for_records(file: Path) -> None:
    broken = RECORD.replace('"name": "', '"name": ')
    rows, damages = read(file, f"{STAMP}doc={broken}\n{STAMP}doc={RECORD}\n")
    assert len(rows) == len(damages) == 1
    assert read(file, RECORD[1:] + "\n")[0] == []


def test_the_line_after_a_lost_line_break_is_read(file: Path) -> None:
    entry = f'{{"level": "info", "msg": "saved", "doc": {RECORD}}}\n'
    rows, damages = read(file, entry + entry[:80] + entry)
    assert len(rows) == 2
    assert len(damages) == 1


DOUBT = "whole, but perhaps a part of the broken record before it"


@pytest.mark.parametrize(
    ("line", "records", "broken", "doubtful"),
    [
        # A quote is lost, so that brackets are taken for text; the list ends with the last bracket of the line.
        ('docs=[{"_id": 1, "a": "x}, {"_id": 2, "b": "y"}, {"_id": 3, "b": "z"}] took=3ms', [], [1], [2, 3]),
        ('docs=[{"_id": 8, "a": "x"}, {"_id": 1, "a": "x}, {"_id": 2, "b": "y"}]', [8], [1], [2]),
        ('ns=a.b docs=[{"_id": 1, "c": {"d": [1, "a": "x"}, {"_id": 2, "b": "y"}]', [], [1], [2]),
        ('docs=[{"_id": 1, "parts": [{"_id": 5, "n": "m}, {"_id": 6, "n": "m"}]}, {"_id": 2, "b": "y"}]', [], [1], [2]),
        # Behind the last member the line is cut, or what the brackets close is not the list alone.
        ('docs=[{"_id": 1, "a": "x}, {"_id": 2, "b": "y"}, {"_id": 3, "b": "z"}', [], [1], []),
        ('docs=[{"_id": 1, "a": "x, "parts": [{"_id": 2, "b": "y"}, {"_id": 3, "b": "z"}]}] took=3ms', [], [1], []),
        ('docs=[{"_id": 1, "parts": [{"_id": 2, "b": "y"}, {"_id": 3, "b": "z"}]', [], [1], []),
        # The rest of another list is not that of the broken one's.
        ('old=[{"_id": 1, "a": [}] new=[{"_id": 2, "b": "y"}, {"_id": 3, "b": "z"}]', [2, 3], [1], []),
        # What no record is in a list is none behind a broken one.
        ('docs=[{"_id": 1, "a": "x}, {"_id": 2}, {"_id": 3, "b": "z"}]', [], [1], [3]),
        ('filter=[{"_id": 1, "a": "x}, {"_id": 2, "b": "y"}]', [], [], []),
    ],
)
def test_the_rest_of_a_list_behind_a_broken_member_is_shown_and_not_believed(
    file: Path, line: str, records: list[int], broken: list[int], doubtful: list[int]
) -> None:
    rows, damages = read(file, f"{STAMP}start\n{STAMP}{line}\n{STAMP}doc={RECORD}\n")
    assert [bson.decode(row.record)["_id"] for row in rows] == [*records, "r1"]
    told = [(bson.decode(damage.partial)["_id"], damage.reason == DOUBT) for damage in damages]
    assert told == [(n, False) for n in broken] + [(n, True) for n in doubtful]


@pytest.mark.parametrize(
    "line",
    [
        "GenericMessage [payload={0}, headers={{id=4}}]", "OrderSaved[order={0}, at=5]", "OrderSaved{{order={0}}}",
        "Optional[Doc{{json={0}}}]", "{{users=[{0}, {0}]}}", "{{doc={0}}}", "saved [{0} {0}]", "{{Doc:{0} At:5}}",
        "req{{body={0}}}: handled", "[user={0}]", "[сохранено {0}]", "Event {{ {0} }}", "[2025-11-01 08:00:00 {0}]",
        "saved {0} in (0, 5]", '{{"count":1}} {0}', 'body={{"name":"Jo... (512 bytes) -> {0}',
        'GET /users?q={{"age":{{"$gt":5}} -> {0}', 'requête {{"nam… réponse {0}', "{{'topic': 'u', 'value': '{0}'}}",
        "['{0}', '{0}']", "succeeded in 0.1s: {{'r': '{0}'}}", 'Message {{ topic: "u", payload: {1} }}',
        "req{{id=1 body={1}}}", "args=[{1}]", "Batch [{1}]", "user [{1}]", "[{1} {1}]", "{{ok,<<{1}>>}}",
        "%{{payload: {1}}}", "[payload: {1}]", 'Parameters: {{"user"=>{1}, "x"=>"y"}}', '{{"payload"=>{1}}}',
        '{{"event":"update","doc":{0}}}', 'event: {{"type":"created","data":{0}}}', '{{"t":1,"data":{1}}}',
        'event: {{"t":1}} -> {0}', 'saved {{"docs":[{0}]}}',
    ],
)  # fmt: skip
def test_whole_records_are_found_within_the_notations_of_others(file: Path, line: str) -> None:
    records = [f'{{"_id":"r{n}","name":"Ann","age":{n}}}' for n in range(20)]
    wrapped = "".join(
        f"2025-11-01 08:00:00 INFO {records[n]}\n2025-11-01 08:00:00 INFO {line.format(text, json.dumps(text))}\n"
        for n in range(10)
        for text in [records[n + 10]]
    )
    rows, damages = read(file, wrapped)
    assert sorted({row.record for row in rows}) == sorted(to_bson(one.encode()) for one in records)
    assert [damage.reason for damage in damages if "whole" in damage.reason] == []


def test_what_is_behind_the_end_of_a_list_that_began_out_of_sight_is_shown(file: Path) -> None:
    cut = '2025-11-01: 3, "orders": []}, {"_id": 87, "n": 2}, {"_id": 80, "n": 1}]\n'
    rows, damages = read(file, cut + f"{STAMP}doc={RECORD}\n")
    assert [bson.decode(row.record)["_id"] for row in rows] == ["r1"]
    assert [bson.decode(damage.partial)["_id"] for damage in damages] == [87, 80]


@pytest.mark.parametrize(
    "content",
    [
        "created_at,_id,name\n" + "2025-11-01T08:00:00Z,1,u1\n" * 7,
        "_id\tv\n" + "1764585001\t1\n" * 7,
        "n,at,user\n" + "1,01/Nov/2025:08:00:00 +0000,u1\n" * 7,
        "[\n" + '["2025-11-01 08:00:01"],\n' * 5 + '{"_id":1,"a":2}]\n',
    ],
)
def test_a_table_or_a_list_with_times_is_no_log(file: Path, content: str) -> None:
    file = file.with_suffix(".csv" if "," in content[:12] else ".tsv" if "\t" in content[:9] else ".json")
    file.write_text(content)
    (source,) = sources_of(File.on_disk(file))
    assert not isinstance(source, LogSource)


USUAL = "".join(f'{STAMP}doc={{"_id": "u{n}", "v": {n}}} took=3ms\n' for n in range(10))


@pytest.mark.parametrize(
    "line",
    [
        '{stamp}doc={{"_id": 1, "parts": [{{"_id": 5, "n": 1}}l {{"_id": 6, "n": 2}}], "z": 1}} took=3ms',  # a comma
        '{stamp}doc={{"_id": 1, "parts":([{{"_id": 5, "n": 1}}, {{"_id": 6, "n": 2}}]}} took=3ms',  # a blank
        '{stamp}doc={{"_jd": 1, "parts": [{{"_id": 5, "n": 1}}, {{"_id": 6, "n": 2}}]}} took=3ms',  # its identity
        '{stamp}doc={{"[id": 1, "text": "{{\\"_id\\": 5, \\"n\\": 1}}"}} took=3ms',
        '{stamp}doc={{"_id": "65r"}}, {{"_id": 5, "n": 1}}, {{"_id": 6, "n": 2}}], "z": 1}} took=3ms',  # a span
        '2025-11-01T08:0"n": 1, "parts": [{{"_id": 5, "n": 1}}, {{"_id": 6, "n": 2}}]}} took=3ms',  # the beginning
        '2025-11-01T08:05:53: "{{\\"_id\\": 5, \\"quoted\\": 1}}", "z": 1}} took=3ms',
        '{stamp}sa"{{\\"_id\\": 5, \\"quoted\\": 1}}"}} took=3ms',
    ],
)
def test_what_is_in_a_record_with_a_broken_name_or_bracket_or_beginning_is_no_record(file: Path, line: str) -> None:
    after = f"{STAMP}doc={RECORD} took=3ms\n"
    rows, _ = read(file, USUAL + line.format(stamp=STAMP) + "\n" + after)
    assert [bson.decode(row.record)["_id"] for row in rows] == [*(f"u{n}" for n in range(10)), "r1"]


def test_a_record_on_the_line_of_a_broken_one_is_read_if_a_word_leads_to_it_and_else_shown(file: Path) -> None:
    swallowed = '{"_id": 5, "n": 1}'
    rows, _ = read(file, f'{STAMP}doc={{"_id"\0\0\0 INFO store - saved doc={swallowed}\n')
    assert [bson.decode(row.record) for row in rows] == [{"_id": 5, "n": 1}]
    rows, damages = read(file, f'{STAMP}doc={{"_id": 1, "a": tru, ={swallowed}}}\n{STAMP}end\n')
    assert rows == []
    assert [bson.decode(damage.partial) for damage in damages] == [{"_id": 1}, {"_id": 5, "n": 1}]


def test_a_log_whose_first_line_lost_its_beginning_is_a_log(file: Path) -> None:
    cut = '{"_id": 5, "n": 1}, {"_id": 6, "n": 2}], "z": 1} took=3ms\n'
    file.write_text(cut + USUAL)
    (source,) = sources_of(File.on_disk(file))
    rows, _ = rows_of(cast("LogSource", source))
    assert [bson.decode(row.record)["_id"] for row in rows] == [f"u{n}" for n in range(10)]


def _damaged(content: bytes, dice: random.Random) -> tuple[bytes, int, int]:
    """Return content with some damage, and which of its bytes it touched."""
    at = dice.randrange(len(content))
    line_end = content.find(b"\n", at)
    match dice.choice(("flip", "zero", "cut", "head", "tail", "junk", "joined")):
        case "flip":
            return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :], at, at + 1
        case "zero":
            end = min(len(content), at + dice.randint(1, 3000))
            return content[:at] + bytes(end - at) + content[end:], at, end
        case "cut":
            line_end += dice.randrange(2)
            return content[:at] + content[line_end:], at, line_end
        case "head":
            return content[at:], 0, at
        case "tail":
            return content[:at], at, len(content)
        case "junk":
            junk = dice.choice((b'"', b"{", b"}", b"[", b"]", b"\\", b"\n", b'{"_id":', dice.randbytes(100)))
            return content[:at] + junk + content[at:], at, at
        case _:
            return content[:line_end] + content[line_end + 1 :], line_end, line_end + 1


@pytest.mark.seeded(200)
def test_damage_costs_only_the_records_it_touched(file: Path, seed: int) -> None:
    whole, _ = rows_of(LogSource(File.on_disk(SAMPLES / "backups" / "app.log")))
    content, start, end = _damaged(LOG, random.Random(seed))
    rows, _ = read(file, content)
    safe = Counter(row.record for row in whole if row.offset + row.length <= start or row.offset >= end)
    got = Counter(row.record for row in rows)
    assert not safe - got
    assert (got - safe).total() <= len(whole) - safe.total()


# Hostile input


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "content",
    [
        b"doc=" + b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"doc=" + b'{"_id":' * 10_000 + b"1" + b"}" * 10_000,
        b"{" * 1_000_000,
        b'{"' * 300_000,
        b'x{"_id":1 ' * 100_000,
        b'{"doc":{"_id":1,' * 20_000,
        b'{\\"_id\\":' * 100_000,
        b'{\\"_id\\":1,"' * 3_000,
        b'{"a":[' + b'{"_id":0},' * 120_000 + b"0]}",
        b'[{"_id":1] ' * 100_000,
        b'[{"_id":[},{"_id":1}] ' * 50_000,
        b'[{"_id":"},' + b'{"_id":0},' * 120_000 + b"0]",
        b'[{"_id":"},' + b'{"_id":0},{"_id":[},' * 60_000 + b"{}]",
        (b'{"_id":' * 200 + b"1" + b"}" * 200) * 100,
        b"{\n" * 200_000,
        b"{" + b"\\" * 5_000_000,
        b'doc={"_id":' + b"1" * 1_000_000 + b',"a":1}',
        (b"{" + b" " * 1000) * 1000,
    ],
    ids=range(18),
)
def test_hostile_text_costs_bounded_time_and_gives_no_record(file: Path, content: bytes) -> None:
    rows, _ = read(file, STAMP.encode() + content + b"\n" + STAMP.encode() + b"doc=" + RECORD.encode() + b"\n")
    assert [row.record for row in rows] == [to_bson(RECORD.encode())]


def test_a_line_of_a_hundred_megabytes_is_passed_over(file: Path) -> None:
    rows, damages = read(file, b"x" * 100_000_000 + f"\n{STAMP}doc={RECORD}\n".encode())
    assert [row.offset for row in rows] == [100_000_001 + len(f"{STAMP}doc=")]
    assert not damages


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "line",
    [
        '{"_id": "x", "a": 2} ' * 20_000,
        "docs=[" + '{"_id": "x", "a": 2}, ' * 19_999 + '{"_id": "x", "a": 2}]',
        '{"ns": "a.b", "docs": [' + '{"_id": "x", "a": 2}, ' * 19_999 + '{"_id": "x", "a": 2}], "n": 1}',
        json.dumps('{"_id": "x", "a": 2} ' * 20_000),
        json.dumps('\u00eb\n{"_id": "x", "a": 2} ' * 20_000),
        json.dumps({"text": '{"_id": "x", "a": 2} ' * 20_000, "collection": "c"}),
    ],
    ids=range(6),
)
def test_many_records_in_one_line_are_all_read(file: Path, line: str) -> None:
    rows, damages = read(file, f"{STAMP}{line}\n")
    assert len(rows) == 20_000
    assert not damages
