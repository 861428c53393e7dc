from __future__ import annotations

import gzip
import io
import random
import tarfile
import time

import pytest

from recovery_nb.sources.content import Content, Memory
from recovery_nb.sources.expand.codecs import Codec
from recovery_nb.sources.expand.expanded import Expansion, expand
from recovery_nb.sources.expand.limits import Limits
from recovery_nb.sources.expand.members import Member, Problem
from recovery_nb.sources.expand.tar import is_tar, tar_members

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tar(files: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(**attributes: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("special")
        for name, value in attributes.items():
            setattr(info, name, value)
        archive.addfile(info)
        return out.getvalue()[: archive.offset]


def read(archive: bytes | Content, **limits: int) -> tuple[dict[str, bytes], list[str]]:
    content = Memory(archive) if isinstance(archive, bytes) else archive
    found = list(tar_members(content, limits=Limits(**limits)))
    members = [part for part in found if isinstance(part, Member)]
    problems = [part.reason for part in found if isinstance(part, Problem)]
    contents = {}
    for member in members:
        view = member.content()
        contents[member.name] = view.read_at(0, view.size())
        assert len(contents[member.name]) == view.size() == member.stored
    assert len(contents) == len(members)
    return contents, problems


@pytest.fixture
def files(records) -> dict[str, bytes]:
    return {f"dump/shop/c{at // 100}.bson": b"".join(records[at : at + 100]) for at in range(0, 1000, 100)}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_member_is_a_view(kind, files) -> None:
    archive = tar(files | {"empty": b"", "exactly": bytes(512)}, kind)
    assert is_tar(archive[:512])
    assert read(archive) == (files | {"empty": b"", "exactly": bytes(512)}, [])
    first = next(iter(tar_members(Memory(archive), limits=Limits())))
    assert isinstance(first, Member)
    assert (first.size, first.modified) == (len(files["dump/shop/c0.bson"]), 1_700_000_000)


@pytest.mark.parametrize("kind", FORMATS)
def test_long_names_are_whole(kind) -> None:
    name = "/".join(["d" * 40] * 5) + "/users.bson"
    assert read(tar({name: b"x", "short": b"y"}, kind)) == ({name: b"x", "short": b"y"}, [])


def test_a_header_without_a_magic_is_told_by_its_checksum() -> None:
    block = bytearray(tar({"old": b"text"})[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    assert is_tar(bytes(block))
    assert read(bytes(block) + b"text".ljust(512, b"\0") + bytes(1024)) == ({"old": b"text"}, [])
    assert not is_tar(bytes(512))
    assert not is_tar(random.Random(1).randbytes(512))
    assert not is_tar(b"short")


def test_archives_one_behind_another_are_read_to_the_end() -> None:
    assert read(tar({"a": b"1"}) + tar({"b": b"2"})) == ({"a": b"1", "b": b"2"}, [])


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a symbolic link"),
        ({"type": tarfile.LNKTYPE, "linkname": "users.bson"}, "a hard link"),
        ({"type": tarfile.CHRTYPE}, "a character device"),
        ({"type": tarfile.BLKTYPE}, "a block device"),
        ({"type": tarfile.FIFOTYPE}, "a FIFO"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "a sparse file"),
        ({"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.name": "big"}}, "a sparse file"),
    ],
)
def test_what_is_no_plain_file_is_said_and_not_followed(attributes, what) -> None:
    contents, problems = read(special(**attributes) + tar({"behind": b"x"}))
    assert contents == {"behind": b"x"}
    (said,) = problems
    assert f"is {what}: it is not read" in said


def test_folders_are_no_members() -> None:
    assert read(special(type=tarfile.DIRTYPE)) == ({}, [])


def test_names_choose_nothing() -> None:
    contents, problems = read(tar({"../../etc/cron": b"1", "/abs": b"2", "a\nb": b"3"}))
    assert contents == {"etc/cron": b"1", "abs": b"2", "a\\nb": b"3"}
    assert len(problems) == 2


def test_the_same_name_twice_gives_two_members() -> None:
    assert read(tar({"a": b"1"})[:-9216] + tar({"a": b"2"}))[0] == {"a": b"1", "a#2": b"2"}


def test_the_number_of_members_is_limited(files) -> None:
    contents, problems = read(tar(files), members=3)
    assert len(contents) == 3
    assert "RECOVERY_NB_MEMBERS" in problems[0]


def test_a_cut_archive_gives_what_is_there(files) -> None:
    archive = tar(files)
    contents, problems = read(archive[: len(archive) // 2])
    *whole, last = contents.items()
    assert all(files[name] == data for name, data in whole)
    assert files[last[0]].startswith(last[1])
    assert "is cut off" in problems[0]


@pytest.mark.parametrize("length", [1, 300, 512, 1500])
@pytest.mark.parametrize("what", ["insert", "remove"])
def test_members_behind_bytes_that_were_added_or_lost_are_found(length, what, files) -> None:
    archive = tar(files)
    at = archive.index(b"dump/shop/c4.bson") + 5000
    junk = random.Random(length).randbytes(length)
    damaged = archive[:at] + (junk + archive[at:] if what == "insert" else archive[at + length :])
    contents, problems = read(damaged)
    assert {name: data for name, data in contents.items() if files.get(name) != data}.keys() <= {"dump/shop/c4.bson"}
    assert contents.keys() == files.keys()
    assert problems


def test_a_damaged_header_costs_its_member(files) -> None:
    archive = bytearray(tar(files))
    archive[archive.index(b"dump/shop/c4.bson") + 150] ^= 1
    contents, problems = read(bytes(archive))
    assert contents == {name: data for name, data in files.items() if "c4" not in name}
    assert "damaged from byte" in problems[0]


def test_a_tar_within_a_tar_is_one_member() -> None:
    inner = tar({"inner": b"x" * 5000})
    archive = tar({"inner.tar": inner, "behind": b"y"})
    assert read(archive) == ({"inner.tar": inner, "behind": b"y"}, [])


def test_behind_a_hole_no_member_is_given_the_bytes_of_another(files) -> None:
    """A tar in gzip members of 40 KB each, one of which is lost."""
    archive = tar(files)
    packed = [gzip.compress(archive[at : at + 40 * 1024]) for at in range(0, len(archive), 40 * 1024)]
    packed[3] = b"lost"
    content = expand(Memory(b"".join(packed)), Codec.GZIP, label="a.tar.gz", expansion=Expansion())
    contents, problems = read(content)
    assert all(files[name].startswith(data) for name, data in contents.items())
    whole = {name for name, data in contents.items() if files[name] == data}
    assert len(whole) >= 7
    assert "dump/shop/c9.bson" in whole
    assert any("may be another's" in said for said in problems)


@pytest.mark.parametrize("missing", [1, 100, 600, 1024, 1500, 5000, 9300])
def test_where_a_limit_ends_the_archive_the_setting_is_named(missing) -> None:
    """Wherever that is: within a member, its padding, a header, or where all that is lost is members."""
    archive = tar({"a.bson": b"x" * 4000, "b.bson": b"y" * 4000, "c.bson": b"z" * 300})[: 10 * 1024]
    limits = Limits(expanded_bytes=len(archive) - missing)
    content = expand(Memory(gzip.compress(archive)), Codec.GZIP, label="a.tar.gz", expansion=Expansion(limits=limits))
    _, problems = read(content)
    (said,) = [problem for problem in problems if "RECOVERY_NB_EXPANDED_BYTES" in problem]
    assert "may be another's" not in said
    assert not any("is no tar" in problem for problem in problems)


def test_each_break_is_told_with_its_reason(files) -> None:
    archive = tar(files)
    packed = bytearray(gzip.compress(archive[: 40 * 1024]) + gzip.compress(archive[40 * 1024 :]))
    packed[-8] ^= 1
    content = expand(Memory(bytes(packed)), Codec.GZIP, label="a.tar.gz", expansion=Expansion())
    contents, problems = read(content)
    reasons = [gap.reason for gap in content.gaps]
    assert reasons
    assert all(any(reason in problem for problem in problems) for reason in reasons)
    assert all(files[name].startswith(data) for name, data in contents.items())


@pytest.mark.seeded(30)
def test_damage_anywhere_raises_nothing_and_takes_no_time(seed, files) -> None:
    rng = random.Random(seed)
    archive = bytearray(tar(files, rng.choice(FORMATS)))
    for _ in range(rng.randint(1, 40)):
        at = rng.randrange(len(archive))
        what = rng.randrange(4)
        if what == 0:
            archive[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            archive[at : at + 100] = rng.randbytes(100)
        elif what == 2:
            del archive[at : at + rng.randrange(2000)]
        else:
            archive[at:at] = archive[: rng.randrange(1500)]
    started = time.monotonic()
    read(bytes(archive))
    assert time.monotonic() - started < 5


def test_a_size_beyond_all_bounds_is_only_cut_off() -> None:
    archive = bytearray(tar({"huge": b"x" * 600, "behind": b"y"}))
    archive[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    archive[148:156] = b" " * 8
    archive[148:156] = f"{sum(archive[:512]):06o}\0 ".encode()
    contents, problems = read(bytes(archive))
    assert "huge" in contents
    assert problems


def test_a_member_behind_a_large_loss_is_found_though_the_archive_seems_cut(records) -> None:
    big, small = b"".join(records), b"".join(records[:20])
    archive = tar({"big": big, "small": small})
    contents, problems = read(archive[:50_000] + archive[150_000:])
    assert contents["small"] == small
    assert "another member begins within it" in problems[0]
