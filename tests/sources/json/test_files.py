from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.batch import Damage, Ref
from recovery_nb.sources.base import Kind, Typing
from recovery_nb.sources.content import File
from recovery_nb.sources.json.files import JsonSource, looks_like_json

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
COUNTS = json.loads((SAMPLES / "truth.json").read_text())["counts"]

Row = tuple[str, int, int, bytes]


def rows_of(source: JsonSource) -> tuple[list[Row], list[Damage]]:
    rows: list[Row] = []
    damages: list[Damage] = []
    for piece in source.read():
        if isinstance(piece, Damage):
            damages.append(piece)
        else:
            zipped = zip(piece.offsets, piece.lengths, piece.records, strict=True)
            rows += [(piece.collection, *rest) for rest in zipped]
    return rows, damages


def read(path: Path, content: bytes | str) -> tuple[list[dict[str, object]], list[Damage]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    rows, damages = rows_of(JsonSource(File.on_disk(path)))
    return [bson.decode(row[3]) for row in rows], damages


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.json"


# What real tools wrote


@pytest.mark.parametrize("name", ["backup_20251201_103000.json", "backup_2025-12-01T10-30-00-000Z.json"])
def test_backups_of_the_field_are_read_whole(name: str) -> None:
    source = JsonSource(File.on_disk(SAMPLES / "backups" / name))
    rows, damages = rows_of(source)
    assert not damages
    assert Counter(row[0] for row in rows) == {c: COUNTS[c] for c in ("conversations", "sessions", "quotes")}
    assert source.kind is Kind.JSON
    taken_at = source.header().taken_at
    assert taken_at
    assert taken_at.replace(microsecond=0) == datetime(2025, 12, 1, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", sorted(p.name for p in (SAMPLES / "mongoexport").glob("*.json*")))
def test_exports_are_read_whole_and_can_be_fetched(name: str) -> None:
    source = JsonSource(File.on_disk(SAMPLES / "mongoexport" / name))
    rows, damages = rows_of(source)
    assert not damages
    assert len(rows) == COUNTS[name.split(".", maxsplit=1)[0]]
    assert {row[0] for row in rows} == {""}
    assert source.kind is (Kind.JSON_LINES if name.endswith("l") else Kind.JSON)
    refs = [Ref("", offset, length) for _, offset, length, _ in reversed(rows)]
    assert list(source.fetch(refs)) == [row[3] for row in reversed(rows)]


def test_typing_is_told_by_the_records() -> None:
    typings = {}
    for name in (
        "mongoexport/quotes.canonical.jsonl",
        "mongoexport/types.relaxed.jsonl",
        "backups/export_spec_v1.json",
    ):
        source = JsonSource(File.on_disk(SAMPLES / name))
        rows_of(source)
        typings[source.path.name.split(".")[-2]] = source.typing()
    assert typings == {"canonical": Typing.FULL, "relaxed": Typing.RELAXED, "export_spec_v1": Typing.PLAIN}


# Checksums


def test_the_checksum_of_the_specification_holds(file: Path) -> None:
    source = JsonSource(File.on_disk(SAMPLES / "backups/export_spec_v1.json"))
    assert source.verify_checksum() is True
    rows_of(source)
    header = source.header()
    assert (header.version, header.origin) == ("1.0", "shop")
    assert header.checksum == "c25ace42497d56be0092ed79f9b8504561812a653bf6e0c871ffb7b59a1339ba"
    file.write_text(source.path.read_text().replace("sess-00000", "sess-00009", 1))
    assert JsonSource(File.on_disk(file)).verify_checksum() is False
    assert JsonSource(File.on_disk(SAMPLES / "backups/backup_20251201_103000.json")).verify_checksum() is None


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "collections",
    [{"b": [{"z": 1.10, "a": 1e22}], "a": [{"é": "x"}, {"n": 10**30}], "c": []}, [{"b": 1}, {"a": 2}], {}],
)
def test_checksums_do_not_depend_on_order_or_layout(file: Path, collections: object, indent: int | None) -> None:
    text = json.dumps(collections, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    checksum = "sha256-" + hashlib.sha256(text.encode()).hexdigest()
    content = {"metadata": {"checksum": checksum}, "collections": collections}
    file.write_text(json.dumps(content, indent=indent))
    assert JsonSource(File.on_disk(file)).verify_checksum() is True


# Shapes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", {}),
        ('[{"a":1},{"a":2}]', {"": 2}),
        ('{"data":[{"a":1}]}', {"": 1}),
        ('{"x":0,"records":[{"a":1}],"y":0}', {"": 1}),
        ('{"items":[]}', {}),
        ('{"collections":[{"a":1}]}', {"": 1}),
        ('{"collections":{"b":[{"a":1}],"c":[],"d":[{"a":1},{"a":2}]}}', {"b": 1, "d": 2}),
        ('{"collections":{"one":{"a":1}}}', {"one": 1}),
        ('{"conversations":[{"a":1}],"messages":[{"a":1},{"a":2}]}', {"conversations": 1, "messages": 2}),
        ('{"messages":[{"a":1}]}', {"messages": 1}),
        ('{"session_id":"x","messages":[{"a":1}]}', {"": 1}),
        ('{"messages":[{"a":1}],"_id":1}', {"": 1}),
        ('{"_id":1,"items":[{"a":1},{"a":2}]}', {"": 1}),
        ('{"id":1,"items":[{"a":1},{"a":2}]}', {"": 2}),
        ('{"id":5}', {"": 1}),
        ('{"_id":1,"items":[1]}\n{"_id":2,"items":[2]}', {"": 2}),
        ('{\n "_id":1\n}\n{\n "_id":2\n}\n', {"": 2}),
        ('{"a":1}{"a":2} {"a":3}', {"": 3}),
        ('{"a":1},\r\n{"a":2},\r\n', {"": 2}),
        ('{"_id":1}\n', {"": 1}),
        ('\ufeff{"a":1}\n\ufeff{"a":2}\n', {"": 2}),
        ('[{"a":1}]\n[{"a":2}]', {"": 2}),
    ],
)
def test_every_shape_is_recognised(file: Path, text: str, expected: dict[str, int]) -> None:
    file.write_text(text)
    rows, damages = rows_of(JsonSource(File.on_disk(file)))
    assert not damages
    assert Counter(row[0] for row in rows) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \r\n\t", "is empty"),
        (b'{"name":"app","version":"1"}', "holds JSON but no records"),
        (b'{"name":"app"', None),
        (b"[1,2,3]", "holds JSON but no records"),
        (b"5", "is not JSON"),
        (b"hello\nworld\n", "is not JSON"),
        ('[{"a":1}]'.encode("utf-16"), "UTF-16"),
        (b"\x7fELF\0\0\0", "is not JSON"),
    ],
)
def test_what_holds_no_records_is_told_in_one_line(file: Path, content: bytes, message: str | None) -> None:
    file.write_bytes(content)
    if message is None:
        rows, damages = rows_of(JsonSource(File.on_disk(file)))
        assert (rows, [d.reason for d in damages]) == ([], ["the file ends inside a record"])
        return
    with pytest.raises(DamagedSourceError, match=message) as caught:
        rows_of(JsonSource(File.on_disk(file)))
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_content_decides_what_looks_like_json() -> None:
    assert looks_like_json(b'\xef\xbb\xbf [ {"a":1}')
    assert looks_like_json(b'{"a":1}')
    assert looks_like_json(b"{\n")
    assert not looks_like_json(b"[INFO] started")
    assert not looks_like_json(b"{a: 1}")
    assert not looks_like_json(b"\x16\0\0\0\x02")
    assert not looks_like_json(b"")


