"""Every file that the real tools wrote is recognised, and holds what the database held."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.facts import inferred_collections
from recovery_nb.scanning import Scan, catalogued
from recovery_nb.sources.base import Kind
from recovery_nb.sources.discover import find_sources


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    samples = Path(__file__).parent / "data" / "samples"
    return catalogued(find_sources([samples]), Catalog(tmp_path_factory.mktemp("catalog")))


@pytest.fixture(scope="module")
def truth() -> dict[str, int]:
    counts = json.loads((Path(__file__).parent / "data" / "samples" / "truth.json").read_bytes())["counts"]
    return {name: count for name, count in counts.items() if name != "open_quotes"}  # a view stores nothing


def counted(scan: Scan, entry: SourceEntry) -> Counter[str]:
    inferred = inferred_collections(scan.sources, {})
    counts: Counter[str] = Counter()
    for name, count in entry.collections.items():
        counts[name or inferred[entry.id][0]] += count
    return counts


def test_nothing_is_damaged_and_nothing_is_passed_over(scan: Scan, samples: Path) -> None:
    assert all(entry.whole for entry in scan.sources)
    assert [Path(line.split()[0]).name for line in scan.errors] == ["truth.json"]  # counts, and no record
    assert [path.name for path in scan.ignored] == ["README.md"]
    read = {entry.path for entry in scan.sources} | {path.absolute() for path, _ in scan.copies}
    for path in samples.rglob("*"):
        if path.is_file() and path.name not in ("truth.json", "README.md") and not path.name.startswith("."):
            assert {path, path.parent} & read, path


@pytest.mark.parametrize("kind", [Kind.DUMP, Kind.ARCHIVE])
def test_dumps_hold_the_whole_database(scan: Scan, truth: dict[str, int], kind: Kind) -> None:
    found = [entry for entry in scan.sources if entry.kind is kind]
    assert found
    for entry in found:
        assert counted(scan, entry) == truth
        assert entry.options["open_quotes"]["type"] == "view"


def test_a_gzipped_dump_is_the_same_dump(scan: Scan) -> None:
    assert [(copy.parent.name, of.parent.name) for copy, of in scan.copies] == [("mongodump-gzip", "mongodump")]


def test_exports_hold_their_collection(scan: Scan, truth: dict[str, int]) -> None:
    exports = [entry for entry in scan.sources if entry.path.parent.name == "mongoexport"]
    assert len(exports) == 14
    for entry in exports:
        name = entry.name.partition(".")[0]
        assert counted(scan, entry) == {name: truth[name]}, entry.name


def test_backups_and_the_log_hold_what_was_put_there(scan: Scan) -> None:
    by_name = {entry.name: counted(scan, entry) for entry in scan.sources if entry.path.parent.name == "backups"}
    three = {"conversations": 600, "sessions": 600, "quotes": 300}
    assert by_name == {
        "backup_20251201_103000.json": three,
        "backup_2025-12-01T10-30-00-000Z.json": three,
        "export_spec_v1.json": {"conversations": 120},
        "app.log": {"conversations": 150},
    }
