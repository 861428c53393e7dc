"""A backup that does not come to its end is never under a final name, and leaves nothing for long."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pyrage
import pytest

from recovery_nb.backups import Compression, doubted, recipients, verify_backup, write_backup
from recovery_nb.events import Event
from recovery_nb.sources.mongodb import Database

# A process of its own that takes a backup, says when it is in the middle of it, and then waits for its end.
TAKE = """
import resource, signal, sys
from pathlib import Path
from recovery_nb.backups import recipients, write_backup
from recovery_nb.errors import RecoveryError
from recovery_nb.sources.mongodb import Database

def stop(event):
    if event.what == "users" and event.done:
        print("in the middle", flush=True)
        sys.stdin.read()

uri, folder, layout, limit, compression, *keys = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    emit = (lambda event: None) if int(limit) else stop
    packed = {"compression": compression, "recipients": recipients(keys)}
    write_backup(Database(uri), Path(folder), layout=layout, emit=emit, **packed)
except RecoveryError as error:
    print(error)
    sys.exit(error.exit_code)
"""


WAYS = [("bson", "none"), ("json", "none"), ("bson", "zstd"), ("bson", "zstd+age"), ("json", "gzip+age")]
KEY = str(pyrage.x25519.Identity.generate().to_public())


def take(uri: str, folder: Path, layout: str, limit: int = 0, *, packed: str = "none") -> subprocess.Popen[str]:
    """Start a backup in a process of its own; with a limit to the size of a file, it does not stop on its way."""
    compression, _, age = packed.partition("+")
    command = [sys.executable, "-c", TAKE, uri, str(folder), layout, str(limit), compression, *([KEY] if age else [])]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize(("layout", "packed"), WAYS)
def test_a_killed_backup_has_no_final_name_and_the_next_run_cleans_up(
    small: Database, database: Any, tmp_path: Path, layout: Any, packed: str
) -> None:
    process = take(database.uri, tmp_path, layout, packed=packed)
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    living = write_backup(small, tmp_path, layout=layout)
    assert len(names(tmp_path)) == 2, "what a living process writes is left alone"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [name for name in names(tmp_path) if not name.startswith(".")] == [living.path.name]

    events: list[Event] = []
    result = write_backup(small, tmp_path, layout=layout, emit=events.append)
    assert names(tmp_path) == sorted([living.path.name, result.path.name])
    assert [event.note for event in events if event.note] == ["removed what an interrupted backup had left"]
    assert verify_backup(result.path).ok


@pytest.mark.parametrize(("layout", "packed"), WAYS)
def test_an_interrupted_backup_removes_itself(small: Database, tmp_path: Path, layout: Any, packed: str) -> None:
    def interrupt(event: Event) -> None:
        if event.what == "users":
            raise KeyboardInterrupt

    compression, _, age = packed.partition("+")
    to, before = recipients([KEY] if age else []), threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        write_backup(
            small, tmp_path, layout=layout, compression=cast("Compression", compression), recipients=to, emit=interrupt
        )
    assert names(tmp_path) == []
    # The driver's own threads come and go, also those of other clients in this process.
    assert [one for one in threading.enumerate() if one not in before and not one.name.startswith("pymongo")] == []


@pytest.mark.seeded(4)
def test_a_backup_killed_at_any_moment_is_whole_or_has_no_name(database: Any, tmp_path: Path, seed: int) -> None:
    store, chance = database.client[database.name], random.Random(seed)
    for name in ("users", "quotes", "ring"):
        store[name].insert_many([{"_id": n, "pad": os.urandom(500).hex()} for n in range(4_000)])
    packed = ("none", "zstd", "gzip", "zstd+age")[seed % 4]
    process = take(database.uri, tmp_path, "bson", 1 << 40, packed=packed)
    try:
        process.communicate(timeout=0.5 + chance.random() * 1.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    final = [entry for entry in tmp_path.iterdir() if not entry.name.startswith(".")]
    assert bool(final) >= (process.returncode == 0)
    for entry in final:
        assert doubted(entry) == {}
        if "age" not in packed:
            assert verify_backup(entry).ok


def test_only_our_own_leftovers_are_removed(small: Database, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead = f".backup_20251201_103000.partial-{gone.pid}"
    kept = [
        f".backup_20251201_103000.partial-{os.getppid()}",
        f"backup_20251201_103000.partial-{gone.pid}",
        f".backup_20251201.partial-{gone.pid}",
        f".backup_20251201_103000.partial-{gone.pid}.old",
        ".notes",
    ]
    for name in (dead, *kept):
        (tmp_path / name).mkdir()
    (tmp_path / f".backup_20251201_103001.partial-{gone.pid}").symlink_to(tmp_path / ".notes")
    write_backup(small, tmp_path)
    assert not (tmp_path / dead).exists()
    assert set(kept) < set(names(tmp_path))
    assert (tmp_path / f".backup_20251201_103001.partial-{gone.pid}").is_symlink()


@pytest.mark.parametrize(("layout", "packed"), WAYS)
def test_a_disk_that_fills_up_is_one_line(database: Any, tmp_path: Path, layout: str, packed: str) -> None:
    store = database.client[database.name]
    store.users.insert_many([{"_id": n, "pad": os.urandom(10_000)} for n in range(100)])
    process = take(database.uri, tmp_path, layout, limit=500_000, packed=packed)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (2, "")
    assert said.count("\n") == 1
    assert f"{tmp_path} is full" in said
    assert names(tmp_path) == []


def test_a_small_disk_is_refused_before_anything_is_written(database: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not mount or os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        store = database.client[database.name]
        store.users.insert_many([{"_id": n, "pad": "x" * 10_000} for n in range(200)])
        process = take(database.uri, disk, "bson", limit=1 << 40)
        said, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (2, "")
        assert "bytes free and the backup needs at least 2," in said
        assert names(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_backups_at_the_same_time_do_not_disturb_each_other(small: Database, database: Any, tmp_path: Path) -> None:
    processes = [take(database.uri, tmp_path, "bson") for _ in range(3)]
    for process in processes:
        process.communicate("", timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(names(tmp_path)) == 3
    assert all(verify_backup(entry).ok for entry in tmp_path.iterdir())