# What the file says of itself


@pytest.mark.parametrize(
    ("name", "stamp", "expected", "origin"),
    [
        ("a.json", "2025-12-01T10:30:00Z", datetime(2025, 12, 1, 10, 30, tzinfo=UTC), "timestamp"),
        ("a.json", "2025-12-01T10:30:00+02:00", datetime(2025, 12, 1, 8, 30, tzinfo=UTC), "timestamp"),
        (
            "a.json",
            "2025-12-01T10:30:00",
            datetime(2025, 12, 1, 10, 30, tzinfo=UTC),
            "timestamp (no zone, read as UTC)",
        ),
        ("backup_20251201_103000.json", None, datetime(2025, 12, 1, 10, 30, tzinfo=UTC), "file name"),
        (
            "backup_2025-12-01T10-30-00-250Z.json",
            None,
            datetime(2025, 12, 1, 10, 30, 0, 250000, UTC),
            "file name",
        ),
        ("users 2025-12-01.json", "soon", datetime(2025, 12, 1, tzinfo=UTC), "file name"),
        ("export_20259999.json", None, None, ""),
    ],
)
def test_when_it_was_taken(
    tmp_path: Path, name: str, stamp: str | None, expected: datetime | None, origin: str
) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(({"timestamp": stamp} if stamp else {}) | {"data": [{"a": 1}]}))
    source = JsonSource(File.on_disk(path))
    rows_of(source)
    assert (source.header().taken_at, source.header().taken_from) == (expected, origin)


