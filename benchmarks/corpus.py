"""Files of each format, made in memory, with the place of every record: what the campaigns damage and mutate."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import bson.json_util
from backports import zstd
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp
from fastcrc import crc64

from recovery_nb.records.extended_json import to_json

__all__ = ["FORMATS", "Frame", "Place", "Sample", "documents"]

Span = tuple[int, int]
_MAGIC = b"\x6d\xe2\x99\x81"
_TERMINATOR = b"\xff\xff\xff\xff"
_START = datetime(2025, 11, 1, 8, tzinfo=UTC)
_WORDS = [
    "order",
    "refund",
    "café",
    "東京",
    "quote",
    "{price}",
    "[account]",
    "a,b",
    "'delay'",
    "\\",
    '"said"',
    "über",
    "🚚",
    "id:",
    "_id",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands.

    Attributes:
        file: The file, or the member of a container, that it is in.
        start: Where it begins there.
        end: Where it ends there.
        collection: The collection it is of.
        named: The bytes that tell which collection that is; (0, 0) where the file's name does.
        margin: How many bytes on either side it cannot be read without.
        lead: How many bytes before it say that it is one.
    """

    file: str
    start: int
    end: int
    collection: str
    named: Span = (0, 0)
    margin: int = 0
    lead: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """A stretch of a packed file that can be read for itself.

    Attributes:
        start: Where it begins in the packed file.
        end: Where it ends there.
        file: The file whose bytes it holds.
        inside: Which of them.
        decode: Returns what the beginning of the frame still gives.
    """

    start: int
    end: int
    file: str
    inside: Span
    decode: Callable[[bytes], bytes]


@dataclass(slots=True)
class Sample:
    """Files of one format.

    Attributes:
        name: The format.
        files: Them, by name; a folder where a name has one.
        places: Their records, in order.
        header: The bytes without which no record can be read as it was, or nobody can tell what the file is.
        frames: Where they are packed, what in; their one file is then the packed one.
    """

    name: str
    files: dict[str, bytes]
    places: list[Place]
    header: Span = (0, 0)
    frames: list[Frame] = field(default_factory=list)


def _text(chance: random.Random, most: int) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(1, most)))


def documents(count: int, *, seed: int = 1, first: int = 0) -> Iterator[dict[str, Any]]:
    """Yield records as varied as those of real collections, with what readers could take for records within."""
    chance = random.Random(f"{seed} documents {first}")
    for number in range(first, first + count):
        identifier: object = (
            ObjectId(struct.pack(">I", 0x65000000 + number) + chance.randbytes(8)),
            f"key-{number:06d}", number, Int64(1 << 40 | number), {"a": number, "b": "x"},
        )[0 if number % 3 else chance.randrange(5)]  # fmt: skip
        record: dict[str, Any] = {"_id": identifier, "number": number, "name": _text(chance, 4)}
        options: list[tuple[str, Callable[[], Any]]] = [
            ("text", lambda: _text(chance, 40)),
            ("lines", lambda: "first\nsecond\r\nthird\t" + _text(chance, 3)),
            ("price", lambda: Decimal128(f"{chance.randrange(10**6)}.{chance.randrange(100):02d}")),
            ("data", lambda: Binary(chance.randbytes(chance.randint(0, 60)))),
            ("zeros", lambda: Binary(b"\0" * chance.randint(1, 90))),
            ("inner", lambda: Binary(bson.encode({"_id": chance.randrange(100), "x": "y"}) * 2)),
            ("when", lambda: _START + timedelta(seconds=chance.randrange(10**6))),
            ("ratio", lambda number=number: chance.choice([0.0, -0.0, 1.5, float(number), 1e300])),
            ("big", lambda: Int64(chance.choice([0, 1, -1, 1 << 62]))),
            ("flag", lambda: chance.choice([True, False, None])),
            ("pattern", lambda: Regex("^a.*{b}$", "i")),
            ("stamp", lambda number=number: Timestamp(1760000000 + number, 1)),
            ("child", lambda: {"_id": chance.randrange(1000), "name": _text(chance, 3), "deep": {"_id": 1}}),
            ("children", lambda: [{"_id": n, "text": _text(chance, 3)} for n in range(chance.randint(0, 5))]),
            ("items", lambda: [{"id": n, "n": n} for n in range(chance.randint(0, 3))]),
            ("tags", lambda: chance.choices(_WORDS, k=chance.randint(0, 4))),
            ("json", lambda number=number: json.dumps({"_id": number, "quoted": {"_id": "x"}})),
        ]
        for name, make in chance.sample(options, chance.randint(0, 6)):
            record[name] = make()
        yield record


