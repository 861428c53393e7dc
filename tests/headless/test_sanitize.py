"""Whatever a cell shows as HTML: nothing runs, nothing is fetched, and it stays in its place."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_nb.headless.sanitize import sanitize

PIECES = [
    '<script>', '</script>', '<img src=x onerror=alert(1)>', '<svg onload=x>', '</div>', '<div>', '<b',
    '<!--', '-->', '<style>', '</style>', '<a href=javascript:x>', '<![CDATA[',
    "<p style='background:url(//e)'>", '<iframe src=//e>', '<textarea>', '<title>', '<math>',
    '&lt;script&gt;', '&#60;script>', '<table><tr><td>', '"', "'>", '<noscript>', '<?x', '<br/>',
    '<div/onclick=x>', 'text',
]  # fmt: skip


class Seen(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.depth = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth += tag not in {"br", "img", "hr", "col", "wbr"}
        if tag in {
            "script",
            "svg",
            "style",
            "iframe",
            "math",
            "textarea",
            "title",
            "noscript",
            "object",
            "form",
        }:
            self.bad.append(tag)
        self.bad += [name for name, _ in attrs if name.startswith("on") or name in {"src", "href"}]
        self.bad += [value for name, value in attrs if name == "style" and value and "url" in value]

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1
        if self.depth < 0:
            self.bad.append(f"</{tag}>")


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(deadline=None)
def test_nothing_runs_nothing_is_fetched_and_all_is_closed(markup: str) -> None:
    seen = Seen(sanitize(markup))
    assert (seen.bad, seen.depth) == ([], 0)


@pytest.mark.parametrize(
    "markup",
    [
        '<table style="width: 100%"><tbody><tr><td colspan="2">1 &amp; 2</td></tr></tbody></table>',
        '<details open=""><summary>more</summary><progress value="3" max="10"></progress></details>',
        '<img alt="x" src="data:image/png;base64,AAAA">',
        '<a href="#cell-3">there</a>',
    ],
)
def test_what_is_harmless_is_kept(markup: str) -> None:
    assert sanitize(markup) == markup


def test_what_is_not_known_is_shown_as_text() -> None:
    assert sanitize("<script>alert(1)</script>") == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert sanitize("<img src=http://e/x.png>") == "&lt;img src=http://e/x.png&gt;"


def test_styles_of_a_dataframe_are_dropped() -> None:
    assert sanitize("<style scoped>.x { color: red }</style><b>1</b>") == "<b>1</b>"


def test_a_link_out_of_the_page_keeps_its_text() -> None:
    assert sanitize('<a href="https://example.org">docs</a>') == "<a>docs</a>"
