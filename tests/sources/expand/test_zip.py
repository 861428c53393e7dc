from __future__ import annotations

import io
import random
import stat
import struct
import time
import zipfile
from collections.abc import Callable

import pytest

from recovery_nb.sources.content import Memory
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.expand.limits import Limits
from recovery_nb.sources.expand.members import Member, Problem
from recovery_nb.sources.expand.zip import is_zip, zip_members

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class _OneWay(io.RawIOBase):
    """A pipe: what is written to it cannot be gone back to, so that sizes come behind the data."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.data += bytes(data)
        return len(data)


def zipped(files: dict[str, bytes], method: int = DEFLATED, *, piped: bool = False) -> bytes:
    out = _OneWay() if piped else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2025, 12, 1, 10, 30, 0)), data, method)
    return out.data if isinstance(out, _OneWay) else out.getvalue()


def read(archive: bytes, **limits: int) -> tuple[dict[str, bytes], list[str], list[str]]:
    """Return each member's bytes, what was said of the archive, and what of the members."""
    expansion = Expansion(Limits(**limits))
    contents, problems, doubts = {}, [], []
    for part in zip_members(Memory(archive), label="old.zip", expansion=expansion):
        if isinstance(part, Problem):
            problems.append(part.reason)
            continue
        assert isinstance(part, Member)
        content = part.content()
        assert part.name not in contents
        contents[part.name] = content.read_at(0, content.size() + 1)
        doubts += [content.doubt] if content.doubt else []
        doubts += [gap.reason for gap in content.gaps if not content.doubt]
    return contents, problems, doubts


@pytest.fixture
def files(records) -> dict[str, bytes]:
    return {f"dump/shop/c{at // 100}.bson": b"".join(records[at : at + 100]) for at in range(0, 1000, 100)}


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("method", [STORED, DEFLATED, zipfile.ZIP_BZIP2])
def test_every_member_is_read(method, piped, files) -> None:
    archive = zipped(files | {"empty": b""}, method, piped=piped)
    assert is_zip(archive)
    assert read(archive) == (files | {"empty": b""}, [], [])


def test_what_the_directory_says_of_a_member(files) -> None:
    name, data = next(iter(files.items()))
    (member,) = zip_members(Memory(zipped({name: data})), label="old.zip", expansion=Expansion())
    assert isinstance(member, Member)
    assert (member.name, member.size, member.modified) == (name, len(data), 1764585000)
    assert member.stored < member.size


def test_an_empty_archive_has_no_members() -> None:
    assert is_zip(zipped({}))
    assert read(zipped({})) == ({}, [], [])


def test_a_comment_and_bytes_before_the_archive_are_no_hindrance(files) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"text")
        archive.comment = b"PK\5\6 is not the end"
    assert read(b"#!/bin/sh\n" + out.getvalue())[0] == {"a": b"text"}


def test_sizes_of_64_bits_are_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"text" * 100)
    assert read(out.getvalue()) == ({"a": b"text" * 100}, [], [])


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_without_its_directory_the_members_are_found(method, piped, files) -> None:
    archive = zipped(files, method, piped=piped)
    contents, problems, doubts = read(archive[: archive.index(b"PK\1\2")])
    assert "no central directory" in problems[0]
    if method == STORED and piped:  # Where such a member ends, only the next one's beginning says.
        assert all(contents[name].startswith(data) for name, data in files.items())
    else:
        assert (contents, doubts) == (files, [])


@pytest.mark.parametrize("piped", [False, True])
def test_a_cut_archive_gives_what_is_there(piped, files) -> None:
    archive = zipped(files, piped=piped)
    contents, problems, doubts = read(archive[: archive.index(b"dump/shop/c4.bson") + 2000])
    *whole, last = contents.items()
    assert len(whole) == 4
    assert all(files[name] == data for name, data in whole)
    assert files[last[0]].startswith(last[1])
    assert problems
    assert any("cut off" in said for said in doubts)


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("what", ["insert", "remove"])
def test_members_behind_bytes_that_were_added_or_lost_are_found(piped, what, files) -> None:
    archive = zipped(files, piped=piped)
    at = archive.index(b"dump/shop/c4.bson") + 5000
    junk = random.Random(1).randbytes(333)
    contents, problems, _doubts = read(
        archive[:at] + (junk + archive[at:] if what == "insert" else archive[at + 333 :])
    )
    for name, data in files.items():
        assert contents[name] == data or "c4" in name
    assert problems


def test_a_flipped_bit_in_a_deflated_member_puts_it_in_doubt(files) -> None:
    archive = bytearray(zipped(files))
    archive[archive.index(b"dump/shop/c4.bson") + 5000] ^= 1
    contents, problems, doubts = read(bytes(archive))
    assert [name for name, data in files.items() if contents[name] != data] == ["dump/shop/c4.bson"]
    assert (problems, len(doubts)) == ([], 1)


