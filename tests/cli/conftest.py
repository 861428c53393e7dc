"""The command as a user calls it: a real process, its two streams, its exit code, and what it leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
import pytest

COMMAND = [sys.executable, "-m", "recovery_nb"]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        return self.out + self.err


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_URI", "RECOVERY_NB"))}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **more}


@dataclass
class Cli:
    """Runs commands in a working folder of its own, on the case `case` there."""

    folder: Path
    db: str = ""
    options: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    @property
    def case(self) -> Path:
        return self.folder / "case"

    def words(self, *words: str | Path) -> list[str]:
        database = ["--db", self.db] if self.db else []
        return [*self.before, *COMMAND, *database, *self.options, *map(str, words)]

    def __call__(self, *words: str | Path, timeout: float = 60, env: dict[str, str] | None = None, **more: Any) -> Done:
        done = subprocess.run(
            self.words(*words), cwd=self.folder, env=environment(**(env or {})), capture_output=True, timeout=timeout,
            stdin=subprocess.DEVNULL, check=False, **more,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.words(*words), cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def refused(self, *words: str | Path, says: str, code: int = 2, **more: Any) -> Done:
        """Run what must be refused: one line, one JSON document, no trace on disk but the audit log."""
        before = tree(self.folder)
        done = self("--json", "--quiet", *words, **more)  # a slow machine tells how far it is
        assert done.code == code, done.text
        assert done.err.startswith("recovery-nb: ")
        assert done.err.count("\n") == 1, done.err
        assert says in done.err
        assert set(done.json) == {"error"}
        assert f"recovery-nb: {done.json['error']}\n" == done.err
        assert "Traceback" not in done.text
        assert "unexpected" not in done.text
        assert changes(before, tree(self.folder)) == []
        return done


_KEPT = ("audit.jsonl", "audit.jsonl.lock")


def tree(folder: Path) -> dict[str, str]:
    """Return the digest of every file; what a case keeps on purpose after a refusal is left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        whole = path.parts[-3:-1] and {"catalog", "comparisons", "plans", "embedded"} & set(path.parts[:-1])
        if path.is_file() and path.name not in _KEPT and not (whole and "/." not in str(path)):
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def half_written(folder: Path) -> list[str]:
    """Return what a command left unfinished: such files begin with a dot."""
    return [str(path) for path in folder.rglob(".*") if "embedded" not in path.parts and path.name != ".lock"]


@pytest.fixture
def cli(tmp_path: Path, database: Any) -> Cli:
    """A case on an empty database of the shared server."""
    return Cli(tmp_path, db=database.uri)


@pytest.fixture
def plain(tmp_path: Path) -> Cli:
    """A case without a database."""
    return Cli(tmp_path)


@pytest.fixture
def bound(plain: Cli) -> Cli:
    """A case of someone whom permissions bind: root without its capability to pass over them."""
    if os.getuid() == 0:
        without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if subprocess.run([*without, "true"], capture_output=True, check=False).returncode:
            pytest.skip("the tests run as root, and setpriv cannot take its capabilities away here")
        plain.before = without
    return plain


@pytest.fixture
def load(samples: Path, database: Any) -> Callable[[], None]:
    """Put the sample shop's plain collections into the database, byte for byte, without the command."""

    def run() -> None:
        for name in ("conversations", "quotes", "sessions", "users"):
            data = (samples / "mongodump" / "shop" / f"{name}.bson").read_bytes()
            raw = [bson.raw_bson.RawBSONDocument(bson.encode(one)) for one in bson.decode_all(data)]
            database.client[database.name][name].insert_many(raw)

    return run


@pytest.fixture
def content(database: Any) -> Callable[[], dict[str, str]]:
    """The server's own hash of every collection: equal means not a byte has changed."""

    def run() -> dict[str, str]:
        return dict(database.client[database.name].command("dbHash")["collections"])

    return run
