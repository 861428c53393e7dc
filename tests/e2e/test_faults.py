"""What goes wrong around the desk: a kernel that restarts, clicks too many, two at once, a database that is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bson import encode
from pymongo import MongoClient

from recovery_nb.case import Case
from recovery_nb.embedded import EmbeddedMongod

from .front import KERNEL, heading, open_notebook, run_all, said, shut_down, summary, told, writes_held, written

OPEN = """
from recovery_nb import Case
from recovery_nb.widgets import Desk
case = Case.open("case")
comparison = case.last_comparison()
"""
DESK = "Desk(case, comparison)"
CLICK_TWICE = "button => { button.click(); button.click(); }"
"""Two clicks before the kernel can answer the first."""


def compared(shop: Any, database: Any, tmp_path: Path) -> None:
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        case.compare(shop.evidence / "dump_2026-06-20")


def desk_of(page: Any) -> Any:
    desk = page.locator(".rnb-desk")
    desk.locator(".rnb-grid tbody tr").first.wait_for()
    return desk


def pick(desk: Any, *places: int) -> None:
    for place in places:
        desk.locator(".rnb-grid tbody tr").nth(place).get_by_role("checkbox").click()


def preview(desk: Any, count: str) -> Any:
    """Preview what is selected and confirm it; return the button that would restore it."""
    desk.get_by_role("button", name=f"Preview {count}").click()
    desk.get_by_label(f"Type {count} to confirm").fill(count)
    button = desk.get_by_role("button", name=f"Restore {count}")
    button.and_(desk.page.locator(":enabled")).wait_for()
    return button


def test_no_restart_no_stale_click_and_no_second_run_writes_anything(
    shop: Any, database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    compared(shop, database, tmp_path)
    before = shop.now()
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        open_notebook(page, server, written(server.root, "desk", OPEN, DESK))
        run_all(page)
        desk = desk_of(page)
        pick(desk, 0, 2, 4)
        summary(desk, "3 selected")
        restore = preview(desk, "3")

        page.evaluate(f"{KERNEL}.restart()")
        page.wait_for_function(f"{KERNEL}?.status === 'idle'")
        restore.click()
        desk.get_by_text("The kernel was restarted or has ended, and nothing was done").wait_for()
        run_all(page)
        desk = desk_of(page)
        summary(desk, "3 selected")
        assert desk.get_by_label("Preview first").is_disabled(), "what was previewed is to be previewed again"
        assert shop.now() == before, "the click into the old panel has done nothing"

        preview(desk, "3")
        page.evaluate(
            """() => { document.querySelector('.rnb-grid tbody tr:nth-child(2) input').click();
                       document.querySelector('.rnb-do').click(); }"""
        )
        line = said(desk, "the selection has changed since the preview")
        assert "\n" not in line.strip()
        summary(desk, "4 selected")
        assert shop.now() == before, "the stale click was refused"

        preview(desk, "4").evaluate(CLICK_TWICE)
        heading(desk, "4 records restored, verified.")
        after = shop.now()
        assert len(after) == len(before) + 4

        run_all(page)
        desk = desk_of(page)
        assert desk.count() == 1
        summary(desk, "4 selected")
        desk.get_by_text("Restores from this comparison (1)").wait_for()
        desk.get_by_role("button", name="Preview 4").click()
        heading(desk, "Nothing would be written: the database holds these records already.")
        assert shop.now() == after, "a cell that is run again writes nothing again"
        shut_down(page)
        assert watch.calm(), (watch.outside, watch.errors)
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        actions = [entry.action for entry in case.audit.entries()]
    assert actions.count("restore finished") == 1, actions


def test_of_two_desks_on_one_case_the_second_waits_its_turn(
    shop: Any, database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    compared(shop, database, tmp_path)
    before = shop.now()
    with lab({"DATABASE_URI": database.uri}) as server:
        watches = [open_page(server.url), open_page(server.url)]
        buttons, desks = [], []
        for place, watch in enumerate(watches):
            open_notebook(watch.page, server, written(server.root, f"desk_{place}", OPEN, DESK))
            run_all(watch.page)
            desks.append(desk_of(watch.page))
            if place:
                summary(desks[place], "2 selected")  # those of the first desk: it is one case
                desks[place].get_by_role("button", name="Select none").click()
            summary(desks[place], "0 selected")
            pick(desks[place], place, place + 2)
            summary(desks[place], "2 selected")
            buttons.append(preview(desks[place], "2"))
        with writes_held(database):
            buttons[0].click()
            desks[0].get_by_role("button", name="Cancel").wait_for()
            buttons[1].click()
            line = said(desks[1], "a restore is at work in")
            assert "\n" not in line.strip()
            assert shop.now() == before
        heading(desks[0], "2 records restored, verified.")
        assert shop.now() == sorted([*before, *(encode(shop.lost[n]) for n in (0, 2))], key=lambda raw: raw[8:20])
        preview(desks[1], "2").click()
        heading(desks[1], "2 records restored, verified.")
        assert len(shop.now()) == len(before) + 4
        for watch in watches:
            shut_down(watch.page)
            assert watch.calm(), (watch.outside, watch.errors)


def test_a_database_that_is_gone_between_preview_and_restore_is_said_in_one_line(
    tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    lost = [{"_id": f"Q-{number}", "no": number} for number in range(10)]
    backup = tmp_path / "quotes.bson"
    backup.write_bytes(b"".join(map(encode, lost)))
    (tmp_path / "work").mkdir()
    with EmbeddedMongod(tmp_path / "mongod") as mongod:
        uri = f"{mongod.uri('shop')}&serverSelectionTimeoutMS=1000"
        with Case.open(tmp_path / "work" / "case", database=uri) as case:
            case.compare(backup)
        with lab({"DATABASE_URI": uri}) as server:
            watch = open_page(server.url)
            page = watch.page
            open_notebook(page, server, written(server.root, "desk", OPEN, DESK))
            run_all(page)
            desk = desk_of(page)
            desk.get_by_role("button", name="Select all matching").click()
            restore = preview(desk, "10")
            mongod.stop()
            restore.click()
            line = said(desk, "does not answer")
            assert "\n" not in line.strip()
            assert desk.get_by_text("restored, verified").count() == 0
            desk.locator(".rnb-grid tbody tr").first.click()
            desk.get_by_text("without the database: ").wait_for()
            assert "Restore failed" in told(page)
            shut_down(page)
            assert watch.calm(), (watch.outside, watch.errors)
    with EmbeddedMongod(tmp_path / "mongod") as mongod, MongoClient[Any](mongod.uri()) as client:
        assert client["shop"]["quotes"].count_documents({}) == 0
