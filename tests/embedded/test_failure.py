from __future__ import annotations

import json
from pathlib import Path

import pytest

from recovery_nb.embedded.failure import explain


def entry(severity: str, message: str, **attributes: object) -> str:
    return json.dumps(
        {"t": {}, "s": severity, "c": "STORAGE", "msg": message, "attr": attributes}, separators=(",", ":")
    )


def reason(tmp_path: Path, *lines: str) -> str:
    (tmp_path / "mongod.log").write_text("\n".join(lines))
    return explain(tmp_path / "mongod.log").what


@pytest.mark.parametrize(
    ("error", "what"),
    [
        ("handle-write: pwrite: failed: No space left on device", "the disk is full"),
        (
            "DBPathInUse: Unable to create the lock file (Read-only file system)",
            "it may not read or write there",
        ),
        ("DBPathInUse: Unable to lock the lock file", "another mongod already uses the data there"),
        ("SocketException: Address already in use", "its port was taken by another program"),
        (
            "Location4926900: UPGRADE PROBLEM: Found an invalid document",
            "the data there are from another version",
        ),
    ],
)
def test_a_known_error_becomes_its_reason(tmp_path: Path, error: str, what: str) -> None:
    assert reason(tmp_path, entry("E", "DBException in initAndListen", error=error)).startswith(what)


def test_an_innocent_remark_is_not_the_reason(tmp_path: Path) -> None:
    remark = entry("I", "Cannot read /sys/kernel", error="Permission denied")
    assert reason(tmp_path, remark, entry("E", "Bad day", error="Odd: thing")) == "Bad day: Odd: thing"


def test_what_is_not_json_is_quoted_in_one_line(tmp_path: Path) -> None:
    assert reason(tmp_path, "Error parsing option", "try --help") == "Error parsing option"


@pytest.mark.parametrize("lines", [(), ("",), (entry("I", "fine"),)])
def test_silence_is_named(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert reason(tmp_path, *lines) == "it ended without a word"


def test_no_log_at_all_is_silence(tmp_path: Path) -> None:
    assert explain(tmp_path / "mongod.log").what == "it ended without a word"
