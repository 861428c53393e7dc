"""Where a view, or a collection of another kind, has taken the place of a collection, its lost records are told of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recovery_nb import Case
from recovery_nb.errors import BadInputError

Write = Callable[..., Path]


@pytest.fixture
def source(database: Any, write: Write) -> Path:
    """A dump of two collections; in the database one is whole, and a view has the name of the other."""
    write("a.bson", [{"_id": 1}])
    db = database.client[database.name]
    db.whole.insert_one({"_id": 2})
    db.create_collection("a", viewOn="whole", pipeline=[])
    return write("whole.bson", [{"_id": 2}]).parent


def test_a_comparison_is_not_clean_and_says_what_to_do(case: Case, source: Path) -> None:
    comparison = case.compare(source)

    assert comparison.counts["whole"].identical == 1
    (line,) = comparison.summary.apart
    assert line.startswith("a is a view in the database, and the records of a in src are not compared")
    assert "--collection a and another --target-collection" in line
    assert line in comparison.summary.notes
    assert not comparison.clean


def test_it_is_refused_where_it_was_asked_for(database: Any, case: Case, source: Path) -> None:
    database.client[database.name].create_collection("other", viewOn="whole", pipeline=[])
    for asked in ({"collection": "a"}, {"collection": "whole", "target": "other"}):
        with pytest.raises(BadInputError, match="is a view in the database"):
            case.compare(source, **asked)


def test_another_target_takes_its_records(case: Case, source: Path) -> None:
    comparison = case.compare(source, collection="a", target="back")

    assert comparison.counts["back"].missing == 1
    assert comparison.summary.apart == []


def test_what_is_asked_for_beside_it_is_compared_as_ever(case: Case, source: Path) -> None:
    assert case.compare(source, collection="whole").clean