# Damage


def test_a_bad_line_costs_only_itself(file: Path) -> None:
    lines = [b'{"_id":%d,"m":[{"x":1},{"x":2}]}' % i for i in range(40)]
    lines[0] = lines[0][:-3]
    lines[7] = lines[7][:-9]
    lines[12] = b"2025-12-01 log line"
    lines[20] = lines[20].replace(b'"m"', b'm"')
    lines[30] = b'{"_id":30,"s":"\xe9"}'
    lines[35] = b'{"_id":35,"s":"\\ud83d"}'
    found, damages = read(file, b"\n".join(lines) + b"\n")
    bad = [0, 7, 12, 20, 30, 35]
    assert [r["_id"] for r in found] == [i for i in range(40) if i not in bad]
    content = file.read_bytes()
    assert [content[d.offset : d.offset + d.length].strip() for d in damages] == [lines[i] for i in bad]


@pytest.mark.parametrize("layout", [None, 0, 2, "lines"])
def test_damage_inside_a_list_costs_one_record(file: Path, layout: int | str | None) -> None:
    records = [{"_id": i, "m": [{"x": i}], "s": f"<{i}>"} for i in range(30)]
    if layout == "lines":
        text = "[" + ",\n".join(map(json.dumps, records)) + "]"
    else:
        text = json.dumps({"collections": {"c": records}, "metadata": {}}, indent=layout)  # type: ignore[arg-type]  # a str is dealt with above
    found, damages = read(file, text.replace('"<17>"', '"<17>'))
    ids = [r["_id"] for r in found if "_id" in r]
    assert ids == [i for i in range(30) if i != 17]
    assert damages


@pytest.mark.parametrize("indent", [None, 2])
def test_records_that_a_lost_bracket_put_into_another_are_records(file: Path, indent: int | None) -> None:
    lists = {
        name: [{"_id": n, "name": "n", "items": [{"_id": 1, "text": "inner"}], "end": "e"} for n in range(60)]
        for name in ("customers", "orders")
    }
    text = json.dumps({"collections": lists, "metadata": {"version": "1"}}, indent=indent)
    start = text.index('"text"', text.index('"_id": 7,'))
    stop = text.index('"end"', text.index('"text"', start + 1))
    broken = text[:start] + text[stop:]  # the list of one record's items goes on with the fields of the next
    file.write_text(broken)
    rows, damages = rows_of(JsonSource(File.on_disk(file)))
    ids = [(row[0], bson.decode(row[3])["_id"]) for row in rows]
    assert ids == [("customers", n) for n in range(60) if n not in (7, 8)] + [("orders", n) for n in range(60)]
    assert len(damages) == 1


@pytest.mark.parametrize("indent", [None, 1])
def test_a_record_that_holds_many_like_itself_is_one(file: Path, indent: int | None) -> None:
    comments: list[dict[str, object]] = [{"_id": n, "text": "t", "replies": []} for n in range(30)]
    comments[20]["replies"] = [{"_id": n, "text": "t", "replies": []} for n in range(100, 200)]
    text = json.dumps({"data": comments, "version": 1}, indent=indent)
    found, damages = read(file, text)
    assert (found, damages) == (comments, [])


