"""Where expanded bytes wait, when there is no room for them. What fits is tested with what fills it."""

from __future__ import annotations

import errno
import gzip
import io
import json
import random
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import bson
import pyrage
import pytest
from backports import zstd

from recovery_nb.sources.expand.spool import no_room

MIB = 1024 * 1024
LINES = b"".join(b'{"_id": %d, "a": 1}\n' % number for number in range(5))
LARGE = b"".join(bson.encode({"_id": n, "v": random.Random(n).randbytes(3000)}) for n in range(1200))
SCAN = """
import json, resource, sys
from pathlib import Path
from recovery_nb import Case
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.tree import Tree

# No file may grow beyond 2 MiB: what is written to a disk that is full fails at the same place.
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
top = Path(sys.argv[1])
with Case.open(top / "case") as case:
    case.tree = case.catalog.tree = Tree(Expansion(keys=AgeKeys((top / "key.txt",))))
    scan = case.scan(top / "evidence")
found = {
    one.path.relative_to(top / "evidence").as_posix(): [one.records, [place.reason for place in one.damage]]
    for one in scan.sources
}
json.dump({"found": found, "errors": scan.errors}, sys.stdout)
"""


def tarred(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        facts = tarfile.TarInfo(name)
        facts.size = len(data)
        archive.addfile(facts, io.BytesIO(data))
    return file.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    "name",
    ["old.tar.gz", "old.zip", "disk.tar", "large.bson.age", "large.bson.gz.age", "shop/large.bson.age", "large.zst"],
)
def test_what_there_is_no_room_for_costs_one_line_and_nothing_else(name: str, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    key = [identity.to_public()]
    content = {
        "old.tar.gz": gzip.compress(tarred("large.bson", LARGE)),
        "old.zip": zipped("inner.tar.gz", gzip.compress(tarred("large.bson", LARGE))),
        "disk.tar": tarred("secret.bson.age", pyrage.encrypt(LARGE, key)),
        "large.bson.gz.age": pyrage.encrypt(gzip.compress(LARGE), key),
        "large.zst": zstd.compress(LARGE),
    }.get(name, pyrage.encrypt(LARGE, key))
    evidence = tmp_path / "evidence"
    (evidence / "shop").mkdir(parents=True)
    (tmp_path / "key.txt").write_text(str(identity))
    (evidence / name).write_bytes(content)
    (evidence / "shop" / "users.bson").write_bytes(b"".join(bson.encode({"_id": n}) for n in range(7)))
    (evidence / "a.jsonl.gz").write_bytes(gzip.compress(LINES))
    (evidence / "z.jsonl").write_bytes(LINES.replace(b'"a"', b'"z"'))

    done = subprocess.run(
        [sys.executable, "-c", SCAN, tmp_path], capture_output=True, text=True, timeout=60, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    found = told["found"]
    assert done.stderr == ""
    assert {path: found[path][0] for path in ("shop", "a.jsonl.gz", "z.jsonl")} == {
        "shop": 7, "a.jsonl.gz": 5, "z.jsonl": 5
    }  # fmt: skip
    lines = [*told["errors"], *(reason for _, reasons in found.values() for reason in reasons)]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert f"{evidence / name}" in lines[0]
    assert "cannot be expanded" in lines[0]
    assert "TMPDIR" in lines[0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EIO])
def test_the_line_says_what_to_do(number: int, tmp_path: Path) -> None:
    line = str(no_room("old.gz", tmp_path)(OSError(number, "why")))
    assert line.startswith("old.gz cannot be expanded")
    assert str(tmp_path) in line
    assert "TMPDIR" in line
    assert ("no room" in line) is (number in (errno.ENOSPC, errno.EDQUOT))
    assert ("ulimit" in line) is (number == errno.EFBIG)
