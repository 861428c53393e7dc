"""One compressed unit (a gzip member, a zstd frame, an xz stream) through its decoder, to the last byte it can give.

The decoders of Python's libraries drop what they had decoded when they find an error. So when a piece of input fails,
the unit is decoded again up to that piece, and the piece goes in byte by byte: all that precedes the error comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from recovery_nb.sources.expand.parts import Readable

__all__ = ["PIECE", "Ended", "Engine", "Errors", "How", "decodes", "unit"]

PIECE = 256 * 1024
"""Bytes of input for one call of a decoder: large, because each call takes Python's lock twice."""

_OUTPUT = 4 * 1024 * 1024
"""Bytes of output that one call may give: it bounds memory."""

_TRIAL_INPUT, _TRIAL_OUTPUT = 1024 * 1024, 64 * 1024
"""Bytes after which a trial ends."""

_TRIAL_STEP = 1024
"""Bytes of output: random bytes never get as far. Deflate has no valid distances yet, and dies at the first match."""


Errors = tuple[type[Exception], ...]
"""What a decoder raises at bytes that it cannot decode. Never what the content raises: that is no damage within it."""


class Engine(Protocol):
    """The interface of the standard library's incremental decompressors."""

    @property
    def eof(self) -> bool:
        """Whether the unit's end was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before something is put in."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was put in and lies behind the unit's end."""
        ...

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        """Return what comes out, at most `max_length` bytes."""
        ...


class How(Enum):
    """How the decoding of a unit ended."""

    WHOLE = "whole"
    CUT = "cut"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Ended:
    """Where and how the decoding of a unit ended.

    Attributes:
        how: At its end; at the end of the input; or at an error.
        position: Whole: the byte behind it. Cut: where the input ends. Broken: the byte at which the error shows.
        delivered: How many bytes it gave.
        problem: What the decoder says.
    """

    how: How
    position: int
    delivered: int
    problem: str = ""


def unit(
    content: Readable,
    start: int,
    new: Callable[[], Engine],
    *,
    errors: Errors,
    prefix: bytes = b"",
) -> Generator[bytes, None, Ended]:
    """Decode one unit and return how it ended.

    Args:
        content: The compressed bytes.
        start: Where the unit begins.
        new: Makes a decoder.
        errors: What the decoder raises at bytes that it cannot decode.
        prefix: What the decoder is given before the content's bytes.
    """
    engine, at, delivered = new(), start, 0
    mark, piece, stalled = start, prefix, False
    before = 0
    try:
        if prefix:
            engine.decompress(prefix, 0)
        while not engine.eof:
            data = b""
            if engine.needs_input or stalled:
                data = content.read_at(at, PIECE)
                if not data:
                    return Ended(How.CUT, at, delivered)
                mark, piece, before = at, data, delivered
                at += len(data)
            out = engine.decompress(data, _OUTPUT)
            stalled = not out and not data
            if out:
                delivered += len(out)
                yield out
        return Ended(How.WHOLE, at - len(engine.unused_data), delivered)
    except errors as error:
        problem = _line(error)
    if mark == start and piece is prefix:
        return Ended(How.BROKEN, start, 0, problem)
    engine = new()
    try:
        given = sum(len(out) for out in _again(engine, content, start=start, end=mark, prefix=prefix))
    except errors:
        given = -1
    if given != before:  # The file was changed meanwhile: what is delivered is delivered.
        return Ended(How.BROKEN, mark, delivered, problem)
    return (yield from _by_byte(engine, piece, mark, errors=errors, given=given, delivered=delivered))


def decodes(
    content: Readable,
    start: int,
    new: Callable[[], Engine],
    *,
    errors: Errors,
    prefix: bytes = b"",
) -> bool:
    """Return whether a unit that gives bytes begins here: it decodes to its end, or too far for chance."""
    engine, at, given = new(), start, 0
    try:
        if prefix:
            engine.decompress(prefix, 0)
        while not engine.eof and given < _TRIAL_OUTPUT and at - start < _TRIAL_INPUT:
            data = content.read_at(at, PIECE // 16)
            if not data:
                break
            at += len(data)
            out = engine.decompress(data, _TRIAL_STEP)
            while out:
                given += len(out)
                done = engine.eof or engine.needs_input or given >= _TRIAL_OUTPUT
                out = b"" if done else engine.decompress(b"", _TRIAL_STEP)
    except errors:
        # It may be a unit that is damaged itself: it counts if it gave more than chance does.
        return given >= _TRIAL_STEP
    return given > 0


def _again(engine: Engine, content: Readable, *, start: int, end: int, prefix: bytes) -> Iterator[bytes]:
    if prefix:
        engine.decompress(prefix, 0)
    at = start
    while at < end:
        data = content.read_at(at, min(PIECE, end - at))
        if not data:
            return
        at += len(data)
        out = engine.decompress(data, _OUTPUT)
        yield out
        while not engine.eof and not engine.needs_input and (out := engine.decompress(b"", _OUTPUT)):
            yield out


def _by_byte(
    engine: Engine, piece: bytes, mark: int, *, errors: Errors, given: int, delivered: int
) -> Generator[bytes, None, Ended]:
    ready = bytearray()
    skip = delivered - given
    how, problem, used = How.BROKEN, "it decodes differently each time", len(piece)
    for index in range(len(piece)):
        try:
            out = engine.decompress(piece[index : index + 1])
        except errors as error:
            problem, used = _line(error), index
            break
        if out:
            ready += out[skip:]
            skip = max(0, skip - len(out))
            if len(ready) >= _OUTPUT:
                delivered += len(ready)
                yield bytes(ready)
                ready.clear()
        if engine.eof:
            how, problem, used = How.WHOLE, "", index + 1
            break
    if ready:
        delivered += len(ready)
        yield bytes(ready)
    return Ended(how, mark + used, delivered, problem)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.removeprefix("Unable to decompress Zstandard data: ") or type(error).__name__
