"""What is empty is not given, whatever the command and its option; and what may stand beside what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from recovery_nb.cli.app import app
from recovery_nb.cli.given import listed
from recovery_nb.errors import BadInputError

ROOT: Any = typer.main.get_command(app)


def commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def taking_a_value(kind: str) -> list[tuple[tuple[str, ...], Any]]:
    return [
        (path, one)
        for path, command in commands()
        for one in command.params
        if one.param_type_name == kind and not getattr(one, "is_flag", False)
    ]


OPTIONS = [(path, word, one.opts[0]) for path, one in taking_a_value("option") for word in one.opts]
ARGUMENTS = [(path, one.metavar.strip("[]…")) for path, one in taking_a_value("argument")]


@pytest.fixture(autouse=True)
def _somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(*words: str) -> str:
    """Return why these words are refused; it is found before anything is done."""
    with pytest.raises(BadInputError) as caught, ROOT.make_context("recovery-nb", list(words)) as context:
        ROOT.invoke(context)
    assert list(Path().iterdir()) == []
    return str(caught.value)


def test_there_are_options_and_arguments_to_be_tried() -> None:
    assert {("restore",), ("backup",), ("run",), ()} <= {path for path, _, _ in OPTIONS}
    assert (("rollback",), "RESTORE_ID") in ARGUMENTS


@pytest.mark.parametrize(("path", "word", "name"), OPTIONS)
def test_no_option_takes_an_empty_value(path: tuple[str, ...], word: str, name: str) -> None:
    assert refusal(*path, word, "") == f"{name} is empty; give a value, or leave the option out"


@pytest.mark.parametrize(("path", "argument"), ARGUMENTS)
def test_no_argument_takes_an_empty_value(path: tuple[str, ...], argument: str) -> None:
    assert refusal(*path, "") == f"{argument} is empty; give a value"


def test_one_empty_value_of_several_is_refused() -> None:
    assert refusal("compare", "dump", "", "more") == "SOURCE is empty; give a value"
    assert refusal("backup", "--age-recipient", "age1", "--age-recipient", "").startswith("--age-recipient is empty")


RESUME = ("restore", "--yes", "--resume", "r1")
BESIDES = [
    ("--collection", "c"), ("--target-collection", "t"), ("--only", "missing,changed"), ("--key", "id"),
    ("--keys", "keys"), ("--on-conflict", "skip"), ("--query", "{}"), ("--target-db", "d"), ("--mark", "m"),
    ("--transaction",), ("--all-or-nothing",), ("--as-of", "2025-12-01"), ("--dry-run",),
]  # fmt: skip


@pytest.mark.parametrize("beside", BESIDES, ids=lambda words: words[0])
def test_what_would_change_a_plan_cannot_be_given_with_resume(beside: tuple[str, ...]) -> None:
    assert refusal(*RESUME, *beside) == (
        f"{beside[0]} cannot be given with --resume, which continues the plan of r1 as it is; "
        "run restore --resume r1 alone; verify r1 says what is left"
    )


def test_every_option_of_restore_is_tried_beside_resume() -> None:
    (restore,) = (command for path, command in commands() if path == ("restore",))
    given = {one.opts[0] for one in restore.params if one.param_type_name == "option"}
    assert given - {"--resume", "--yes", "--help"} == {words[0] for words in BESIDES}


def test_all_that_cannot_be_given_with_resume_is_named_at_once() -> None:
    said = refusal("restore", "dump", "--keys", "k", "--resume", "r1", "--mark", "m")
    assert said.startswith("SOURCE, --keys, --mark cannot be given with --resume")


@pytest.mark.parametrize(
    ("text", "words"), [("", ()), ("a", ("a",)), (" a , b,", ("a", "b")), ("a,,b", ("a", "b")), ("a b", ("a b",))]
)
def test_words_stand_between_commas(text: str, words: tuple[str, ...]) -> None:
    assert listed(text, "--key") == words


@pytest.mark.parametrize("text", [",", " , ", ",,", " "])
def test_an_option_of_several_that_names_none_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="--key names nothing"):
        listed(text, "--key")