def fixed(count: int) -> Iterator[dict[str, Any]]:
    """Yield records of one size and one beginning: a wrong length may well end where another record ends."""
    for number in range(count):
        yield {"_id": number, "state": "open" if number % 2 else "done", "total": Int64(number * 17)}


def entries(count: int, *, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield the entries that a server's oplog keeps of inserts."""
    universal = Binary(bytes(range(16)), 4)
    for number, record in enumerate(documents(count, seed=seed)):
        yield {
            "op": "i", "ns": "shop.orders", "ui": universal, "o": record, "o2": {"_id": record["_id"]},
            "ts": Timestamp(1762000000 + number // 10, number % 10 + 1), "t": Int64(1), "v": Int64(2),
            "wall": _START + timedelta(seconds=number),
        }  # fmt: skip


# One file


def _joined(
    name: str, file: str, parts: Iterable[bytes], *, between: bytes = b"", before: bytes = b"", after: bytes = b"",
    collection: str = "",
) -> Sample:  # fmt: skip
    data, places = bytearray(before), []
    for part in parts:
        data += between if places else b""
        places.append(Place(file, len(data), len(data) + len(part), collection))
        data += part
    return Sample(name, {file: bytes(data + after)}, places)


def _canonical(count: int, *, seed: int = 1, first: int = 0) -> list[bytes]:
    return [to_json(bson.encode(one)).encode() for one in documents(count, seed=seed, first=first)]


def _relaxed(count: int) -> list[bytes]:
    options = bson.json_util.RELAXED_JSON_OPTIONS
    return [bson.json_util.dumps(one, json_options=options, ensure_ascii=False).encode() for one in documents(count)]


def _plain(count: int) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(one, default=str)) for one in documents(count)]


def bson_varied(count: int) -> Sample:
    return _joined("bson", "orders.bson", map(bson.encode, documents(count)), collection="orders")


def bson_fixed(count: int) -> Sample:
    return _joined("bson, one size", "states.bson", map(bson.encode, fixed(count)), collection="states")


def bson_entries(count: int) -> Sample:
    return _joined("bson, no _id first", "events.bson", map(bson.encode, _events(count)), collection="events")


def _events(count: int) -> Iterator[dict[str, Any]]:
    for number, record in enumerate(documents(count)):
        names = ("kind", "at", "body") if number % 3 else ("at", "kind", "body")
        values = {"kind": "changed", "at": _START + timedelta(seconds=number), "body": record}
        yield {name: values[name] for name in names} | {"_id": number}


def oplog(count: int) -> Sample:
    return _joined("oplog.bson", "oplog.bson", map(bson.encode, entries(count)), collection="orders")


def dump(count: int) -> Sample:
    files: dict[str, bytes] = {}
    places: list[Place] = []
    for number, name in enumerate(("customers", "orders", "quotes")):
        share = count // 3 + (number < count % 3)
        part = _joined("", f"shop/{name}.bson", map(bson.encode, documents(share, seed=number)), collection=name)
        files |= part.files
        files[f"shop/{name}.metadata.json"] = json.dumps(
            {"collectionName": name, "indexes": [], "options": {}}
        ).encode()
        places += part.places
    return Sample("mongodump folder", files, places)


