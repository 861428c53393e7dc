from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import zlib

import pytest
from backports import zstd

from recovery_nb.sources.expand.codecs import Codec, codec_named, codec_of

COMPRESSIONS = [Codec.GZIP, Codec.ZSTD, Codec.BZIP2, Codec.XZ]
SKIPPABLE = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 5) + b"notes"


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_a_compression_is_told_by_its_content(codec, pack) -> None:
    assert codec_of(pack(codec, b"text")) is codec
    assert codec_of(pack(codec, b"")) is codec


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        (SKIPPABLE, Codec.ZSTD),
        (b"age-encryption.org/v1\n-> X25519 ", Codec.AGE),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", Codec.AGE),
        (b"", None),
        (b"BZh9 is no bzip2", None),
        (b"\x1f\x8b\x07", None),
        (b"\x2c\x00\x00\x00\x07_id\x00", None),
    ],
)
def test_nothing_else_is_taken_for_one(head, codec) -> None:
    assert codec_of(head) is codec


def test_a_name_tells_what_a_lost_beginning_does_not() -> None:
    assert codec_named("users.bson.GZ") is Codec.GZIP
    assert codec_named("old.tar.zst") is Codec.ZSTD
    assert codec_named("users.bson") is None


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_members_frames_and_streams_follow_each_other(codec, pack, decoded, records) -> None:
    packed = b"".join(pack(codec, record) for record in records[:50]) + pack(codec, b"")
    found = decoded(codec, packed)
    assert (found.data, found.breaks) == (b"".join(records[:50]), [])


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_zeros_behind_the_end_are_padding(codec, pack, decoded) -> None:
    found = decoded(codec, pack(codec, b"first") + b"\0" * 1024 + pack(codec, b"second") + b"\0" * 4096)
    assert (found.data, found.breaks) == (b"firstsecond", [])


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_anything_else_behind_the_end_is_said(codec, pack, decoded) -> None:
    packed = pack(codec, b"first")
    found = decoded(codec, packed + b"something else, at any rate")
    assert found.data == b"first"
    (said,) = found.breaks
    assert f"byte {len(packed):,}" in said.reason
    assert not said.doubt


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_junk_between_units_costs_nothing_but_is_said(codec, pack, decoded, records) -> None:
    junk = random.Random(3).randbytes(3000)
    found = decoded(codec, pack(codec, records[0]) + junk + pack(codec, records[1]))
    assert found.stretches == [records[0], records[1]]
    assert not found.breaks[0].doubt


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_a_lost_beginning_costs_only_the_first_unit(codec, pack, decoded, records) -> None:
    found = decoded(codec, pack(codec, b"".join(records[:100]))[40:] + pack(codec, b"".join(records[100:])))
    assert found.stretches[-1] == b"".join(records[100:])
    assert found.breaks


@pytest.mark.parametrize("codec", COMPRESSIONS)
@pytest.mark.parametrize("cut", [1, 5, 9, 1000])
def test_a_cut_tail_is_said_and_all_before_it_is_there(codec, cut, pack, decoded, records) -> None:
    units = [b"".join(records[:500]), b"".join(records[500:])]
    found = decoded(codec, b"".join(pack(codec, unit) for unit in units)[:-cut])
    assert found.data.startswith(units[0])
    assert b"".join(units).startswith(found.data)
    assert found.stretches[-1] == b""
    assert "cut off" in found.breaks[-1].reason
    assert not any(said.doubt for said in found.breaks)


@pytest.mark.parametrize("codec", [Codec.GZIP, Codec.ZSTD, Codec.XZ])
def test_a_wrong_checksum_puts_what_it_is_of_in_doubt(codec, decoded, pack, records) -> None:
    data = b"".join(records)
    packed = bytearray(pack(codec, data))
    at = {Codec.GZIP: -8, Codec.ZSTD: -4, Codec.XZ: -12 - _index_bytes(packed) - 8}[codec]
    packed[at] ^= 1
    found = decoded(codec, bytes(packed) + pack(codec, b"behind"))
    assert found.stretches == [data, b"behind"]
    assert found.breaks[0].doubt


def test_gzip_with_a_name_a_comment_and_extra_fields_is_read(decoded) -> None:
    body = gzip.compress(b"text")[10:]
    extra = b"\x1f\x8b\x08\x1c\0\0\0\0\0\x03" + struct.pack("<H", 4) + b"ab\0\0" + b"name.bson\0comment\0"
    assert decoded(Codec.GZIP, extra + body).data == b"text"


def test_zstd_skips_what_holds_no_content(decoded, pack) -> None:
    found = decoded(Codec.ZSTD, SKIPPABLE + pack(Codec.ZSTD, b"one") + SKIPPABLE + pack(Codec.ZSTD, b"two") + SKIPPABLE)
    assert (found.data, found.breaks) == (b"onetwo", [])


