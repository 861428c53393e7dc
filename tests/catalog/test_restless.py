"""Files that grow, or are deleted, while the folder that they are in is scanned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bson
import pytest

from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError
from recovery_nb.events import Event
from recovery_nb.scanning import Scan, catalogued
from recovery_nb.sources.base import Kind
from recovery_nb.sources.discover import find_sources

LARGE = b"".join(bson.encode({"_id": n, "v": "x" * 1_000}) for n in range(3_000))
Change = Callable[[Path], object]


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bson.encode({"_id": "late"}) if path.suffix == ".bson" else b'{"_id": "late"}\n')


def delete(path: Path) -> None:
    path.unlink(missing_ok=True)


def scan(top: Path, restless: Path, change: Change) -> Scan:
    """Scan a folder in which a file changes while the first source is read, once."""
    waiting = [change]

    def emit(_: Event) -> None:
        if waiting:
            waiting.pop()(restless)

    return catalogued(find_sources([top / "evidence"]), Catalog(top / "catalog"), emit=emit)


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    folder = tmp_path / "evidence"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("change", "told"), [(grow, "it changed while it was read"), (delete, "it went away")])
def test_of_a_dump_it_costs_one_collection(change: Change, told: str, evidence: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (evidence / f"{name}.bson").write_bytes(LARGE)
    (evidence / "z.jsonl").write_bytes(b'{"_id": 1, "a": 1}\n')

    found = scan(tmp_path, evidence / "b.bson", change)
    dump, lines = sorted(found.sources, key=lambda one: one.kind != Kind.DUMP)
    assert found.errors == ()
    assert dump.collections == {"a": 3_000, "c": 3_000}
    assert [(one.member, one.reason) for one in dump.damage] == [("b.bson", told)]
    assert lines.collections == {"": 1}


@pytest.mark.parametrize(("change", "told"), [(grow, "it changed while it was read"), (delete, "it went away")])
def test_of_many_small_files_it_costs_one(change: Change, told: str, evidence: Path, tmp_path: Path) -> None:
    for number in range(150):
        (evidence / f"{number:03}.json").write_bytes(b'{"_id": %d, "a": 1}\n' % number)

    (entry,) = scan(tmp_path, evidence / "120.json", change).sources
    assert entry.records == 149
    assert [(one.member, one.reason) for one in entry.damage] == [("120.json", told)]


def test_what_went_away_before_it_was_read_is_told(evidence: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (evidence / f"{name}.bson").write_bytes(LARGE)
    found = find_sources([evidence])
    (evidence / "a.bson").unlink()
    (entry,) = catalogued(found, Catalog(tmp_path / "catalog")).sources
    assert entry.collections == {"b": 3_000}
    assert [(one.member, one.reason) for one in entry.damage] == [("a.bson", "it went away")]


def test_at_rest_it_is_read_whole_again(evidence: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (evidence / f"{name}.bson").write_bytes(LARGE)
    (first,) = scan(tmp_path, evidence / "b.bson", grow).sources
    catalog = Catalog(tmp_path / "catalog")
    (second,) = catalogued(find_sources([evidence]), catalog).sources
    assert (first.records, second.records, second.damage) == (3_000, 6_001, [])
    assert {one.id for one in catalog.entries()} == {first.id, second.id}


def test_what_never_rests_is_given_up(evidence: Path, tmp_path: Path) -> None:
    for number in range(9):
        (evidence / f"{number}.bson").write_bytes(LARGE)
    paths, done = sorted(evidence.iterdir()), [9 * len(LARGE)]
    catalog = Catalog(tmp_path / "catalog")

    def emit(event: Event) -> None:
        if event.done < done[0]:  # it is read anew
            grow(paths.pop())
        done[0] = event.done

    (source,) = find_sources([evidence]).sources
    with pytest.raises(BadInputError, match="changed while it was read"):
        catalog.scan(source, emit=emit)
    assert (len(paths), catalog.entries()) == (6, [])
