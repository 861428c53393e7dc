"""Publishes the JSON Schema of the report: `python -m recovery_nb.reports.schema docs/schemas`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from recovery_nb.reports.model import Report
from recovery_nb.reports.write import write_json

__all__ = ["FILE_NAME", "main", "report_schema"]

FILE_NAME = "recovery_report.schema.json"


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what `write_report` writes. Further keys are allowed."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def main(folder: Path) -> Path:
    """Write the schema into `folder` and return its path."""
    return write_json(folder / FILE_NAME, report_schema())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
