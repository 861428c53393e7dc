"""Damage files of each format, read them, and compare what comes out with what was in them.

    python benchmarks/damage.py [--trials 200] [--seed 1] [--records 1000] [--format NAME]

Each trial damages one file in one way at a random place. Of the records whose bytes were not touched, none may be
lost; what is read from untouched bytes must be a record that was there. In a packed file, a record counts as touched
unless the codec, given the undamaged bytes alone, yields it. Exits with 1 where a record is lost or wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from corpus import FORMATS, Frame, Place, Sample

from recovery_nb.errors import RecoveryError
from recovery_nb.records.batch import Damage, Ref
from recovery_nb.sources.discover import find_sources
from recovery_nb.sources.tree import Tree

KINDS = (
    "bit flips",
    "zeroed span",
    "cut tail",
    "cut head",
    "inserted junk",
    "lost newline",
    "lost span",
    "foreign span",
)
_FETCHED = 40


class Piece(NamedTuple):
    """Bytes that are still there."""

    old: int
    new: int
    length: int


@dataclass(frozen=True, slots=True)
class Edit:
    """What was done to one file.

    Attributes:
        kind: How.
        file: To which.
        data: What it holds now.
        pieces: What of it was there before, in order.
    """

    kind: str
    file: str
    data: bytes
    pieces: list[Piece]

    def old(self, new: int, length: int) -> int | None:
        """Return where a stretch stood before; None if any of it was touched."""
        number = bisect_right(self.pieces, new, key=lambda piece: piece.new) - 1
        if number < 0:
            return None
        piece = self.pieces[number]
        inside = new + length <= piece.new + piece.length
        return piece.old + new - piece.new if inside else None

    def touches(self, start: int, end: int) -> bool:
        """Whether any of a stretch was changed, or something came between its bytes."""
        return start < end and not any(piece.old <= start and end <= piece.old + piece.length for piece in self.pieces)

    def first(self, start: int, end: int) -> int:
        """Return where the first byte of a stretch is that was touched, or that has lost what stood before it."""
        for piece in self.pieces:
            if piece.old <= start < piece.old + piece.length:
                return min(end, piece.old + piece.length)
        return start


def damaged(sample: Sample, chance: random.Random) -> Edit:
    """Damage one of a sample's files."""
    file = chance.choice(sorted(name for name in sample.files if not name.endswith(".json") or len(sample.files) == 1))
    data = sample.files[file]
    kind = chance.choice(KINDS)
    if kind == "lost newline" and (b"\n" not in data or sample.frames):
        kind = "lost span"
    size = len(data)
    at = chance.randrange(size)
    span = min(size - at, chance.choice((1, 2, 7, 100, 600, 5_000)))
    other = chance.randrange(size)
    if kind == "bit flips":
        return _flipped(file, data, {chance.randrange(size) for _ in range(chance.choice((1, 1, 3, 20)))}, chance)
    if kind == "cut tail":
        return _edited(kind, file, data, at, size, b"")
    if kind == "cut head":
        return _edited(kind, file, data, 0, at if chance.random() < 0.7 else span, b"")
    if kind == "zeroed span":
        return _edited(kind, file, data, at, at + span, bytes(span))
    if kind == "inserted junk":
        junk = chance.choice((chance.randbytes(span), bytes(span), data[other : other + span], b"\n", b"}", b'"', b"{"))
        return _edited(kind, file, data, at, at, junk)
    if kind == "lost newline":
        breaks = [number for number, byte in enumerate(data) if byte == 0x0A]
        at = chance.choice(breaks)
        return _edited(kind, file, data, at, at + 1, b"")
    if kind == "lost span":
        return _edited(kind, file, data, at, at + span, b"")
    foreign = data[other : other + span]
    return _edited(kind, file, data, at, at + len(foreign), foreign)


def _edited(kind: str, file: str, data: bytes, start: int, end: int, new: bytes) -> Edit:
    end = min(end, len(data))
    pieces = [Piece(0, 0, start), Piece(end, start + len(new), len(data) - end)]
    return Edit(kind, file, data[:start] + new + data[end:], [piece for piece in pieces if piece.length])


def _flipped(file: str, data: bytes, places: set[int], chance: random.Random) -> Edit:
    changed, pieces, start = bytearray(data), [], 0
    for place in sorted(places):
        changed[place] ^= 1 << chance.randrange(8)
        pieces.append(Piece(start, start, place - start))
        start = place + 1
    pieces.append(Piece(start, start, len(data) - start))
    return Edit("bit flips", file, bytes(changed), [piece for piece in pieces if piece.length])


# Reading


class Found(NamedTuple):
    """A record that was read."""

    file: str
    offset: int
    length: int
    collection: str
    record: bytes


