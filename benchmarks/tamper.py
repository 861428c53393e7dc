"""Changes of a single byte in backups, packed and encrypted in each way: verify finds every one, and names the file.

    python benchmarks/tamper.py [--changes 2000] [--seed 1]

A third each is in documents, in metadata and in the manifest, at a random place, to a random other value. What is
printed is how many were found, and of how many the changed file was named; it ends with 1 if one was not found.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import cast, get_args

import pyrage
from pymongo import MongoClient

from recovery_nb.backups import Compression, recipients, verify_backup, write_backup
from recovery_nb.demo.sampledata import conversations
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.tree import Tree

RECORDS = 150


def load(uri: str) -> None:
    with MongoClient(uri) as client:
        store = client.get_default_database()
        store.create_collection("conversations", validator={"_id": {"$exists": True}}, collation={"locale": "de"})
        store.conversations.insert_many(list(conversations(RECORDS)))
        store.conversations.create_index([("user_id", 1), ("created_at", -1)])
        store.create_collection("events", capped=True, size=1 << 20)
        store.events.insert_many([{"_id": n, "kind": "seen", "pad": "x" * (n % 50)} for n in range(200)])
        store.create_collection("seen", viewOn="events", pipeline=[{"$match": {"kind": "seen"}}])


def kind_of(file: Path) -> str:
    if file.name == "manifest.json":
        return "manifest"
    return "documents" if ".bson" in file.name else "metadata"


def trial(backup: Path, chance: random.Random, identity: Path) -> tuple[str, bool, bool]:
    """Change a byte, verify, and put it back; return what was changed, whether it was found, and by its file."""
    by_kind: dict[str, list[Path]] = {}
    for file in sorted(file for file in backup.rglob("*") if file.is_file() and file.stat().st_size):
        by_kind.setdefault(kind_of(file), []).append(file)
    kind = chance.choice(sorted(by_kind))
    file = chance.choice(by_kind[kind])
    content = file.read_bytes()
    at = chance.randrange(len(content))
    changed = (content[at] + chance.randrange(1, 256)) % 256
    file.write_bytes(content[:at] + bytes([changed]) + content[at + 1 :])
    try:
        found = verify_backup(backup, tree=Tree(Expansion(keys=AgeKeys((identity,)))))
    finally:
        file.write_bytes(content)
    wanted = str(backup) if kind == "manifest" else str(file.relative_to(backup))
    named = any(problem.where.startswith(wanted) for problem in found.problems)
    if not found.problems:
        print(f"NOT FOUND: {file.name} at {at}: {content[at]} became {changed}", file=sys.stderr)
    return kind, bool(found.problems), named


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recovery-nb-tamper-"))
    missed = 0
    try:
        key = pyrage.x25519.Identity.generate()
        identity = folder / "identity"
        identity.write_text(f"{key}\n")
        with EmbeddedMongod(folder / "mongod") as server:
            load(server.uri("shop"))
            database = Database(server.uri("shop"))
            print(f"{'backup':<12}  {'documents':>15}  {'metadata':>15}  {'manifest':>15}  {'file named':>15}")
            for way in (*get_args(Compression), "none+age", "zstd+age"):
                compression, _, age = way.partition("+")
                to = recipients([str(key.to_public())] if age else [])
                packed = cast("Compression", compression)
                backup = write_backup(database, folder / "out", compression=packed, recipients=to).path
                chance = random.Random(f"{options.seed} {way}")
                made, found, names = Counter[str](), Counter[str](), 0
                for _ in range(options.changes):
                    kind, was_found, named = trial(backup, chance, identity)
                    made[kind] += 1
                    found[kind] += was_found
                    names += named
                parts = (f"{found[kind]:,} of {made[kind]:,}" for kind in ("documents", "metadata", "manifest"))
                row = "  ".join(f"{part:>15}" for part in (*parts, f"{names:,} of {options.changes:,}"))
                print(f"{way:<12}  {row}", flush=True)
                missed += made.total() - found.total()
                shutil.rmtree(backup)
            database.close()
    finally:
        shutil.rmtree(folder)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
