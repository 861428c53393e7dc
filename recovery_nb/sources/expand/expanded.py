"""What compressed or encrypted content expands to, expanded ahead of its readers by a thread of its own."""

from __future__ import annotations

import bisect
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.sources.content import HEAD_BYTES, Content, Gap
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.codecs import Codec, Emit, codec_named, codec_of, decode_with
from recovery_nb.sources.expand.limits import Limits
from recovery_nb.sources.expand.parts import Break, Readable
from recovery_nb.sources.expand.spool import Full, Spool, no_room

__all__ = ["Expanded", "Expansion", "Peeled", "Undo", "expand", "peel"]

Undo = Callable[[Readable, int, Emit], None]
"""Decodes what is readable from a position on, and emits it."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """How compressed and encrypted content is expanded.

    Attributes:
        limits: What hostile files are held to.
        keys: What age files are decrypted with.
        scratch: The folder whose disk the spools are on; None for the system's (TMPDIR).
    """

    limits: Limits = field(default_factory=Limits)
    keys: AgeKeys = field(default_factory=AgeKeys)
    scratch: Path | None = None


class Expanded:
    """Content that is expanded when it is first read, by a thread that stops when nobody holds this any more.

    Args:
        content: The content as it is stored.
        undo: What decodes it.
        label: Its path, for messages.
        expansion: The limits, and where the spool is.
    """

    def __init__(self, content: Content, undo: Undo, *, label: str, expansion: Expansion) -> None:
        self._content, self._label = content, label
        self._spool = Spool(label, limits=expansion.limits, scratch=expansion.scratch)
        # The thread must not hold us, or we would never go; it has what it needs.
        self._thread = threading.Thread(
            target=_fill, args=(self._spool, content, undo, label, expansion.scratch), name="expanding", daemon=True
        )
        self._starting = threading.Lock()
        self._started = False
        weakref.finalize(self, _stop, self._spool)

    @property
    def gaps(self) -> list[Gap]:
        """Where it has holes, in order; those before a byte are known once that byte was read."""
        return self._spool.gaps

    @property
    def doubt(self) -> str:
        """Why it cannot be trusted though it was read, "" if nothing says so; known once the end was read."""
        return self._spool.doubt or self._content.doubt

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on, waiting until they are expanded; fewer only at the end.

        Raises:
            RecoveryError: They cannot be expanded: no key, no room, a disk that fails.
        """
        self._start()
        return self._spool.read_at(position, length)

    def size(self) -> int:
        """Return its length, waiting until all is expanded.

        Raises:
            RecoveryError: It cannot be expanded.
        """
        self._start()
        return self._spool.size()

    def _start(self) -> None:
        if not self._started:
            with self._starting:
                if not self._started:
                    try:
                        self._thread.start()
                    except RuntimeError as error:
                        message = f"{self._label} cannot be expanded: {error}"
                        raise RecoveryError(message, hint="end what else is running, and try again") from None
                    self._started = True


@dataclass(frozen=True, slots=True)
class Peeled:
    """Content without its compression and encryption.

    Attributes:
        content: What is within.
        codecs: What it was under, the outermost first.
    """

    content: Content
    codecs: tuple[Codec, ...]


def expand(content: Content, codec: Codec, *, label: str, expansion: Expansion) -> Expanded:
    """Return what content expands to. Nothing is read before it is."""
    keys = expansion.keys

    def undo(readable: Readable, start: int, emit: Emit) -> None:
        decode_with(codec, readable, start, emit, keys=keys, label=label)

    return Expanded(content, undo, label=label, expansion=expansion)


def peel(content: Content, *, label: str, expansion: Expansion, depth: int = 0, salvage: bool = False) -> Peeled:
    """Take off all compression and encryption, whatever is within what.

    Args:
        content: The content as it is stored.
        label: Its path, for messages.
        expansion: The limits, and the keys.
        depth: How many layers and archives it is already in.
        salvage: Whether the label's ending decides where the beginning says nothing: the beginning may be what is lost.

    Raises:
        BadInputError: There are too many layers, or there is no key.
        RecoveryError: It cannot be read.
    """
    codecs: list[Codec] = []
    while True:
        codec = codec_of(content.read_at(0, HEAD_BYTES))
        if codec is None and salvage and not codecs:
            codec = codec_named(label)
        if codec is None:
            return Peeled(content, tuple(codecs))
        if depth + len(codecs) >= expansion.limits.nesting:
            message = f"{label} is packed more than {expansion.limits.nesting} times"
            raise BadInputError(message, hint="if it can be trusted, raise RECOVERY_NB_NESTING")
        content = expand(content, codec, label=label, expansion=expansion)
        codecs.append(codec)


class _Stopped(BaseException):
    """Nobody wants what is decoded: no decoder may take it for an error of its input."""


class _Watched:
    """Compressed content as its decoder sees it: it ends at a gap, and it ends the decoding when nobody reads."""

    def __init__(self, content: Content, spool: Spool, start: int) -> None:
        self._content, self._spool, self._start = content, spool, start
        self._gap: Gap | None = None
        self.furthest = start

    def read_at(self, position: int, length: int) -> bytes:
        if self._spool.stopped:
            raise _Stopped
        found = self._content.read_at(position, length)
        if self._gap is None:
            self._gap = self._gap_before(position + len(found))
        if self._gap is not None and position + len(found) > self._gap.position:
            found = found[: max(0, self._gap.position - position)]
        self.furthest = max(self.furthest, position + len(found))
        return found

    def gap(self) -> Gap | None:
        """Return the gap that this ends at, if it is one: what a decoder left unread before it is read to find out."""
        while self._gap is None and self.read_at(self.furthest, 1024 * 1024):
            pass
        return self._gap

    def _gap_before(self, end: int) -> Gap | None:
        gaps = self._content.gaps
        index = bisect.bisect_right(gaps, self._start, key=lambda gap: gap.position)
        # One at the very end of what there is counts too: it says why there is no more.
        return gaps[index] if index < len(gaps) and gaps[index].position <= end else None


def _stop(spool: Spool) -> None:
    spool.stopped = True


def _fill(spool: Spool, content: Content, undo: Undo, label: str, scratch: Path | None) -> None:
    """Expand all of the content into the spool: what the thread does."""
    error: Exception | None = None
    try:
        _expand_all(spool, content, undo)
    except (Full, _Stopped):
        pass
    except RecoveryError as failure:
        error = failure
    except OSError as failure:
        error = no_room(label, scratch)(failure)
    except Exception as failure:
        what = " ".join(str(failure).split()) or type(failure).__name__
        error = DamagedSourceError(f"{label} cannot be expanded: {what}", hint="look for another copy of it")
    spool.finish(error)


def _expand_all(spool: Spool, content: Content, undo: Undo) -> None:
    start = 0
    while True:
        watched = _Watched(content, spool, start)

        def emit(part: bytes | memoryview | Break, watched: _Watched = watched) -> None:
            if spool.stopped:
                raise _Stopped
            if isinstance(part, Break):
                spool.interrupt(part.reason, doubt=part.doubt)
            else:
                spool.append(part, consumed=watched.furthest)

        undo(watched, start, emit)
        # The packed content has a hole: what is behind it is looked through for what begins anew.
        if (gap := watched.gap()) is None:
            return
        spool.interrupt(gap.reason)
        start = gap.position
