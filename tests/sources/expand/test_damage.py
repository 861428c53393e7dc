"""Seeded damage to every codec: what was not touched comes out, and nothing comes out as if it belonged together."""

from __future__ import annotations

import random
import time

import pytest

from recovery_nb.sources.expand.codecs import Codec

COMPRESSIONS = [Codec.GZIP, Codec.ZSTD, Codec.BZIP2, Codec.XZ]
UNITS = 10
LIMIT_SECONDS = 5


@pytest.fixture(scope="module")
def units(records) -> list[bytes]:
    return [b"".join(records[at : at + 1000 // UNITS]) for at in range(0, 1000, 1000 // UNITS)]


def flip(data: bytearray, rng: random.Random) -> tuple[int, int]:
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return at, at + 1


def zero(data: bytearray, rng: random.Random) -> tuple[int, int]:
    at, length = rng.randrange(len(data)), rng.randint(1, 400)
    data[at : at + length] = bytes(len(data[at : at + length]))
    return at, at + length


def cut_tail(data: bytearray, rng: random.Random) -> tuple[int, int]:
    at, end = rng.randrange(len(data)), len(data)
    del data[at:]
    return at, end


def cut_head(data: bytearray, rng: random.Random) -> tuple[int, int]:
    length = rng.randrange(1, len(data) // 2)
    del data[:length]
    return 0, length


def cut_out(data: bytearray, rng: random.Random) -> tuple[int, int]:
    at, length = rng.randrange(len(data)), rng.randint(1, 4000)
    del data[at : at + length]
    return at, at + length


def insert(data: bytearray, rng: random.Random) -> tuple[int, int]:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.randint(1, 400))
    return at, at


@pytest.mark.seeded(3)
@pytest.mark.parametrize("damage", [flip, zero, cut_tail, cut_head, cut_out, insert])
@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_damage_costs_the_units_it_is_in(codec, damage, seed, units, pack, decoded) -> None:
    packed = [pack(codec, unit) for unit in units]
    starts = [sum(map(len, packed[:index])) for index in range(UNITS + 1)]
    data = bytearray(b"".join(packed))
    begin, end = damage(data, random.Random(seed))

    started = time.monotonic()
    found = decoded(codec, bytes(data))
    assert time.monotonic() - started < LIMIT_SECONDS

    for index, unit in enumerate(units):
        if starts[index + 1] <= begin or starts[index] >= end:
            assert any(unit in stretch for stretch in found.stretches)
            assert found.data.count(unit) == 1
    truth = b"".join(units)
    if bytes(data) != b"".join(packed) and found.data != truth:
        assert found.breaks
    if any(stretch not in truth for stretch in found.stretches):
        assert any(said.doubt for said in found.breaks), "what is wrong is in doubt"
    if codec is Codec.BZIP2:
        assert all(stretch in truth for stretch in found.stretches), "a bzip2 block is proved before it is given"


@pytest.mark.seeded(2)
@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_all_before_a_damage_to_one_long_unit_comes_out(codec, seed, records, pack, decoded) -> None:
    """Of deflate and LZMA: but for the few bytes whose codes are in the byte that is lost."""
    data = b"".join(records)
    rng = random.Random(seed)
    packed = bytearray(pack(codec, data))
    at = rng.randrange(len(packed) // 4, len(packed))
    whole = decoded(codec, bytes(packed[:at]))
    packed[at:] = b"\xff" * (len(packed) - at)
    found = decoded(codec, bytes(packed))
    assert data.startswith(whole.stretches[0])
    assert found.data.startswith(whole.stretches[0])
    assert found.breaks


@pytest.mark.seeded(2)
@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_random_bytes_in_and_around_magics_end_in_bounded_time(codec, seed, units, pack, decoded) -> None:
    rng = random.Random(seed)
    packed = pack(codec, units[0])
    heads = [packed[: rng.randint(4, 40)] for _ in range(4)] + [rng.randbytes(5), bytes(rng.randint(1, 9))]
    started = time.monotonic()
    found = decoded(codec, b"".join(rng.choice(heads) for _ in range(3000)) + packed)
    assert time.monotonic() - started < LIMIT_SECONDS
    assert found.breaks


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_a_megabyte_of_beginnings_ends_in_bounded_time(codec, pack, decoded) -> None:
    packed = pack(codec, b"a" * 100)
    started = time.monotonic()
    for length in (10, 14, len(packed) - 1):
        decoded(codec, packed[:length] * (1_000_000 // length))
    assert time.monotonic() - started < 4 * LIMIT_SECONDS


@pytest.mark.parametrize("codec", COMPRESSIONS)
def test_units_that_are_all_damaged_at_their_ends_all_come_out(codec, units, pack, decoded) -> None:
    """What decodes before the damage is given of each, in doubt where nothing proves it."""
    packed = [bytearray(pack(codec, unit)) for unit in units]
    for data in packed:
        # A zstd block, too, is whole or nothing: of these frames of one block, the checksum is damaged.
        data[-1 if codec is Codec.ZSTD else -len(data) // 8] ^= 0x55
    found = decoded(codec, b"".join(packed))
    if codec is Codec.BZIP2:
        assert found.data == b"", "a block is whole or nothing"
        assert len(found.breaks) == UNITS
    else:
        assert all(unit[:1000] in found.data for unit in units)
        assert all(said.doubt for said in found.breaks)


def test_tiny_members_with_wrong_checksums_all_come_out(records, pack, decoded) -> None:
    packed = [bytearray(pack(Codec.GZIP, record[:40])) for record in records[:100]]
    for data in packed:
        data[-5] ^= 1
    found = decoded(Codec.GZIP, b"".join(packed))
    assert found.stretches == [*(record[:40] for record in records[:100]), b""]
    assert all(said.doubt for said in found.breaks)
