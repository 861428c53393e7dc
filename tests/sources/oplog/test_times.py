from __future__ import annotations

import pytest

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import moment
from recovery_nb.sources.oplog.times import parse_time, time_text

ALL_OF_IT = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-12-01T10:30:00Z", moment(1_764_585_000, ALL_OF_IT)),
        ("2025-12-01 10:30:00", moment(1_764_585_000, ALL_OF_IT)),
        ("2025-12-01T12:30:00.250+02:00", moment(1_764_585_000, ALL_OF_IT)),
        ("2025-12-01", moment(1_764_547_200, ALL_OF_IT)),
        ("1764585000", moment(1_764_585_000, ALL_OF_IT)),
        (" 1764585000:7 ", moment(1_764_585_000, 7)),
        ("Timestamp(1764585000, 7)", moment(1_764_585_000, 7)),
        ("1764585000:0", moment(1_764_585_000, 0)),
    ],
)
def test_a_time_without_a_number_within_its_second_means_all_of_it(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2025-13-01", "99999999999", "5:99999999999", "5:6:7", "-5", "9" * 5000]
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadInputError, match="not a point in time"):
        parse_time(text)


def test_a_time_is_said_so_that_it_can_be_given_again() -> None:
    assert time_text(moment(1_764_585_000, 7)) == "2025-12-01 10:30:00 UTC (1764585000:7)"
    assert time_text(moment(1_764_585_000, ALL_OF_IT)) == "2025-12-01 10:30:00 UTC"
