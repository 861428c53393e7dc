"""How `mongodump` names the files of a collection (mongo-tools, common/util: EscapeCollectionName)."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

__all__ = ["file_stem"]

_UNESCAPED = "$&+=:@-_.~"
_LONGEST, _KEPT = 238, 208


def file_stem(collection: str) -> str:
    """Return what `mongodump` calls a collection's files: percent-escaped, and cut where that is too long."""
    escaped = quote(collection, safe=_UNESCAPED)
    if len(escaped) <= _LONGEST:
        return escaped
    digest = hashlib.sha1(collection.encode(), usedforsecurity=False).digest()
    return f"{escaped[:_KEPT]}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
