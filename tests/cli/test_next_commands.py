"""The commands that are printed to be run next run as they are printed, and show no secret."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb.cli.console import Console
from recovery_nb.cli.options import Globals, next_command

from .conftest import Cli

SECRET = "mongodb://me:pass%20word@127.0.0.1:1/shop?tls=true"


def printed(text: str, purpose: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(f"{purpose}: "))
    return line.removeprefix(f"{purpose}: ")


def words_in_a_shell(command: str, **variables: str) -> list[str]:
    """Return what a shell hands to the command."""
    program, rest = command.split(" ", 1)
    assert program == "recovery-nb"
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {rest}"], env=variables, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def test_a_backup_and_a_comparison_name_the_database_that_they_were_given(cli: Cli, database: Any) -> None:
    database.client[database.name].users.insert_one({"_id": 1})
    taken = cli("backup")
    database.client[database.name].users.drop()

    _, *words = shlex.split(printed(taken.out, "to see what is lost since"))
    compared = Cli(cli.folder)(*words)
    assert compared.code == 1, compared.text
    _, *words = shlex.split(printed(compared.out, "to see what a restore would do"))
    tried = Cli(cli.folder)(*words)
    assert (tried.code, "1 would be restored" in tried.out) == (0, True), tried.text


def test_without_db_on_the_command_line_none_is_printed(cli: Cli) -> None:
    uri, cli.db = cli.db, ""
    (cli.folder / "users.bson").write_bytes(bson.encode({"_id": 1}))
    done = cli("compare", "users.bson", env={"DATABASE_URI": uri})
    command = printed(done.out, "to see what a restore would do")
    assert command == "recovery-nb --case case restore users.bson --dry-run"


@pytest.mark.parametrize("uri", ["embedded:shop", "mongodb://127.0.0.1:1/shop?a=1&b=$HOME", "mongodb://h/it's"])
def test_a_uri_is_quoted_for_a_shell(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    next_command(Globals(Path("my case"), uri, Console()), "to undo it", "rollback", "r 1")
    command = printed(capsys.readouterr().out, "to undo it")
    assert words_in_a_shell(command) == ["--case", "my case", "--db", uri, "rollback", "r 1"]


def test_a_variable_stands_for_a_uri_with_a_secret_and_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    options = Globals(Path("case"), SECRET, Console())
    for purpose in ("to finish it", "to undo it"):
        next_command(options, purpose, "rollback", "r1")
    out = capsys.readouterr().out
    assert "word" not in out.replace("password", "")
    assert out.count("where DATABASE_URI is mongodb://***@127.0.0.1:1/shop?tls=true") == 1
    command = printed(out, "to undo it")
    assert words_in_a_shell(command, DATABASE_URI=SECRET) == ["--case", "case", "--db", SECRET, "rollback", "r1"]


def test_another_database_is_named_in_place_of_the_one_that_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    options, lines = Globals(Path("case"), "mongodb://h/one", Console(as_json=True)), list[str]()
    next_command(options, "to undo it", "rollback", "r1", database="mongodb://h/two", say=lines.append)
    assert lines == ["to undo it: recovery-nb --case case --db mongodb://h/two rollback r1"]
    assert capsys.readouterr().out == ""
