"""Names that evidence may bear: they are data, and neither SQL, nor a path, nor an order to the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Cli

NAMES = [
    "it's",
    'say "when"',
    "'; DROP TABLE live; --",
    "日本語 ☃ é" + "x" * 110,
    "$(touch owned)`touch owned`;&|",
    "a%s{b}\\n*?[c]",
    "-rf",
    "a/b",
]


@pytest.mark.parametrize("layout", ["bson", "json"])
def test_collections_of_any_name_are_kept_compared_and_restored(
    cli: Cli, database: Any, content: Callable[[], dict[str, str]], layout: str
) -> None:
    shop = database.client[database.name]
    names = [name for name in NAMES if "$" not in name]  # no server takes it in a collection's name
    for name in names:
        shop[name].insert_many([{"_id": n, name.replace(".", "_"): n} for n in range(3)])
    original = content()
    taken = cli("backup", "--format", layout, "--json")
    assert taken.code == 0, taken.text
    assert taken.json["collections"] == dict.fromkeys(names, 3)
    for name in names:
        shop[name].delete_one({"_id": 1})
    found = cli("compare", taken.json["path"], "--json")
    assert found.code == 1
    assert {name: one["missing"] for name, one in found.json["collections"].items()} == dict.fromkeys(names, 1)
    restored = cli("restore", taken.json["path"], "--yes", "--json")
    assert restored.code == 0, restored.text
    assert restored.json["restored"] == len(names)
    assert content() == original
    assert not list(cli.folder.rglob("owned"))


@pytest.mark.parametrize("name", [one for one in NAMES if "/" not in one])
def test_files_folders_and_fields_of_any_name_are_read(cli: Cli, name: str) -> None:
    records = [{"_id": number, 'user\'name "x"; --': f"{name}{number}"} for number in range(3)]
    (cli.folder / name).mkdir()
    path = cli.folder / name / f"{name}.json"
    path.write_text(json.dumps(records))
    case = f"case {name}"
    key = 'user\'name "x"; --'
    words = ["--case", case, "restore", "--yes", "--collection", path.stem, "--key", key, "--json", "--", path]
    done = cli(*words)
    target = [] if "$" not in name else ["--target-collection", "found"]
    if target:
        assert done.code == 2
        assert "collection of that name" in done.json["error"]
        done = cli("--case", case, "restore", "--yes", *target, "--key", key, "--json", "--", path)
    assert done.code == 0, done.text
    assert done.json["restored"] == 3
    compared = cli("--case", case, "compare", "--key", key, "--out", f"{name}.csv", "--", path)
    assert compared.code == 0, compared.text
    assert (cli.folder / f"{name}.csv").is_file()
    assert not list(cli.folder.rglob("owned"))


def test_nothing_from_evidence_steers_the_terminal(cli: Cli, database: Any) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\r"
    shop = database.client[database.name]
    shop[f"users{evil}"].insert_one({"_id": 0})
    shop["users"].insert_many([{"_id": f"{evil}{n}", "age": -1} for n in range(3)])
    shop.command("collMod", "users", validator={"age": {"$gte": 0}})
    folder = cli.folder / f"found{evil}"
    folder.mkdir()
    records = [{"_id": f"{evil}{n}", "age": -2, evil: evil} for n in range(5)]
    path = folder / f"users{evil}.json"
    path.write_text(json.dumps({"collections": {"users": records, f"users{evil}": [{"_id": 1}]}}))
    (folder / f"broken{evil}.json").write_bytes(b"[" * 99)
    for words in (
        ["scan", folder], ["compare", folder], ["compare", "--collection", evil, folder], ["scan", f"nowhere{evil}"],
        ["restore", "--yes", folder], ["verify", evil], ["recover", "--no-backup"],
        ["rollback", evil], ["audit", "show"], ["backup"],
    ):  # fmt: skip
        done = cli(*words)
        assert not set(done.text) & set("\x1b\x07\x9b\r"), (words, done.text)
        assert "Traceback" not in done.text
    assert cli("compare", folder, "--out", "found.csv", "--json").code == 1
    assert "\x1b" not in cli("audit", "show", "--json").out


def test_the_analysts_csv_holds_no_formula(cli: Cli) -> None:
    (cli.folder / "users.json").write_text(json.dumps([{"_id": "=cmd|' /C calc'!A0"}, {"_id": "+1"}, {"_id": "@x"}]))
    assert cli("compare", "users.json", "--out", "found.csv").code == 1
    rows = (cli.folder / "found.csv").read_text().splitlines()[1:]
    assert len(rows) == 3
    assert not [row for row in rows for cell in row.split(",") if cell.lstrip('"').startswith(("=", "+", "@"))]


def test_a_path_with_glob_characters_is_one_file(cli: Cli) -> None:
    for name in ("users[1].json", "users1.json", "users*.json"):
        (cli.folder / name).write_text(json.dumps([{"_id": name}]))
    done = cli("compare", "users[1].json", "users*.json", "--json", "--collection", "users")
    assert sorted(Path(one).name for one in done.json.get("sources", [])) in (["users*.json", "users[1].json"], [])
