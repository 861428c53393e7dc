"""What a headless run does, on real kernels and tiny notebooks, one behaviour each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest

from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Event
from recovery_nb.headless import RunResult, run_notebook

Run = Callable[..., RunResult]
Finishing = Callable[..., str]

PASSWORD = "s3cr@t/pw:ü&'x"
URI = f"mongodb://bob:{quote(PASSWORD, safe='')}@127.0.0.1:1/shop"
HOSTILE = "</script><img src=x onerror=alert(1)><script src='https://evil.example/x.js'></script>"
LEAKS = """
import os, sys, logging
from urllib.parse import unquote
from IPython.display import HTML, Markdown, display
uri = os.environ["DATABASE_URI"]
password = unquote(uri.split(":")[2].split("@")[0])
print(uri, password)
print(password, file=sys.stderr)
sys.stdout.write(uri[:20]); sys.stdout.flush(); sys.stdout.write(uri[20:]); sys.stdout.flush()
display(HTML(f"<b title='{uri}'>{password}</b>"), Markdown(uri), {"uri": uri, "password": password})
display({"text/plain": "x"}, raw=True, metadata={"text/plain": {"uri": uri}})
from recovery_nb.reports.sentinel import finish
from pathlib import Path
finish({"uri": uri, password: [password]}, exit_code=0, fallback=Path("."))
raise ConnectionError(f"cannot reach {uri} with {password}")
"""


class Page(HTMLParser):
    """Collects every tag and attribute of a page as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def requests(self) -> list[tuple[str, str, str]]:
        fetching = {"src", "href", "srcset", "data", "action", "poster", "background"}
        return [
            (tag, name, value)
            for tag, name, value in self.attributes
            if (name in fetching and not value.startswith(("data:image/", "#")))
            or (name == "style" and re.search(r"url|@import", value, re.IGNORECASE))
        ]

    def scripts(self) -> list[str]:
        inline = [f"{tag} {name}" for tag, name, _ in self.attributes if name.startswith("on")]
        return inline + [tag for tag in self.tags if tag in {"script", "iframe", "object", "embed", "link"}]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def story(run: Run, events: list[Event]) -> RunResult:
    return run(
        "story",
        "#!# What was lost\n\nA story. <script>alert(2)</script> ![x](http://evil.example/y.png)",
        "import sys, os\nprint(sys.executable, os.getcwd())",
        f"from IPython.display import HTML, Javascript, display\nhostile = {HOSTILE!r}\nprint(hostile)\n"
        "styled = '<p style=\"background:url(http://evil.example)\">kept</p>'\n"
        "display(HTML(hostile + styled), Javascript('1'))",
        "import ipywidgets as w\nout = w.Output()\nwith out:\n    print('captured by a widget')\n"
        "display(out, w.Button(description='go'))",
        "print(collection, limit, sources, interactive, case)",
        "from pathlib import Path\nfrom recovery_nb.reports.sentinel import finish\n"
        "finish({'where': Path('x')}, exit_code=1, fallback=Path('.'))",
        parameters="collection = ''  # which\nlimit = 1\nsources = []\ninteractive = None\ncase = ''",
        given={"collection": Path("quotes"), "limit": "5", "sources": "a, b"},
        case=Path("the-case"),
        emit=events.append,
    )


