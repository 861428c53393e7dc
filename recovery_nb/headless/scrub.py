"""Taking secrets out of everything a run leaves behind."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

__all__ = ["MASK", "Scrubber", "has_credentials"]

MASK = "***"

# A password ends at the last @ before a slash: people do forget to percent-encode one. Anchored at
# `://`, so that a megabyte of base64 is passed over in linear time.
_USERINFO = re.compile(r"(://[^\s/:@\"'<>]*:)([^\s/\"'<>]*)@")
_QUERY = re.compile(
    r"([?&;][A-Za-z]*(?:password|passwd|secret|token)=|AWS_SESSION_TOKEN:)[^\s&;,\"'<>]+", re.IGNORECASE
)
_WHOLE_WORD_BELOW = 4


def has_credentials(value: object) -> bool:
    """Say whether a value holds, at any depth, a URI with a password or a token in it."""
    if isinstance(value, str):
        return any(found[2] not in ("", MASK) for found in _USERINFO.finditer(value)) or bool(_QUERY.search(value))
    if isinstance(value, Mapping):
        return any(has_credentials(item) for pair in value.items() for item in pair)
    return isinstance(value, list | tuple | set) and any(has_credentials(item) for item in value)


class Scrubber:
    """Replaces the secrets of given URIs, and of every URI with a password, in text and in trees of text.

    A password is known in the spellings in which programs show it: as it is, percent-encoded, and escaped as
    in Python, JSON and HTML. One of fewer than 4 characters is replaced where it stands alone, as a whole
    word: elsewhere it would take the text apart and be recognisable by that.
    """

    def __init__(self, *uris: str) -> None:
        spellings = {form for uri in uris for secret in _secrets(uri) for form in _spellings(secret)}
        longest_first = sorted(spellings, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(_pattern, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        if "://" in text:
            text = _USERINFO.sub(rf"\g<1>{MASK}@", text)
        text = _QUERY.sub(rf"\g<1>{MASK}", text)
        return self._known.sub(MASK, text) if self._known else text

    def tree(self, value: Any) -> Any:
        """Return a value made of mappings, lists and text, without secrets in its keys or values."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.tree(item) for item in value]
        return value


def _secrets(uri: str) -> set[str]:
    """Return the password and the tokens of one URI, as they are written in it."""
    _, separator, rest = uri.partition("://")
    if not separator:
        return set()
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    # A slash or a question mark that should have been encoded cuts the authority short of its last @.
    found = {part.rpartition("@")[0].partition(":")[2] for part in (authority, rest)}
    for name, _, value in (part.partition("=") for part in re.split(r"[?&;]", rest)[1:]):
        if re.search(r"passw|secret|token", name, re.IGNORECASE):
            found.add(value)
        found.update(re.findall(r"AWS_SESSION_TOKEN:([^,]+)", value))
    return found - {"", MASK}


def _spellings(secret: str) -> set[str]:
    plain = {secret, unquote(secret), unquote_plus(secret)}
    encoded = {form for text in plain for form in (quote(text, safe=""), quote(text), quote_plus(text))}
    encoded |= {re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), text) for text in encoded}
    escaped = {
        form
        for text in plain | encoded
        for form in (
            repr(text)[1:-1],
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            html.escape(text),
            html.escape(text, quote=False),
        )
    }
    return {form for form in plain | encoded | escaped if form}


def _pattern(form: str) -> str:
    escaped = re.escape(form)
    return escaped if len(form) >= _WHOLE_WORD_BELOW else rf"(?<!\w){escaped}(?!\w)"
