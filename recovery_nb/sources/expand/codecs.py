"""Which compression or encryption bytes are under, told by how they begin, and what undoes it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from recovery_nb.sources.expand import age, bzip2, gzip, xz, zstd
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.parts import Break, Decode, Readable

__all__ = ["Codec", "Emit", "codec_named", "codec_of", "decode_with"]

Emit = Callable[[bytes | memoryview | Break], None]
"""Takes what is decoded, in order. It may raise, to stop. A `memoryview` holds only during the call."""


class Codec(StrEnum):
    """A compression or an encryption of one stream of bytes."""

    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"
    AGE = "age"


_DECODERS: dict[Codec, Decode] = {
    Codec.GZIP: gzip.decode,
    Codec.ZSTD: zstd.decode,
    Codec.BZIP2: bzip2.decode,
    Codec.XZ: xz.decode,
}

_ENDINGS = {
    ".gz": Codec.GZIP,
    ".tgz": Codec.GZIP,
    ".zst": Codec.ZSTD,
    ".tzst": Codec.ZSTD,
    ".bz2": Codec.BZIP2,
    ".tbz2": Codec.BZIP2,
    ".xz": Codec.XZ,
    ".txz": Codec.XZ,
    ".age": Codec.AGE,
}


def codec_of(head: bytes) -> Codec | None:
    """Return what bytes that begin so are under; None if that is nothing known."""
    if head.startswith(gzip.MAGIC):
        return Codec.GZIP
    if head.startswith(zstd.MAGIC) or zstd.SKIPPABLE.match(head):
        return Codec.ZSTD
    if bzip2.is_bzip2(head):
        return Codec.BZIP2
    if head.startswith(xz.MAGIC):
        return Codec.XZ
    if head.startswith((age.MAGIC, age.ARMOR)):
        return Codec.AGE
    return None


def codec_named(name: str) -> Codec | None:
    """Return what a file of this name should be under: it is what is left to go by where the beginning is lost."""
    return next((codec for ending, codec in _ENDINGS.items() if name.lower().endswith(ending)), None)


def decode_with(codec: Codec, content: Readable, start: int, emit: Emit, *, keys: AgeKeys, label: str) -> None:
    """Decode what is readable from `start` on, as far as it goes.

    Args:
        codec: What it is under.
        content: The bytes as they are stored.
        start: Where to begin; a break is emitted first if nothing begins there.
        emit: Takes what is decoded.
        keys: What age files are decrypted with.
        label: The file's path, for messages.

    Raises:
        BadInputError: There is no key for it.
    """
    if codec is Codec.AGE:
        age.decrypt(content, start, emit, keys=keys, label=label)
        return
    for part in _DECODERS[codec](content, start):
        emit(part)
