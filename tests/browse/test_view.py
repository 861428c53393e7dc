"""A view from what a browser sends: everything that can be asked, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from recovery_nb.browse.view import View
from recovery_nb.errors import BadInputError


def test_nothing_that_is_sent_filters_nothing() -> None:
    assert View.of({}) == View()
    assert View.of({"text": None, "since": None, "statuses": [], "until": ""}) == View()


def test_each_filter_is_taken_by_its_name() -> None:
    sent = {
        "statuses": ["missing", "changed"], "collections": ["a"], "sources": ["s"], "field": "/items/*/price",
        "since": "2025-12-01T10:30", "until": "2025-12-02T00:00:00+02:00", "text": "x", "picked": True,
        "doubtful": True, "sort": "made", "descending": True,
    }  # fmt: skip
    assert View.of(sent) == View(
        ("missing", "changed"), ("a",), ("s",), "/items/*/price", datetime(2025, 12, 1, 10, 30, tzinfo=UTC),
        datetime(2025, 12, 1, 22, tzinfo=UTC), "x", True, True, "made", True,
    )  # fmt: skip


def test_a_time_can_be_milliseconds_or_of_another_zone() -> None:
    there = datetime(2025, 12, 1, 1, tzinfo=timezone(timedelta(hours=1)))

    assert View.of({"since": 0}).since == datetime(1970, 1, 1, tzinfo=UTC)
    assert View.of({"since": there}).since == datetime(2025, 12, 1, tzinfo=UTC)


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert View.of({"text": "a\ud83d"}).text == "a?"


@pytest.mark.parametrize(
    "sent",
    [
        {"stauses": []}, {"statuses": "missing"}, {"statuses": ["lost"]}, {"statuses": [1]}, {"collections": {"a": 1}},
        {"text": 1}, {"text": "x" * 1001}, {"sort": "offset"}, {"sort": "key; drop"}, {"since": "soon"},
        {"since": True}, {"since": 1e300}, {"since": float("nan")}, {"until": "9999-12-31T23:59:59-23:00"},
        {"until": [1]}, {"picked": 1}, {"picked": "yes"}, {"descending": []}, {"field": ["a"]},
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(BadInputError):
        View.of(sent)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(BadInputError):
        View.of([])  # type: ignore[arg-type]  # as a browser may send it
