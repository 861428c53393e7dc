from __future__ import annotations

import importlib.util
import stat
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from recovery_nb.embedded import find_mongod
from recovery_nb.errors import MissingRequirementError


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither a mongod on PATH nor the wheel; the returned folder is all of PATH."""
    path = tmp_path / "path"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_the_one_found_runs() -> None:
    done = subprocess.run([find_mongod(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("db version v")


def test_the_one_on_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = program(tmp_path / "mongod", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mongod() == mine


def test_without_any_the_error_says_what_to_install(nothing_installed: Path) -> None:
    with pytest.raises(MissingRequirementError, match=r"pip install 'recovery-nb\[embedded\]'.*conda") as raised:
        find_mongod()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("library", "package"),
    [("libcurl.so.4", "libcurl4"), ("libssl.so.3", "libssl3"), ("libcrypto.so.3", "libssl3")],
)
def test_a_missing_library_is_named_with_its_package(nothing_installed: Path, library: str, package: str) -> None:
    program(
        nothing_installed / "mongod",
        f"echo 'mongod: error while loading shared libraries: {library}: cannot open shared object file: "
        "No such file or directory' >&2; exit 127",
    )
    with pytest.raises(MissingRequirementError) as raised:
        find_mongod()
    assert f"needs the library {library}" in raised.value.message
    assert raised.value.hint == f"run: apt-get install {package}"


def test_one_for_another_machine_is_named(nothing_installed: Path) -> None:
    (nothing_installed / "mongod").write_bytes(b"\x7fELF not really")
    (nothing_installed / "mongod").chmod(0o755)
    with pytest.raises(MissingRequirementError, match="cannot be run: "):
        find_mongod()


def test_a_broken_one_on_path_yields_to_the_installed_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path / "path" / "mongod", "exit 1")
    installed = program(tmp_path / "fiftyone" / "db" / "bin" / "mongod", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    wheel_in(monkeypatch, tmp_path / "fiftyone")
    assert find_mongod() == installed


def test_the_installed_one_is_given_its_run_bit(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = program(tmp_path / "fiftyone" / "db" / "bin" / "mongod", "exit 0")
    installed.chmod(0o644)
    wheel_in(monkeypatch, tmp_path / "fiftyone")
    assert find_mongod() == installed
    assert installed.stat().st_mode & stat.S_IXUSR


def test_where_it_cannot_be_given_its_run_bit_a_copy_is_used(
    nothing_installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = program(tmp_path / "fiftyone" / "db" / "bin" / "mongod", "exit 0")
    installed.chmod(0o644)
    wheel_in(monkeypatch, tmp_path / "fiftyone")
    chmod = Path.chmod

    def refuse(path: Path, mode: int, *, follow_symlinks: bool = True) -> None:
        # Root may change any mode, so a folder that is not ours cannot be had for real.
        if path == installed:
            raise PermissionError(1, "Operation not permitted")
        chmod(path, mode, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "chmod", refuse)
    assert find_mongod(scratch=tmp_path / "data") == tmp_path / "data" / "mongod"


def wheel_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    spec = ModuleSpec("fiftyone", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
