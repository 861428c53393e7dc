from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import moment
from recovery_nb.sources.content import Folder
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.state import WrittenState, write_state

from .making import A, B, entry, update

Written = Callable[..., OplogSource]
AT = moment(1000, 50)


@pytest.fixture
def base(tmp_path: Path) -> Callable[..., DumpSource]:
    """Writes a dump of the database `shop`, in which collection `a` has the UUID A."""

    def write(records: list[dict[str, Any]], taken_at: str = "", uuid: bool = True) -> DumpSource:
        folder = tmp_path / "base" / "shop"
        folder.mkdir(parents=True)
        (folder / "a.bson").write_bytes(b"".join(map(bson.encode, records)))
        metadata = {"options": {"validator": {"x": 1}}, "indexes": [{"v": 2, "key": {"x": 1}, "name": "x_1"}],
                    **({"uuid": A.hex()} if uuid else {}), "collectionName": "a", "type": "collection"}  # fmt: skip
        (folder / "a.metadata.json").write_text(json_util.dumps(metadata))
        view = {"options": {"viewOn": "a", "pipeline": []}, "indexes": [], "collectionName": "v", "type": "view"}
        (folder / "v.metadata.json").write_text(json_util.dumps(view))
        if taken_at:
            manifest = {"format": "recovery_nb.backup", "taken_at": taken_at, "database": "shop"}
            (folder.parent / "manifest.json").write_text(json.dumps(manifest))
        return DumpSource(Folder.on_disk(folder))

    return write


def records(state: WrittenState, collection: str = "a") -> list[dict[str, Any]]:
    return bson.decode_all((state.path / state.database / f"{collection}.bson").read_bytes())


def metadata(state: WrittenState, collection: str = "a") -> Any:
    return json_util.loads((state.path / state.database / f"{collection}.metadata.json").read_text())


def test_operations_up_to_and_including_the_time_count(written: Written, tmp_path: Path) -> None:
    oplog = written(*(entry(number, "i", {"_id": number}) for number in range(1, 10)))
    assert len(records(write_state([oplog], at=moment(1000, 5), folder=tmp_path))) == 5
    assert len(records(write_state([oplog], at=moment(1000, 0xFFFFFFFF), folder=tmp_path))) == 9


