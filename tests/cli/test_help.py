"""Help, version, global options and the documentation."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer.main

from recovery_nb.cli.app import app
from recovery_nb.cli.main import hoist

from .conftest import COMMAND, Cli, environment

_DOCS = Path(__file__).parents[2] / "docs" / "commands.md"


def _commands(group: object, prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]  # typer publishes no type for its groups
        if hasattr(command, "commands"):
            found |= _commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


COMMANDS = _commands(typer.main.get_command(app))


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_answers_at_once(word: str, tmp_path: Path) -> None:
    times = []
    for _ in range(5):
        begun = time.monotonic()
        done = subprocess.run([*COMMAND, word], cwd=tmp_path, env=environment(), capture_output=True, check=True)
        times.append(time.monotonic() - begun)
        assert done.stdout
        assert not done.stderr
    assert min(times) < 0.4
    assert not list(tmp_path.iterdir())


def test_the_installed_command_is_the_module(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("recovery-nb")
    by_script = subprocess.run([script, "--help"], capture_output=True, check=True, cwd=tmp_path)
    by_module = subprocess.run([*COMMAND, "--help"], capture_output=True, check=True, cwd=tmp_path)
    assert by_script.stdout == by_module.stdout


def test_help_names_every_command() -> None:
    text = subprocess.run([*COMMAND, "--help"], capture_output=True, check=True, text=True).stdout
    assert all(name.split()[0] in text for name in COMMANDS)


@pytest.mark.parametrize("words", [(), ("audit",), ("nonsense",), ("scan",), ("restore", "--nonsense", "x")])
def test_what_is_no_command_is_one_line(plain: Cli, words: tuple[str, ...]) -> None:
    plain.refused(*words, says="--help")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["scan", "x", "--json"], ["--json", "scan", "x"]),
        (["--case", "a", "scan", "x", "--db=y"], ["--case", "a", "--db=y", "scan", "x"]),
        (["scan", "x", "--case", "a", "--quiet"], ["--case", "a", "--quiet", "scan", "x"]),
        (["scan", "--", "--json"], ["scan", "--", "--json"]),
        (["run", "n", "-p", "a", "1", "-p", "b", "x=y"], ["run", "n", "-p", "a=1", "-p", "b=x=y"]),
        (["scan", "x", "--case"], ["--case", "scan", "x"]),
    ],
)
def test_global_options_stand_before_or_after_the_command(given: list[str], taken: list[str]) -> None:
    assert hoist(given) == taken


def test_global_options_mean_the_same_on_both_sides(plain: Cli, samples: Path) -> None:
    backup = samples / "backups" / "export_spec_v1.json"
    before = plain("--json", "--quiet", "--case", "one", "scan", backup)
    after = plain("scan", backup, "--case", "two", "--quiet", "--json")
    assert before.code == after.code
    assert before.err == after.err == ""
    assert before.json["filesystem"] == after.json["filesystem"]
    assert {path.name for path in plain.folder.iterdir()} == {"one", "two"}


def test_every_command_and_option_is_documented() -> None:
    sections = dict(
        re.findall(r"^## `recovery-nb ([a-z ]+[a-z])[^`]*`\n(.*?)(?=^## |\Z)", _DOCS.read_text(), re.S | re.M)
    )
    documented = {heading: set(re.findall(r"`(--[a-z-]+)", text)) for heading, text in sections.items()}
    options = {
        name: {one for p in command.params for one in p.opts if one.startswith("--")} - {"--help"}  # type: ignore[attr-defined]  # as above
        for name, command in COMMANDS.items()
    }
    assert set(documented) == set(options)
    for name, expected in options.items():
        assert expected <= documented[name], name
        assert documented[name] <= expected | {"--case", "--db", "--json"}, name