@dataclass(slots=True)
class Reading:
    """What was read from files.

    Attributes:
        found: The records, in order.
        partial: The records that are damage since nobody can tell whose they are, by file and place.
        faults: What should never happen: an error that is none of ours, or a record that is another one when fetched.
    """

    found: list[Found] = field(default_factory=list)
    partial: dict[tuple[str, int], bytes] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def read(path: Path, chance: random.Random) -> Reading:
    """Read everything at a path, as a scan does."""
    reading = Reading()
    try:
        for source in find_sources([path], tree=Tree()).sources:
            fetched: list[tuple[Ref, bytes]] = []
            try:
                name = source.files()[0].name  # without the ending of a compression
                for item in source.read():
                    file = item.member or name
                    if isinstance(item, Damage):
                        reading.partial[file, item.offset] = item.partial
                        continue
                    rows = list(zip(item.offsets, item.lengths, item.records, strict=True))
                    reading.found += [Found(file, *place, item.collection, one) for *place, one in rows]
                    for offset, length, record in chance.sample(rows, min(_FETCHED, len(rows))):
                        fetched.append((Ref(item.member, offset, length), record))
                for (ref, record), again in zip(fetched, source.fetch([ref for ref, _ in fetched]), strict=True):
                    if again != record:
                        reading.faults.append(f"another record is fetched at {ref}")
            except RecoveryError:
                continue
    except Exception:
        reading.faults.append(traceback.format_exc())
    return reading


# Comparing


@dataclass(slots=True)
class Result:
    """What trials of one format came to: `lost`, `wrong` and `faults` must stay 0."""

    trials: int = 0
    touched: int = 0
    lost: int = 0
    wrong: int = 0
    unknown: int = 0
    faults: int = 0
    slowest: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.lost or self.wrong or self.faults)


