"""Records are counted by steps of time that suit them; the window of a loss is only named where it is clear."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from recovery_nb.reports.windows import FIRST, LAST, Moments, bucketed, instant, loss_window, milliseconds

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def days(*numbers: int) -> Moments:
    return Moments(milliseconds(DAY + timedelta(days=number)) for number in numbers)


def years(*numbers: int) -> list[int]:
    return [milliseconds(datetime(number, 6, 1, tzinfo=UTC)) for number in numbers]


def test_buckets_cover_the_whole_time_in_utc():
    buckets = bucketed(days(0, 0, 60), days(30))
    assert (buckets.unit, len(buckets.starts)) == ("by day", 61)
    assert (sum(buckets.present), buckets.missing[30], buckets.missing[29]) == (3, 1, 0)
    assert buckets.starts[0] == datetime(2026, 3, 1, tzinfo=UTC)


def test_what_changed_is_no_longer_counted_as_present():
    buckets = bucketed(days(0, 0, 0, 1), days(1), days(0))
    assert (buckets.present, buckets.changed, buckets.missing) == ((2, *(0,) * 23, 1), (1, *(0,) * 24), (*(0,) * 24, 1))


def test_one_instant_is_one_bucket():
    buckets = bucketed(days(1, 1), days(1))
    assert (buckets.unit, buckets.present, buckets.missing) == ("by second", (2,), (1,))


def test_nothing_has_no_buckets():
    assert bucketed(Moments(), Moments()).starts == ()


def test_the_whole_calendar_fits_into_ninety_buckets():
    buckets = bucketed(Moments([FIRST]), Moments([LAST]))
    assert len(buckets.starts) <= 90
    assert buckets.starts[0].year == 1
    assert (sum(buckets.present), sum(buckets.missing)) == (1, 1)


def test_dates_that_stand_for_none_do_not_hide_the_others():
    buckets = bucketed(Moments([*years(1970), *years(9999), *range(10**12, 10**12 + 400 * 1000, 1000)]), days())
    assert buckets.outside == 2
    assert sum(buckets.present) == 400
    assert buckets.end(len(buckets.starts) - 1) - buckets.starts[0] < timedelta(minutes=10)


def test_missing_records_are_not_taken_for_outliers():
    few = Moments(years(1990, 1991, 1992, 1993, 1994, 1995))
    many = Moments(range(10**12, 10**12 + 5000 * 1000, 1000))
    assert sum(bucketed(many, few).missing) == 6


def test_an_outlier_that_is_left_out_is_told():
    lost = Moments([*years(9999), *range(10**12, 10**12 + 50 * 1000, 1000)])
    buckets = bucketed(days(), lost)
    assert (buckets.outside, buckets.outside_missing, sum(buckets.missing)) == (1, 1, 50)


def test_the_numbers_are_a_dataframe_that_holds_any_year():
    frame = bucketed(Moments(years(1200)), Moments(years(1201))).to_pandas()
    assert list(frame.columns) == ["start", "end", "present", "changed", "missing"]
    assert frame["start"][0].year == 1200
    assert frame[["present", "changed", "missing"]].sum().tolist() == [1, 0, 1]


def test_a_clear_loss_has_a_window():
    assert loss_window(bucketed(days(*range(30), *range(40, 60)), days(*range(30, 40)))) == (30, 39)


@pytest.mark.parametrize(
    ("present", "missing"),
    [(range(60), range(0, 60, 7)), (range(60), ()), ((), range(60)), (range(2, 58), (0, 1, 58, 59))],
)
def test_a_scattered_or_total_loss_has_none(present, missing):
    assert loss_window(bucketed(days(*present), days(*missing))) is None


def test_a_moment_outlives_the_way_there_and_back():
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
    assert instant(milliseconds(moment)) == moment
    assert milliseconds(datetime(1970, 1, 1)) == 0, "without a zone it is UTC"
    assert instant(LAST + 10**15).year == 9999