def archive(count: int) -> Sample:
    chance = random.Random(f"archive {count}")
    names = ("customers", "orders", "quotes", "states")
    data = bytearray(_MAGIC)
    data += bson.encode(
        {"concurrent_collections": 4, "version": "0.1", "server_version": "6.0.5", "tool_version": "100.9.0"}
    )
    for name in names:
        metadata = json.dumps({"collectionName": name, "indexes": [], "options": {}})
        data += bson.encode({"db": "shop", "collection": name, "metadata": metadata, "size": 0, "type": "collection"})
    data += _TERMINATOR
    kept = {
        name: [bson.encode(one) for one in (fixed(count // 4) if name == "states" else documents(count // 4, seed=n))]
        for n, name in enumerate(names)
    }
    sums, places = dict.fromkeys(names, 0), []

    def border(name: str, *, ends: bool) -> None:
        checksum = struct.unpack("<q", struct.pack("<Q", sums[name] if ends else 0))[0]
        data.extend(bson.encode({"db": "shop", "collection": name, "EOF": ends, "CRC": Int64(checksum)}))

    while kept:
        name = chance.choice(sorted(kept))
        taken = chance.randint(1, 60)
        block, kept[name] = kept[name][:taken], kept[name][taken:]
        if block:
            start = len(data)
            border(name, ends=False)
            for record in block:
                places.append(Place("shop.archive", len(data), len(data) + len(record), name, (start, len(data))))
                data += record
                sums[name] = crc64.xz(record, sums[name])
            data += _TERMINATOR
        if not kept[name]:
            border(name, ends=True)
            data += _TERMINATOR
            del kept[name]
    return Sample("mongodump archive", {"shop.archive": bytes(data)}, places)


def lines_canonical(count: int) -> Sample:
    return _joined("JSON Lines, canonical", "orders.jsonl", _canonical(count), between=b"\n", after=b"\n")


def lines_relaxed(count: int) -> Sample:
    return _joined("JSON Lines, relaxed", "orders.jsonl", _relaxed(count), between=b"\n", after=b"\n")


def json_list(count: int) -> Sample:
    return _joined("JSON list", "orders.json", _canonical(count), between=b",", before=b"[", after=b"]\n")


def json_indented(count: int) -> Sample:
    texts = [json.dumps(one, indent=2, ensure_ascii=False).replace("\n", "\n  ").encode() for one in _plain(count)]
    return _joined("JSON list, indented", "orders.json", texts, between=b",\n  ", before=b"[\n  ", after=b"\n]\n")


def json_mapping(count: int) -> Sample:
    data, places = bytearray(b'{"timestamp": "2025-12-01T10:30:00", "version": "1.0", "collections": {'), []
    for number, name in enumerate(("customers", "orders", "quotes")):
        start = len(data) - 1
        data += b"%s%s: [" % (b", " if number else b"", json.dumps(name).encode())
        for place, text in enumerate(_canonical(count // 3 + (number < count % 3), seed=number)):
            data += b", " if place else b""
            places.append(Place("backup.json", len(data), len(data) + len(text), name, (start, len(data))))
            data += text
        data += b"]"
    data += b'}, "metadata": {"total_records": %d}}' % count
    return Sample("collections mapping", {"backup.json": bytes(data)}, places, header=(0, data.index(b'"customers"')))


def comma_separated(count: int) -> Sample:
    data, places = bytearray(), []
    for number, record in enumerate(documents(count)):
        row = io.StringIO()
        if not number:
            csv.writer(row, lineterminator="\n").writerow(["_id", "number", "name", "text", "total"])
        header = len(row.getvalue().encode())
        text = f'said "{record["name"]}"\nand went' if number % 7 == 0 else record["name"]
        identifier = f"ObjectId({ObjectId(struct.pack('>IQ', 0x65000000 + number, number))})"
        csv.writer(row, lineterminator="\n").writerow(
            [identifier, number, record["name"], text, f"{number * 1.25:.2f}"]
        )
        line = row.getvalue().encode()
        begin = len(data) + header
        places.append(Place("orders.csv", begin, len(data) + len(line) - 1, "", margin=1))
        data += line
    return Sample("CSV", {"orders.csv": bytes(data)}, places, header=(0, places[0].start))


def app_log(count: int) -> Sample:
    data, places = bytearray(), []
    for number, record in enumerate(_plain(count)):
        at = (_START + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps(record, ensure_ascii=False).encode()
        data += f"{at} INFO  shop.store - saved order doc=".encode()
        places.append(Place("app.log", len(data), len(data) + len(text), "", lead=len(b" doc=")))
        data += text + b" took=3ms\n"
        if number % 2:
            data += f"{at} WARN  http - slow request path=/quote status=200 {{not json}}\n".encode()
    return Sample("app log", {"app.log": bytes(data)}, places)


def json_log(count: int) -> Sample:
    """Return a structured log: each entry is JSON, and holds a record as an object or, escaped, as a string."""
    data, places = bytearray(), []
    for number, record in enumerate(_plain(count)):
        at = (_START + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = json.dumps(record, ensure_ascii=False)
        if number % 3 == 0:
            text = json.dumps(text, ensure_ascii=False)[1:-1]
        lead = f'{{"time": "{at}", "level": "info", "msg": "saved", "doc": ' + '"' * (number % 3 == 0)
        data += lead.encode()
        body = text.encode()
        places.append(Place("app.log", len(data), len(data) + len(body), "", lead=len(lead)))
        data += body + b'"' * (number % 3 == 0) + b', "took": 3}\n'
    return Sample("json log", {"app.log": bytes(data)}, places)


# Packed


def _zlib_prefix(data: bytes) -> bytes:
    return _fed(zlib.decompressobj(31), data)


def _bz2_prefix(data: bytes) -> bytes:
    return _fed(bz2.BZ2Decompressor(), data)


def _xz_prefix(data: bytes) -> bytes:
    return _fed(lzma.LZMADecompressor(), data)


def _zstd_prefix(data: bytes) -> bytes:
    return _fed(zstd.ZstdDecompressor(), data)


def _deflate_prefix(data: bytes) -> bytes:
    """What a member of a zip gives, from its local header on."""
    if len(data) < 30:
        return b""
    name, extra = struct.unpack_from("<HH", data, 26)
    body = data[30 + name + extra :]
    (method,) = struct.unpack_from("<H", data, 8)
    return body if method == 0 else _fed(zlib.decompressobj(-15), body)


def _tar_prefix(data: bytes) -> bytes:
    return data[512:]


def _fed(decoder: Any, data: bytes) -> bytes:
    """Return what a decoder gives, byte by byte: up to the last one it takes."""
    found = bytearray()
    try:
        for at in range(0, len(data), 64):
            found += decoder.decompress(data[at : at + 64])
    except Exception:
        return bytes(found)
    return bytes(found)


_CODECS: dict[str, tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (".gz", lambda data: gzip.compress(data, 6, mtime=0), _zlib_prefix),
    "zstd": (".zst", lambda data: zstd.compress(data, 3), _zstd_prefix),
    "bz2": (".bz2", lambda data: bz2.compress(data, 1), _bz2_prefix),
    "xz": (".xz", lambda data: lzma.compress(data, preset=1), _xz_prefix),
}


def packed(inner: Sample, codec: str, *, pieces: int = 1) -> Sample:
    """Return a file in one frame of a codec, or in several, whose ends have nothing to do with those of records."""
    ending, compress, decode = _CODECS[codec]
    ((name, data),) = inner.files.items()
    size = -(-len(data) // pieces)
    out, frames = bytearray(), []
    for start in range(0, len(data), size):
        part = compress(data[start : start + size])
        inside = (start, min(len(data), start + size))
        frames.append(Frame(len(out), len(out) + len(part), name, inside, decode))
        out += part
    several = f", {pieces} frames" if pieces > 1 else ""
    return Sample(f"{inner.name}, {codec}{several}", {name + ending: bytes(out)}, inner.places, frames=frames)


def tarred(inners: list[Sample]) -> Sample:
    out, frames, places = bytearray(), [], []
    for inner in inners:
        ((name, data),) = inner.files.items()
        info = tarfile.TarInfo(name)
        info.size, info.mtime = len(data), 1_762_000_000
        start = len(out)
        out += info.tobuf(tarfile.USTAR_FORMAT) + data
        frames.append(Frame(start, len(out), name, (0, len(data)), _tar_prefix))
        out += bytes(-len(out) % 512)
        places += inner.places
    return Sample("tar", {"old.tar": bytes(out + bytes(1024))}, places, header=(0, 512), frames=frames)


def zipped(inners: list[Sample], *, method: int) -> Sample:
    file, places, frames = io.BytesIO(), [], []
    with zipfile.ZipFile(file, "w", method) as container:
        for inner in inners:
            ((name, data),) = inner.files.items()
            start = file.tell()
            container.writestr(zipfile.ZipInfo(name, (2025, 12, 1, 10, 30, 0)), data, compress_type=method)
            frames.append(Frame(start, file.tell(), name, (0, len(data)), _deflate_prefix))
            places += inner.places
    kind = "stored" if method == zipfile.ZIP_STORED else "deflated"
    return Sample(f"zip, {kind}", {"old.zip": file.getvalue()}, places, header=(0, 30), frames=frames)


def _several(count: int) -> list[Sample]:
    half = count // 2
    return [bson_varied(half), _joined("", "notes.jsonl", _canonical(count - half, seed=7), between=b"\n", after=b"\n")]


FORMATS: dict[str, Callable[[int], Sample]] = {
    "bson": bson_varied,
    "bson-fixed": bson_fixed,
    "bson-entries": bson_entries,
    "dump": dump,
    "archive": archive,
    "oplog": oplog,
    "jsonl-canonical": lines_canonical,
    "jsonl-relaxed": lines_relaxed,
    "json": json_list,
    "json-indented": json_indented,
    "json-mapping": json_mapping,
    "csv": comma_separated,
    "log": app_log,
    "log-json": json_log,
    "bson-gzip": lambda count: packed(bson_varied(count), "gzip"),
    "bson-gzip-members": lambda count: packed(bson_varied(count), "gzip", pieces=10),
    "jsonl-gzip": lambda count: packed(lines_canonical(count), "gzip"),
    "jsonl-gzip-members": lambda count: packed(lines_canonical(count), "gzip", pieces=10),
    "archive-gzip": lambda count: packed(archive(count), "gzip"),
    "bson-zstd": lambda count: packed(bson_varied(count), "zstd"),
    "bson-zstd-frames": lambda count: packed(bson_varied(count), "zstd", pieces=10),
    "jsonl-zstd-frames": lambda count: packed(lines_canonical(count), "zstd", pieces=10),
    "bson-bz2": lambda count: packed(bson_varied(count), "bz2"),
    "jsonl-bz2": lambda count: packed(lines_canonical(count), "bz2"),
    "bson-xz": lambda count: packed(bson_varied(count), "xz"),
    "jsonl-xz-streams": lambda count: packed(lines_canonical(count), "xz", pieces=10),
    "tar": lambda count: tarred(_several(count)),
    "zip": lambda count: zipped(_several(count), method=zipfile.ZIP_STORED),
    "zip-deflated": lambda count: zipped(_several(count), method=zipfile.ZIP_DEFLATED),
}
"""Each format's maker, which takes the number of records."""
