"""xz (the .xz file format, version 1.2.1): streams one after another, each of blocks that can be decoded alone.

A block that follows damage is decoded with a stream header made for it. The stream's index, which lists all its blocks,
then does not fit; that is no damage.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from collections.abc import Iterator

from recovery_nb.sources.expand.parts import Decoded, Readable
from recovery_nb.sources.expand.sequence import WINDOW, Candidate, Format, decode_units

__all__ = ["MAGIC", "decode"]

MAGIC = b"\xfd7zXZ\0"

_MEMORY = 192 * 1024 * 1024
"""Bytes that a decoder may take: `xz -9` needs 65 MiB."""

_CRC64 = 4
"""The check that xz writes unless told otherwise."""

_CHECK_BYTES = (0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64)
"""How long the check behind a block is, by its kind."""

_LZMA2 = re.compile(rb"\x21\x01[\x00-\x28]|\xfd7zXZ\0\0[\x00-\x0f]")
"""In a block's header, the filter LZMA2 with its dictionary's size; or a stream's header."""

_FOOTER = re.compile(rb"....(....\0[\x00-\x0f])YZ", re.DOTALL)
_HEADER_BYTES = 12


def _header(check: int) -> bytes:
    flags = bytes((0, check))
    return MAGIC + flags + struct.pack("<I", zlib.crc32(flags))


def _is_header(head: bytes) -> bool:
    return head.startswith(MAGIC) and head[:_HEADER_BYTES] == _header(head[7] if len(head) > 7 else 0)


def _candidates(window: bytes, first: bytes) -> Iterator[Candidate]:
    prefix = _header(first[7] if _is_header(first) else _CRC64)
    for found in _LZMA2.finditer(window):
        at = found.start()
        if window[at] != 0x21:
            if _is_header(window[at : at + _HEADER_BYTES]):
                yield Candidate(at)
            continue
        # Before the filter are a byte for the header's size, one for flags, and up to two sizes of at most nine bytes.
        for begin in range(max(0, at - 20), at - 1):
            size = window[begin] * 4 + 4
            header = window[begin : begin + size]
            if size > 8 and begin + size > at and len(header) == size and _sealed(header):
                yield Candidate(begin, prefix)
                break


def _sealed(data: bytes) -> bool:
    return int.from_bytes(data[-4:], "little") == zlib.crc32(data[:-4])


def _end_of_index(content: Readable, failed: int) -> int | None:
    """Return where the stream ends in whose index, or footer, the decoding failed; None if it failed elsewhere."""
    before = min(failed, 64)
    window = content.read_at(failed - before, WINDOW)
    for found in _FOOTER.finditer(window):
        if int.from_bytes(found[0][:4], "little") != zlib.crc32(found[1]):
            continue
        footer = failed - before + found.start()
        size = int.from_bytes(found[1][:4], "little") * 4 + 4
        begin = footer - size
        if begin < 0 or begin > failed or size > WINDOW:
            return None
        index = content.read_at(begin, size)
        return footer + _HEADER_BYTES if index[:1] == b"\0" and _sealed(index) else None
    return None


def _last_block(content: Readable, began: int, prefix: bytes, failed: int) -> int:
    """Return where the block begins that was being decoded, by the sizes that the blocks' LZMA2 chunks state."""
    stream = prefix or content.read_at(began, _HEADER_BYTES)
    if not _is_header(stream):
        return began
    at = began if prefix else began + _HEADER_BYTES
    sealed_by = _CHECK_BYTES[stream[7] & 15]
    last = began
    while at <= failed:
        size = (content.read_at(at, 1) or b"\0")[0] * 4 + 4
        header = content.read_at(at, size)
        if size == 4 or len(header) < size or not _sealed(header):
            return last
        last, data = at, at + size
        while (chunk := content.read_at(data, 5)) and chunk[0] and data <= failed:
            # An uncompressed chunk states its size; a compressed one its packed size, and may add a byte of properties.
            packed = chunk[1:3] if chunk[0] < 0x80 else chunk[3:5]
            data += int.from_bytes(packed, "big") + 1 + (3 if chunk[0] < 0x80 else 5 + (chunk[0] >= 0xC0))
        data += 1
        at = data + -(data - at) % 4 + sealed_by
    return last


_FORM = Format(
    name="xz",
    unit="stream",
    new=lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY),
    errors=(lzma.LZMAError, EOFError, MemoryError),
    begins=_is_header,
    candidates=_candidates,
    overlap=1024 + 32,
    lookback=256 * 1024,
    reached=_last_block,
    forgive=_end_of_index,
)


def decode(content: Readable, start: int) -> Decoded:
    """Decode every stream, and of a damaged one every block."""
    return decode_units(content, start, _FORM)
