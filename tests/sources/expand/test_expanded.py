from __future__ import annotations

import gc
import gzip
import os
import random
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest
from backports import zstd

from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.sources.content import FileContent, Gap, Memory
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.codecs import Codec
from recovery_nb.sources.expand.expanded import Expanded, Expansion, expand, peel
from recovery_nb.sources.expand.limits import Limits
from recovery_nb.sources.expand.parts import Break

MIB = 1024 * 1024


def expanding() -> int:
    return sum(thread.name == "expanding" for thread in threading.enumerate())


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    wait_until(lambda: expanding() == 0)


def by(*parts: bytes | Break | Exception | threading.Event, **limits: int) -> Expanded:
    """Return content that expands to these parts: an exception is raised there, an event waited for."""

    def undo(_content, _start, emit) -> None:
        for part in parts:
            if isinstance(part, threading.Event):
                part.wait(10)
            elif isinstance(part, Exception):
                raise part
            else:
                emit(part)

    return Expanded(Memory(b""), undo, label="old.gz", expansion=Expansion(Limits(**limits)))


def gz(data: bytes, label: str = "users.bson.gz", **limits: int) -> Expanded:
    return expand(Memory(gzip.compress(data)), Codec.GZIP, label=label, expansion=Expansion(Limits(**limits)))


@pytest.mark.parametrize("size", [0, 1, 1000, MIB - 1, MIB, MIB + 1, 9 * MIB + 5])
def test_any_place_can_be_read(size) -> None:
    rng = random.Random(size)
    data = rng.randbytes(size)
    content = gz(data)
    for _ in range(20):
        position, length = rng.randrange(size + 10), rng.randrange(size + 10)
        assert content.read_at(position, length) == data[position : position + length]
    assert content.size() == size
    assert (content.gaps, content.doubt) == ([], "")


def test_a_dump_that_mongodump_compressed_is_the_one_that_it_did_not(samples: Path) -> None:
    for packed in sorted((samples / "mongodump-gzip" / "shop").iterdir()):
        content = expand(FileContent(packed), Codec.GZIP, label=str(packed), expansion=Expansion())
        plain = samples / "mongodump" / "shop" / packed.stem
        if packed.name.endswith(".bson.gz"):
            assert content.read_at(0, content.size()) == plain.read_bytes()


def test_a_reader_gets_what_is_there_before_the_rest_is_expanded() -> None:
    more = threading.Event()
    content = by(b"early", more, b"late")
    assert content.read_at(0, 5) == b"early"
    more.set()
    assert content.read_at(5, 100) == b"late"


