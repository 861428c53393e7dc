"""What the user gets wrong, and disks that cannot take what is to be written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Cli, half_written, tree


@pytest.fixture
def shop(cli: Cli, load: Callable[[], None], samples: Path) -> Cli:
    load()
    (cli.folder / "shop").symlink_to(samples / "mongodump" / "shop")
    return cli


_YES = ("restore", "shop", "--yes")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("compare", "shop", "--collection", "nonsense"), "no source holds a collection 'nonsense'; known are"),
        (("compare", "shop", "--collection", "users", "--key", "nonsense"), "lack the key nonsense"),
        (("compare", "shop", "--collection", "conversations", "--key", "message_count"), "is not unique"),
        (("compare", "shop", "--out", "found.xls"), "has no known ending; end it in .parquet, .jsonl, .csv"),
        (("compare", "shop", "--out", "nowhere/found.csv"), "nowhere cannot be written to"),
        (("compare", "nowhere"), "nowhere does not exist"),
        (("backup", "--collections", "nonsense"), "nonsense"),
        ((*_YES, "--only", "nonsense"), "nonsense cannot be restored; choose of missing, changed, equivalent"),
        ((*_YES, "--only", ","), "--only names nothing"),
        ((*_YES, "--key", " , "), "--key names nothing"),
        ((*_YES, "--target-db", ""), "--target-db is empty; give a value, or leave the option out"),
        ((*_YES, "--collection="), "--collection is empty; give a value, or leave the option out"),
        ((*_YES, "--keys", ""), "--keys is empty; give a value, or leave the option out"),
        (("restore", "shop", "", "--yes"), "SOURCE is empty; give a value"),
        ((*_YES, "--db", ""), "--db is empty; give a value, or leave the option out"),
        ((*_YES, "--case="), "--case is empty; give a value, or leave the option out"),
        (("backup", "--collections", ""), "--collections is empty; give a value, or leave the option out"),
        (("backup", "--collections", " , "), "--collections names nothing; give names with commas between them"),
        ((*_YES, "--on-conflict", "nonsense"), "'nonsense' is not one of 'skip', 'replace', 'merge', 'fail'"),
        ((*_YES, "--keys", "nowhere"), "cannot read the keys file nowhere: No such file"),
        (("restore", "shop"), "confirm with --yes, or preview with --dry-run"),
        (("rollback", "nonsense"), "no restore nonsense"),
        (("rollback", "../../etc"), "no restore"),
        (("rollback", ""), "RESTORE_ID is empty; give a value"),
        (("verify", ""), "TARGET is empty; give a value"),
        (("verify", "nonsense"), "is no backup, restore, run or case"),
        (("verify", "/dev/zero"), "/dev/zero"),
        (("recover", "--target-collection", "found"), "needs --restore FILE"),
        (("recover", "--restore", "nowhere", "--no-backup"), "nowhere does not exist"),
        (("recover", "--no-backup", "--output", "nowhere/report.json"), "nowhere"),
        (("run", "recover", "-p", "nonsense", "1"), "has no parameter 'nonsense'"),
        (("run", "recover", "-p", "backup", "perhaps"), "'perhaps', which is no bool"),
        (("run", "recover", "-p", "backup"), "the parameter backup has no value"),
        (("run", "recover", "-p", "query", ""), "the parameter query is empty; give a value, or leave it out"),
    ],
)
def test_is_refused_in_one_line_and_nothing_is_changed(
    shop: Cli, content: Callable[[], dict[str, str]], words: tuple[str, ...], says: str
) -> None:
    before = content()
    shop.refused(*words, says=says)
    assert content() == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is empty"),
        (b"{broken", "none of the 1 keys is among the differences"),
        (b'{"a": 1}', "line 1: no key"),
        (b"\xff\x00\xfe" * 100, "it is not UTF-8 text"),
        (b"unknown\n", "none of the 1 keys is among the differences"),
    ],
)
def test_a_keys_file_that_names_no_record_is_refused(shop: Cli, text: bytes, says: str) -> None:
    (shop.folder / "keys").write_bytes(text)
    shop.refused(*_YES, "--keys", "keys", says=says)


def test_a_file_that_is_there_is_not_overwritten(shop: Cli) -> None:
    (shop.folder / "found.csv").write_text("mine")
    shop.refused("compare", "shop", "--out", "found.csv", says="exists already")
    (shop.folder / "taken").write_text("mine")
    shop.refused("backup", "--out", "taken", says="taken")
    shop.refused("--case", "taken", "backup", says="is a file, not a case's folder")
    shop.refused("notebooks", "taken", says="taken")


def test_a_case_that_does_not_exist_has_no_log(plain: Cli) -> None:
    plain.refused("audit", "verify", says="case holds no audit log")
    plain.refused("audit", "show", says="case holds no audit log")
    plain.refused("verify", plain.case, says="holds no case")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB on which 16 KiB are left."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        (folder / "fill").write_bytes(b"x" * (2**20 - 16 * 1024))
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "--out", "full/backups"),
        ("backup", "--out", "full/backups", "--format", "json"),
        ("--case", "full/case", "scan", "shop"),
        ("--case", "full/case", "compare", "shop"),
        ("recover", "--restore", "shop", "--no-backup", "--output", "full/report.json"),
        ("run", "1_scan", "-p", "sources", "shop", "--out", "full/runs"),
        ("notebooks", "full/notebooks"),
    ],
)
def test_a_full_disk_ends_it_and_nothing_half_written_stays(shop: Cli, full: Path, words: tuple[str, ...]) -> None:
    if "report.json" in words[-1]:
        (full / "fill").write_bytes(b"x" * 2**20)
    done = shop("--quiet", "--json", *words)
    assert done.code == 2, done.text
    assert done.err.count("\n") == 1, done.err
    assert "unexpected" not in done.err
    assert "full" in done.err
    assert set(done.json) == {"error"}
    kept = ("fill", "audit.jsonl", "audit.jsonl.lock")
    left = [path for path in full.rglob("*") if path.is_file() and path.name not in kept]
    assert all(path.suffix == ".ipynb" and json.loads(path.read_bytes()) for path in left if words[0] == "notebooks")
    assert words[0] == "notebooks" or left == []


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "--out", "locked/backups"),
        ("--case", "locked/case", "backup"),
        ("--case", "locked/case", "scan", "shop"),
        ("--case", "locked/case", "--db", "embedded:shop", "backup"),
        ("compare", "shop", "--out", "locked/found.csv"),
        ("recover", "--no-backup", "--output", "locked/report.json"),
        ("run", "1_scan", "--out", "locked/runs"),
        ("notebooks", "locked/notebooks"),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_refused(
    shop: Cli, bound: Cli, words: tuple[str, ...], content: Callable[[], dict[str, str]]
) -> None:
    shop.before = bound.before
    (shop.folder / "locked").mkdir(mode=0o500)
    before = content()
    shop.refused(*words, says="locked")
    assert content() == before
    assert list((shop.folder / "locked").iterdir()) == []


def test_a_file_larger_than_allowed_is_no_backup(shop: Cli) -> None:
    def at_most() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = shop("backup", "--json", preexec_fn=at_most)
    assert done.code == 2, done.text
    assert done.err.count("\n") == 1, done.err
    assert not any((shop.case / "backups").rglob("*.bson"))
    assert half_written(shop.case) == []


def test_a_result_that_cannot_be_printed_is_an_error(shop: Cli) -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            shop.words("--json", "compare", "shop"), cwd=shop.folder, stdout=full, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr.decode().splitlines()[-1].startswith("recovery-nb: the result cannot be written to stdout")


def test_the_reader_may_go_away(shop: Cli) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        shop.words("compare", "shop"), cwd=shop.folder, stdout=writing, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    os.close(writing)
    assert process.returncode == 2
    assert process.stderr == b""


def test_a_terminal_is_asked_and_no_is_taken_for_an_answer(shop: Cli, database: object) -> None:
    import pty

    (shop.folder / "new.json").write_text(json.dumps([{"_id": "new"}]))
    master, slave = pty.openpty()
    before = tree(shop.folder)
    process = subprocess.Popen(
        shop.words("restore", "new.json"), cwd=shop.folder, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(master, b"n\n")
    out, err = process.communicate(timeout=60)
    os.close(master)
    os.close(slave)
    assert process.returncode == 2
    assert b"not confirmed; nothing was changed" in err
    assert set(before) <= set(tree(shop.folder))
    assert not (shop.case / "restores").exists(), out
