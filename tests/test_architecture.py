"""Rules of the house that the import linter cannot see."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "recovery_nb"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_notebooks" not in path.parts)

WRITES = frozenset(
    [
        "insert_one",
        "insert_many",
        "replace_one",
        "update_one",
        "update_many",
        "delete_one",
        "delete_many",
        "bulk_write",
        "find_one_and_delete",
        "find_one_and_replace",
        "find_one_and_update",
        "create_collection",
        "create_index",
        "create_indexes",
        "drop_index",
        "drop_indexes",
        "drop_collection",
        "drop_database",
    ]
)
COMMANDS = frozenset(
    [
        "insert",
        "update",
        "delete",
        "findAndModify",
        "create",
        "createIndexes",
        "drop",
        "dropDatabase",
        "dropIndexes",
        "collMod",
        "renameCollection",
        "bulkWrite",
        "applyOps",
        "cloneCollectionAsCapped",
        "convertToCapped",
    ]
)
NOTEBOOK = frozenset({"IPython", "ipywidgets", "papermill", "nbclient", "anywidget"})


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def writes(tree: ast.AST) -> list[str]:
    """Return the driver's write methods that are called, and write commands that are sent as a document."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            first = node.args[0] if node.args else None
            key = first.keys[0] if isinstance(first, ast.Dict) and first.keys else first
            if node.func.attr in WRITES:
                found.append(f"{node.lineno}: {node.func.attr}")
            elif node.func.attr == "command" and isinstance(key, ast.Constant) and key.value in COMMANDS:
                found.append(f"{node.lineno}: {key.value}")
    return found


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_a_restore_and_the_demo_write_to_a_database(path: Path) -> None:
    found = writes(ast.parse(path.read_text()))
    if path.relative_to(PACKAGE).parts[0] not in ("restore", "demo"):
        assert found == []


def test_the_check_sees_the_writes_that_there_are() -> None:
    assert any(writes(ast.parse(path.read_text())) for path in (PACKAGE / "restore").rglob("*.py"))


@pytest.mark.parametrize("folder", ["records", "sources", "catalog", "compare", "backups", "restore", "verbs", "audit"])
def test_the_core_knows_no_notebook(folder: str) -> None:
    for path in (PACKAGE / folder).rglob("*.py"):
        assert not imports(ast.parse(path.read_text())) & NOTEBOOK, path


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_and_what_it_gives(path: Path) -> None:
    if path.name == "_version.py":
        return
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    first = [node for node in tree.body if not isinstance(node, ast.Expr)]
    assert not first or (isinstance(first[0], ast.ImportFrom) and first[0].module == "__future__")
    given = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in given or not first


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_library_code_does_not_print(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