def test_a_bad_second_line_does_not_hide_the_sequence(file: Path) -> None:
    found, damages = read(file, '{"a":1}\noops\n{"a":2}\n')
    assert found == [{"a": 1}, {"a": 2}]
    assert len(damages) == 1


def test_elements_that_are_no_records_are_told(file: Path) -> None:
    found, damages = read(file, '[{"a":1}, 5, null, "x", [1,{"b":2}], true, {"a":2}]')
    assert found == [{"a": 1}, {"a": 2}]
    assert [d.reason.split(" where")[0] for d in damages] == [
        "a number",
        "null",
        "a string",
        "a list",
        "a boolean",
    ]
    assert [(d.offset, d.length) for d in damages] == [(10, 1), (13, 4), (19, 3), (24, 11), (37, 4)]


@pytest.mark.parametrize(
    ("cut", "expected", "reason"),
    [
        (len('{"collections":{"c":[{"_id":1},{"_id":2'), [1], "the file ends inside a record"),
        (len('{"collections":{"c":[{"_id":1},{"_id":2}'), [1, 2], "the file ends before its list is closed"),
        (
            len('{"collections":{"c":[{"_id":1},{"_id":2}]'),
            [1, 2],
            "the file ends before its object is closed",
        ),
        (
            len('{"collections":{"c":[{"_id":1},{"_id":2}]},"metad'),
            [1, 2],
            "the file ends before its object is closed",
        ),
    ],
)
def test_a_cut_file_gives_all_before_the_cut(file: Path, cut: int, expected: list[int], reason: str) -> None:
    text = '{"collections":{"c":[{"_id":1},{"_id":2}]},"metadata":{}}'
    found, damages = read(file, text[:cut])
    assert [r["_id"] for r in found] == expected
    assert [d.reason for d in damages] == [reason]
    assert text[damages[0].offset :].startswith(('{"_id":2', "]", ",")) or damages[0].offset == cut
    assert damages[-1].offset + damages[-1].length == cut


HOSTILE = {
    "open string": b'[{"a":"' + b"x" * 3_000_000,
    "open list": b'[{"a":[' + b"1," * 1_500_000,
    "brackets": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "deep record": b"[" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]",
    "quotes": b"[" + b'"' * 100_001,
    "backslashes": b'[{"a":"' + b"\\" * 1_000_001,
    "open lines": b'{"a":[\n' * 30_000,
    "open lines after a good one": b'{"a":1}\n{"a":2}\n' + b'{"a":[{"b":1}\n' * 30_000,
    "digits": b'[{"a":' + b"9" * 1_000_000 + b"}]",
    "commas": b"[" + b"," * 100_000,
    "colons": b"{" + b'"a":' * 300_000,
    "fields": b"{" + b",".join(b'"%d":1' % i for i in range(100_000)),
    "nested lists in lines": b'{"a":1}\n' + b"[[\n" * 100_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_end_in_bounded_time(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    began = time.monotonic()
    try:
        rows, damages = rows_of(JsonSource(File.on_disk(file)))
    except DamagedSourceError:
        pass
    else:
        assert damages
        assert len(rows) <= 2
    assert time.monotonic() - began < 5


def test_records_larger_than_a_server_stores_are_told(file: Path) -> None:
    huge = '{"a":"' + "x" * (17 << 20) + '"}'
    found, damages = read(file, f'[{{"a":1}},{huge},{{"a":2}}]')
    assert found == [{"a": 1}, {"a": 2}]
    assert [(d.offset, d.length) for d in damages] == [(9, len(huge))]


def test_records_beyond_any_limit_are_left_out_whole(file: Path) -> None:
    huge = '{"a":"' + "x" * (65 << 20) + '"}'
    found, damages = read(file, f'[{{"a":1}},{huge},{{"a":2}}]')
    assert found == [{"a": 1}, {"a": 2}]
    assert [(d.offset, d.length) for d in damages] == [(9, len(huge))]
    assert "64 MiB" in damages[0].reason


def test_a_changed_file_is_noticed_when_records_are_fetched(tmp_path: Path) -> None:
    path = tmp_path / "quotes.jsonl"
    shutil.copy(SAMPLES / "mongoexport/quotes.relaxed.jsonl", path)
    source = JsonSource(File.on_disk(path))
    rows, _ = rows_of(source)
    path.write_bytes(b"\n" + path.read_bytes()[:-100])
    with pytest.raises(DamagedSourceError, match="holds no record at byte"):
        list(source.fetch([Ref("", rows[-1][1], rows[-1][2])]))


def test_decisions_are_counted(file: Path) -> None:
    file.write_text('[{"a":18446744073709551617},{"a":18446744073709551618}]')
    source = JsonSource(File.on_disk(file))
    rows_of(source)
    assert source.notes == {"a number beyond 64 bits was read as a decimal": 2}


# Any records, any layout, any cut

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 40), 1 << 40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["}{", "},{", "]", '"', "\\", "\n{", '},{"_id":1']),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["_id", "a", "é", "x y"]), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "é"]), VALUES, max_size=3).map(lambda d: {"_id": 7} | d),
    max_size=8,
)
INDENTS = st.sampled_from([None, 0, 1, 2, "\t"])
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": ")])


