"""Outputs as HTML that cannot do anything: an allow-list, and everything else shown as text.

Records are hostile: a cell may have put one on the page unescaped. What is not known to be harmless is
escaped, so that it stays visible as evidence. The page's
Content-Security-Policy is the second wall, not the first.
"""

from __future__ import annotations

import re
from html import escape
from html.parser import HTMLParser

__all__ = ["sanitize"]

_VOID = frozenset({"br", "col", "hr", "img", "wbr"})
_TAGS = _VOID | frozenset(
    re.findall(
        r"\w+",
        "a abbr b blockquote caption cite code colgroup dd del details dfn div dl dt em figcaption figure"
        " footer h1 h2 h3 h4 h5 h6 header i ins kbd li mark meter ol p pre progress q s samp section small"
        " span strong sub summary sup table tbody td tfoot th thead time tr u ul var",
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"\w+",
        "align alt class colspan datetime dir height id lang max min open role rowspan scope span start"
        " style title valign value width",
    )
)
_FETCHES = re.compile(r"url\s*\(|image-set|image\s*\(|src\s*\(|expression|@|\\|/\*", re.IGNORECASE)
_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml)[;,]", re.IGNORECASE)


def sanitize(markup: str) -> str:
    """Return markup that runs nothing, fetches nothing and closes what it opens.

    Tags off the allow-list are shown as text; `<style>` is dropped with its content; links lead nowhere but
    within the page; images are data URIs.
    """
    cleaner = _Cleaner()
    cleaner.feed(markup)
    cleaner.close()
    return cleaner.result()


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._open: list[str] = []
        self._in_style = False

    def result(self) -> str:
        return "".join(self._parts) + "".join(f"</{tag}>" for tag in reversed(self._open))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "style":
            self._in_style = True
        elif tag not in _TAGS or (tag == "img" and not _is_embedded(attrs)):
            self._parts.append(escape(self.get_starttag_text() or ""))
        else:
            kept = "".join(
                f' {name}="{escape(value or "")}"' for name, value in attrs if _harmless(tag, name, value or "")
            )
            self._parts.append(f"<{tag}{kept}>")
            if tag not in _VOID:
                self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag in _TAGS and tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "style":
            self._in_style = False
        elif tag not in _TAGS:
            self._parts.append(escape(f"</{tag}>"))
        elif tag in self._open:
            # Close what was left open inside; a close of what was never opened is dropped.
            while (inner := self._open.pop()) != tag:
                self._parts.append(f"</{inner}>")
            self._parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self._parts.append(escape(data))


def _is_embedded(attrs: list[tuple[str, str | None]]) -> bool:
    return any(name == "src" and _IMAGE.match(value or "") for name, value in attrs)


def _harmless(tag: str, name: str, value: str) -> bool:
    if tag == "img" and name == "src":
        return bool(_IMAGE.match(value))
    if tag == "a" and name == "href":
        return value.startswith("#")
    if name == "style":
        return not _FETCHES.search(value)
    return name in _ATTRIBUTES
