"""The ends that a restore can come to: stopped on its way, or killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb.events import Event
from recovery_nb.restore import Plan, State, list_restores

CHILD = """
import sys
from pathlib import Path
from recovery_nb.records.elements import split
from recovery_nb.events import Event
from recovery_nb.restore import Plan, apply, rollback

verb, uri, folder, what = sys.argv[1:]
if verb == "apply":
    records = split((Path(folder) / "source.bson").read_bytes())
    apply(Plan.load(Path(what)), uri, payload=lambda writes: [records[one.ref.offset] for one in writes],
          folder=Path(folder) / "restores", batch=40)
else:
    rollback(Path(folder) / "restores" / what, uri)
"""


def things(bench: Any, count: int) -> tuple[list[bytes], list[bytes]]:
    """Records in the database, and the selection: half of it replaces those, half of it is missing."""
    made = random.Random(count)
    live = [{"_id": one, "v": "live", "x": made.random()} for one in range(0, count, 2)]
    bench.put(live)
    planned = [bson.encode({"_id": one, "v": "planned", "x": made.randbytes(40)}) for one in range(count)]
    return bench.raw(), planned


def kill_when(path: Path, size: int, *command: str) -> None:
    """Run a child and kill it as soon as a file has reached a size."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, *command], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        found = next(iter(path.parent.glob(path.name)), None) if path.parent.exists() else None
        found = found or next(iter(path.parent.parent.glob(f"*/{path.name}")), None)
        if found is not None and found.stat().st_size >= size:
            break
    child.send_signal(signal.SIGKILL)
    _, complaint = child.communicate(timeout=10)
    assert complaint == b""


class StopError(Exception):
    """What ends a restore on its way."""


def stop_after(bench: Any, plan: Plan, batches: int, *, batch: int = 10) -> str:
    """Apply a plan and stop it when so many batches, at least, are written; return the restore's id."""
    seen = iter(range(batches - 1))

    def stop(event: Event) -> None:
        if next(seen, None) is None:
            raise StopError

    with pytest.raises(StopError):
        bench.apply(plan, emit=stop, batch=batch)
    (info,) = list_restores(bench.restores)
    assert info.state is State.INTERRUPTED
    return info.id