class TestASuccessfulRun:
    def test_ends_with_the_exit_code_that_the_notebook_gave(self, story: RunResult) -> None:
        assert (story.status, story.exit_code, story.error) == ("success", 1, "")

    def test_publishes_four_files_whose_digests_are_in_run_json(self, story: RunResult) -> None:
        names = {"story.ipynb", "story.html", "report.json"}
        assert {path.name for path in story.run.iterdir()} == names | {"run.json"}
        facts = json.loads((story.run / "run.json").read_bytes())
        assert (facts["run"], facts["status"]) == (story.run.name, "success")
        digests = {name: hashlib.sha256((story.run / name).read_bytes()).hexdigest() for name in names}
        assert {name: described["sha256"] for name, described in facts["files"].items()} == digests

    def test_is_named_by_notebook_and_utc_time(self, story: RunResult) -> None:
        assert re.fullmatch(r"story_\d{8}T\d{6}Z(_\d+)?", story.run.name)

    def test_hands_on_the_report(self, story: RunResult) -> None:
        assert story.report == story.run / "report.json"
        assert json.loads(story.report.read_bytes()) == {"where": "x"}

    def test_runs_in_our_interpreter_and_working_directory(self, story: RunResult) -> None:
        assert f"{sys.executable} {Path.cwd()}" in story.notebook.read_text()

    def test_passes_parameters_in_their_types(self, story: RunResult) -> None:
        expected = f"quotes 5 ['a', 'b'] False {Path('the-case').absolute()}"
        assert expected in story.notebook.read_text()

    def test_tells_how_far_it_is(self, story: RunResult, events: list[Event]) -> None:
        assert [event.what for event in events] == ["story"] * 7
        assert events[-1].done == events[-1].total

    def test_leaves_nothing_but_the_run_folder(self, story: RunResult) -> None:
        assert [path for path in story.run.parent.iterdir() if path.name.startswith(".")] == []

    def test_freezes_widgets_and_keeps_what_they_captured(self, story: RunResult) -> None:
        node = nbformat.read(story.notebook, as_version=4)
        nbformat.validate(node)
        assert "widgets" not in node.metadata
        kinds = {kind for cell in node.cells for output in cell.get("outputs", []) for kind in output.get("data", {})}
        assert kinds <= {"text/plain", "text/html", "image/png"}
        assert "captured by a widget" in story.notebook.read_text()

    def test_page_runs_no_script_and_makes_no_request(self, story: RunResult) -> None:
        page = Page(story.html.read_text())
        assert page.scripts() == []
        assert page.requests() == []
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        assert ("meta", "content", policy) in page.attributes
        assert "url(" not in re.findall(r"<style>(.*?)</style>", story.html.read_text(), re.DOTALL)[0]

    def test_page_shows_a_hostile_payload_as_text(self, story: RunResult) -> None:
        text = story.html.read_text()
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
        assert "<p>kept</p>" in text

    def test_page_says_its_heading_once(self, story: RunResult) -> None:
        assert re.findall(r"<h1[^>]*>(.*?)</h1>", story.html.read_text()) == ["What was lost"]


class TestAFailedRun:
    def test_names_exception_and_cell_and_is_published(self, run: Run, finishing: Finishing) -> None:
        result = run("raises", "1 + 1", "raise ValueError('no\\nluck')", finishing())
        assert (result.status, result.exit_code) == ("failed", 2)
        assert result.error == "ValueError: no (cell [2])"
        assert result.report is None
        text = result.html.read_text()
        assert text.index("The run failed") < text.index("ValueError: no (cell [2])") < text.index("<main>")
        assert "papermill-error-cell" not in result.notebook.read_text()

    def test_dead_kernel(self, run: Run, finishing: Finishing) -> None:
        crash = "import os\nos.write(2, b'out of luck\\n')\nos._exit(7)"
        result = run("dies", "print('seen')", crash, finishing())
        assert (result.status, result.exit_code) == ("failed", 2)
        assert result.error == "DeadKernelError: the kernel died; its last words: out of luck (cell [2])"
        assert "seen" in result.notebook.read_text()

    def test_cell_timeout(self, run: Run, finishing: Finishing) -> None:
        result = run("slow", "import threading\nthreading.Event().wait()", finishing(), cell_timeout=1)
        assert (result.status, result.exit_code) == ("failed", 2)
        assert result.error == "CellTimeoutError: the cell ran longer than the 1 s it may take (cell [1])"

    def test_sys_exit_is_no_success(self, run: Run, finishing: Finishing) -> None:
        result = run("exits", "import sys\nsys.exit(0)", finishing())
        assert (result.status, result.error) == ("failed", "SystemExit: 0 (cell [1])")

    def test_missing_sentinel(self, run: Run) -> None:
        result = run("unfinished", "print('all went well')")
        assert result.status == "failed"
        assert "left no sentinel" in result.error

    def test_sentinel_of_another_run_and_a_cell_that_may_raise(self, run: Run, finishing: Finishing) -> None:
        forged = "import os\nos.environ['RECOVERY_NB_RUN_TOKEN'] = 'x'" + finishing()
        assert "not that of this run" in run("forged", forged).error

    def test_notebook_that_says_it_could_not_be_done(self, run: Run, finishing: Finishing) -> None:
        result = run("gives up", finishing(code=2, report="{'why': 'no backup'}"))
        assert (result.status, result.exit_code) == ("failed", 2)
        assert result.report is not None

    def test_processes_of_a_dead_kernel_are_ended(self, run: Run, folder: Path) -> None:
        note = folder / "pid"
        result = run(
            "orphans",
            "import os, subprocess\nfrom pathlib import Path\nchild = subprocess.Popen(['sleep', '600'])\n"
            f"Path({str(note)!r}).write_text(str(child.pid))\nos._exit(1)",
        )
        assert result.status == "failed"
        assert not Path(f"/proc/{note.read_text()}/exe").exists()