def test_many_readers_read_the_same(records) -> None:
    data = b"".join(records) * 10
    content = gz(data)
    found: list[bytes] = []

    def read() -> None:
        found.append(b"".join(content.read_at(at, 50_000) for at in range(0, len(data), 50_000)))

    readers = [threading.Thread(target=read) for _ in range(5)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert found == [data] * 5


def test_a_gap_is_known_before_any_byte_behind_it() -> None:
    content = by(b"before", Break("a hole", "a doubt"), b"behind")
    assert content.read_at(0, 7) == b"beforeb"
    assert content.gaps == [Gap(6, "a hole")]
    assert content.size() == 12
    assert content.doubt == "a doubt"


def test_the_spool_has_no_name(tmp_path) -> None:
    content = expand(
        Memory(gzip.compress(bytes(5 * MIB))), Codec.GZIP, label="a", expansion=Expansion(scratch=tmp_path)
    )
    assert content.size() == 5 * MIB
    assert list(tmp_path.iterdir()) == []


def test_the_largest_size_ends_it_with_a_gap_that_says_so() -> None:
    content = gz(bytes(3 * MIB), expanded_bytes=2 * MIB)
    assert content.read_at(0, 3 * MIB) == bytes(2 * MIB)
    (gap,) = content.gaps
    assert gap.position == 2 * MIB
    assert "RECOVERY_NB_EXPANDED_BYTES" in gap.reason


def test_a_bomb_ends_at_the_ratio() -> None:
    packed = zstd.compress(bytes(400 * MIB))
    assert len(packed) < 100_000
    content = expand(Memory(packed), Codec.ZSTD, label="bomb", expansion=Expansion())
    assert 64 * MIB < content.size() < 80 * MIB
    assert "RECOVERY_NB_EXPANSION_RATIO" in content.gaps[-1].reason


def test_what_expands_to_little_may_do_so_at_any_ratio() -> None:
    content = expand(Memory(zstd.compress(bytes(40 * MIB))), Codec.ZSTD, label="zeros", expansion=Expansion())
    assert content.size() == 40 * MIB
    assert content.gaps == []


def test_what_the_decoder_says_reaches_every_reader() -> None:
    content = by(b"some", BadInputError("old.gz is encrypted"))
    assert content.read_at(0, 4) == b"some"
    for _ in range(2):
        with pytest.raises(BadInputError, match="is encrypted"):
            content.read_at(0, 5)
        with pytest.raises(BadInputError, match="is encrypted"):
            content.size()


def test_a_defect_of_the_decoder_reaches_the_reader_as_one_line() -> None:
    with pytest.raises(DamagedSourceError, match=r"^old.gz cannot be expanded: out of range; "):
        by(IndexError("out of\nrange")).read_at(0, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_is_said_to_the_reader(monkeypatch) -> None:
    def full(_scratch: Path | None) -> int:
        return os.open("/dev/full", os.O_RDWR)

    monkeypatch.setattr("recovery_nb.sources.expand.spool._unnamed", full)
    with pytest.raises(RecoveryError, match=r"no room left .*; set TMPDIR"):
        gz(bytes(2 * MIB)).read_at(0, 2 * MIB)


def test_a_folder_that_is_not_there_is_said_to_the_reader(tmp_path) -> None:
    expansion = Expansion(scratch=tmp_path / "gone")
    with pytest.raises(RecoveryError, match="set TMPDIR"):
        expand(Memory(gzip.compress(bytes(2 * MIB))), Codec.GZIP, label="a", expansion=expansion).size()


def test_the_thread_stops_when_nobody_holds_the_content() -> None:
    packed = gzip.compress(random.Random(1).randbytes(1000))
    reads = threading.Event()

    class Endless:
        gaps: list[Gap] = []  # noqa: RUF012
        doubt = ""

        def read_at(self, position: int, length: int) -> bytes:
            reads.set()
            whole = position // len(packed)
            return (packed * (length // len(packed) + 2))[position - whole * len(packed) :][:length]

        def size(self) -> int:
            return 1 << 62

    content = expand(Endless(), Codec.GZIP, label="endless", expansion=Expansion())
    assert len(content.read_at(0, 3000)) == 3000
    assert reads.is_set()
    assert expanding() == 1
    gone = weakref.ref(content)
    del content
    assert gone() is None
    wait_until(lambda: expanding() == 0)


def test_a_nest_of_contents_that_nobody_holds_goes_without_a_thread_or_a_file_left(records) -> None:
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    data = b"".join(records) * 20
    packed = data
    for _ in range(4):
        packed = gzip.compress(packed, 1)
    content = peel(Memory(packed), label="a", expansion=Expansion()).content
    assert content.read_at(MIB, 100) == data[MIB : MIB + 100]
    del content
    wait_until(lambda: expanding() == 0)
    gc.collect()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) == files)  # noqa: PTH208


def test_content_that_is_never_read_starts_nothing() -> None:
    contents = [gz(b"text") for _ in range(100)]
    assert expanding() == 0
    assert len(contents) == 100


def test_ctrl_c_ends_the_wait() -> None:
    never = threading.Event()
    content = by(never)
    waited = threading.Event()

    def interrupt() -> None:
        waited.wait(0.1)
        while not waited.is_set():  # Python drops an interrupt that meets a finalizer
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            waited.wait(2)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        content.read_at(0, 1)
    waited.set()
    thread.join()
    never.set()


def test_layers_within_each_other_are_peeled(pack, records, tmp_path) -> None:
    identity = pyrage.x25519.Identity.generate()
    key = tmp_path / "key"
    key.write_text(str(identity))
    data = b"".join(records)
    packed = pyrage.encrypt(pack(Codec.ZSTD, pack(Codec.GZIP, pack(Codec.XZ, data))), [identity.to_public()])
    found = peel(Memory(packed), label="a.age", expansion=Expansion(keys=AgeKeys((key,))))
    assert found.codecs == (Codec.AGE, Codec.ZSTD, Codec.GZIP, Codec.XZ)
    assert found.content.read_at(0, len(data) + 1) == data


def test_what_is_packed_too_often_is_said() -> None:
    packed = b"text"
    for _ in range(9):
        packed = gzip.compress(packed)
    with pytest.raises(BadInputError, match=r"packed more than 8 times; .*RECOVERY_NB_NESTING"):
        peel(Memory(packed), label="a.gz", expansion=Expansion())
    with pytest.raises(BadInputError, match="packed more than 8 times"):
        peel(Memory(gzip.compress(packed[:5])), label="a.gz", expansion=Expansion(), depth=8)


def test_a_hole_in_the_outer_layer_is_one_in_the_inner(pack, records) -> None:
    """Three gzip members, cut into zstd frames anywhere; a frame is lost: the member it is in goes, the others come."""
    members = [b"".join(records[at : at + 300]) for at in (0, 300, 600)]
    inner = b"".join(pack(Codec.GZIP, member) for member in members)
    frames = [pack(Codec.ZSTD, inner[at : at + 5000]) for at in range(0, len(inner), 5000)]
    lost = len(frames) // 2
    frames[lost] = b"junk" * 100
    content = peel(Memory(b"".join(frames)), label="a.zst", expansion=Expansion()).content
    data = content.read_at(0, content.size())
    assert data.startswith(members[0])
    assert data.endswith(members[2])
    position = 0
    stretches = []
    for gap in [*content.gaps, Gap(len(data), "")]:
        stretches.append(data[position : gap.position])
        position = gap.position
    assert all(any(stretch in member for member in (b"".join(members[:2]), members[2])) for stretch in stretches)
    assert content.doubt == "", "nothing was given that could be wrong"


def test_the_name_tells_what_a_lost_beginning_does_not(pack, records) -> None:
    packed = pack(Codec.GZIP, records[0])[30:] + pack(Codec.GZIP, records[1])
    found = peel(Memory(packed), label="users.bson.gz", expansion=Expansion(), salvage=True)
    assert found.content.read_at(0, 10**6) == records[1]
    assert found.content.gaps
    assert peel(Memory(packed), label="users.bson.gz", expansion=Expansion()).codecs == ()