def test_a_skippable_frame_of_a_false_length_hides_nothing(decoded, pack) -> None:
    false = SKIPPABLE[:4] + b"\xff\xff\xff\x7f"
    found = decoded(Codec.ZSTD, pack(Codec.ZSTD, b"one") + false + pack(Codec.ZSTD, b"two"))
    assert found.stretches == [b"one", b"two"]


def test_a_zstd_window_too_large_for_memory_is_said(decoded) -> None:
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    found = decoded(Codec.ZSTD, compressor.compress(b"x" * 1000) + compressor.flush())
    assert found.data == b""
    assert "memory" in found.breaks[0].reason


def test_an_xz_dictionary_too_large_for_memory_is_said(decoded) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    packed = bytearray(lzma.compress(b"x" * 1000, filters=filters))
    packed[16] = 39  # 3 GiB
    packed[20:24] = struct.pack("<I", zlib.crc32(packed[12:20]))
    found = decoded(Codec.XZ, bytes(packed))
    assert found.data == b""
    assert "emory" in found.breaks[0].reason


def test_damage_to_a_bzip2_block_costs_that_block(decoded, records) -> None:
    rng = random.Random(5)
    data = rng.randbytes(450_000)
    packed = bytearray(bz2.compress(data, 1))
    packed[len(packed) // 2] ^= 4
    found = decoded(Codec.BZIP2, bytes(packed))
    (said,) = found.breaks
    assert not said.doubt
    before, behind = found.stretches
    assert data.startswith(before)
    assert data.endswith(behind)
    assert len(data) - len(before) - len(behind) <= 100_000


@pytest.mark.parametrize("block", [0, 1, 2, 3])
def test_a_bzip2_block_whose_beginning_is_lost_is_not_passed_over_in_silence(decoded, block) -> None:
    data = random.Random(6).randbytes(350_000)
    packed = bz2.compress(data, 1)
    bits = bin(int.from_bytes(packed, "big"))[2:].zfill(len(packed) * 8)
    magic = bin(0x314159265359)[2:].zfill(48)
    at = -1
    for _ in range(block + 1):
        at = bits.index(magic, at + 1)
    bits = bits[: at + 10] + ("0" if bits[at + 10] == "1" else "1") + bits[at + 11 :]
    found = decoded(Codec.BZIP2, int(bits, 2).to_bytes(len(packed), "big"))
    assert all(stretch in data for stretch in found.stretches)
    assert len(found.breaks) == 1
    assert len(data) - len(found.data) <= 100_000


def test_a_bzip2_stream_that_misses_a_block_is_said(decoded) -> None:
    first, second = random.Random(8).randbytes(90_000), random.Random(9).randbytes(90_000)
    packed = bytearray(bz2.compress(first, 1))
    packed[-2] ^= 0x10  # The sum of the blocks' checksums.
    found = decoded(Codec.BZIP2, bytes(packed) + bz2.compress(second))
    assert found.stretches == [first, second]
    assert "misses blocks" in found.breaks[0].reason


def test_damage_to_an_xz_block_costs_that_block(decoded, records) -> None:
    units = [b"".join(records[at : at + 250]) for at in range(0, 1000, 250)]
    packed, places = xz_of_blocks(units)
    assert decoded(Codec.XZ, packed).stretches == [b"".join(units)]
    damaged = bytearray(packed)
    damaged[places[1] + 2000] ^= 0xFF
    found = decoded(Codec.XZ, bytes(damaged))
    assert found.stretches[0].startswith(units[0])
    assert found.stretches[-1] == units[2] + units[3]
    assert len(found.breaks) == 1


def _index_bytes(packed: bytes) -> int:
    return struct.unpack("<I", packed[-8:-4])[0] * 4 + 4


def _number(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes((value & 127 | 128,)), value >> 7
    return out + bytes((value,))


def xz_of_blocks(units: list[bytes]) -> tuple[bytes, list[int]]:
    """Return one xz stream of several blocks, as `xz --threads` writes it, and where each begins."""
    out, places, index = b"", [], b"\0" + _number(len(units))
    for unit in units:
        stream = lzma.compress(unit)
        block = stream[12 : -12 - _index_bytes(stream)]
        # The padding of a block is not counted in its index.
        padded = stream[-12 - _index_bytes(stream) : -12]
        unpadded, size = _varint(padded, 2)
        out = out or stream[:12]
        places.append(len(out))
        out += block
        index += _number(unpadded) + _number(size)
    index += b"\0" * (-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    footer = struct.pack("<I", len(index) // 4 - 1) + out[6:8]
    return out + index + struct.pack("<I", zlib.crc32(footer)) + footer + b"YZ", places


def _varint(data: bytes, at: int) -> tuple[int, int]:
    values = []
    for _ in range(2):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        values.append(value)
    return values[0], values[1]
