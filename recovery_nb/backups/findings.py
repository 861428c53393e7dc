"""What a verification has found so far, and the check of records that every kind of backup shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from recovery_nb.events import Emit, Event
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.elements import InvalidRecordError, id_element, invalid_reason
from recovery_nb.records.keys import canonical, key_text
from recovery_nb.sources.base import FileSource
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.dump.gridfs import GridFSCheck
from recovery_nb.verification import Problem, Verification

__all__ = ["Findings", "id_text"]

_MOST = 1_000
_LONGEST = 100


class Findings:
    """A verification in progress.

    Args:
        target: What is verified.
        emit: Hears how far it is.
    """

    def __init__(self, target: str, emit: Emit) -> None:
        self._target = target
        self._emit = emit
        self._checked = 0
        self._problems: list[Problem] = []
        self._unnamed = 0
        self._notes: list[str] = []

    def problem(self, what: str, where: str) -> None:
        """Keep a problem; past a thousand they are only counted."""
        if len(self._problems) < _MOST:
            self._problems.append(Problem(what, where))
        else:
            self._unnamed += 1

    def note(self, note: str) -> None:
        """Keep a remark."""
        self._notes.append(note)

    def checked(self, number: int = 1) -> None:
        """Count files or records that were looked at."""
        self._checked += number

    def check_records(
        self, source: FileSource, *, prefix: str, places: Mapping[str, str] | None = None
    ) -> Counter[str]:
        """Decode every record of a source in full; what fails, and what is no record, is a problem.

        So is a file in GridFS that is not whole, where both its collections are in the source.

        Args:
            source: What to read.
            prefix: What stands before its members in a problem's place.
            places: By member, what to call it instead: the file that it is stored in. Offsets are those of the member.

        Returns:
            How many records each member holds.
        """
        counts: Counter[str] = Counter()
        whole, seen = GridFSCheck(), set[str]()
        for part in source.read():
            where = (places or {}).get(part.member) or "/".join(filter(None, (prefix, part.member)))
            if isinstance(part, Damage):
                self.problem(part.reason, _at(where, part.offset))
                continue
            for place, what in _undecodable(part, counts[part.member]):
                self.problem(what, _at(where, place))
            whole.take(part)
            seen.add(part.collection)
            counts[part.member] += len(part)
            self.checked(len(part))
            self._emit(Event("verify", where, counts[part.member]))
        if isinstance(source, DumpSource):
            seen.update(source.collections().values())  # the empty ones, too
        for damage in whole.problems():
            bucket = damage.collection.rpartition(".")[0]
            if {f"{bucket}.files", f"{bucket}.chunks"} <= seen:
                where = (places or {}).get(damage.member) or "/".join(filter(None, (prefix, damage.member)))
                self.problem(damage.reason, _at(where, damage.offset))
        return counts

    def result(self) -> Verification:
        """Return the outcome."""
        if self._unnamed:
            self._notes.append(f"{self._unnamed:,} more problems are not listed")
        return Verification(self._target, not self._problems, self._checked, tuple(self._problems), tuple(self._notes))


def id_text(record: bytes) -> str:
    """Return a record's `_id` for a person; "" where none can be read."""
    try:
        found = id_element(record)
        text = key_text(canonical(found[0], found[1:])) if found else ""
    except (InvalidRecordError, ValueError, ArithmeticError):
        return ""
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in shown)


def _undecodable(batch: RecordBatch, before: int) -> Iterator[tuple[int, str]]:
    """Yield the offset of each record that does not decode, and why."""
    for number, (record, offset) in enumerate(zip(batch.records, batch.offsets, strict=True), before + 1):
        if reason := invalid_reason(record):
            known = f", _id {name}" if (name := id_text(record)) else ""
            yield offset, f"a record does not decode: {reason} (record {number:,}{known})"


def _at(where: str, offset: int) -> str:
    return f"{where} at offset {offset:,}" if offset >= 0 else where
