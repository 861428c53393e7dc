"""gzip (RFC 1952): members one after another, each with a CRC-32; and the bare deflate of zip files (RFC 1951)."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from isal import igzip_lib, isal_zlib

from recovery_nb.sources.expand.parts import Break, Decoded, Readable
from recovery_nb.sources.expand.sequence import Candidate, Format, decode_units
from recovery_nb.sources.expand.stepping import Ended, Errors, How, unit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["MAGIC", "decode", "decode_deflate", "measure_deflate"]

MAGIC = b"\x1f\x8b\x08"

_PIECE = 1024 * 1024
"""Bytes, in and out, in one go. With less, the decoder waits more often for a busy reader, who has Python's lock; with
more, the system's work for fresh pages costs more than that."""

_BEGIN = re.compile(rb"\x1f\x8b\x08[\x00-\x1f].{5}[\x00-\x0d\xff]", re.DOTALL)
"""Deflate, no reserved flag, any time and level, an operating system that RFC 1952 knows."""

_ISAL_ERROR: type[Exception] = igzip_lib.IsalError  # type: ignore[assignment] # its stub says it is an instance
_ERRORS: Errors = (_ISAL_ERROR, zlib.error, EOFError)

_HEADER = MAGIC + b"\0\0\0\0\0\0\xff"


def _candidates(window: bytes, _first: bytes) -> Iterator[Candidate]:
    return (Candidate(found.start()) for found in _BEGIN.finditer(window))


_FORM = Format(
    name="gzip",
    unit="member",
    new=lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
    errors=_ERRORS,
    begins=lambda head: head.startswith(MAGIC),
    candidates=_candidates,
    overlap=16,
    lookback=128 * 1024,
)


_BARE = replace(_FORM, name="deflate", unit="stream", candidates=lambda _window, _first: iter(()))
"""There is one, and nothing behind it."""


def decode(content: Readable, start: int, form: Format = _FORM) -> Decoded:
    """Decode every member, at the speed of ISA-L as long as nothing is wrong."""
    given = 0
    try:
        # What `igzip.IGzipFile` reads through; only here the piece that it takes in can be chosen.
        reader = isal_zlib._GzipReader(_Stream(content, start), _PIECE)  # type: ignore[arg-type]  # it only reads
        buffer = memoryview(bytearray(_PIECE))
        while length := reader.readinto(buffer):
            given += length
            yield buffer[:length]
        return
    except (OSError, _ISAL_ERROR, zlib.error, EOFError):
        pass  # Something is wrong somewhere. What is, and what is left, takes the careful way to find.
    yield from _without(given, decode_units(content, start, form))


def decode_deflate(content: Readable, *, length: int, crc: int | None, size: int) -> Decoded:
    """Decode the bare deflate stream of a zip member.

    It goes as the one member of a gzip file, with a header and a trailer made for it.

    Args:
        content: The stream.
        length: How many bytes it has.
        crc: The CRC-32 of what it expands to; None where that is not known.
        size: The size of what it expands to, in bytes.
    """
    if crc is None:
        return _unproved(content)
    wrapped = _Wrapped(content, length, struct.pack("<II", crc, size & 0xFFFFFFFF))
    return decode(wrapped, -len(_HEADER), _BARE)


def measure_deflate(content: Readable, start: int) -> Generator[bytes, None, Ended]:
    """Decode a bare deflate stream, and return where and how it ends."""
    return unit(content, start, lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE), errors=_ERRORS)


def _unproved(content: Readable) -> Decoded:
    ended = yield from measure_deflate(content, 0)
    if ended.how is not How.WHOLE:
        state = "cut off" if ended.how is How.CUT else "damaged"
        doubt = "the deflate stream is damaged, and has no checksum" if ended.how is How.BROKEN else ""
        yield Break(f"the deflate stream is {state} at byte {ended.position:,}", doubt)


def _without(skip: int, parts: Decoded) -> Decoded:
    for part in parts:
        if isinstance(part, Break):
            yield part
        elif skip >= len(part):
            skip -= len(part)
        else:
            yield part[skip:]
            skip = 0


class _Stream(io.RawIOBase):
    """What is readable, as the file object that the library reads from."""

    def __init__(self, content: Readable, start: int) -> None:
        self._content, self._at = content, start

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        found = self._content.read_at(self._at, len(view))
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def readable(self) -> bool:
        return True


class _Wrapped:
    """Bare deflate between a gzip header, at negative positions, and its trailer."""

    def __init__(self, content: Readable, length: int, trailer: bytes) -> None:
        self._content, self._length, self._trailer = content, length, trailer

    def read_at(self, position: int, length: int) -> bytes:
        found = b""
        if position < 0:
            found = _HEADER[position:][:length]
            position, length = 0, length - len(found)
        if length and position < self._length:
            wanted = min(length, self._length - position)
            found += (data := self._content.read_at(position, wanted))
            if len(data) < wanted:
                return found
            position, length = self._length, length - wanted
        if length:
            found += self._trailer[position - self._length :][:length]
        return found
