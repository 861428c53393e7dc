"""age (https://age-encryption.org/v1): decrypted as a stream of 64 KiB chunks, each of which is authenticated."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyrage
from pydantic import SecretStr

from recovery_nb.errors import BadInputError
from recovery_nb.sources.expand.parts import Break, Readable

__all__ = ["ARMOR", "MAGIC", "AgeKeys", "decrypt"]

MAGIC = b"age-encryption.org/v1\n"
ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"

_IN_MEMORY = 128 * 1024 * 1024
"""Bytes. A file under a passphrase is decrypted as a whole: the library offers no stream for it."""

_PIECE = 1024 * 1024
_SCRYPT = b"\n-> scrypt "
_HEADER_BYTES = 4096
_IDENTITY_BYTES = 1024 * 1024
_NO_IDENTITY = "name the identity file: RECOVERY_NB_AGE_IDENTITIES=FILE"
_ASK = "set RECOVERY_NB_AGE_PASSPHRASE to what opens it"


@dataclass(frozen=True, slots=True)
class AgeKeys:
    """What age files are decrypted with.

    Attributes:
        identities: Identity files: `AGE-SECRET-KEY-1…` lines, or an SSH private key that has no passphrase.
        passphrase: For files that were encrypted under one; or what asks for it when it is needed.
    """

    identities: tuple[Path, ...] = ()
    passphrase: SecretStr | Callable[[], SecretStr] | None = None

    def load(self) -> list[object]:
        """Return the identities in all the files.

        Raises:
            BadInputError: A file cannot be read, or holds no identity.
        """
        return [identity for path in self.identities for identity in _identities(path)]

    def secret(self) -> SecretStr | None:
        """Return the passphrase, asking for it if need be."""
        return self.passphrase() if callable(self.passphrase) else self.passphrase


def decrypt(content: Readable, start: int, emit: Callable[[bytes | Break], None], *, keys: AgeKeys, label: str) -> None:
    """Decrypt a file, binary or armored, and emit what is authentic.

    Args:
        content: The encrypted bytes.
        start: Where they begin.
        emit: Takes the bytes, and at damage the break that ends them: no chunk behind it can be authenticated alone.
        keys: What to decrypt with.
        label: The file's path, for messages.

    Raises:
        BadInputError: There is no key, or the wrong one; or what is there is no age file.
    """
    head = content.read_at(start, _HEADER_BYTES)
    if not head.startswith((MAGIC, ARMOR)):
        emit(Break(f"what begins at byte {start:,} is no age file: it was left out"))
        return
    if _under_passphrase(head):
        _with_passphrase(content, start, emit, keys=keys, label=label)
        return
    identities = keys.load()
    if not identities:
        raise BadInputError(f"{label} is encrypted with age", hint=_NO_IDENTITY)
    source, sink = _Source(content, start), _Sink(emit)
    try:
        pyrage.decrypt_io(source, sink, identities)
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise BadInputError(f"{label} is encrypted with age for another identity", hint=_NO_IDENTITY) from None
        raise BadInputError(f"{label} cannot be decrypted: {_line(error)}", hint="its header is damaged") from None
    except (OSError, ValueError) as error:
        # The library's own errors, and those of what it was given to read from and write to, come alike.
        if error in (source.failure, sink.failure):
            raise
        sink.flush()
        if not sink.given and source.at <= start + _HEADER_BYTES and not content.read_at(source.at, 1):
            emit(Break(f"the age file is cut off: it ends at byte {source.at:,}"))
            return
        emit(Break(f"the age file is damaged or cut off before byte {source.at:,} ({_line(error)}): the rest is lost"))
        return
    sink.flush()


def _under_passphrase(head: bytes) -> bool:
    if head.startswith(ARMOR):
        try:
            head = binascii.a2b_base64(b"".join(head[len(ARMOR) :].split()[:1]))
        except binascii.Error:
            return False
    return head.startswith(_SCRYPT, len(MAGIC) - 1)


def _with_passphrase(
    content: Readable, start: int, emit: Callable[[bytes | Break], None], *, keys: AgeKeys, label: str
) -> None:
    secret = keys.secret()
    if secret is None:
        raise BadInputError(f"{label} is encrypted with age under a passphrase", hint=_ASK)
    data = content.read_at(start, _IN_MEMORY + 1)
    if len(data) > _IN_MEMORY:
        raise BadInputError(
            f"{label} is encrypted under a passphrase, and larger than the {_IN_MEMORY >> 20} MiB that can be read so",
            hint="decrypt it with the age command first",
        )
    try:
        plain = pyrage.passphrase.decrypt(data, secret.get_secret_value())
    except (pyrage.DecryptError, OSError, ValueError) as error:
        hint = "check the passphrase; if it is right, the file is damaged"
        raise BadInputError(f"{label} cannot be decrypted with this passphrase: {_line(error)}", hint=hint) from None
    emit(plain)


def _identities(path: Path) -> list[object]:
    try:
        with path.open("rb") as file:
            data = file.read(_IDENTITY_BYTES)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}", hint="name an age identity file") from None
    try:
        if b"-----BEGIN" in data and b"PRIVATE KEY-----" in data:
            return [pyrage.ssh.Identity.from_buffer(data)]
        lines = [line.strip() for line in data.decode("utf-8").splitlines()]
        found: list[object] = [
            pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")
        ]
    except (pyrage.IdentityError, UnicodeDecodeError):
        found = []  # The library's message may hold the line: it is not shown.
    if not found:
        raise BadInputError(
            f"{path} holds no age identity that can be used", hint="name the file that age-keygen wrote"
        )
    return found


class _Source:
    """The encrypted bytes as the file object that the library reads from."""

    def __init__(self, content: Readable, start: int) -> None:
        self._content, self._next, self._piece, self._used = content, start, b"", 0
        self.failure: Exception | None = None

    @property
    def at(self) -> int:
        """Where the library is, in the encrypted bytes."""
        return self._next - len(self._piece) + self._used

    def read(self, size: int = -1) -> bytes:
        if self._used == len(self._piece):
            try:
                self._piece, self._used = self._content.read_at(self._next, _PIECE), 0
            except Exception as error:
                self.failure = error
                raise
            self._next += len(self._piece)
        found = self._piece[self._used : self._used + size if size >= 0 else None]
        self._used += len(found)
        return found


class _Sink:
    """Takes the decrypted bytes, and hands them on in larger pieces."""

    def __init__(self, emit: Callable[[bytes | Break], None]) -> None:
        self._emit, self._ready, self.given = emit, bytearray(), 0
        self.failure: Exception | None = None

    def write(self, data: bytes) -> int:
        self._ready += data
        self.given += len(data)
        if len(self._ready) >= _PIECE:
            try:
                self.flush()
            except Exception as error:
                self.failure = error
                raise
        return len(data)

    def flush(self) -> None:
        if self._ready:
            ready, self._ready = bytes(self._ready), bytearray()
            self._emit(ready)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
