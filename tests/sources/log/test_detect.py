from __future__ import annotations

import json
from pathlib import Path

import bson
import pytest

from recovery_nb.records.batch import Damage, moment
from recovery_nb.sources.base import FileSource, Kind
from recovery_nb.sources.content import File
from recovery_nb.sources.detect import sources_of

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
RECORD = {"_id": "r1", "name": "Ann"}
QUOTED = json.dumps(RECORD)


def source_of(path: Path, *lines: object) -> FileSource:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    (source,) = sources_of(File.on_disk(path))
    return source


@pytest.fixture(params=["access.log", "access.json", "access.jsonl"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / str(request.param)


@pytest.mark.parametrize(
    "entry",
    [
        {"time_iso8601": "2025-11-01T08:00:00+00:00", "status": "201", "request_body": QUOTED},
        {"@timestamp": "2025-11-01T08:00:00Z", "message": f"saved {QUOTED}"},
        {"@timestamp": "2025-11-01T08:00:00Z", "message": f"saved {json.dumps(RECORD, indent=2)}"},
        {"@timestamp": "2025-11-01T08:00:00Z", "message": json.dumps({"body": QUOTED})},
        {"@timestamp": "2025-11-01T08:00:00Z", "user": {"id": 5}, "message": f"saved {QUOTED}"},
    ],
)
def test_json_lines_that_quote_records_are_a_log_whatever_their_names_are(file: Path, entry: object) -> None:
    source = source_of(file, {"@timestamp": "2025-11-01T07:59:59Z", "status": "200"}, entry, entry)
    assert source.kind is Kind.LOG
    batches = [batch for batch in source.read() if not isinstance(batch, Damage)]
    assert [bson.decode(record) for batch in batches for record in batch.records] == [RECORD, RECORD]
    assert [at for batch in batches for at in batch.at or []] == [moment(1761984000), moment(1761984000) + 1]


def test_one_line_that_quotes_a_record_is_a_log_even_if_the_next_is_cut(file: Path) -> None:
    entry = {"when": "2025-11-01T08:00:00Z", "body": QUOTED}
    assert source_of(file, entry).kind is Kind.LOG
    assert source_of(file, entry, json.dumps(entry)[:30]).kind is Kind.LOG


@pytest.mark.parametrize("name", ["_id", "id", "session_id"])
def test_records_that_quote_others_are_records(file: Path, name: str) -> None:
    record = {name: "x", "raw": QUOTED, "a": 1, "b": 2}
    assert source_of(file, record, record).kind is Kind.JSON_LINES
    assert source_of(file, {"a": 1, "raw": QUOTED}, record).kind is Kind.JSON_LINES


@pytest.mark.parametrize(
    "line",
    [
        {"a": 1, "b": "x"},
        {"a": 1, "b": RECORD},
        {"a": 1, "b": 'said {"id": 5}'},
        {"a": 1, "query": QUOTED},
    ],
)
def test_json_lines_that_quote_no_records_stay_json_lines(file: Path, line: object) -> None:
    assert source_of(file, line, line).kind is Kind.JSON_LINES


def test_a_container_in_one_line_is_json_whatever_its_records_quote(file: Path) -> None:
    records = [{"_id": 1, "raw": QUOTED}, {"_id": 2, "raw": QUOTED}]
    assert source_of(file, {"data": records}).kind is Kind.JSON
    assert source_of(file, {"collections": {"users": records}}).kind is Kind.JSON
    assert source_of(file, json.dumps({"data": records}, indent=2)).kind is Kind.JSON
    assert source_of(file, records).kind is Kind.JSON


def test_exports_of_the_real_tools_stay_what_they_are() -> None:
    exports = sorted((SAMPLES / "mongoexport").glob("*.json*"))
    kinds = {path.name: sources_of(File.on_disk(path))[0].kind for path in exports}
    assert len(kinds) >= 2
    assert set(kinds.values()) <= {Kind.JSON, Kind.JSON_LINES}
