"""The notebooks of the package are found by name and laid out without harming what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
from recovery_nb.headless import copy_notebooks, find_notebook, library, list_notebooks


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in ("1_scan", "recover"):
        (shelf / f"{name}.ipynb").write_text(f"{{}} {name}")
    monkeypatch.setattr(library, "SHELVES", (tmp_path / "no wheel", shelf))
    return shelf


def test_they_are_listed_by_name() -> None:
    assert [path.stem for path in list_notebooks()] == ["1_scan", "recover"]


@pytest.mark.parametrize("name", ["recover", "recover.ipynb"])
def test_one_is_found_by_its_name(name: str, shelf: Path) -> None:
    assert find_notebook(name) == shelf / "recover.ipynb"


@pytest.mark.parametrize("name", ["recover", "recover.ipynb"])
def test_the_users_own_comes_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recover").mkdir()
    (tmp_path / "recover.ipynb").write_text("{}")
    assert find_notebook(name) == Path("recover.ipynb")
    assert find_notebook(tmp_path / "recover") == tmp_path / "recover.ipynb"


def test_one_that_is_not_there_is_one_line_with_what_to_do() -> None:
    with pytest.raises(BadInputError, match=r"no notebook 'recovr'; did you mean recover\?"):
        find_notebook("recovr")
    with pytest.raises(BadInputError, match="one of: 1_scan, recover"):
        find_notebook("zzz")


def test_they_are_laid_out_and_identical_ones_left(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    assert [path.name for path in copy_notebooks(target)] == ["1_scan.ipynb", "recover.ipynb"]
    (target / "1_scan.ipynb").unlink()
    assert copy_notebooks(target) == [target / "1_scan.ipynb"]
    assert copy_notebooks(target) == []
    assert sorted(path.name for path in target.iterdir()) == ["1_scan.ipynb", "recover.ipynb"]


def test_one_that_differs_is_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "recover.ipynb").write_text("my work")
    with pytest.raises(ConflictError, match=r"recover\.ipynb is there already and differs"):
        copy_notebooks(target)
    assert [path.name for path in target.iterdir()] == ["recover.ipynb"]
    assert (target / "recover.ipynb").read_text() == "my work"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecoveryError, match="cannot write notebooks to"):
        copy_notebooks(tmp_path / "file" / "x")
