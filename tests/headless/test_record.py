"""Records of sessions: notebooks run on real kernels, in which a cell leaves the record."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbformat import v4

from recovery_nb.audit import AuditLog
from recovery_nb.case import Case
from recovery_nb.checks import audit_gaps, verify_run
from recovery_nb.errors import BadInputError, MissingRequirementError
from recovery_nb.events import silent
from recovery_nb.headless import RunResult, kernel
from recovery_nb.headless.printing import chromium, to_pdf
from recovery_nb.headless.running import find_running

PASSWORD = "open-Sesame-42"
URI = f"mongodb://bob:{PASSWORD}@127.0.0.1:1/shop"
PARAMETERS = "case = 'case'  # the folder"
BEGIN = """
from recovery_nb.widgets import begin
case = begin({case!r})
"""
SHOWS = """
from IPython.display import HTML, display
import ipywidgets, os, sys
handle = display(HTML("<b>nothing was done</b>"), display_id=True)
print("a secret:", os.environ["DATABASE_URI"])
captured = ipywidgets.Output()
captured.append_stdout("captured by a widget")
with captured:
    print("printed within it")
display(captured)
"""
CLICK = "handle.update(HTML('<details><summary>the preview</summary>120 records restored</details>'))"

Session = Callable[..., kernel.Execution]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Run cells in a kernel whose front end has never saved the notebook `story.ipynb`: the file has no outputs."""

    def session(*cells: str, saved: list[str] | None = None, **environment: str) -> kernel.Execution:
        nodes = [v4.new_markdown_cell(c[2:]) if c.startswith("#!") else v4.new_code_cell(c) for c in cells]
        node = v4.new_notebook(cells=nodes)
        path = tmp_path / "story.ipynb"
        nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(one) for one in saved]) if saved else node, path)
        given = {"JPY_SESSION_NAME": str(path), "DATABASE_URI": URI, **environment}
        return kernel.execute(node, {}, environment=given, cell_timeout=60, name="story", emit=silent)

    return session


@pytest.fixture
def case(tmp_path: Path) -> str:
    return str(tmp_path / "case")


def record_of(case: str) -> tuple[Path, Any, dict[str, Any]]:
    (folder,) = (Path(case) / "runs").iterdir()
    return folder, nbformat.read(folder / "story.ipynb", as_version=4), json.loads((folder / "run.json").read_bytes())


def test_a_session_that_was_never_saved_is_recorded_whole(session: Session, case: str) -> None:
    done = session(
        "#!# What was lost?", PARAMETERS, BEGIN.format(case=case), SHOWS, CLICK, "case.record()",
        "assert case.verify().ok",
    )  # fmt: skip
    assert done.error is None
    folder, node, facts = record_of(case)
    assert {path.name for path in folder.iterdir()} == {"story.ipynb", "story.html", "run.json"}
    assert [cell.get("execution_count") for cell in node.cells] == [None, 1, 2, 3, 4, 5, None]
    assert facts["cells"] == {"ran": 5, "code": 6}
    assert facts["notes"] == []
    page = (folder / "story.html").read_text()
    for told in (
        "Record of a session",
        "What was lost?",
        "120 records restored",
        "captured by a widget",
        "printed within it",
        "5 of 6 cells of code were run",
    ):
        assert told in page
    assert page.count("printed within it") == 2, "in the code, and once as an output"
    assert "nothing was done" not in str([cell.get("outputs") for cell in node.cells]), "an update replaces it"
    for text in (page, (folder / "story.ipynb").read_text()):
        assert PASSWORD not in text
        assert "bob:***@127.0.0.1:1/shop" in text


def test_the_log_holds_the_digests_and_a_verification_compares_them(session: Session, case: str) -> None:
    assert session(PARAMETERS, BEGIN.format(case=case), "case.record()").error is None
    folder, _, _ = record_of(case)
    log = AuditLog(Path(case) / "audit.jsonl")
    (made,) = [entry.details for entry in log.entries() if entry.action == "record made"]
    assert made["record"] == f"runs/{folder.name}"
    assert set(made["files"]) == {"story.ipynb", "story.html", "run.json"}
    assert verify_run(folder).ok
    assert audit_gaps(Path(case), log).ok

    page = folder / "story.html"
    page.write_text(page.read_text().replace("recorded", "perfect"))
    assert [problem.what for problem in verify_run(folder).problems] == ["the file is not as the run left it"]
    facts = folder / "run.json"
    facts.write_text(facts.read_text().replace("recorded", "perfect"))
    assert "not the one that the log tells of" in audit_gaps(Path(case), log).problems[0].what
    shutil.rmtree(folder)
    assert "it is not there" in audit_gaps(Path(case), log).problems[0].what


def error_of(done: kernel.Execution) -> str:
    return next(one.evalue for cell in done.notebook.cells for one in cell.get("outputs", []) if "evalue" in one)


def test_a_file_that_is_not_of_this_session_makes_no_record(session: Session, case: str) -> None:
    done = session(PARAMETERS, BEGIN.format(case=case), "1 + 1", "case.record()", saved=["something else"])
    assert re.fullmatch(r"story.ipynb holds only 0 of the 3 cells that this kernel ran; save .*", error_of(done))
    assert not (Path(case) / "runs").exists()
    assert [e.action for e in AuditLog(Path(case) / "audit.jsonl").entries()] == ["record failed"]


def test_what_was_shown_before_the_case_was_opened_must_be_saved(session: Session, case: str) -> None:
    done = session("print('early')", BEGIN.format(case=case), "case.record()")
    assert "cell [1] ran before the case was opened, and story.ipynb was not saved since; save" in error_of(done)


