"""The fingerprint table: one row a record, streamed to Parquet, never held whole."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.records.elements import InvalidRecordError, id_element
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
    ]
)
"""One row for each record: where it is, what identifies it, and the SHA-256 of its BSON bytes."""


def fingerprint(record: bytes) -> bytes:
    """Return a record's fingerprint: the 32 bytes of SHA-256 over its BSON bytes."""
    return hashlib.sha256(record).digest()


def binary_column(values: Sequence[bytes | None]) -> pa.Array:
    """Return byte strings as an Arrow column; built from buffers, which is what makes it quick."""
    if any(value is None for value in values):
        return pa.array(values, pa.binary())
    whole: Sequence[bytes] = values  # type: ignore[assignment]  # no None is left
    ends = array("i", accumulate(map(len, whole), initial=0))
    return pa.Array.from_buffers(
        pa.binary(), len(whole), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(whole))]
    )


def _integers(values: Sequence[int]) -> pa.Array:
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(array("q", values))])


def _key(element: bytes | None) -> bytes | None:
    return None if element is None else canonical(element[0], element[1:])


class FingerprintTable:
    """Writes the table of one reading; it appears under `path` only when it is whole.

    Args:
        path: The Parquet file to make.
        key: For a collection's name, the fields that identify its records.
    """

    def __init__(self, path: Path, *, key: Callable[[str], Sequence[str]] = lambda _: DEFAULT_KEY) -> None:
        self._path, self._key = path, key
        self._beside = path.with_name(f".{path.name}.partial")
        self._writer = pq.ParquetWriter(
            self._beside, TABLE, compression="none", use_dictionary=["collection", "member", "inferred"],
            write_statistics=False,
        )  # fmt: skip
        self.rows = 0

    def __enter__(self) -> FingerprintTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        if kind is None:
            self._beside.replace(self._path)
        else:
            self._beside.unlink(missing_ok=True)

    def add(
        self,
        collection: str,
        records: Sequence[bytes],
        *,
        member: str = "",
        offsets: Sequence[int],
        lengths: Sequence[int],
        inferred: Sequence[str] | None = None,
    ) -> None:
        """Add records of one collection and one member, one row each.

        Raises:
            InvalidRecordError: A record's structure is broken; check foreign bytes before they come here.
        """
        count = len(records)
        ids = [
            b"\x07" + record[9:21] if record[4:9] == b"\x07_id\x00" else id_element(record)
            for record in records
        ]
        fields = tuple(self._key(collection))
        keys = (
            [element if element is not None and element[0] == 0x07 else _key(element) for element in ids]
            if fields == DEFAULT_KEY
            else [key_of(record, fields) for record in records]
        )
        sha256 = hashlib.sha256
        prints = b"".join([sha256(record).digest() for record in records])
        columns = [
            pa.repeat(pa.scalar(collection, pa.string()), count),
            pa.repeat(pa.scalar(member, pa.string()), count),
            _integers(offsets),
            _integers(lengths),
            binary_column(keys),
            binary_column(ids),
            pa.Array.from_buffers(pa.binary(32), count, [None, pa.py_buffer(prints)]),
            pa.array(inferred, pa.string()) if inferred else pa.repeat(pa.scalar("", pa.string()), count),
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=TABLE))
        self.rows += count


def well_formed(record: bytes) -> str:
    """Return why a record's structure is broken, or "" if its elements can be walked."""
    try:
        id_element(record)
    except InvalidRecordError as error:
        return str(error)
    return ""
