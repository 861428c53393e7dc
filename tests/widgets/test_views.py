"""Views begin with the answer, name the numbers, and hold nothing but harmless markup."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.case import Case, Scan
from recovery_nb.events import Event
from recovery_nb.widgets import verdicts, views
from recovery_nb.widgets.markup import cut, pieces, steps
from recovery_nb.widgets.progress import bar, progress

from .conftest import HOSTILE, Lost


def test_numbers_are_written_as_people_write_them() -> None:
    assert pieces(1, "record") == "1 record"
    assert pieces(2000, "entry", "entries") == "2,000 entries"
    assert cut("abcdef", 4) == "abc…"


def test_what_to_do_next_shows_commands_as_commands() -> None:
    shown = steps(["Compare: `recovery-nb compare <x>`."])
    assert ">recovery-nb compare &lt;x&gt;</code>." in shown


def test_a_comparison_begins_with_what_is_lost(lost: Lost) -> None:
    shown = views.compared(lost.comparison)
    assert "252 records are missing and can be recovered; 3 records have changed." in shown
    assert HOSTILE not in shown


def test_fields_of_lists_are_counted_together(lost: Lost) -> None:
    shown = views.changes(lost.comparison)
    assert ">no</td>" in shown
    assert "no in 67% of the 3 changed records of quotes" in shown
    assert "&lt;/script&gt;&lt;img" in shown
    assert HOSTILE not in shown


def test_signs_of_loss_need_no_comparison(lost: Lost) -> None:
    report = lost.case.report()
    assert ("quotes", 50, 301) in [short[:3] for short in verdicts.shortfalls(report)]
    assert verdicts.scan_code(lost.case.scanned, report) == 1
    assert verdicts.compare_code(lost.comparison, report) == 1


def test_an_empty_scan_is_no_success(tmp_path: Path) -> None:
    assert "No backup, export or dump was found." in views.sources(Scan(()))
    assert "The database was not read." in views.short(Case.open(tmp_path / "case").report())


def test_the_audit_log_tells_who_did_what(lost: Lost) -> None:
    shown = views.audit(lost.case)
    assert "the chain of hashes is whole" in shown
    assert "compare finished" in shown


def test_a_bar_needs_no_script() -> None:
    shown = bar(Event("scan", HOSTILE, 5, 10, "files"))
    assert '<progress value="5" max="10">' in shown
    assert "5 of 10 files" in shown
    assert HOSTILE not in shown
    assert "<progress></progress>" in bar(Event("scan", "dump", 5))


def test_without_a_kernel_progress_is_silent(capsys: object) -> None:
    progress()(Event("scan", "dump", 1))
