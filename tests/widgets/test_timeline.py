"""When records were made is counted by any date that they have, and what cannot be counted is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb.case import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.widgets import numbers, views
from recovery_nb.widgets.timeline import timeline

from .conftest import HOSTILE, Lost

DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def orders(database: Any, tmp_path: Path) -> Iterator[tuple[Case, Comparison]]:
    """Eighty orders, one a day, of which days 40 to 49 are lost; orders 0 to 4 have changed."""
    made = [
        {"_id": n, "created_at": DAY + timedelta(days=n), "paid": {"on": DAY + timedelta(days=n, hours=5)}, "n": n}
        for n in range(80)
    ]
    folder = tmp_path / "dump" / "shop"
    folder.mkdir(parents=True)
    (folder / "orders.bson").write_bytes(b"".join(map(bson.encode, made)))
    live = [{**one, "n": -1} if one["_id"] < 5 else one for one in made if not 40 <= one["_id"] < 50]
    database.client[database.name]["orders"].insert_many(live)
    with Case.open(tmp_path / "case", database=database.uri) as case:
        yield case, case.compare(tmp_path / "dump")


def test_a_date_of_making_is_found_and_the_window_of_the_loss(orders: tuple[Case, Comparison]) -> None:
    found = timeline(*orders, "orders")
    assert found.field == "created_at"
    assert (sum(found.buckets.present), sum(found.buckets.changed), sum(found.buckets.missing)) == (65, 5, 10)
    shown = views.when(*orders)
    assert "loss window 10 Apr 2026 to 19 Apr 2026 UTC: 10 of 10 records missing." in shown


def test_any_date_can_be_named(orders: tuple[Case, Comparison]) -> None:
    frame = numbers.when(*orders, "orders", field="paid.on")
    assert frame[["present", "changed", "missing"]].sum().tolist() == [65, 5, 10]
    lost = frame[frame["missing"] > 0]
    assert lost["start"].min() <= DAY + timedelta(days=40, hours=5)
    assert lost["end"].max() >= DAY + timedelta(days=49, hours=5)


def test_a_date_that_no_record_has_is_refused(orders: tuple[Case, Comparison]) -> None:
    with pytest.raises(BadInputError, match="no missing record of orders has a date in shipped"):
        timeline(*orders, "orders", field="shipped")
    assert "No missing record of orders has a date in shipped." in views.when(*orders, field="shipped")


@pytest.mark.parametrize(
    "field", ["a..b", ".", "$", "a.$b", "a\x00b", "x" * 20_000, ".".join("a" * 3000), "created_at.x"]
)
def test_a_strange_name_of_a_field_is_no_field(orders: tuple[Case, Comparison], field: str) -> None:
    with pytest.raises(BadInputError, match="no missing record of orders has a date in"):
        timeline(*orders, "orders", field=field)


def test_what_was_not_compared_cannot_be_counted(orders: tuple[Case, Comparison]) -> None:
    assert "Users was not compared." in views.when(*orders, collection="users")


def test_views_and_time_series_are_left_out_with_a_word(orders: tuple[Case, Comparison], database: Any) -> None:
    db = database.client[database.name]
    db.command({"create": "recent", "viewOn": "orders", "pipeline": []})
    db.create_collection("weather", timeseries={"timeField": "at"})
    assert "Recent is a view: it is not counted by time." in views.when(*orders, collection="recent")
    for name in ("weather", "system.buckets.weather"):
        assert "Weather is a time-series: it is not counted by time." in views.when(*orders, collection=name)


def test_a_source_that_is_gone_is_a_sentence(database: Any, tmp_path: Path) -> None:
    path = tmp_path / "backup.json"
    path.write_text(json.dumps({"collections": {"quotes": [{"_id": n, "at": n} for n in range(5)]}}))
    database.client[database.name]["quotes"].insert_one({"_id": 4, "at": 4})
    with Case.open(tmp_path / "case", database=database.uri) as case:
        found = case.compare(path)
        path.unlink()
        shown = views.when(case, found, field="at")
    assert "<img" not in shown
    assert "backup.json" in shown


def test_the_time_in_an_object_id_stands_in_for_a_date(lost: Lost) -> None:
    found = timeline(lost.case, lost.comparison, "quotes")
    assert (found.field, found.subject) == ("_id", "quotes by the time in _id")
    assert (sum(found.buckets.present), sum(found.buckets.changed), sum(found.buckets.missing)) == (47, 3, 250)
    assert found.undated == 1, "the key that is a text has no time"
    assert found.buckets.starts == (datetime.fromtimestamp(0x65001450, UTC),)


def test_a_collection_without_times_is_not_drawn(lost: Lost) -> None:
    with pytest.raises(BadInputError, match="says when it was made"):
        timeline(lost.case, lost.comparison, HOSTILE)
    shown = views.when(lost.case, lost.comparison)
    assert "says when it was made." in shown
    assert HOSTILE not in shown
