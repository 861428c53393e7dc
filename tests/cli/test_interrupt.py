"""Ctrl-C, `kill` and `kill -9` at any moment: everything can be finished or undone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from .conftest import Cli, Done, half_written

COUNT = 8_000


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump that takes long enough to be interrupted."""
    folder = tmp_path_factory.mktemp("dump") / "shop"
    folder.mkdir()
    pad = "x" * 300
    with (folder / "orders.bson").open("wb") as file:
        for number in range(COUNT):
            file.write(bson.encode({"_id": number, "text": pad, "number": number}))
    return folder


@pytest.fixture
def orders(database: Any) -> Any:
    return database.client[database.name]["orders"]


def ended(cli: Cli, process: subprocess.Popen[bytes], number: int) -> Done:
    out, err = (stream.decode() for stream in process.communicate(timeout=60))
    done = Done(process.returncode, out, err)
    assert "Traceback" not in err, err
    if number != signal.SIGKILL and done.code == 130:
        assert err.splitlines()[-1].startswith("recovery-nb: interrupted"), err
        assert set(json.loads(out)) == {"error"}
    return done


def interrupted(cli: Cli, number: int, after: float, *words: str | Path) -> Done:
    process = cli.start("--json", "--quiet", *words)
    deadline = time.monotonic() + after
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)  # a random moment is what is wanted here
    if process.poll() is None:
        process.send_signal(number)
    return ended(cli, process, number)


def interrupted_when(cli: Cli, number: int, ready: Callable[[], bool], *words: str | Path) -> Done:
    process = cli.start("--json", "--quiet", *words)
    deadline = time.monotonic() + 60
    while process.poll() is None and not ready():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    if process.poll() is None:
        process.send_signal(number)
    return ended(cli, process, number)


def servers(folder: Path) -> list[int]:
    """Return the processes whose command line names a file below `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"mongod" in words and os.fsencode(folder) in words:
                found.append(int(entry.name))
    return found


@pytest.fixture
def seeded() -> random.Random:
    return random.Random(20251201)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_scan_and_a_comparison_are_ended_at_any_moment(
    cli: Cli, dump: Path, orders: Any, seeded: random.Random, number: signal.Signals
) -> None:
    orders.insert_one({"_id": 1})
    codes = []
    for verb in ("scan", "compare"):
        done = interrupted(cli, number, seeded.uniform(0.4, 1.4), verb, dump)
        codes.append(done.code)
        assert half_written(cli.case) == []
    assert set(codes) <= {1, 130}
    assert cli("compare", dump, "--json").json["collections"]["orders"]["missing"] == COUNT - 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda one: one.name)
def test_an_interrupted_backup_is_not_there(
    cli: Cli, orders: Any, seeded: random.Random, number: signal.Signals
) -> None:
    orders.insert_many([{"_id": n, "text": "x" * 300} for n in range(COUNT)])
    folder = cli.case / "backups"
    done = interrupted_when(cli, number, lambda: folder.exists() and any(folder.rglob("*orders*")), "backup")
    assert done.code in (0, 130)
    whole = [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.exists() else []
    assert bool(whole) == (done.code == 0)
    assert half_written(cli.case) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_an_interrupted_restore_is_undone_to_the_byte(
    cli: Cli, dump: Path, orders: Any, content: Callable[[], dict[str, str]], number: signal.Signals
) -> None:
    kept = [{"_id": n, "text": "x" * 300, "number": n} for n in range(10)]
    orders.insert_many(kept)
    original = content()
    done = interrupted_when(
        cli, number, lambda: orders.estimated_document_count() > len(kept), "restore", dump, "--yes"
    )
    assert done.code in (0, 130, -signal.SIGKILL)
    (restore,) = (cli.case / "restores").glob("r*")
    undone = cli("rollback", restore.name, "--json")
    assert undone.code == 0, undone.text
    assert content() == original


def test_a_killed_restore_is_finished_by_the_same_command_and_both_can_be_undone(
    cli: Cli, dump: Path, orders: Any, content: Callable[[], dict[str, str]]
) -> None:
    orders.insert_one({"_id": 1, "text": "x" * 300, "number": 1})
    original = content()
    interrupted_when(cli, signal.SIGKILL, lambda: orders.estimated_document_count() > 1, "restore", dump, "--yes")
    finished = cli("restore", dump, "--yes", "--json")
    assert finished.code == 0, finished.text
    assert cli("compare", dump, "--json").json["collections"]["orders"]["identical"] == COUNT
    for path in sorted((cli.case / "restores").glob("r*"), reverse=True):
        assert cli("rollback", path.name).code == 0
    assert content() == original


def test_an_interrupted_rollback_is_finished_by_the_next(
    cli: Cli, dump: Path, orders: Any, content: Callable[[], dict[str, str]]
) -> None:
    orders.insert_many([{"_id": n, "other": n} for n in range(10)])
    original = content()
    identifier = cli("restore", dump, "--yes", "--json").json["restore_id"]
    for number in (signal.SIGINT, signal.SIGKILL):
        last = orders.estimated_document_count()
        interrupted_when(
            cli, number, lambda last=last: orders.estimated_document_count() < last, "rollback", identifier
        )
    assert cli("rollback", identifier, "--json").code == 0
    assert content() == original


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda one: one.name)
def test_the_private_server_ends_with_the_command(
    plain: Cli, dump: Path, seeded: random.Random, number: signal.Signals
) -> None:
    plain.db = "embedded:shop"
    done = interrupted(plain, number, seeded.uniform(1.0, 4.0), "restore", dump, "--yes")
    assert done.code in (0, 130, -signal.SIGKILL)
    deadline = time.monotonic() + 30
    while left := servers(plain.folder):
        assert time.monotonic() < deadline, left
        assert number == signal.SIGKILL, "the command itself stops its server"
        time.sleep(0.05)
    again = plain("restore", dump, "--yes", "--json")
    assert again.code == 0, again.text
    assert plain("compare", dump, "--json").json["collections"]["orders"]["identical"] == COUNT
    assert servers(plain.folder) == []
