"""How much may come out of a compressed file or an archive before it is held to be hostile."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RATIO_FROM", "Limits"]

RATIO_FROM = 64 * 1024 * 1024
"""Bytes. What expands to less is harmless whatever its ratio: text of spaces and zeros does."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What hostile files are held to. Each can be raised; the message at a limit names the setting.

    Attributes:
        expanded_bytes: How many bytes one content may expand to. It is what a spool on disk may take.
        ratio: How many times its compressed size a content may expand to. It counts once more than 64 MiB came out.
            Text and BSON reach 5 to 30; gzip cannot exceed 1,032.
        nesting: How many layers of compression, encryption and archives may be within each other.
        members: How many members of one archive are listed.
    """

    expanded_bytes: int = 1 << 40
    ratio: int = 200
    nesting: int = 8
    members: int = 100_000
