"""Differences by time: every row in one bucket, and few enough buckets."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from recovery_nb.browse.columns import Field
from recovery_nb.browse.times import Bucket, bucketed
from recovery_nb.reports.windows import FIRST, LAST, milliseconds

DAY = datetime(2025, 12, 1, tzinfo=UTC)
STATUS = ("missing", "changed", "extra", "equivalent")


def counted(times: list[int], *, most: int = 60) -> list[Bucket]:
    codes = np.arange(len(times), dtype=np.int32) % len(STATUS)
    return bucketed(np.array(times, np.int64), Field(STATUS, codes), np.ones(len(times), np.bool_), most=most)


def total(buckets: list[Bucket]) -> int:
    return sum(one.missing + one.changed + one.other for one in buckets)


def test_each_status_is_counted_where_its_record_lies() -> None:
    hours = [milliseconds(DAY + timedelta(hours=number)) for number in range(4)]

    buckets = counted(hours, most=8)

    assert [(one.missing, one.changed, one.other) for one in buckets if one.missing + one.changed + one.other] == [
        (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 1)
    ]  # fmt: skip
    assert buckets[0].start == DAY


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_in_exactly_one_bucket_that_holds_its_time(seed: int) -> None:
    luck = random.Random(seed)
    around = milliseconds(DAY)
    width = 10 ** luck.randint(1, 14)
    times = [min(max(around + luck.randint(-width, width), FIRST), LAST) for _ in range(luck.randint(1, 500))]
    times += [luck.choice((FIRST, LAST, 0))] * luck.randint(0, 3)
    most = luck.randint(1, 80)

    buckets = counted(times, most=most)

    assert 1 <= len(buckets) <= most
    assert total(buckets) == len(times)
    for one, following in pairwise(buckets):
        assert one.start < one.end == following.start
    for bucket in buckets:
        start, end = milliseconds(bucket.start), milliseconds(bucket.end)
        held = sum(start <= time < end for time in times)
        held += sum(time == LAST for time in times) if bucket is buckets[-1] and end <= LAST else 0
        assert held == bucket.missing + bucket.changed + bucket.other


def test_a_few_records_far_off_do_not_press_the_others_into_one_bucket() -> None:
    times = [milliseconds(DAY + timedelta(minutes=number)) for number in range(1000)]

    buckets = counted([*times, 0, LAST])

    assert sum(one.missing + one.changed + one.other > 0 for one in buckets) > 20
    assert total(buckets) == 1002
    assert buckets[0].start == datetime(1970, 1, 1, tzinfo=UTC)


def test_where_no_record_says_when_it_was_made_there_is_no_bucket() -> None:
    assert counted([]) == []
