r"""Records in access logs of nginx, where `"` is written as `\x22` (`escape=default`)."""

from __future__ import annotations

import json
import random
from pathlib import Path

import bson
import pytest

from recovery_nb.records.batch import Damage, Ref, moment
from recovery_nb.records.extended_json import to_bson
from recovery_nb.sources.content import File
from recovery_nb.sources.detect import sources_of
from recovery_nb.sources.log import files as log_files
from recovery_nb.sources.log.files import LogSource
from recovery_nb.sources.log.hexed import Hexed

RECORD = {"_id": "r1", "name": 'Zoë \\ "x"\n', "path": "C:\\x22\\new", "parts": [{"_id": "p1", "n": 1}], "euro": "€😀"}


def nginx(value: str) -> str:
    """Write a value as nginx does: ngx_http_log_escape of src/http/modules/ngx_http_log_module.c."""
    return "".join(chr(b) if 31 < b < 127 and b not in b'"\\' else f"\\x{b:02X}" for b in value.encode())


def line(body: str, second: int = 0) -> str:
    when = f"01/Nov/2025:08:{second // 60:02}:{second % 60:02} +0000"
    return f'10.0.0.7 - - [{when}] "POST /users HTTP/1.1" 201 12 "-" "curl/8.5.0" "{nginx(body)}"\n'


def read(path: Path, text: str | bytes) -> tuple[list[bytes], list[Damage], list[tuple[int, int, int]]]:
    """Return the records, the damage, and where and when each record is."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    (source,) = sources_of(File.on_disk(path))
    assert isinstance(source, LogSource)
    records: list[bytes] = []
    damages: list[Damage] = []
    places: list[tuple[int, int, int]] = []
    for part in source.read():
        if isinstance(part, Damage):
            damages.append(part)
            continue
        records += part.records
        places += zip(part.offsets, part.lengths, part.at or [0] * len(part), strict=True)
    assert list(source.fetch(Ref("", offset, length) for offset, length, _ in places)) == records
    partial = [one for one in damages if one.partial]
    assert list(source.fetch(Ref("", one.offset, one.length, partial=True) for one in partial)) == [
        one.partial for one in partial
    ]
    return records, damages, places


def as_bson(record: object) -> bytes:
    return to_bson(json.dumps(record, ensure_ascii=False).encode())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.mark.parametrize(
    ("around", "record"),
    [
        ("%s", json.dumps(RECORD)),
        ("%s", json.dumps(RECORD, ensure_ascii=False)),
        ("%s", json.dumps(RECORD, indent=2)),
        ("%s", json.dumps(RECORD, indent="\t", ensure_ascii=False).replace("\n", "\r\n")),
        ('{"doc": %s}', json.dumps(RECORD)),
        ("[%s]", json.dumps(RECORD)),
        ("doc=%s", json.dumps(RECORD)),
        ('{"payload": "%s"}', json.dumps(json.dumps(RECORD))[1:-1]),
    ],
    ids=["ascii", "utf-8", "indented", "crlf", "within", "list", "named", "in a string"],
)
def test_a_record_in_a_request_s_body_is_found(around: str, record: str, path: Path) -> None:
    text = line("-") + line(around % record, 61) + line("-", 99)
    records, damages, places = read(path, text)
    assert (records, damages) == ([as_bson(RECORD)], [])
    assert places == [(text.index(nginx(record)), len(nginx(record)), moment(1761984061))]


def test_each_of_many_records_has_its_place_and_time_whatever_is_read_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(4)
    made = [{"_id": n, "v": "".join(rng.choices('ab"\\{}é\n', k=rng.randrange(60)))} for n in range(400)]
    lines = [line(json.dumps(one, ensure_ascii=bool(n % 2), indent=n % 3 or None), n) for n, one in enumerate(made)]
    text = "".join(lines)
    expected, begin = [], 0
    for number, one in enumerate(lines):
        expected.append((begin + one.index("{"), one.rindex("}") - one.index("{") + 1, moment(1761984000 + number)))
        begin += len(one)
    for window in (4 << 20, 40_000, 3_000):
        monkeypatch.setattr(log_files, "_WINDOW", window)
        records, damages, places = read(path, text)
        assert records == [as_bson(one) for one in made]
        assert places == expected
        assert not damages


def test_a_cut_record_is_damage_at_its_place(path: Path) -> None:
    body = nginx(json.dumps(RECORD))
    text = line("-") + line("").replace('""\n', f'"{body[:60]}\n') + line(json.dumps({"_id": 2, "a": 1}))
    records, damages, _ = read(path, text)
    assert records == [as_bson({"_id": 2, "a": 1})]
    assert [(one.offset, bson.decode(one.partial)) for one in damages] == [(text.index("{"), {"_id": "r1"})]


def test_a_structured_access_log_is_read_though_its_escapes_are_no_json(path: Path) -> None:
    text = "".join(
        f'{{"time": "2025-11-01T08:00:{n:02}+00:00", "body": "{nginx(json.dumps({**RECORD, "_id": n}))}"}}\n'
        for n in range(5)
    )
    records, damages, _ = read(path, text)
    assert records == [as_bson({**RECORD, "_id": n}) for n in range(5)]
    assert not damages


@pytest.mark.parametrize("value", ["{\\x22_id\\x22: \\x22r1\\x22, \\x22a\\x22: 1}", "\\x22", "{\\x22", "\\x5C{\\x22a"])
def test_json_that_speaks_of_such_escapes_is_left_as_it_is(value: str, path: Path) -> None:
    for text in (json.dumps({"_id": 1, "code": value}), json.dumps({"log": json.dumps({"_id": 1, "code": value})})):
        assert Hexed(text.encode()).text == text.encode()
    records, damages, _ = read(path, f"2025-11-01T08:00:00Z saved {json.dumps({'_id': 1, 'code': value})}\n")
    assert ([bson.decode(one) for one in records], damages) == ([{"_id": 1, "code": value}], [])


@pytest.mark.parametrize("seed", range(5))
def test_every_byte_has_its_place(seed: int) -> None:
    rng = random.Random(seed)
    parts = [
        rng.choice([nginx('{"a": "é\n"}'), "{", "\\x22", '"', "\n", "x", "\\", "{\\x5C\\x22", "\\x00"])
        for _ in range(200)
    ]
    raw = "".join(parts).encode()
    hexed = Hexed(raw)
    places = [hexed.raw(position) for position in range(len(hexed.text) + 1)]
    assert places == sorted(places)
    assert places[-1] == len(raw)
    for position in rng.sample(range(len(places)), 100):
        assert hexed.raw(position) == places[position]
    for position, letter in enumerate(hexed.text):
        if letter in b"{}\n":
            assert raw[places[position]] == letter or raw[places[position] :].startswith(b"\\x")


@pytest.mark.parametrize("text", ["{" * 10**5, "{ " * 10**5, "{\\x22" * 10**5, "{\\x5C" * 10**5, '{\\x22":' * 10**5])
def test_hostile_text_costs_bounded_time(text: str, path: Path) -> None:
    records, _, _ = read(path, line("-") + text + "\\x22\n")
    assert records == []
