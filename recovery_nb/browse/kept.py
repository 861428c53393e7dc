"""Keeping what is picked between runs, and finding it again in the same comparison or in a later one of the case.

What is written is small, however much is picked: the comparison's name and a bit for each of its differences. A later
comparison numbers its differences anew; then each is found by its collection and key, which the earlier one still has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.browse.columns import Bools, Columns
from recovery_nb.browse.picks import Chosen
from recovery_nb.browse.rows import Rows, candidates_of, connected, literal
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import RecoveryError
from recovery_nb.files import write_whole
from recovery_nb.selection import RESTORABLE

__all__ = ["Kept", "keep", "load"]

_CHOSEN = pa.struct(
    [
        ("number", pa.int64()),
        ("rank", pa.int64()),
        ("source", pa.string()),
        ("offset", pa.int64()),
        ("fingerprint", pa.binary()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("comparison", pa.string()),
        ("differences", pa.int64()),
        ("picked", pa.large_binary()),  # a bit for each difference, the first in the highest bit of the first byte
        ("chosen", pa.list_(_CHOSEN)),
    ]
)
_AGAIN = """
SELECT n.file_row_number AS number, o.file_row_number AS before,
       coalesce(n.newer, '') <> '' OR coalesce(n.note, '') <> '' AS doubtful,
       coalesce(o.newer, '') <> '' OR coalesce(o.note, '') <> '' AS was_doubtful
FROM read_parquet(?, file_row_number = true) n
JOIN read_parquet(?, file_row_number = true) o USING (collection, key_bytes)
JOIN picked ON picked.number = o.file_row_number
WHERE n.status IN (SELECT unnest(?)) AND o.status IN (SELECT unnest(?))
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was picked in an earlier run, as the differences are numbered now.

    Attributes:
        mask: Which differences are picked.
        chosen: The versions that are meant instead of the best.
        notes: What of it could not be found again, and why.
    """

    mask: Bools
    chosen: Mapping[int, Chosen]
    notes: tuple[str, ...] = ()


def keep(path: Path, comparison: Comparison, mask: Bools, chosen: Mapping[int, Chosen]) -> None:
    """Write what is picked, whole or not at all.

    Raises:
        RecoveryError: It cannot be written.
    """
    row = {
        "comparison": comparison.summary.id,
        "differences": len(mask),
        "picked": np.packbits(mask).tobytes(),
        "chosen": [{"number": number, **asdict(one)} for number, one in chosen.items()],
    }
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.Table.from_pylist([row], schema=_SCHEMA), sink, compression="zstd")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, sink.getvalue().to_pybytes())
    except (OSError, pa.ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RecoveryError(f"what is picked cannot be kept in {path}: {reason}", hint="free some space") from None


def load(path: Path, comparison: Comparison, columns: Columns) -> Kept | None:
    """Return what was picked when it was last kept; None where nothing was.

    What cannot be used is not: a note says so.
    """
    nothing = np.zeros(len(columns), np.bool_)
    if not path.exists():
        return None
    try:
        row = pq.read_table(path, schema=_SCHEMA).to_pylist()[0]
        bits, count = np.frombuffer(row["picked"], np.uint8), row["differences"]
        chosen = {one.pop("number"): Chosen(**one) for one in row["chosen"]}
        if not 0 <= len(bits) * 8 - count < 8 or any(not 0 <= number < count for number in chosen):
            raise ValueError("it does not fit its own count")
        mask = np.unpackbits(bits, count=count).astype(np.bool_)
        if row["comparison"] == comparison.summary.id:
            if len(mask) != len(columns):
                raise ValueError("it is of other differences")
            return Kept(mask, chosen)
        return _found_again(row["comparison"], mask, chosen, comparison, len(columns))
    except (OSError, pa.ArrowException, duckdb.Error, RecoveryError, ValueError, LookupError, TypeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return Kept(nothing, {}, (f"what was picked before is not used: {path} cannot be read: {reason}",))


def _found_again(earlier: str, mask: Bools, chosen: Mapping[int, Chosen], comparison: Comparison, count: int) -> Kept:
    """Return what was picked in an earlier comparison of the same case, as far as it is a difference still.

    What was in no doubt when it was picked, and is now, is left out: nobody has decided on it.
    """
    before = comparison.folder.with_name(earlier) if Path(earlier).name == earlier else comparison.folder / "none"
    if not (before / "differences.parquet").is_file():
        raise ValueError(f"the comparison {earlier[:100]!r} that it is of is gone")
    found = np.zeros(count, np.bool_)
    wanted = int(np.count_nonzero(mask))
    if not wanted:
        return Kept(found, {})
    statuses = [status.value for status in RESTORABLE]
    with connected() as db:
        db.register("picked", pa.table({"number": np.flatnonzero(mask)}))
        paths = [literal(comparison.table), literal(before / "differences.parquet")]
        rows = db.execute(_AGAIN, [*paths, statuses, statuses]).fetchnumpy()
    fresh = rows["doubtful"].astype(np.bool_) & ~rows["was_doubtful"].astype(np.bool_)
    now, then = rows["number"][~fresh], rows["before"][~fresh]
    found[now] = True
    kept: dict[int, Chosen] = {}
    unknown = 0
    moved = [(number, chosen[old]) for number, old in zip(now, then, strict=True) if old in chosen] if chosen else []
    for (number, version), row in zip(moved, _keys(comparison, [number for number, _ in moved]), strict=True):
        again = _again(comparison, row, version)
        if again is None:
            found[number] = False
            unknown += 1
        else:
            kept[int(number)] = again
    gone, doubts = wanted - len(rows["number"]), int(np.count_nonzero(fresh))
    told = [
        (gone, "picked before and no difference any more"),
        (doubts, "picked before and in doubt now: picked no longer"),
        (unknown, "picked before by a version that no source holds any more: picked no longer"),
    ]
    return Kept(found, kept, tuple(f"{count:,} {what}" for count, what in told if count))


def _keys(comparison: Comparison, numbers: Sequence[int]) -> list[dict[str, Any]]:
    with closing(Rows(comparison.table)) as rows:
        return rows.read(numbers, ["collection", "key_bytes"])


def _again(comparison: Comparison, row: Mapping[str, Any], version: Chosen) -> Chosen | None:
    """Return the same bytes among the candidates of a record, from the same place if they are there."""
    rows = candidates_of(comparison.folder / "candidates.parquet", row["collection"], row["key_bytes"])
    same = [one for one in rows if one["fingerprint"] == version.fingerprint]
    same.sort(key=lambda one: (one["source"], one["offset"]) != (version.source, version.offset))
    return next((Chosen(one["rank"], one["source"], one["offset"], one["fingerprint"]) for one in same), None)
