"""What is noted of a source while it is read, and what of it is for eyes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import bson
from bson import json_util

from recovery_nb.catalog.entry import DamageEntry
from recovery_nb.catalog.table import well_formed
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.buckets import count
from recovery_nb.records.elements import CODEC, InvalidRecordError, elements
from recovery_nb.records.extended_json import NotARecordError, to_json
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.base import BUCKETS

__all__ = ["Facts", "plain", "preview", "sound"]

_SAMPLES = 3
_FIELD_SAMPLE = 200
_MAX_DAMAGE = 1_000
_PREVIEW = 500
_SHOWN_DEPTH = 100
"""No record that is nested deeper is shown: what writes an entry as JSON goes no deeper than 250."""


def plain(record: bytes) -> object:
    """Return a record as JSON values, for eyes: relaxed Extended JSON; None if it does not decode or is too deep."""
    try:
        document = bson.decode(record, CODEC)
        value = json.loads(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS))
    except Exception:
        return None
    return value if _is_shallow(value) else None


def _is_shallow(value: object, left: int = _SHOWN_DEPTH) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left > 0 and all(_is_shallow(one, left - 1) for one in inside)


class Facts:
    """Collects, while a source is read, what its entry says.

    Attributes:
        collections: Records by collection; of a time-series, its measurements.
        versions: Where it holds versions over time: how many, by collection.
        buckets: By time-series, the buckets that hold its measurements.
        timed: Whether any record says when it was written.
        fields: By collection, the top-level fields of its first records, with how many have them.
        keyless: By collection, the records without an `_id`.
        samples: The first records, for eyes.
        damage: The first stretches that could not be read.
        harmed: How many there are.
    """

    def __init__(self) -> None:
        self.collections: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.buckets: Counter[str] = Counter()
        self.timed = False
        self.fields: dict[str, Counter[str]] = {}
        self.keyless: Counter[str] = Counter()
        self.samples: list[object] = []
        self.damage: list[DamageEntry] = []
        self.harmed = 0

    def take(self, batch: RecordBatch) -> None:
        """Note what a batch holds."""
        if batch.collection.startswith(BUCKETS):
            name = batch.collection.removeprefix(BUCKETS)
            self.buckets[name] += len(batch)
            for record, offset, length in zip(batch.records, batch.offsets, batch.lengths, strict=True):
                try:
                    self.collections[name] += count(record)
                except InvalidRecordError as error:
                    reason = f"a bucket whose measurements cannot be counted: {error}"
                    self.harm(Damage(batch.member, offset, length, reason, batch.collection))
            return
        self.timed = self.timed or batch.at is not None
        seen = self.collections[batch.collection]
        self.collections[batch.collection] += len(batch)
        fields = self.fields.setdefault(batch.collection, Counter())
        for record in batch.records[: max(0, _FIELD_SAMPLE - seen)]:
            with suppress(InvalidRecordError):  # what is broken behind its `_id` is told when it is looked at
                fields.update([name.decode("utf-8", "replace") for _, name, _ in elements(record)])
        if len(self.samples) < _SAMPLES:
            self.samples += [plain(record) for record in batch.records[: _SAMPLES - len(self.samples)]]

    def harm(self, damage: Damage) -> None:
        """Note a stretch that could not be read."""
        self.harmed += 1
        if len(self.damage) < _MAX_DAMAGE:
            self.damage.append(
                DamageEntry(
                    member=damage.member, offset=damage.offset, length=damage.length,
                    reason=damage.reason, collection=damage.collection, partial=preview(damage.partial),
                )
            )  # fmt: skip

    def harms(self) -> list[DamageEntry]:
        """Return the damage, and where there is more than an entry should hold, a last line that says how much."""
        if (more := self.harmed - len(self.damage)) <= 0:
            return self.damage
        last = self.damage[-1]
        rest = DamageEntry(
            member=last.member, offset=last.offset + max(last.length, 0), length=-1,
            reason=f"{more:,} more stretches that cannot be read", collection=last.collection,
        )  # fmt: skip
        return [*self.damage, rest]


def sound(batch: RecordBatch, *, whole: bool = False) -> Iterator[RecordBatch | Damage]:
    """Yield the batch without the records whose elements cannot be walked, and these as damage.

    Args:
        batch: The records.
        whole: Walk every record to its end, and not only as far as its `_id`.
    """
    reasons = [
        "" if not whole and record[4:9] == b"\x07_id\x00" and len(record) > 21 else well_formed(record, whole=whole)
        for record in batch.records
    ]
    if not any(reasons):
        yield batch
        return
    if good := [index for index, reason in enumerate(reasons) if not reason]:
        yield batch.only(good)
    for index, reason in enumerate(reasons):
        if reason:
            yield Damage(
                batch.member, batch.offsets[index], batch.lengths[index], reason, batch.collection,
                leading_fields(batch.records[index]),
            )  # fmt: skip


def preview(partial: bytes) -> str:
    """Return what could be read of a damaged record, for eyes: its beginning, as canonical Extended JSON."""
    if not partial:
        return ""
    try:
        text = to_json(partial)
    except NotARecordError:
        return "(unreadable)"
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"
