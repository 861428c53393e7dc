"""The last thing a notebook writes, in a headless run and outside one."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recovery_nb.errors import BadInputError
from recovery_nb.reports.sentinel import RUN_DIR, RUN_TOKEN, finish


def test_in_a_run_the_report_and_the_sign_go_to_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_DIR, str(tmp_path / "run"))
    monkeypatch.setenv(RUN_TOKEN, "t0k3n")
    path = finish({"a": 1}, exit_code=3, fallback=tmp_path / "elsewhere")
    assert path == tmp_path / "run" / "report.json"
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert json.loads((tmp_path / "run" / "finished.json").read_bytes()) == {"token": "t0k3n", "exit_code": 3}
    assert not (tmp_path / "elsewhere").exists()


def test_outside_a_run_only_the_report_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_DIR, raising=False)
    finish({"when": datetime(2025, 12, 1, tzinfo=UTC)}, exit_code=0, fallback=tmp_path / "case")
    (path,) = (tmp_path / "case").iterdir()
    assert (path.name, json.loads(path.read_bytes())) == (
        "report.json",
        {"when": "2025-12-01T00:00:00+00:00"},
    )


@pytest.mark.parametrize("value", [math.nan, object()])
def test_what_json_cannot_hold_is_refused(value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_DIR, raising=False)
    with pytest.raises(BadInputError, match="cannot be written as JSON"):
        finish({"x": value}, exit_code=0, fallback=tmp_path)
    assert list(tmp_path.iterdir()) == []
