"""The fingerprint table: one row a record, streamed to Parquet, never held whole."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.files import writing
from recovery_nb.records.elements import InvalidRecordError, elements, id_element
from recovery_nb.records.keys import DEFAULT_KEY, canonical, key_of

__all__ = ["TABLE", "FingerprintTable", "binary_column", "fingerprint"]

TABLE = pa.schema(
    [
        ("collection", pa.string()),  # as the source names it
        ("member", pa.string()),
        ("offset", pa.int64()),  # -1 for a database
        ("length", pa.int64()),
        ("key", pa.binary()),  # canonical; null where the record lacks it
        ("id", pa.binary()),  # type byte and value bytes of `_id`; null where there is none
        ("fingerprint", pa.binary(32)),
        ("inferred", pa.string()),  # the weakest evidence its types rest on; "" for none
        ("at", pa.int64()),  # when this version was written (`records.batch.moment`); 0 where the source does not say
    ]
)
"""One row for each record: where it is, what identifies it, and the SHA-256 of its BSON bytes."""


_GROUP = 16_384
"""So many rows are written together."""

_OBJECT_ID_FIRST = np.frombuffer(b"\x07_id\x00", np.uint8)


def fingerprint(record: bytes) -> bytes:
    """Return a record's fingerprint: the 32 bytes of SHA-256 over its BSON bytes."""
    return hashlib.sha256(record).digest()


def binary_column(values: Sequence[bytes | None]) -> pa.Array:
    """Return byte strings as an Arrow column; built from buffers, which is what makes it quick."""
    if None in values:
        return pa.array(values, pa.binary())
    whole: Sequence[bytes] = values  # type: ignore[assignment]  # no None is left
    ends = array("i", accumulate(map(len, whole), initial=0))
    return pa.Array.from_buffers(pa.binary(), len(whole), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(whole))])


def _object_ids(records: Sequence[bytes]) -> pa.Array | None:
    """Return the `_id` elements of documents that all begin with an ObjectId; None if any does not.

    Nearly every collection is like this, so its ids are cut out together instead of one by one.
    """
    heads = b"".join([record[4:21] for record in records])
    if len(heads) != 17 * len(records):
        return None
    grid = np.frombuffer(heads, np.uint8).reshape(-1, 17)
    if not (grid[:, :5] == _OBJECT_ID_FIRST).all():
        return None
    found = np.empty((len(records), 13), np.uint8)
    found[:, 0] = 0x07
    found[:, 1:] = grid[:, 5:]
    ends = np.arange(0, 13 * len(records) + 1, 13, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(records), [None, pa.py_buffer(ends), pa.py_buffer(found.tobytes())])


def _integers(values: Sequence[int]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(array("q", values))])


def _repeated(text: str, count: int) -> pa.Array:
    """Return a column that holds one text all the way down, built from buffers: `pa.repeat` takes ten times as long."""
    value = text.encode()
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(len(value))
    return pa.Array.from_buffers(pa.string(), count, [None, pa.py_buffer(ends), pa.py_buffer(value * count)])


def _key(element: bytes | None) -> bytes | None:
    return None if element is None else canonical(element[0], element[1:])


class FingerprintTable:
    """Writes the table of one reading; it appears under `path` only when it is whole.

    Args:
        path: The Parquet file to make.
        key: For a collection's name, the fields that identify its records.

    Attributes:
        rows: How many records were added.
        keyless: How many of them have no `_id`, by collection.

    Raises:
        RecoveryError: The file cannot be written; also by `add`, and at the end of its context.
    """

    def __init__(self, path: Path, *, key: Callable[[str], Sequence[str]] = lambda _: DEFAULT_KEY) -> None:
        self._path, self._key = path, key
        self._beside = path.with_name(f".{path.name}.partial")
        with writing(path):
            self._writer = pq.ParquetWriter(
                self._beside, TABLE, compression="none", use_dictionary=["collection", "member", "inferred"],
                write_statistics=False,
            )  # fmt: skip
        self._waiting: list[pa.RecordBatch] = []
        self._rows_waiting = 0
        # Parquet is written without the interpreter's lock: beside the hashing. Small tables start no thread.
        self._writing = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None
        self.rows = 0
        self.keyless: Counter[str] = Counter()

    def __enter__(self) -> FingerprintTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._writing.shutdown()
            with suppress(OSError):  # what was raised first is what is wrong
                self._writer.close()
            self._beside.unlink(missing_ok=True)

    def _finish(self) -> None:
        if self._written:
            self._written.result()
        if self._waiting:
            self._write(self._waiting)
        with writing(self._path):
            self._writer.close()
            self._beside.replace(self._path)

    def add(
        self,
        collection: str,
        records: Sequence[bytes],
        *,
        member: str = "",
        offsets: Sequence[int],
        lengths: Sequence[int],
        inferred: Sequence[str] | None = None,
        at: Sequence[int] | None = None,
    ) -> None:
        """Add records of one collection and one member, one row each.

        Raises:
            InvalidRecordError: A record's structure is broken; check foreign bytes before they come here.
        """
        count = len(records)
        fields = tuple(self._key(collection))
        ids = _object_ids(records)
        if ids is None:
            found = [id_element(record) for record in records]
            self.keyless[collection] += found.count(None)
            ids = binary_column(found)
            keys = binary_column([_key(element) for element in found]) if fields == DEFAULT_KEY else None
        else:
            keys = ids if fields == DEFAULT_KEY else None  # the canonical form of an ObjectId is its element
        if keys is None:
            keys = binary_column([key_of(record, fields) for record in records])
        sha256 = hashlib.sha256
        prints = b"".join([sha256(record).digest() for record in records])
        columns = [
            _repeated(collection, count),
            _repeated(member, count),
            _integers(offsets),
            _integers(lengths),
            keys,
            ids,
            pa.Array.from_buffers(pa.binary(32), count, [None, pa.py_buffer(prints)]),
            pa.array(inferred, pa.string()) if inferred else _repeated("", count),
            _integers(at) if at else pa.array(np.zeros(count, np.int64)),
        ]
        self._waiting.append(pa.record_batch(columns, schema=TABLE))
        self.rows += count
        self._rows_waiting += count
        if self._rows_waiting >= _GROUP or len(self._waiting) >= _GROUP:
            if self._written:
                self._written.result()
            self._written = self._writing.submit(self._write, self._waiting)
            self._waiting, self._rows_waiting = [], 0

    def _write(self, batches: list[pa.RecordBatch]) -> None:
        with writing(self._path):
            self._writer.write_table(pa.Table.from_batches(batches, TABLE).combine_chunks())


def well_formed(record: bytes, *, whole: bool = False) -> str:
    """Return why a record's structure is broken, or "" if its elements can be walked as far as its `_id`, or wholly."""
    try:
        if whole:
            deque(elements(record), 0)
        element = id_element(record)
        if element is not None:
            canonical(element[0], element[1:])
    except InvalidRecordError as error:
        return str(error)
    return ""
