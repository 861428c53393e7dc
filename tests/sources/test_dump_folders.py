"""Dump folders as a search finds them: with very many collections, and encrypted ones that nothing here opens."""

from __future__ import annotations

from pathlib import Path

import bson
import pyrage
import pytest

from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.sources.base import Kind
from recovery_nb.sources.discover import find_by_pattern, find_sources, open_source
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.tree import Tree

KEY = pyrage.x25519.Identity.generate()


def wide(folder: Path, collections: int = 101) -> Path:
    """Write a dump of so many collections, a record in each."""
    folder.mkdir(parents=True)
    for number in range(collections):
        (folder / f"c{number:03}.bson").write_bytes(bson.encode({"_id": number}))
        (folder / f"c{number:03}.metadata.json").write_text('{"options": {}, "indexes": []}')
    (folder / "prelude.json").write_text('{"ToolVersion": "100.9.4"}')
    return folder


def encrypted(folder: Path, *, also_plain: bool = False) -> Path:
    """Write a dump whose files are encrypted to `KEY`."""
    folder.mkdir(parents=True)
    for name, data in {"a.bson": bson.encode({"_id": 1}), "a.metadata.json": b'{"options": {}, "indexes": []}'}.items():
        (folder / f"{name}.age").write_bytes(pyrage.encrypt(data, [KEY.to_public()]))
    if also_plain:
        (folder / "b.bson").write_bytes(bson.encode({"_id": 2}))
    return folder


def keys(folder: Path, *identities: pyrage.x25519.Identity) -> Tree:
    """Return what opens files with these identities."""
    path = folder / "identities.txt"
    path.write_text("".join(f"{one}\n" for one in identities))
    return Tree(Expansion(keys=AgeKeys((path,) if identities else ())))


def test_the_metadata_of_very_many_collections_is_no_source_of_its_own(tmp_path: Path) -> None:
    found = find_sources([wide(tmp_path / "dump" / "shop").parent])
    assert [source.kind for source in found.sources] == [Kind.DUMP]
    assert found.errors == []
    assert sum(len(part) for part in found.sources[0].read() if isinstance(part, RecordBatch)) == 101


def test_small_files_beside_very_many_collections_are_still_one_source(tmp_path: Path) -> None:
    folder = wide(tmp_path / "shop")
    for number in range(101):
        (folder / f"{number}.json").write_text(f'{{"_id": {number}}}')
    dump, small = find_sources([folder]).sources
    assert (dump.kind, small.kind) == (Kind.DUMP, Kind.FILES)
    again = open_source(small.path)
    assert [len(source.files()) for source in (small, again)] == [101, 101]


@pytest.mark.parametrize(
    ("identities", "says"),
    [
        ((), "is encrypted with age; name the identity file"),
        ((pyrage.x25519.Identity.generate(),), "is encrypted with age for another"),
    ],
)
def test_an_encrypted_dump_says_so_and_which_setting_opens_it(
    tmp_path: Path, identities: tuple[pyrage.x25519.Identity, ...], says: str
) -> None:
    folder, tree = encrypted(tmp_path / "dumps" / "shop"), keys(tmp_path, *identities)
    for found in (find_sources([folder], tree=tree), find_by_pattern([folder.parent], tree=tree)):
        assert found.sources == []
        (error,) = found.errors
        assert says in str(error)
        assert "RECOVERY_NB_AGE_IDENTITIES" in str(error)
        assert "another copy" not in str(error)
    with pytest.raises(BadInputError, match="RECOVERY_NB_AGE_IDENTITIES"):
        open_source(folder, tree)


def test_an_encrypted_dump_opens_with_its_key(tmp_path: Path) -> None:
    found = find_sources([encrypted(tmp_path / "shop")], tree=keys(tmp_path, KEY))
    assert found.errors == []
    assert [part.records for part in found.sources[0].read() if isinstance(part, RecordBatch)] == [
        [bson.encode({"_id": 1})]
    ]


def test_files_without_a_key_are_damage_where_others_can_be_read(tmp_path: Path) -> None:
    tree = keys(tmp_path)
    (source,) = find_sources([encrypted(tmp_path / "shop", also_plain=True)], tree=tree).sources
    entry = Catalog(tmp_path / "catalog", tree).scan(source)
    assert entry.collections == {"b": 1}
    damage = [part for part in source.read() if isinstance(part, Damage)]
    assert {one.member for one in damage} == {"a.bson", "a.metadata.json"}
    assert all("RECOVERY_NB_AGE_IDENTITIES" in one.reason for one in damage)