@pytest.fixture(scope="module")
def leaky(run: Run) -> RunResult:
    return run("leaky", LEAKS, database=URI)


class TestNoSecret:
    def test_is_in_any_file_of_the_run(self, leaky: RunResult) -> None:
        assert leaky.status == "failed"
        encoded = quote(PASSWORD, safe="")
        forms = {
            PASSWORD,
            encoded,
            encoded.lower(),
            quote(PASSWORD),
            json.dumps(PASSWORD)[1:-1],
            repr(PASSWORD)[1:-1],
        }
        everything = b"".join(path.read_bytes() for path in leaky.run.iterdir())
        assert [form for form in forms if form.encode() in everything] == []
        assert b"bob:***@127.0.0.1:1/shop" in everything

    def test_is_in_the_error(self, leaky: RunResult) -> None:
        assert leaky.error == "ConnectionError: cannot reach mongodb://bob:***@127.0.0.1:1/shop with *** (cell [1])"

    def test_inherited_from_the_environment_either(
        self, run: Run, finishing: Finishing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URI", "mongodb://bob:stdout@127.0.0.1/shop")
        result = run("inherits", "import os\nprint(os.environ['DATABASE_URI'], 'stdout')", finishing())
        assert result.status == "success"
        (output,) = nbformat.read(result.notebook, as_version=4).cells[0].outputs
        assert (output.name, output.text) == ("stdout", "mongodb://bob:***@127.0.0.1/shop ***\n")


class TestBeforeAnyKernel:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"limt": 5}, "no parameter 'limt'; did you mean limit? it takes limit=1"),
            ({"limit": "many"}, "parameter limit is 'many', which is no int"),
            ({"name": "mongodb://bob:pw@host/db"}, "parameter name would put a secret into the notebook"),
        ],
    )
    def test_bad_parameters_are_refused(self, run: Run, tmp_path: Path, given: dict[str, object], message: str) -> None:
        path = tmp_path / "n.ipynb"
        cell = nbformat.v4.new_code_cell("limit = 1\nname = ''", metadata={"tags": ["parameters"]})
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
        with pytest.raises(BadInputError) as caught:
            run_notebook(path, given, out=tmp_path / "out")
        assert message in str(caught.value)
        assert "pw" not in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_what_is_no_notebook_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "n.ipynb"
        path.write_bytes(b"\xff{}")
        with pytest.raises(BadInputError, match="is no Jupyter notebook"):
            run_notebook(path, {}, out=tmp_path / "out")

    def test_a_folder_that_cannot_be_made_is_one_line(self, write: Callable[..., Path], tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(RecoveryError, match="cannot write the run of n to"):
            run_notebook(write("n", "1"), {}, out=tmp_path / "file" / "out")


def test_importing_the_package_does_not_import_papermill() -> None:
    code = "import sys, recovery_nb.headless; print({'papermill', 'nbconvert', 'nbformat'} & set(sys.modules))"
    assert os.popen(f'{sys.executable} -c "{code}"').read() == "set()\n"  # noqa: S605 (our own words)