def test_an_error_that_a_cell_showed_is_in_the_record_and_at_its_top(session: Session, case: str) -> None:
    raising = "from IPython import get_ipython\nget_ipython().run_cell('1 / 0')\nNone"
    session(BEGIN.format(case=case), raising, "case.record()")
    folder, _, facts = record_of(case)
    assert facts["error"].startswith("ZeroDivisionError: division by zero (cell [2])")
    page = (folder / "story.html").read_text()
    assert page.index("A cell failed") < page.index("ZeroDivisionError") < page.index("<main>")


class TestWhichNotebook:
    """A shell is all that is asked: its globals, and the environment of the process."""

    @pytest.fixture
    def story(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        nbformat.write(v4.new_notebook(), tmp_path / "story.ipynb")
        monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
        return tmp_path / "story.ipynb"

    def test_jupyter_server_names_it_in_the_environment(self, story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JPY_SESSION_NAME", str(story))
        assert find_running(SimpleNamespace(user_ns={})) == story

    def test_vs_code_names_it_in_a_global(self, story: Path) -> None:
        assert find_running(SimpleNamespace(user_ns={"__vsc_ipynb_file__": str(story)})) == story

    def test_nothing_names_it(self, story: Path) -> None:
        with pytest.raises(BadInputError, match="is not told which notebook it runs; name the notebook"):
            find_running(SimpleNamespace(user_ns={}))

    @pytest.mark.parametrize("name", ["renamed.ipynb", "Console 1", "."])
    def test_what_it_was_opened_as_is_no_notebook(
        self, name: str, story: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JPY_SESSION_NAME", str(story.parent / name))
        with pytest.raises(BadInputError, match="which is no notebook's file any more"):
            find_running(SimpleNamespace(user_ns={}))

    def test_a_variable_that_another_kernel_handed_down_is_not_believed(
        self, story: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asks = (
            "from recovery_nb.headless.running import find_running\nfrom types import SimpleNamespace\n"
            "try:\n    find_running(SimpleNamespace(user_ns={}))\nexcept Exception as error:\n    print(error)"
        )
        starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {asks!r}])"
        handed = {**os.environ, "JPY_SESSION_NAME": str(story)}
        child = subprocess.run([sys.executable, "-c", starts], env=handed, capture_output=True, text=True, check=True)
        assert "this kernel is not told which notebook it runs" in child.stdout

    def test_the_parameter_names_it(self, session: Session, case: str, tmp_path: Path) -> None:
        named = f"case.record({str(tmp_path / 'story.ipynb')!r})"
        assert session(BEGIN.format(case=case), named, JPY_SESSION_NAME="").error is None
        assert record_of(case)[2]["kind"] == "session"

    def test_a_kernel_in_which_nothing_was_kept_is_refused(self, session: Session, case: str) -> None:
        done = session(f"from recovery_nb import Case\nCase.open({case!r}).record()")
        assert "what this kernel showed was not kept; open the case with `begin`" in error_of(done)


class TestWithoutAKernel:
    def test_a_file_is_recorded_as_it_was_saved(self, tmp_path: Path) -> None:
        cell = v4.new_code_cell("1", execution_count=1, outputs=[v4.new_output("stream", text="in the file")])
        nbformat.write(v4.new_notebook(cells=[cell]), tmp_path / "story.ipynb")
        with Case.open(tmp_path / "case") as case:
            record = case.record(tmp_path / "story.ipynb", out=tmp_path / "out")
        assert record.folder is not None
        assert record.html is not None
        assert record.folder.parent == tmp_path / "out"
        assert record.notes == ("It is shown as its file was saved, and was not compared with any kernel.",)
        page = record.html.read_text()
        assert "Record of a notebook's file" in page
        assert "in the file" in page
        assert str(record.html) in record._repr_html_()

    def test_no_notebook_or_none_that_can_be_read(self, tmp_path: Path) -> None:
        with Case.open(tmp_path / "case") as case:
            with pytest.raises(BadInputError, match="no notebook is running here; name one"):
                case.record()
            with pytest.raises(BadInputError, match="cannot read"):
                case.record(tmp_path / "none.ipynb")


class TestPrinted:
    def test_a_pdf_needs_chromium(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        nbformat.write(v4.new_notebook(), tmp_path / "story.ipynb")
        with Case.open(tmp_path / "case") as case:
            with pytest.raises(MissingRequirementError, match="no Chromium is installed"):
                case.record(tmp_path / "story.ipynb", pdf=True)
            assert not (tmp_path / "case" / "runs").exists()
            assert case.record(tmp_path / "story.ipynb").pdf is None

    def test_a_chromium_that_fails_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = tmp_path / "chromium"
        broken.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(Exception, match=r"did not print the PDF \(out of luck\); print the HTML page"):
            to_pdf("<p>")

    def test_a_headless_run_prints_it_for_the_notebook_that_asks(
        self, run: Callable[..., RunResult], finishing: Callable[..., str], case: str
    ) -> None:
        try:
            chromium()
        except MissingRequirementError:
            if os.environ.get("RECOVERY_NB_BROWSER") == "required":
                raise
            pytest.skip("Chromium is not installed")
        done = run("printed", BEGIN.format(case=case), "case.record(pdf=True)", finishing())
        assert (done.status, done.error) == ("success", "")
        assert done.pdf is not None
        assert done.pdf.read_bytes().startswith(b"%PDF-")
        assert verify_run(done.run).ok
        assert "printed.pdf" in json.loads((done.run / "run.json").read_bytes())["files"]
