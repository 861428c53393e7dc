"""What a verb does is logged; where it cannot be, nothing begins, and nothing that was done is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery_nb import Case
from recovery_nb.errors import ConnectionFailedError, RecoveryError
from recovery_nb.verbs import Context


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with Case.open(tmp_path / "case", database="mongodb://127.0.0.1:1/none") as opened:
        yield opened


@pytest.fixture
def context(case: Case) -> Context:
    return case._context


def spoil(context: Context) -> None:
    """Make the log one that nobody can write to."""
    context.audit.path.unlink(missing_ok=True)
    context.audit.path.mkdir(parents=True)


def end(context: Context, error: BaseException | None, **outcome: object) -> None:
    """Let a verb end, and the log with it."""
    with context.audited("restore") as came_of_it:
        came_of_it.update(outcome)
        spoil(context)
        if error:
            raise error


def actions(context: Context) -> list[str]:
    return [entry.action for entry in context.audit.entries()]


def test_a_verb_is_logged_when_it_begins_and_when_it_ends(context: Context) -> None:
    with context.audited("restore", plan="abc") as outcome:
        assert actions(context) == ["restore started"]
        outcome.update(restored=3)
    first, last = context.audit.entries()
    assert (first.details["plan"], last.action, last.details) == ("abc", "restore finished", {"restored": 3})


def test_what_cannot_be_logged_does_not_begin(context: Context) -> None:
    spoil(context)
    begun = False
    with pytest.raises(RecoveryError, match="Cannot write the audit log"), context.audited("rollback"):
        begun = True
    assert not begun


def test_the_error_that_ended_a_verb_is_told_with_its_hint_where_the_log_cannot_be_written(context: Context) -> None:
    ending = ConnectionFailedError("the disk of the journal is full", hint="go on with restore --resume r1")
    with pytest.raises(ConnectionFailedError) as told:
        end(context, ending)
    assert told.value is ending
    line = str(told.value)
    assert line.startswith("the disk of the journal is full (Cannot write the audit log ")
    assert line.endswith("; go on with restore --resume r1")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, ValueError])
def test_any_other_error_stays_what_it_was_and_has_a_note(context: Context, kind: type[BaseException]) -> None:
    with pytest.raises(kind) as told:
        end(context, kind("stopped"))
    assert told.value.args == ("stopped",)
    (note,) = told.value.__notes__
    assert note.startswith("Cannot write the audit log ")


def test_what_was_done_is_said_where_only_its_end_cannot_be_logged(context: Context) -> None:
    with pytest.raises(RecoveryError) as told:
        end(context, None, restore_id="r1", restored=3000, failed=0)
    assert "restore was done (restore id r1, restored 3,000)" in told.value.message
    assert told.value.exit_code == 3


def test_what_only_looks_at_things_is_told_why_it_was_not_logged(context: Context) -> None:
    assert context.logged("verify finished", ok=True) == ""
    assert actions(context) == ["verify finished"]
    spoil(context)
    assert context.logged("verify finished", ok=True).startswith(f"Cannot write the audit log {context.audit.path}")
