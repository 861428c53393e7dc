"""What is shown is static, escaped, and says what it leaves out."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.reports.html import Markup, chip, chips, facts, image, join, table

HOSTILE = "</script><img src=x onerror=\"alert('1')\"><style>*{}</style>"
ALLOWED = {"div", "span", "b", "table", "thead", "tbody", "tr", "th", "td", "img"}


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


def everything(text: str) -> Markup:
    return join(
        text,
        chip(text),
        chips({text: 1}),
        table([text], [[text], [chip(text, 2)]], total=9, caption=text),
        facts({text: text}),
        image(b"png", alt=text),
    )


@given(st.text() | st.just(HOSTILE))
def test_data_never_becomes_markup(text):
    found = read(everything(text))
    assert {tag for tag, _ in found.tags} <= ALLOWED
    assert all(attributes.keys() <= {"style", "src", "alt"} for _, attributes in found.tags)
    images = [attributes for tag, attributes in found.tags if tag == "img"]
    assert [(each["src"] or "")[:22] for each in images] == ["data:image/png;base64,"]


def test_the_hostile_text_is_shown_as_it_is():
    assert read(everything(HOSTILE)).text.count(HOSTILE) == 9


def test_a_table_says_what_it_leaves_out():
    rows = [[number, "x"] for number in range(40_000)]
    shown = table(["n", "text"], rows, total=40_000, caption="Missing")
    assert "100 of 40,000 shown" in shown
    assert shown.count("<tr") == 101
    assert "2 in all" in table(["n"], [[1], [2]])
    assert "500,000 characters" in table(["n"], [["x" * 500_000]])


def test_text_takes_the_colour_of_the_theme_but_for_chips():
    html = table(["a"], [["b"]]) + facts({"a": 1})
    assert "color: inherit" in html
    assert "#" not in html.replace("&#", ""), "no fixed colour outside chips"
    assert "#d1571a" in chip("missing")
