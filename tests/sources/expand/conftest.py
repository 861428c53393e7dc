"""What the tests of expansion share: records, and how they were packed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import bson
import pytest
from backports import zstd

from recovery_nb.sources.content import Memory
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.codecs import Codec, decode_with
from recovery_nb.sources.expand.parts import Break


@dataclass
class Decoded:
    """What a decoder gave: stretches of bytes that belong together, and the breaks between them."""

    stretches: list[bytes] = field(default_factory=lambda: [b""])
    breaks: list[Break] = field(default_factory=list)

    def take(self, part: bytes | memoryview | Break) -> None:
        if isinstance(part, Break):
            self.breaks.append(part)
            self.stretches.append(b"")
        else:
            self.stretches[-1] += bytes(part)

    @property
    def data(self) -> bytes:
        return b"".join(self.stretches)

    def holds(self, record: bytes) -> bool:
        """Whether a record came out whole, and not across a break."""
        return any(record in stretch for stretch in self.stretches)


Decoder = Callable[[Codec, bytes], Decoded]


@pytest.fixture(scope="session")
def decoded() -> Decoder:
    def decode(codec: Codec, packed: bytes, keys: AgeKeys | None = None) -> Decoded:
        found = Decoded()
        decode_with(codec, Memory(packed), 0, found.take, keys=keys or AgeKeys(), label="users.bson")
        return found

    return decode


@pytest.fixture(scope="session")
def records() -> list[bytes]:
    """1,000 documents, each unlike every other, which compress as text does."""
    rng = random.Random(7)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(500)]
    return [
        bson.encode({"_id": rng.randbytes(12), "n": n, "text": " ".join(rng.choices(words, k=60))}) for n in range(1000)
    ]


def _zstd(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_XZ)


PACKERS: dict[Codec, Callable[[bytes], bytes]] = {
    Codec.GZIP: gzip.compress,
    Codec.ZSTD: _zstd,
    Codec.BZIP2: bz2.compress,
    Codec.XZ: _xz,
}


@pytest.fixture(scope="session")
def pack() -> Callable[[Codec, bytes], bytes]:
    return lambda codec, data: PACKERS[codec](data)
