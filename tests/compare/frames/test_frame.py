from __future__ import annotations

import copy
from datetime import UTC, datetime
from html.parser import HTMLParser

import pandas as pd
import pytest
from bson import DatetimeMS, Decimal128, Int64, ObjectId

from recovery_nb.compare.frames.frame import Frame
from recovery_nb.compare.frames.values import objects

HOSTILE = "</td></script><img src=x onerror=alert(1)>"
ELEMENTS = {"div", "span", "b", "table", "thead", "tbody", "tr", "th", "td"}


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def html(frame: Frame) -> str:
    shown = frame._repr_html_()
    read = Elements()
    read.feed(shown)
    assert read.names <= ELEMENTS
    assert read.attributes <= {"style"}
    return shown


def many(rows: int) -> Frame:
    return Frame({"collection": ["a", "b"] * (rows // 2), "n": range(rows)})


def test_what_is_made_of_it_is_one_of_these_again() -> None:
    frame = many(10)
    made = [
        frame[frame["n"] > 3], frame[["n"]], frame.sort_values("n"), frame.assign(x=1), frame.query("n > 3"),
        frame.groupby("collection").agg("sum"), frame.merge(frame, on="n"), pd.concat([frame, frame]), frame.iloc[:2],
        frame.drop_duplicates("collection"), frame.rename(columns={"n": "m"}), frame.set_index("collection").T,
        frame.pivot_table(index="collection", values="n", aggfunc=["sum", "mean"]), copy.deepcopy(frame),
    ]  # fmt: skip
    for one in made:
        assert isinstance(one, Frame)
        assert "<table" in html(one)


def test_the_first_hundred_rows_are_shown_and_of_how_many() -> None:
    shown = html(many(48_210))
    assert "100 of 48,210" in shown
    assert shown.count("<tr") == 101


def test_the_first_rows_say_of_how_many() -> None:
    frame = many(48_210)
    assert "10 of 48,210" in html(frame.head(10))
    assert "5 of 48,210" in html(frame.tail())
    assert "100 of 48,210" in html(frame.head(1_000))
    assert "3 of 48,210" in html(frame[["n"]].head(10).head(3))


def test_what_was_filtered_says_how_many_are_left() -> None:
    frame = many(48_210)
    assert "100 of 24,105" in html(frame[frame["collection"] == "a"])
    head = frame.head(10)
    assert "4 in all" in html(head[head["n"] > 5])
    assert "2 in all" in html(frame.groupby("collection").sum())


def test_an_index_is_shown_where_it_says_something() -> None:
    frame = many(4)
    assert ">collection<" not in html(frame[["n"]])
    assert ">collection<" in html(frame.groupby("collection")[["n"]].sum())
    assert ">b<" in html(frame.groupby(["collection", "n"])[["n"]].count())
    assert ">a<" in html(Frame({"n": [1]}, index=["a"]))


@pytest.mark.parametrize(
    "frame",
    [
        Frame({"text": [HOSTILE]}),
        Frame({"object": [{HOSTILE: [HOSTILE]}]}, dtype=object),
        Frame({HOSTILE: [1]}),
        Frame({"n": [1]}, index=[HOSTILE]),
        Frame({"n": [1]}, index=pd.Index([1], name=HOSTILE)),
        Frame({(HOSTILE, HOSTILE): [1]}),
        Frame({"kind": pd.Categorical([HOSTILE])}),
        Frame({"n": [1]}).of(2, note=HOSTILE),
    ],
)
def test_markup_in_the_evidence_is_text(frame: Frame) -> None:
    assert "&lt;img src=x" in html(frame)


def test_a_styler_escapes_too() -> None:
    styled = Frame({HOSTILE: [HOSTILE]}, index=[HOSTILE]).style.to_html()
    assert "<img" not in styled
    assert styled.count("&lt;img") == 3


def test_values_are_shown_as_what_they_are() -> None:
    values = [ObjectId("0" * 24), Int64(5), Decimal128("1.10"), DatetimeMS(1 << 60), datetime(9999, 1, 1, tzinfo=UTC)]
    shown = html(Frame({"_id": pd.Series(objects(values), dtype=object), "n": [1, None, 3, 4, 5]}))
    for text in ("0" * 24, ">5<", "1.10", str(1 << 60), "9999-01-01 00:00:00+00:00"):
        assert text in shown
    assert "nan" not in shown


def test_a_dataframe_however_large_is_a_small_page() -> None:
    wide = Frame({f"field {n}": ["<" * 300] * 200 for n in range(500)})
    shown = html(wide)
    assert "16 of 500 columns" in shown
    assert "100 of 200" in shown
    assert len(shown) < 2_000_000


def test_an_empty_dataframe_shows_its_columns() -> None:
    assert "0 in all" in html(Frame(columns=["collection", "key"]))
    assert "0 in all" in html(Frame())
