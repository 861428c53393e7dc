"""A file that cannot be written is named, whatever library was writing it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.errors import BadInputError, ConnectionFailedError, RecoveryError
from recovery_nb.files import scratch, writing

LIMITED = """
import json, os, resource, sys
from pathlib import Path
import bson, pyarrow as pa
from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.compare.rows import RowWriter
from recovery_nb.errors import RecoveryError

folder, which = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (10_240, resource.RLIM_INFINITY))
path = folder / "table.parquet"

def rows(count):
    with RowWriter(path, pa.schema([("a", pa.binary())])) as table:
        for _ in range(count):
            table.add({"a": os.urandom(64)})

def prints(count):
    with FingerprintTable(path) as table:
        for number in range(0, count, 100):
            records = [bson.encode({"_id": bson.ObjectId()}) for _ in range(100)]
            table.add("c", records, offsets=[0] * 100, lengths=[22] * 100)

try:
    {"rows": rows, "prints": prints}[which](int(sys.argv[3]))
except RecoveryError as error:
    print(json.dumps([str(error), os.listdir(folder)]))
"""


@pytest.mark.parametrize("which", ["rows", "prints"])
@pytest.mark.parametrize("count", [1_000, 40_000])
def test_a_table_that_grows_over_a_limit_is_named_with_the_system_s_reason(
    tmp_path: Path, which: str, count: int
) -> None:
    words = [sys.executable, "-c", LIMITED, str(tmp_path), which, str(count)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    line, left = json.loads(done.stdout)
    assert line == (
        f"cannot write {tmp_path / 'table.parquet'}: File too large; "
        "free some space there, or mend its permissions and limits"
    )
    assert done.stderr == ""
    assert left in ([], ["table.parquet"])


def test_a_table_that_cannot_be_begun_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no" / "table.parquet"
    with pytest.raises(RecoveryError, match=f"cannot write {path}: No such file or directory"):
        FingerprintTable(path)


@pytest.mark.parametrize("error", [ConnectionFailedError("it went away"), BadInputError("no"), KeyboardInterrupt()])
def test_what_is_no_failure_to_write_stays_what_it_is(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as told, writing(tmp_path):
        raise error
    assert told.value is error


def test_a_temporary_file_says_what_it_is_for() -> None:
    told = pytest.raises(RecoveryError, match=r"temporary file of sound records .*no such table: x; .* TMPDIR")
    with told, scratch("sound records"):
        sqlite3.connect("").execute("SELECT * FROM x")