@st.composite
def layouts(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, dict[str, object]]]]:
    records = draw(RECORDS)
    indent, separators = draw(INDENTS), draw(SEPARATORS)
    ascii_only = draw(st.booleans())

    def dump(value: object) -> str:
        return json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_only)

    shape = draw(st.sampled_from(["list", "data", "conversations", "mapping", "lines", "values"]))
    name = {"conversations": "conversations", "mapping": "c"}.get(shape, "")
    labelled = [(name, record) for record in records]
    if shape == "list":
        text = dump(records)
    elif shape in ("data", "conversations"):
        text = dump({"timestamp": "x", shape: records, "version": "1"})
    elif shape == "mapping":
        more = draw(RECORDS)
        text = dump({"timestamp": "x", "collections": {"c": records, "d": more}, "metadata": {"n": [1]}})
        labelled += [("d", record) for record in more]
    elif shape == "lines":
        end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
        lines = [json.dumps(r, separators=separators, ensure_ascii=ascii_only) for r in records]
        text = end.join(lines) + draw(st.sampled_from(["", end]))
    else:
        text = draw(st.sampled_from(["", " ", "\n"])).join(map(dump, records))
    text = draw(st.sampled_from(["", "\ufeff"])) + text
    return text.encode("utf-8", "surrogatepass"), labelled


RELAXED = settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])


@RELAXED
@given(layouts())
def test_any_records_in_any_layout_come_back(
    file: Path, drawn: tuple[bytes, list[tuple[str, dict[str, object]]]]
) -> None:
    content, expected = drawn
    file.write_bytes(content)
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        with pytest.raises(DamagedSourceError, match="is empty"):
            JsonSource(File.on_disk(file))
        return
    rows, damages = rows_of(JsonSource(File.on_disk(file)))
    assert not damages
    assert [(name, bson.decode(record)) for name, _, _, record in rows] == expected
    assert [json.loads(content[at : at + size]) for _, at, size, _ in rows] == [record for _, record in expected]


@RELAXED
@given(layouts(), st.data())
def test_a_cut_loses_and_invents_nothing(
    file: Path, drawn: tuple[bytes, list[tuple[str, dict[str, object]]]], data: st.DataObject
) -> None:
    content, _ = drawn
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        return
    file.write_bytes(content)
    whole, _ = rows_of(JsonSource(File.on_disk(file)))
    cut = data.draw(st.integers(0, len(content)))
    file.write_bytes(content[:cut])
    try:
        rows, damages = rows_of(JsonSource(File.on_disk(file)))
    except DamagedSourceError:
        rows, damages = [], []
    assert rows == [row for row in whole if row[1] + row[2] <= cut]
    assert all(d.offset + d.length <= cut for d in damages)