def test_a_checksum_that_does_not_hold_puts_the_member_in_doubt() -> None:
    archive = bytearray(zipped({"a": b"text" * 100}, zipfile.ZIP_BZIP2))
    struct.pack_into("<I", archive, archive.index(b"PK\1\2") + 16, 1)
    assert "checksum" in read(bytes(archive))[2][0]


def _with(**attributes: int) -> bytes:
    info = zipfile.ZipInfo("special")
    for name, value in attributes.items():
        setattr(info, name, value)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, b"/etc/passwd")
        archive.writestr("behind", b"text")
    return out.getvalue()


def _encrypted() -> bytes:
    archive = bytearray(_with())
    archive[6] |= 1
    archive[archive.index(b"PK\1\2") + 8] |= 1
    return bytes(archive)


@pytest.mark.parametrize(
    ("archive", "what"),
    [
        (lambda: _with(external_attr=(stat.S_IFLNK | 0o777) << 16, create_system=3), "is a symbolic link"),
        (lambda: _with(external_attr=stat.S_IFIFO << 16, create_system=3), "is no regular file"),
        (lambda: _with(compress_type=zipfile.ZIP_LZMA), "is compressed by LZMA"),
        (_encrypted, "is encrypted"),
    ],
)
def test_what_is_no_plain_file_is_said_and_not_followed(archive: Callable[[], bytes], what) -> None:
    contents, problems, _doubts = read(archive())
    assert contents == {"behind": b"text"}
    assert what in problems[0]


def test_names_choose_nothing() -> None:
    contents, problems, _doubts = read(zipped({"../../etc/cron": b"1", "/abs": b"2", "C:\\x": b"3"}))
    assert contents == {"etc/cron": b"1", "abs": b"2", "x": b"3"}
    assert len(problems) == 3


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_gives_two_members() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert read(out.getvalue())[0] == {"a": b"1", "a#2": b"2"}


def test_the_number_of_members_is_limited(files) -> None:
    for archive in (zipped(files), zipped(files)[:-22]):
        contents, problems, _doubts = read(archive, members=3)
        assert len(contents) == 3
        assert "RECOVERY_NB_MEMBERS" in problems[-1]


def test_members_that_share_their_bytes_are_read_once() -> None:
    """What a bomb does that lists the same bytes many times."""
    archive = zipped({"a": b"text" * 1000})
    at, end = archive.index(b"PK\1\2"), archive.index(b"PK\5\6")
    entry = archive[at:end]
    many = archive[:at] + entry * 50 + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 50, 50, len(entry) * 50, at, 0)
    contents, problems, _doubts = read(many)
    assert len(contents) == 1
    assert len(problems) == 49
    assert "overlaps" in problems[0]


def test_a_bomb_ends_at_the_ratio() -> None:
    archive = zipped({"bomb": bytes(150 * 1024 * 1024)})
    contents, _problems, doubts = read(archive)
    assert len(contents["bomb"]) < 100 * 1024 * 1024
    assert "RECOVERY_NB_EXPANSION_RATIO" in doubts[0]


def test_a_zip_within_a_zip_is_one_member(files) -> None:
    inner = zipped(files, STORED)
    archive = zipped({"inner.zip": inner, "behind": b"y"}, STORED)
    for whole in (archive, archive[: archive.rindex(b"PK\5\6")]):
        assert read(whole)[0] == {"inner.zip": inner, "behind": b"y"}


@pytest.mark.seeded(30)
def test_damage_anywhere_raises_nothing_and_takes_no_time(seed, files) -> None:
    rng = random.Random(seed)
    archive = bytearray(zipped(files, rng.choice([STORED, DEFLATED]), piped=rng.random() < 0.5))
    for _ in range(rng.randint(1, 40)):
        at = rng.choice([rng.randrange(len(archive)), len(archive) - 1 - rng.randrange(1000)])
        what = rng.randrange(4)
        if what == 0:
            archive[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            archive[at : at + 20] = rng.randbytes(20)
        elif what == 2:
            del archive[at : at + rng.randrange(200)]
        else:
            archive[at:at] = archive[: rng.randrange(1500)]
    started = time.monotonic()
    read(bytes(archive))
    assert time.monotonic() - started < 5


def test_sizes_and_places_beyond_all_bounds_are_not_believed(files) -> None:
    archive = bytearray(zipped(files))
    at = archive.index(b"PK\5\6")
    huge = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 10, 10, 1 << 63, (1 << 64) - 1)
    archive[at:at] = huge + struct.pack("<4sIQI", b"PK\6\7", 0, (1 << 64) - 1, 1)
    contents, problems, _doubts = read(bytes(archive))
    assert contents == files
    assert "no central directory" in problems[0]
