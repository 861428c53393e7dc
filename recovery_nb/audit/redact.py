"""Masks secrets in what is logged, reported or shown: it would rather hide too much than too little."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

__all__ = ["MASK", "redact", "redact_text", "redact_uri"]

MASK = "***"
"""What stands where a secret was."""

_SECRET_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "authmechanismproperties",
    "credential",
    "cookie",
)
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_SIGNATURES = frozenset({"sig", "signature", "xamzsignature"})
_RUN = re.compile(r'[^\s"<>]+')
_NAME = re.compile(r"""(?<![\w.%-])\\?["']?(?P<name>[\w.%-]++)\\?["']?\s{0,3}[=:]\s{0,3}""")
_VALUE = re.compile(
    r"""\\"(?:[^"\\])*+\\"|"(?:[^"\\]|\\.)*+"|(?:(?:basic|bearer|digest)\s+)?[^\s&"<>]++""", re.IGNORECASE
)
# A driver accepts a password with blanks, quotes or angle brackets in it, where a run of URI characters
# ends early. What stands where the port belongs and is not a number tells such a password from a host.
_BROKEN_URI = re.compile(
    r"(mongodb(?:\+srv)?://)[^\s:/@,\[]*:(?!\d{1,5}(?:[/,?\s\"'.;)\]]|$))(?:[^\n]*@|\S*)", re.IGNORECASE
)


def redact(value: Any) -> Any:
    """Return a copy of `value` without its secrets.

    In every text the user part of a URI and values given to secret-looking names (`password=…`,
    `authMechanismProperties=…`, `Authorization: Bearer …`) are masked; in mappings, the values of
    secret-looking keys are masked whole, unless they are None or a bool.

    Args:
        value: A text, or mappings, lists, tuples and sets of any depth; anything else is returned as it is.
    """
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {redact(key): _redact_named(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return value


def redact_text(text: str) -> str:
    """Return `text` with the secrets in the URIs and assignments within it masked.

    A text that is a MongoDB URI from its beginning is treated as `redact_uri` does.
    """
    if text.lstrip().lower().startswith(("mongodb://", "mongodb+srv://")) and "\n" not in text.strip():
        return redact_uri(text)
    text = _BROKEN_URI.sub(rf"\1{MASK}@", text)
    text = _RUN.sub(_mask_userinfo, text)
    return _mask_assignments(text)


def redact_uri(uri: str) -> str:
    """Return `uri` with its user part and its secret query parameters masked.

    Everything up to the last `@` counts as the user part, so that a password that was not percent-encoded
    is hidden too. The user's name goes with it: some schemes keep a token there.
    """
    scheme, found, rest = uri.partition("://")
    if not found:
        return _mask_assignments(uri)
    _, at, tail = rest.rpartition("@")
    if at:
        uri = f"{scheme}://{MASK}@{tail}"
    elif scheme.strip().lower().startswith("mongodb"):
        uri = _BROKEN_URI.sub(rf"\1{MASK}@", uri)
    return _mask_assignments(uri)


def _redact_named(key: object, item: Any) -> Any:
    if item is None or isinstance(item, bool):
        return item
    return MASK if isinstance(key, str) and _is_secret(key) else redact(item)


def _is_secret(name: str) -> bool:
    plain = _SEPARATORS.sub("", name.lower())
    return any(word in plain for word in _SECRET_NAMES)


def _mask_userinfo(match: re.Match[str]) -> str:
    run = match.group()
    begin, end = run.find("://"), run.rfind("@")
    return f"{run[: begin + 3]}{MASK}{run[end:]}" if 0 <= begin < end else run


def _mask_assignments(text: str) -> str:
    kept, at = [], 0
    while match := _NAME.search(text, at):
        kept.append(text[at : match.end()])
        at = match.end()
        name = unquote(match["name"])
        secret = _is_secret(name) or _SEPARATORS.sub("", name.lower()) in _SIGNATURES
        if secret and (value := _VALUE.match(text, at)):
            kept.append(MASK)
            at = value.end()
    return "".join(kept) + text[at:]
