"""How a backup's files are packed: in frames of whole records, each of which can be read without the others.

zstd is RFC 8878, gzip RFC 1952. Both let frames (gzip: members) stand back to back, and every reader takes them for
one file; damage costs the frame that it is in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Literal

from isal import igzip, isal_zlib

from recovery_nb.errors import RecoveryError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ENDINGS", "FRAME_BYTES", "Compression", "frames", "pack"]

Compression = Literal["none", "zstd", "gzip"]

ENDINGS: dict[Compression, str] = {"none": "", "zstd": ".zst", "gzip": ".gz"}
"""What is added to a file's name."""

FRAME_BYTES = 8 * 1024 * 1024
"""A frame ends with the record that takes it past so many bytes."""

_ZSTD: dict[int, int] = {zstd.CompressionParameter.compression_level: 3, zstd.CompressionParameter.checksum_flag: 1}
_GZIP_LEVEL = 1
"""Of ISA-L's four: the others are slower, and hardly smaller."""

_GZIP_WINDOW = 31
"""A window of 2^15 bytes, and 16: with gzip's header and checksum."""

_MOST = 100
"""Readers, ours too, hold a file for hostile that expands to some hundred times its size: a frame is never so small."""
_SKIPPED = b"\x50\x2a\x4d\x18"
"""What a frame of zstd begins with that every reader skips (RFC 8878, 3.1.2); its length follows in four bytes."""
_EMPTY = b"\x1f\x8b\x08\x04\0\0\0\0\4\xff", b"\3\0" + bytes(8)
"""What a member of gzip with an extra field and nothing else has before and after that field (RFC 1952, 2.3.1)."""
_EXTRA_BYTES = 65_535


def frames(records: Sequence[bytes]) -> Iterator[bytes]:
    """Yield records joined to pieces of about `FRAME_BYTES`; a record is never in two."""
    first = size = 0
    for number, record in enumerate(records, 1):
        size += len(record)
        if size >= FRAME_BYTES:
            yield b"".join(records[first:number])
            first, size = number, 0
    if first < len(records):
        yield b"".join(records[first:])


def pack(data: bytes, compression: Compression) -> bytes:
    """Return a frame, of which it was checked that it gives back what is in it.

    Raises:
        RecoveryError: It does not: the machine's memory, or a library, is not to be trusted.
    """
    if compression == "none":
        return data
    if compression == "zstd":
        packed = zstd.compress(data, options=_ZSTD)
        sound = zstd.decompress(packed) == data
    else:
        packed = igzip.compress(data, _GZIP_LEVEL, mtime=0)
        sound = isal_zlib.decompress(packed, wbits=_GZIP_WINDOW) == data
    if not sound:
        raise RecoveryError(
            f"what was packed with {compression} does not unpack to what it was; the unfinished backup was removed",
            hint="check this machine's memory, and use --compression none until then",
        )
    return _padding(len(data) // _MOST - len(packed), compression) + packed


def _padding(size: int, compression: Compression) -> bytes:
    """Return at least so many bytes that expand to none."""
    if size <= 0:
        return b""
    if compression == "zstd":
        return _SKIPPED + size.to_bytes(4, "little") + bytes(size)
    member = _EMPTY[0] + _EXTRA_BYTES.to_bytes(2, "little") + bytes(_EXTRA_BYTES) + _EMPTY[1]
    return member * -(-size // _EXTRA_BYTES)