class Campaign:
    """The trials of one format.

    Args:
        sample: The undamaged files.
        folder: Where files are written.
    """

    def __init__(self, sample: Sample, folder: Path) -> None:
        self.sample, self.folder = sample, folder
        self.root = folder / next(iter(sample.files)).partition("/")[0]
        self._write(sample.files)
        whole = read(self.root, random.Random(0))
        assert not whole.faults, whole.faults[0]
        places = {(_name(place.file), place.start): place for place in sample.places}
        self.truth: dict[tuple[str, int], bytes] = {}
        for one in whole.found:
            place = places[one.file, one.offset]
            assert (place.end - place.start, place.collection) == (one.length, one.collection), (place, one)
            self.truth[one.file, one.offset] = one.record
        assert len(self.truth) == len(places) == len(whole.found), (len(self.truth), len(places), len(whole.found))

    def trial(self, seed: str, result: Result) -> None:
        """Make one trial and add what came of it."""
        chance = random.Random(seed)
        edit = damaged(self.sample, chance)
        self._write({edit.file: edit.data})
        start = time.perf_counter()
        reading = read(self.root, chance)
        result.slowest = max(result.slowest, time.perf_counter() - start)
        result.trials += 1
        judge = self._judge_packed if self.sample.frames else self._judge
        before = (result.lost, result.wrong)
        detail = judge(edit, reading, result)
        result.faults += len(reading.faults)
        if (result.lost, result.wrong) != before or reading.faults:
            result.examples.append(f"{seed} ({edit.kind}): {detail} {''.join(reading.faults)}")
        self._write({edit.file: self.sample.files[edit.file]})

    def _write(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _judge(self, edit: Edit, reading: Reading, result: Result) -> str:
        """Compare by place: in a file that is not packed every byte's way can be followed."""
        detail: list[str] = []
        margin = self.sample.places[0].margin
        headless = edit.touches(*self.sample.header)
        found: dict[tuple[str, int], Found] = {}
        for one in reading.found:
            place = one.offset
            if one.file == _name(edit.file):
                size = one.length + 2 * margin if one.offset + one.length < len(edit.data) else one.length + margin
                was = edit.old(one.offset - margin, size)
                if was is None or headless:
                    continue
                place = was + margin
            if (one.file, place) in found or self.truth.get((one.file, place)) != one.record:
                result.wrong += 1
                detail.append(f"wrong at {one.file}:{one.offset} {one.record[:60]!r}")
            found[one.file, place] = one
        partial = {
            (file, edit.old(at, max(len(record), 1)) if file == _name(edit.file) else at): record
            for (file, at), record in reading.partial.items()
        }
        for place in self.sample.places:
            key = (_name(place.file), place.start)
            ours = place.file == edit.file
            size = len(self.sample.files[place.file])
            if ours and (
                headless or edit.touches(max(0, place.start - margin - place.lead), min(size, place.end + margin))
            ):
                result.touched += 1
            elif key not in found:
                doubtful = ours and edit.touches(*place.named)
                if doubtful and partial.get(key) == self.truth[key]:
                    result.unknown += 1
                    continue
                result.lost += 1
                detail.append(f"lost at {place.file}:{place.start}")
            elif (said := found[key].collection) != place.collection:
                if said == "" or edit.touches(*place.named):
                    result.unknown += 1
                else:
                    result.wrong += 1
                    detail.append(f"wrong collection {said} at {place.file}:{place.start}")
        return "; ".join(detail[:3])

    def _judge_packed(self, edit: Edit, reading: Reading, result: Result) -> str:
        """Compare by content: what stands where in damaged frames, nobody can say."""
        detail: list[str] = []
        if edit.touches(*self.sample.header):
            result.touched += len(self.sample.places)
            return ""
        safe: dict[str, list[tuple[int, int]]] = {}
        whole = True
        for frame in self.sample.frames:
            still = _still(frame, edit, self.sample.files[edit.file])
            # Of a frame that is damaged itself and stands behind another such, nobody knows that it is one.
            safe.setdefault(frame.file, []).append(
                (frame.inside[0], still if whole or still == frame.inside[1] else frame.inside[0])
            )
            whole = still == frame.inside[1]
        got = Counter((one.file, one.record) for one in reading.found)
        unsure = Counter((file, record) for (file, _), record in reading.partial.items())
        for place in self.sample.places:
            name = _name(place.file)
            record = self.truth[name, place.start]
            if not _is_safe(place, safe[place.file]):
                result.touched += 1
                got[name, record] -= 1
            elif got[name, record] > 0:
                got[name, record] -= 1
            elif unsure[name, record] > 0 and not _is_safe(place, safe[place.file], named=True):
                result.unknown += 1
            else:
                result.lost += 1
                detail.append(f"lost at {place.file}:{place.start}")
        for file, one in self._wrong(reading, safe):
            result.wrong += 1
            detail.append(f"wrong at {file}:{one.offset} {one.record[:60]!r}")
        return "; ".join(detail[:3])

    def _wrong(self, reading: Reading, safe: dict[str, list[tuple[int, int]]]) -> Iterator[tuple[str, Found]]:
        """Yield what is no record and was read before the damage, or behind a record that is surely behind it."""
        known: dict[tuple[str, bytes], int] = {}
        sure: dict[tuple[str, bytes], str] = {}
        for place in self.sample.places:
            key = (_name(place.file), self.truth[_name(place.file), place.start])
            known[key] = place.start
            if _is_safe(place, safe[place.file], named=True):
                sure[key] = place.collection
        behind: Counter[str] = Counter()
        for file, spans in safe.items():
            ends = [(start, end, nxt) for (start, end), (nxt, _) in zip(spans, [*spans[1:], (1 << 62, 0)], strict=True)]
            broken = [number for number, (_, end, nxt) in enumerate(ends) if end < min(nxt, self._size(file))]
            before = ends[broken[0]][1] if broken else 1 << 62
            after = ends[broken[-1]][2] if broken else 0
            for one in reading.found:
                if one.file != _name(file):
                    continue
                was = known.get((one.file, one.record))
                if was is not None:
                    behind[file] = max(behind[file], was)
                    if one.collection not in ("", sure.get((one.file, one.record), one.collection)):
                        yield file, one
                elif one.offset + one.length <= before or behind[file] >= after:
                    yield file, one

    def _size(self, file: str) -> int:
        return max(frame.inside[1] for frame in self.sample.frames if frame.file == file)


def _name(file: str) -> str:
    return file.rpartition("/")[2]


def _still(frame: Frame, edit: Edit, data: bytes) -> int:
    """Return up to where in the unpacked bytes a frame still gives what it gave."""
    if not edit.touches(frame.start, frame.end):
        return frame.inside[1]
    reached = edit.first(frame.start, frame.end)
    return min(frame.inside[1], frame.inside[0] + len(frame.decode(data[frame.start : reached])))


def _is_safe(place: Place, spans: list[tuple[int, int]], *, named: bool = False) -> bool:
    """Whether all of a record lies in what is still there, without a hole in it."""
    reached = start = place.named[0] if named and place.named[1] else place.start
    for begin, end in spans:
        if begin <= reached <= end and reached in (start, begin):
            reached = end
            if reached >= place.end:
                return True
    return False


def campaign(name: str, folder: Path, *, seed: int, trials: int, records: int) -> Result:
    """Run the trials of one format."""
    made, result = Campaign(FORMATS[name](records), folder), Result()
    for number in range(trials):
        made.trial(f"{name} {seed} {number}", result)
    return result


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=int, default=1_000)
    parser.add_argument("--format", choices=FORMATS, action="append")
    options = parser.parse_args()
    print(f"{options.records:,} records a file, {options.trials} trials a format, seed {options.seed}")
    columns = "trials", "touched", "lost", "wrong", "unknown", "faults", "slowest"
    print(f"{'format':<20}" + "".join(f"{column:>10}" for column in columns))
    failed = False
    for name in options.format or FORMATS:
        with tempfile.TemporaryDirectory(prefix="recovery-nb-damage-") as folder:
            result = campaign(name, Path(folder), seed=options.seed, trials=options.trials, records=options.records)
        counts = result.trials, result.touched, result.lost, result.wrong, result.unknown, result.faults
        print(f"{name:<20}" + "".join(f"{count:>10,}" for count in counts) + f"{result.slowest:>8.2f} s", flush=True)
        for example in result.examples[:5]:
            print(f"    {example[:2000]}", file=sys.stderr)
        failed = failed or result.failed
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
