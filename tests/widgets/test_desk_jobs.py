"""What the desk does in a thread: it shows how far it is, can be stopped between two batches, and gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import encode

from recovery_nb.case import Case
from recovery_nb.widgets.desk import Desk

from .test_desk import LONG_ENOUGH, ask, restore

MANY = 10_000
"""Records that go to the server in ten batches."""


@pytest.fixture
def desk(database: Any, tmp_path: Path) -> Iterator[Desk]:
    """All of a collection is lost, and selected, and previewed."""
    path = tmp_path / "lines.bson"
    path.write_bytes(b"".join(encode({"_id": number, "text": "x" * 200}) for number in range(MANY)))
    with Case.open(tmp_path / "case", database=database.uri) as case:
        made = Desk(case, case.compare(path))
        ask(made, "pick matching")
        ask(made, "preview")
        yield made
        made.close()


@pytest.fixture
def lines(database: Any) -> Any:
    return database.client[database.name]["lines"]


def cancelled_restore(desk: Desk) -> dict[str, Any]:
    state = ask(desk, "hello")["state"]
    click = {"revision": state["revision"], "digest": state["preview"]["digest"], "confirmation": f"{MANY:,}"}
    assert desk.answer({"do": "restore", **click})["patch"]["state"]["job"]["name"] == "restore"
    return ask(desk, "cancel")


def test_a_restore_that_was_cancelled_is_finished_by_resuming_it(desk: Desk, lines: Any) -> None:
    stopped = cancelled_restore(desk)
    written = lines.count_documents({})
    assert written < MANY
    assert written % 1_000 == 0, "it stops between two batches"
    assert "The restore was cancelled." in stopped["said"]["text"]
    assert f"{written:,} records written. Resume it, or roll it back." in stopped["said"]["text"]
    (known,) = stopped["state"]["restores"]
    assert (known["state"], known["resume"], known["rollback"]) == ("interrupted", True, True)
    done = ask(desk, "resume", id=known["id"])
    assert done["said"]["text"] == "10,000 records restored in all, verified."
    assert lines.count_documents({}) == MANY
    assert ask(desk, "hello")["state"]["restores"][0]["resume"] is False


def test_a_restore_that_was_cancelled_can_be_rolled_back(desk: Desk, lines: Any) -> None:
    stopped = cancelled_restore(desk)
    written = lines.count_documents({})
    undone = ask(desk, "rollback", id=stopped["state"]["result"]["id"])
    assert undone["said"]["text"] == f"{written:,} records rolled back."
    assert lines.count_documents({}) == 0
    record = desk.record.html()
    assert record.index("Restore cancelled") < record.index("Rollback")


def test_a_preview_can_be_cancelled_and_writes_nothing(desk: Desk, lines: Any) -> None:
    desk.answer({"do": "preview"})
    stopped = ask(desk, "cancel")
    assert stopped["said"]["text"] == "The preview was cancelled."
    assert stopped["state"]["preview"] is None
    assert "preview again" in restore(desk)["said"]["text"]
    assert lines.count_documents({}) == 0


def test_while_a_job_is_at_work_one_can_look_and_not_act(desk: Desk) -> None:
    desk.answer({"do": "preview"})
    looked = desk.answer({"do": "turn", "page": 1})
    assert looked["said"] is None
    assert looked["patch"]["page"]["first"] == 51
    for action in ("clear", "preview", "options", "open"):
        refused = desk.answer({"do": action, "number": 0})["said"]["text"]
        assert refused == "a preview is at work in this panel; wait until it has ended, or cancel it"
    assert desk.doing.worker.wait(LONG_ENOUGH)
    assert desk.answer({"do": "clear"})["patch"]["state"]["picked"] == 0


def test_another_cell_can_use_the_case_meanwhile(desk: Desk) -> None:
    desk.answer({"do": "preview"})
    assert desk.case.counts() == {}
    assert len(desk.comparison.missing) == MANY
    assert desk.doing.worker.wait(LONG_ENOUGH)
    assert ask(desk, "hello")["state"]["preview"]["to_write"] == MANY


def test_a_database_that_is_gone_at_the_restore_is_a_line_and_the_desk_goes_on(desk: Desk, lines: Any) -> None:
    assert ask(desk, "open", number=0)["detail"]["note"] == ""
    uri, desk.case.uri = desk.case.uri, "mongodb://127.0.0.1:9/gone?serverSelectionTimeoutMS=200"
    failed = restore(desk)
    assert failed["said"]["tone"] == "failed"
    assert lines.count_documents({}) == 0
    desk.case.uri = uri
    ask(desk, "preview")
    assert restore(desk)["said"]["text"] == "10,000 records restored, verified."


def test_a_server_of_the_cases_own_is_shared_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lines.bson"
    path.write_bytes(b"".join(encode({"_id": number}) for number in range(10)))
    with Case.open(tmp_path / "case", database="embedded:lost") as case:
        desk = Desk(case, case.compare(path))
        case.close()  # as a notebook's last cell does
        assert ask(desk, "open", number=0)["detail"]["note"] == ""
        ask(desk, "pick matching")
        ask(desk, "preview")
        assert restore(desk)["said"]["text"] == "10 records restored, verified."
        assert "database" not in case.__dict__, "another notebook may need the server"
        assert case.counts() == {"lines": 10}
        desk.close()


def test_two_panels_on_one_case_do_not_write_a_record_twice(desk: Desk, lines: Any) -> None:
    other = Desk(desk.case, desk.comparison)
    ask(other, "preview")
    assert restore(desk)["said"]["text"] == "10,000 records restored, verified."
    late = restore(other)
    assert late["state"]["result"]["left"]["total"] == MANY
    assert late["said"]["text"] == "0 records restored, 10,000 left as they are, verified."
    assert lines.count_documents({}) == MANY
    other.close()
