"""Encryption with age (https://age-encryption.org/v1) on the way to the disk; the `age` command decrypts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread

import pyrage

from recovery_nb.errors import BadInputError, RecoveryError

__all__ = ["ENDING", "Encryption", "Recipient", "recipients"]

ENDING = ".age"
"""What is added to an encrypted file's name."""

_LIST_BYTES = 1024 * 1024
_QUEUED = 2
_PIECE = 1024 * 1024
_USE = "give age1…, ssh-ed25519 …, ssh-rsa …, or a file that holds one a line"
_PUBLIC = "give the public key: age-keygen -y FILE prints it (of an SSH key, it is the file that ends in .pub)"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who can decrypt.

    Attributes:
        text: The public key: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`, without a comment.
    """

    text: str

    def key(self) -> object:
        """Return the library's object for it.

        Raises:
            BadInputError: It is no public key.
        """
        try:
            if self.text.startswith("ssh-"):
                return pyrage.ssh.Recipient.from_str(self.text)
            return pyrage.x25519.Recipient.from_str(self.text)
        except (pyrage.RecipientError, ValueError):
            # Neither its text nor the library's message is shown: it may be a key that must not be.
            raise BadInputError("what was given is no public key", hint=_USE) from None


def recipients(texts: Sequence[str]) -> list[Recipient]:
    """Return whom a backup is encrypted to.

    Args:
        texts: Public keys, or files that hold one a line; empty lines there, and what begins with #, say nothing.

    Raises:
        BadInputError: One is neither, or is a secret key. The line says which; what was given is not repeated.
    """
    found: dict[str, Recipient] = {}
    for number, text in enumerate(map(str.strip, texts), 1):
        where = f"recipient {number}"
        _refuse_secret(text, where)
        for place, line in [(where, text)] if text.startswith(("age1", "ssh-")) else _listed(text, where):
            recipient = _parsed(line, place)
            found[recipient.text] = recipient
    return list(found.values())


def _listed(name: str, where: str) -> list[tuple[str, str]]:
    """Return the lines of a file of recipients, each with its place."""
    path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(_LIST_BYTES).decode()
    except (OSError, ValueError):
        raise BadInputError(f"{where} is neither a public key nor a file that can be read", hint=_USE) from None
    _refuse_secret(content, str(path))
    lines = [
        (f"line {number} of {path}", line.strip())
        for number, line in enumerate(content.splitlines(), 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not lines:
        raise BadInputError(f"{path} holds no recipient", hint=_USE)
    return lines


def _parsed(line: str, where: str) -> Recipient:
    parts = line.split()
    recipient = Recipient(" ".join(parts[:2]) if line.startswith("ssh-") else line)
    try:
        recipient.key()
    except BadInputError:
        raise BadInputError(f"{where} is no public key that age can encrypt to", hint=_USE) from None
    return recipient


def _refuse_secret(text: str, where: str) -> None:
    upper = text.upper()
    if "AGE-SECRET-KEY-" in upper or "PRIVATE KEY" in upper or "AGE-PLUGIN-" in upper:
        raise BadInputError(f"{where} is a secret key, which was not used and is not repeated here", hint=_PUBLIC)


class Encryption:
    """What is written to it is encrypted by a thread, and handed on.

    Args:
        to: Whom it is encrypted to; each of them can decrypt it alone.
        write: Takes what is encrypted; called in the thread.
    """

    def __init__(self, to: Sequence[Recipient], write: Callable[[bytes], None]) -> None:
        self._blocks: Queue[bytes] = Queue(_QUEUED)
        self._write = write
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, args=([one.key() for one in to],), name="encrypting", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            OSError: What came before could not be written.
        """
        if self._failure:
            raise self._failure
        if data:
            self._blocks.put(data)

    def close(self) -> None:
        """Wait until all is encrypted and handed on.

        Raises:
            OSError: It could not be written.
            RecoveryError: It could not be encrypted.
        """
        self.abandon()
        if self._failure:
            raise self._failure

    def abandon(self) -> None:
        """End the thread, whatever it has come to."""
        if self._thread.is_alive():
            self._blocks.put(b"")
        self._thread.join()

    def _run(self, keys: list[object]) -> None:
        source, sink = _Source(self._blocks), _Sink(self._write)
        try:
            pyrage.encrypt_io(source, sink, keys)
            sink.flush()
        except BaseException as error:
            # The library wraps what the file raised, which says more; and a panic of its own is no `Exception`.
            self._failure = sink.failure or RecoveryError(f"it cannot be encrypted: {' '.join(str(error).split())}")
        while not source.ended:  # who writes must never wait for a thread that has given up
            source.read(_PIECE)


class _Source:
    """What is to be encrypted, as the file object that the library reads from."""

    def __init__(self, blocks: Queue[bytes]) -> None:
        self._blocks, self._block, self._used, self.ended = blocks, b"", 0, False

    def read(self, size: int = -1) -> bytes:
        if self._used == len(self._block) and not self.ended:
            self._block, self._used = self._blocks.get(), 0
            self.ended = not self._block
        found = self._block[self._used : self._used + size if size >= 0 else None]
        self._used += len(found)
        return found


class _Sink:
    """Takes the encrypted bytes, and hands them on in larger pieces."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write, self._ready = write, bytearray()
        self.failure: BaseException | None = None

    def write(self, data: bytes) -> int:
        self._ready += data
        if len(self._ready) >= _PIECE:
            self.flush()
        return len(data)

    def flush(self) -> None:
        ready, self._ready = bytes(self._ready), bytearray()
        try:
            self._write(ready)
        except BaseException as error:
            self.failure = error
            raise
