"""The plots draw whatever the data holds; the window of a loss is only named where it is clear."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.plots import coverage, timeline
from recovery_nb.reports.windows import bucket, loss_window

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def days(*numbers: int) -> list[datetime]:
    return [DAY + timedelta(days=number) for number in numbers]


def colours(png: bytes) -> set[tuple[int, ...]]:
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    return {colour[:3] for _, colour in picture.getcolors(maxcolors=1 << 24)}


def rgb(status: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(COLOURS[status][1:]))


def test_coverage_draws_each_finding_in_its_colour():
    seen = colours(coverage({"a": dict.fromkeys(("identical", "equivalent", "changed", "missing", "corrupt"), 5)}))
    assert seen >= {rgb(part) for part in ("identical", "equivalent", "changed", "missing", "corrupt")}


def test_one_lost_record_in_a_million_is_seen():
    assert rgb("missing") in colours(coverage({"a": {"identical": 10**6, "missing": 1}}))


@pytest.mark.parametrize("name", [r"$\frac{", "$x$", "</script><img src=x>", "x" * 5000, "a\n\x00\x1b", "_hidden", ""])
def test_hostile_names_are_drawn_as_text(name):
    assert coverage({name: {"missing": 1}}).startswith(b"\x89PNG")
    assert timeline(days(1), days(2), title=name).startswith(b"\x89PNG")


def test_nothing_and_very_much_can_be_drawn():
    assert coverage({}).startswith(b"\x89PNG")
    assert coverage({f"c{n}": {"identical": n} for n in range(500)}).startswith(b"\x89PNG")
    assert timeline([], [], title="quotes").startswith(b"\x89PNG")
    assert timeline([datetime(1, 1, 1)], [datetime(9999, 12, 31)], title="quotes").startswith(b"\x89PNG")
    assert timeline([DAY], [], title="quotes").startswith(b"\x89PNG")


def test_plots_leave_pyplot_alone():
    coverage({"a": {"missing": 1}})
    assert "matplotlib.pyplot" not in sys.modules


def test_buckets_cover_the_whole_time_in_utc():
    buckets = bucket(days(0, 0, 60), days(30))
    assert (buckets.unit, len(buckets.starts)) == ("by day", 61)
    assert (sum(buckets.present), buckets.missing[30], buckets.missing[29]) == (3, 1, 0)
    assert buckets.starts[0] == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_clear_loss_has_a_window():
    buckets = bucket(days(*range(30), *range(40, 60)), days(*range(30, 40)))
    assert loss_window(buckets) == (30, 39)


@pytest.mark.parametrize(
    ("present", "missing"),
    [(range(60), range(0, 60, 7)), (range(60), ()), ((), range(60)), (range(2, 58), (0, 1, 58, 59))],
)
def test_a_scattered_or_total_loss_has_none(present, missing):
    assert loss_window(bucket(days(*present), days(*missing))) is None