def test_a_time_outside_of_the_oplog_is_refused_with_what_it_tells_of(written: Written, tmp_path: Path) -> None:
    oplog = written(entry(5, "i", {"_id": 1}), entry(9, "i", {"_id": 2}))
    for at in (moment(1000, 4), moment(1001, 0), moment(999, 0xFFFFFFFF)):
        with pytest.raises(BadInputError, match=r"tells of .*1000:5\) to .*1000:9\)"):
            write_state([oplog], at=at, folder=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_base_and_what_was_done_after_it_make_the_state(written: Written, base: Any, tmp_path: Path) -> None:
    dump = base([{"_id": 1, "x": 1}, {"_id": 2, "x": 1}, {"_id": 3, "x": 1}], "1970-01-01T00:16:40+00:00")
    oplog = written(
        entry(1, "i", {"_id": 9}), update(30, 1, {"u": {"x": 2}}), entry(31, "d", {"_id": 2}),
        entry(32, "i", {"_id": 4, "x": 4}), update(50, 4, {"u": {"x": 5}}), update(60, 3, {"u": {"x": 9}}),
    )  # fmt: skip
    state = write_state([oplog], at=AT, folder=tmp_path, base=dump, base_at=moment(1000, 20))
    assert records(state) == [{"_id": 1, "x": 2}, {"_id": 3, "x": 1}, {"_id": 4, "x": 5}]
    assert (state.problems, state.gaps, state.collections) == ([], [], {"a": 3})
    assert metadata(state)["options"] == {"validator": {"x": 1}}
    assert metadata(state)["uuid"] == A.hex()
    assert metadata(state, "v")["type"] == "view"
    manifest = json.loads((state.path / "manifest.json").read_text())
    assert (manifest["format"], manifest["as_of"], manifest["database"]) == ("recovery_nb.state", [1000, 50], "shop")
    assert manifest["collections"] == {"a": 3}


@pytest.mark.parametrize("uuid", [True, False])
def test_all_is_applied_again_where_the_moment_of_the_base_is_not_known(
    written: Written, base: Any, tmp_path: Path, uuid: bool
) -> None:
    dump = base([{"_id": 1, "n": 1}, {"_id": 2, "x": 3, "y": 4}], "1970-01-01T00:16:40+00:00", uuid=uuid)
    oplog = written(
        entry(1, "i", {"_id": 2, "x": 1}), entry(2, "i", {"_id": 7, "x": 1}), update(3, 2, {"u": {"x": 3}}),
        update(4, 2, {"i": {"y": 4}}), update(5, 1, {"sa": {"u": {"gone": 1}}}), update(6, 1, {"d": {"a": False}}),
        entry(7, "d", {"_id": 7}), update(40, 1, {"u": {"n": 2}}),
        update(41, 6, {"u": {"n": 2}}), entry(42, "d", {"_id": 6}),
    )  # fmt: skip
    state = write_state([oplog], at=moment(1000, 42), folder=tmp_path, base=dump)
    assert records(state) == [{"_id": 1, "n": 2}, {"_id": 2, "x": 3, "y": 4}]
    assert state.problems == []


def test_records_whose_state_is_not_known_are_named_and_not_written(written: Written, tmp_path: Path) -> None:
    oplog = written(
        update(1, "known to none", {"u": {"x": 1}}), entry(2, "i", {"_id": "sure"}),
        entry(3, "i", {"_id": "doubt", "x": 1}), b"\xff" * 99, update(5, "doubt", {"u": {"x": 2}}),
        update(6, "deleted", {"u": {"x": 2}}), entry(7, "d", {"_id": "deleted"}),
        entry(50, "i", {"_id": "last"}),
    )  # fmt: skip
    state = write_state([oplog], at=AT, folder=tmp_path)
    assert [record["_id"] for record in records(state)] == ["sure", "last"]
    assert sorted(problem.key for problem in state.problems) == ["doubt", "known to none"]
    assert state.unknown == 2
    assert any("without a base" in gap for gap in state.gaps)
    assert any("byte" in gap for gap in state.gaps)


def test_a_gap_between_base_and_oplog_is_said_and_nothing_is_carried_over_it(
    written: Written, base: Any, tmp_path: Path
) -> None:
    dump = base([{"_id": 1, "x": 1}, {"_id": 2, "x": 1}], "1970-01-01T00:10:00+00:00")
    oplog = written(update(1, 1, {"u": {"x": 2}}), entry(50, "i", {"_id": 3}))
    state = write_state([oplog], at=AT, folder=tmp_path, base=dump)
    assert records(state) == [{"_id": 2, "x": 1}, {"_id": 3}]
    assert [problem.key for problem in state.problems] == ["1"]
    assert "what was done in between is missing" in state.gaps[0]


def test_a_base_from_after_the_time_is_refused(written: Written, base: Any, tmp_path: Path) -> None:
    dump = base([], "1970-01-01T00:20:00+00:00")
    with pytest.raises(BadInputError, match="after"):
        write_state([written(entry(1, "i", {"_id": 3}), entry(50, "n", {}))], at=AT, folder=tmp_path, base=dump)


def test_a_base_that_does_not_say_when_it_was_taken_is_used_with_a_warning(
    written: Written, base: Any, tmp_path: Path
) -> None:
    state = write_state([written(entry(50, "i", {"_id": 3}))], at=AT, folder=tmp_path, base=base([{"_id": 1}]))
    assert records(state) == [{"_id": 1}, {"_id": 3}]
    assert "does not say when it was taken" in state.gaps[0]


def test_several_oplogs_follow_each_other_and_a_hole_between_them_is_said(written: Written, tmp_path: Path) -> None:
    first = written(entry(1, "i", {"_id": 1, "x": 1}), entry(9, "i", {"_id": 2, "x": 1}), name="first.bson")
    second = written(entry(9, "i", {"_id": 2, "x": 1}), update(50, 1, {"u": {"x": 2}}), name="second.bson")
    state = write_state([second, first], at=AT, folder=tmp_path)
    assert records(state) == [{"_id": 1, "x": 2}, {"_id": 2, "x": 1}]
    late = written(update(50, 1, {"u": {"x": 2}}), name="late.bson")
    state = write_state([first, late], at=AT, folder=tmp_path)
    assert records(state) == [{"_id": 2, "x": 1}]
    assert any("no oplog tells of the time from" in gap for gap in state.gaps)


def test_collections_are_those_of_the_time_with_their_names_and_options(written: Written, tmp_path: Path) -> None:
    options = {"capped": True, "size": 4096, "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}
    buckets = {"create": "system.buckets.t", "timeseries": {"timeField": "t"}, "clusteredIndex": True}
    oplog = written(
        entry(1, "c", {"create": "a", **options}, ns="shop.$cmd"), entry(2, "i", {"_id": 1}),
        entry(3, "c", {"create": "gone"}, ns="shop.$cmd", ui=B), entry(4, "c", {"drop": "gone"}, ns="shop.$cmd", ui=B),
        entry(5, "c", {"renameCollection": "shop.a", "to": "shop.ä/b"}, ns="shop.$cmd"),
        entry(6, "c", buckets, ns="shop.$cmd", ui=B), entry(50, "c", {"drop": "ä/b"}, ns="shop.$cmd"),
    )  # fmt: skip
    state = write_state([oplog], at=moment(1000, 6), folder=tmp_path)
    assert state.collections == {"system.buckets.t": 0, "ä/b": 1}
    assert metadata(state, "%C3%A4%2Fb")["options"] == {"capped": True, "size": 4096}
    assert [index["name"] for index in metadata(state, "%C3%A4%2Fb")["indexes"]] == ["_id_"]
    assert metadata(state, "t")["type"] == "timeseries"
    assert write_state([oplog], at=AT, folder=tmp_path).collections == {"system.buckets.t": 0}


def test_oplogs_of_several_databases_are_refused(written: Written, tmp_path: Path) -> None:
    oplogs = [written(entry(1, "i", {"_id": 1}), database=name, name=f"{name}.bson") for name in ("shop", "bank")]
    with pytest.raises(BadInputError, match="bank, shop"):
        write_state(oplogs, at=AT, folder=tmp_path)
    with pytest.raises(BadInputError, match="none"):
        write_state([], at=AT, folder=tmp_path)


def test_what_is_written_is_whole_and_never_in_place_of_another(written: Written, tmp_path: Path) -> None:
    oplog = written(entry(1, "i", {"_id": 1}))
    paths = [write_state([oplog], at=moment(1000, 1), folder=tmp_path / "states").path for _ in range(2)]
    assert sorted(path.name for path in (tmp_path / "states").iterdir()) == sorted(path.name for path in paths)
    assert paths[0] != paths[1]
