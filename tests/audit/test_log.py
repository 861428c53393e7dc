"""The audit log: what is appended can be verified, what was touched is found, a crash loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from recovery_nb.audit import AuditLog
from recovery_nb.errors import BadInputError, RecoveryError

WRITER = """
import sys
from pathlib import Path
from recovery_nb.audit import AuditLog
log = AuditLog(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    entry = log.append("soak", number=number, filler="x" * 3000)
    print(entry.seq, flush=True)
"""


@pytest.fixture
def log(tmp_path) -> AuditLog:
    return AuditLog(tmp_path / "audit.jsonl")


@pytest.fixture
def filled(log) -> AuditLog:
    for number in range(4):
        log.append("step", n=number)
    return log


def rewrite(log: AuditLog, data: bytes) -> None:
    log.path.write_bytes(data)


def test_an_entry_says_who_did_what_when(log):
    entry = log.append(
        "backup.taken", path=Path("backups/a"), at=datetime(2026, 1, 2, tzinfo=UTC), key=ObjectId("0" * 24)
    )
    assert (entry.seq, entry.action, entry.previous) == (1, "backup.taken", "0" * 64)
    assert entry.details == {"path": "backups/a", "at": "2026-01-02T00:00:00.000Z", "key": "0" * 24}
    assert entry.pid == os.getpid()
    assert "@" in entry.actor
    assert datetime.fromisoformat(entry.time).utcoffset() is not None
    assert list(log.entries()) == [entry] == [log.head()]


def test_each_line_is_one_canonical_json_object_chained_to_the_one_before(filled):
    lines = [json.loads(line) for line in filled.path.read_text().splitlines()]
    assert [list(line) for line in lines] == [sorted(line) for line in lines]
    assert [line["previous"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert filled.path.stat().st_mode & 0o077 == 0


def test_a_new_log_has_no_entry_and_no_problem(log):
    assert log.verify().ok
    assert log.verify().entries == 0
    assert log.head() is None
    assert not log.path.parent.joinpath("audit.jsonl.lock").exists(), "reading makes no file"


def test_no_secret_is_written(log):
    log.append(
        "connect mongodb://u:hunter2@h/d",
        uri="mongodb://u:hunter2@h/d",
        password="hunter2",
        x=[SecretStr("hunter2")],
    )
    assert b"hunter2" not in log.path.read_bytes()


@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        ),
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_details_can_be_written_and_verified(tmp_path_factory, details):
    log = AuditLog(tmp_path_factory.mktemp("audit") / "audit.jsonl")
    log.append("any", details=details, name=os.fsdecode(b"caf\xe9"))
    assert log.verify().ok


def test_every_changed_byte_is_found(filled):
    data = filled.path.read_bytes()
    for at in range(len(data)):
        for flip in (0x01, 0x80):
            changed = bytearray(data)
            changed[at] ^= flip
            rewrite(filled, bytes(changed))
            assert not filled.verify().ok, f"byte {at} ^ {flip}"


@pytest.mark.parametrize(
    ("order", "verified"),
    [([0, 2, 3], 1), ([0, 2, 1, 3], 1), ([1, 2, 3], 0), ([0, 1, 1, 2, 3], 2), ([3, 2, 1, 0], 0)],
)
def test_entries_removed_added_or_moved_are_found(filled, order, verified):
    lines = filled.path.read_bytes().splitlines(keepends=True)
    rewrite(filled, b"".join(lines[number] for number in order))
    check = filled.verify()
    assert not check.ok
    assert check.verified_up_to == verified
    assert "removed, added or moved" in check.problems[0].what


def test_one_changed_entry_is_one_problem_with_its_place(filled):
    lines = filled.path.read_bytes().splitlines(keepends=True)
    rewrite(filled, lines[0] + lines[1].replace(b'"n":1', b'"n":7') + lines[2] + lines[3])
    check = filled.verify()
    assert [problem.where for problem in check.problems] == [f"byte {len(lines[0])}"]
    assert check.problems[0].what == "its hash does not fit its content"
    assert (check.entries, check.verified_up_to) == (3, 1)


@pytest.mark.parametrize("cut", [2, 40, 250])
def test_a_torn_last_line_is_reported_then_declared_and_kept(filled, cut):
    whole = filled.path.read_bytes()
    torn = whole[:-cut]
    begin = torn.rfind(b"\n") + 1
    rewrite(filled, torn)
    check = filled.verify()
    assert not check.ok
    assert (check.problems[0].where, check.verified_up_to) == (f"byte {begin}", 3)
    assert f"torn line of {len(torn) - begin} bytes" in check.problems[0].what

    entry = filled.append("next", torn_line="not for callers to say")
    assert entry.seq == 4
    assert entry.details["torn_line"]["bytes"] == len(torn) - begin
    assert filled.path.read_bytes().startswith(torn + b"\n")
    check = filled.verify()
    assert check.ok
    assert (check.entries, check.verified_up_to) == (4, 4)
    assert "declared by entry 4" in check.notes[0]

    data = filled.path.read_bytes()
    rewrite(filled, data[:begin] + b"X" + data[begin + 1 :])
    assert not filled.verify().ok, "the declared torn line is evidence too"
    rewrite(filled, data[:begin] + data[len(torn) + 1 :])
    assert not filled.verify().ok, "it cannot be removed either"


def test_a_last_line_that_lacks_only_its_newline_is_an_entry(filled):
    rewrite(filled, filled.path.read_bytes()[:-1])
    assert not filled.verify().ok
    assert filled.append("next").seq == 5
    assert filled.verify().ok


def test_a_damaged_last_line_stays_a_problem_after_the_next_entry(filled):
    rewrite(filled, filled.path.read_bytes().replace(b'"n":3', b'"n":9'))
    filled.append("next")
    check = filled.verify()
    assert not check.ok
    assert "declares it as damage" in check.problems[0].what
    assert len(check.problems) == 1


def test_a_file_that_is_no_log_is_kept_and_reported(log):
    rewrite(log, os.urandom(3_000_000))
    log.append("first")
    check = log.verify()
    assert not check.ok
    assert check.entries == 1


def test_threads_and_processes_append_at_the_same_time(log):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, log.path, "20"], stdout=subprocess.DEVNULL) for _ in range(3)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: log.append("thread", n=number), range(40)))
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    check = log.verify()
    assert check.ok
    assert check.entries == 100


@pytest.mark.parametrize("after", [1, 7, 20])
def test_what_was_acknowledged_survives_sigkill(log, after):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, log.path, "100000"], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(after)]
        writer.send_signal(signal.SIGKILL)
    log.append("after the crash")
    check = log.verify()
    assert check.ok
    assert check.entries > acknowledged[-1]


def test_a_full_disk_is_one_clear_line_and_leaves_the_chain_whole(filled):
    # A limit on the file's size lets a part of the line through, as a full disk does.
    limited = (
        "import resource, sys; from pathlib import Path; from recovery_nb.audit import AuditLog\n"
        "log = AuditLog(Path(sys.argv[1])); size = log.path.stat().st_size + 100\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "try: log.append('too much')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    before = filled.path.read_bytes()
    result = subprocess.run([sys.executable, "-c", limited, filled.path], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(f"RecoveryError Cannot write the audit log {filled.path}: File too large; ")
    assert result.stdout.count("\n") == 1
    assert filled.path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecoveryError, match=r"Cannot write the audit log .*: File exists; check"):
        AuditLog(tmp_path / "file" / "audit.jsonl").append("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecoveryError, match="Cannot read the audit log"):
        AuditLog(tmp_path / "folder").verify()


def test_details_without_measure_are_refused(log):
    with pytest.raises(BadInputError, match="log a count"):
        log.append("x", everything=["y" * 100] * 20_000)
    assert log.verify().entries == 0


def test_appending_does_not_read_the_whole_file(log):
    line = log.append("x", filler="y" * 1000)
    assert line.seq == 1
    # 300 MB of a hole before the last line: reading it would take far longer than the limit.
    with log.path.open("r+b") as file:
        last = file.read()
        file.seek(300_000_000)
        file.write(b"\n" + last)
    begin = time.perf_counter()
    log.append("y")
    assert time.perf_counter() - begin < 0.2
