"""Pictures draw whatever the data holds, in the colours of the findings, and say in words what they show."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from recovery_nb.reports import plots
from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.holding import Holding
from recovery_nb.reports.windows import FIRST, LAST, Moments, bucketed, milliseconds

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTILE = [r"$\frac{", "$x$", "a_{b}^{c}$$", "</script><img src=x>", "x" * 5000, "a\n\x00\x1b", "_hidden", "", "表"]


def days(*numbers: int) -> Moments:
    return Moments(milliseconds(DAY + timedelta(days=number)) for number in numbers)


def colours(picture: plots.Picture) -> set[tuple[int, ...]]:
    image = Image.open(io.BytesIO(picture.png)).convert("RGB")
    return {colour[:3] for _, colour in image.getcolors(maxcolors=1 << 24)}


def rgb(status: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(COLOURS[status][1:]))


def holding(collection: str = "quotes", source: str = "backup", *, lost: int = 0) -> Holding:
    return Holding(collection, source, 10, 10 - lost, 0, lost, 0, lost, 0)


def span(collection: str = "quotes", *, first: int = 1, last: int = 3, records: int = 5) -> plots.Span:
    return plots.Span(collection, DAY + timedelta(days=first), DAY + timedelta(days=last), records)


def copy(name: str = "backup", *, day: int = 1, holds: int = 5, certain: bool = True) -> plots.Copy:
    return plots.Copy(name, DAY + timedelta(days=day), certain, holds)


def test_coverage_draws_each_finding_in_its_colour():
    parts = ("identical", "equivalent", "changed", "missing", "corrupt")
    assert colours(plots.coverage({"a": dict.fromkeys(parts, 5)})) >= {rgb(part) for part in parts}


def test_one_lost_record_in_a_million_is_seen():
    picture = plots.coverage({"a": {"identical": 10**6, "missing": 1}})
    assert rgb("missing") in colours(picture)
    assert "a 99.9%" in picture.alt, "what is not wholly intact never reads as 100 %"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_drawn_as_text(name):
    drawn = [
        plots.coverage({name: {"missing": 1}}),
        plots.timeline(bucketed(days(1), days(2)), subject=name),
        plots.heatmap({name: {name: 1}}, {name: 2}),
        plots.holdings([holding(name, name, lost=3)]),
        plots.spans([copy(name)], [span(name)], read_at=DAY + timedelta(days=9), missing=5, said=name),
    ]
    assert all(picture.png.startswith(b"\x89PNG") for picture in drawn)


def test_nothing_can_be_drawn():
    assert plots.coverage({}).alt.endswith("Nothing was compared.")
    assert plots.timeline(bucketed(days(), days()), subject="quotes").alt.endswith("no record has a time.")
    assert plots.heatmap({}, {}).alt.endswith("No record differs in a field.")
    assert plots.holdings([]).alt.endswith("No record that a source holds is missing.")
    assert plots.spans([], [], read_at=DAY, missing=0).alt.endswith("No record is missing.")


def test_two_hundred_collections_and_sources_are_drawn_as_far_as_there_is_room():
    counts = {f"{n:03}{'x' * 117}": {"identical": n} for n in range(200)}
    drawn = [
        plots.coverage(counts),
        plots.heatmap({name: {f"f{n}": 1 for n in range(200)} for name in counts}, dict.fromkeys(counts, 9)),
        plots.holdings([holding(name, f"s{n}", lost=1) for name in counts for n in range(5)]),
        plots.spans([copy(f"s{n}", day=n) for n in range(200)], [span(name) for name in counts],
                    read_at=DAY + timedelta(days=300), missing=5),
    ]  # fmt: skip
    assert max(Image.open(io.BytesIO(picture.png)).height for picture in drawn) < 2400


@pytest.mark.parametrize("times", [[FIRST, LAST], [FIRST], [LAST], [LAST, LAST], [-1, 0, 1]])
def test_any_year_can_be_drawn(times):
    assert plots.timeline(bucketed(Moments(times), Moments(times[:1])), subject="q").png.startswith(b"\x89PNG")


def test_backups_of_any_year_can_be_drawn():
    ends = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    copies = [plots.Copy(str(moment.year), moment, False, 5) for moment in ends]
    lost = [plots.Span("a", ends[0], ends[1], 1), plots.Span("b", DAY, DAY, 4)]
    picture = plots.spans(copies, lost, read_at=DAY, missing=5, made={"a": (ends[0], ends[1]), "b": (DAY, DAY)})
    assert picture.png.startswith(b"\x89PNG")


def test_a_timeline_says_when_and_how_much():
    picture = plots.timeline(bucketed(days(*range(30), *range(40, 60)), days(*range(30, 40))), subject="quotes by at")
    assert picture.alt == (
        "When was data lost? quotes by at (by day, UTC): loss window 31 Mar 2026 to 9 Apr 2026 UTC: "
        "10 of 10 records missing."
    )
    assert rgb("missing") in colours(picture)


def test_a_timeline_draws_what_changed():
    assert rgb("changed") in colours(plots.timeline(bucketed(days(1, 2), days(3), days(2)), subject="quotes"))


def test_a_heatmap_says_what_changed_most_often():
    picture = plots.heatmap({"orders": {"total": 199, "items[].price": 1}}, {"orders": 200})
    assert picture.alt == (
        "Which fields changed? Most often: total in >99% of the 200 changed records of orders; "
        "items[].price in <1% of the 200 changed records of orders."
    )


def test_holdings_say_which_source_holds_most_of_what_is_lost():
    picture = plots.holdings([Holding("a", "new", 9, 5, 0, 4, 0, 7, 0), Holding("a", "old", 9, 2, 0, 7, 0, 7, 3)])
    assert picture.alt.endswith("Of 7 lost records of a, old holds 7.")
    assert {rgb("identical"), rgb("missing")} <= colours(picture)


def test_when_a_copy_was_taken_is_filled_only_by_its_own_word():
    def of(*, certain: bool) -> plots.Picture:
        return plots.spans([copy(certain=certain)], [span()], read_at=DAY + timedelta(days=9), missing=5)

    assert of(certain=True).png != of(certain=False).png
    assert rgb("missing") in colours(of(certain=True))


def test_plots_leave_pyplot_alone():
    plots.coverage({"a": {"missing": 1}})
    assert "matplotlib.pyplot" not in sys.modules
