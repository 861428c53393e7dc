from __future__ import annotations

import base64
from pathlib import Path

import pyrage
import pytest
from pydantic import SecretStr

from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.codecs import Codec, decode_with

CHUNK = 64 * 1024

UNDER_PASSPHRASE = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCBoVENpajlERXNvVXNwa0N5d2xwZ1J3IDEwCnVSWStmOXppNTMvYStB"
    "NFNiLzd2S1dSd0V4Z1I2UStJdUx3dURzTWRqdWMKLS0tIHhudnVkdkVJS0RXc2hCYWM0Mm9sbXFSM3JqdlI0cnZ3eGxJNFZK"
    "ZDMvRWcK9ONOWGYj1+jgbDkU2MjxTu3GVQoXSLj8UtemX/OlViVo/Cb3SJhnonNvTCQNpHLYtmlIpb596Oc="
)
"""Under "correct horse", with a work factor of 2^10: of what the library chooses, each trial takes seconds."""


def armor(packed: bytes) -> bytes:
    text = base64.b64encode(packed).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    begin, end = (f"-----{word} AGE ENCRYPTED FILE-----" for word in ("BEGIN", "END"))
    return "\n".join([begin, *lines, end, ""]).encode()


@pytest.fixture
def identity() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def keys(identity, tmp_path) -> AgeKeys:
    path = tmp_path / "keys.txt"
    path.write_text(f"# created: today\n# public key: {identity.to_public()}\n{identity}\n")
    return AgeKeys((path,))


@pytest.fixture
def plain(records) -> bytes:
    return b"".join(records)


@pytest.mark.parametrize("armored", [False, True])
def test_a_file_is_decrypted_with_an_identity_file(armored, identity, keys, plain, decoded) -> None:
    found = decoded(Codec.AGE, pyrage.encrypt(plain, [identity.to_public()], armored=armored), keys)
    assert (found.data, found.breaks) == (plain, [])


def test_every_identity_is_tried(identity, keys, plain, decoded, tmp_path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    found = decoded(Codec.AGE, pyrage.encrypt(plain, [identity.to_public()]), AgeKeys((other, *keys.identities)))
    assert found.data == plain


@pytest.mark.parametrize("asked", [False, True])
def test_a_file_is_decrypted_under_a_passphrase(asked, decoded) -> None:
    secret = SecretStr("correct horse")
    packed = UNDER_PASSPHRASE if asked else armor(UNDER_PASSPHRASE)
    found = decoded(Codec.AGE, packed, AgeKeys(passphrase=(lambda: secret) if asked else secret))
    assert (found.data, found.breaks) == (b"text behind a passphrase", [])


def test_without_a_key_the_line_says_what_to_name(identity, decoded) -> None:
    packed = pyrage.encrypt(b"text", [identity.to_public()])
    with pytest.raises(BadInputError, match=r"^users.bson is encrypted with age; name .*RECOVERY_NB_AGE_IDENTITIES"):
        decoded(Codec.AGE, packed)


def test_the_wrong_key_is_said(keys, decoded) -> None:
    packed = pyrage.encrypt(b"text", [pyrage.x25519.Identity.generate().to_public()])
    with pytest.raises(BadInputError, match="another identity"):
        decoded(Codec.AGE, packed, keys)


def test_a_wrong_passphrase_is_said_and_not_shown(decoded) -> None:
    with pytest.raises(BadInputError, match="passphrase") as raised:
        decoded(Codec.AGE, UNDER_PASSPHRASE, AgeKeys(passphrase=SecretStr("hunter2")))
    assert "hunter2" not in str(raised.value)
    for packed in (UNDER_PASSPHRASE, armor(UNDER_PASSPHRASE)):
        with pytest.raises(BadInputError, match="RECOVERY_NB_AGE_PASSPHRASE"):
            decoded(Codec.AGE, packed)


@pytest.mark.parametrize("content", ["", "# nothing\n", "AGE-SECRET-KEY-1WRONG\n", "\xff\xfe"])
def test_a_file_without_an_identity_is_said_and_its_content_not_shown(content, identity, decoded, tmp_path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(BadInputError, match="holds no age identity") as raised:
        decoded(Codec.AGE, pyrage.encrypt(b"text", [identity.to_public()]), AgeKeys((path,)))
    assert "WRONG" not in str(raised.value)


def test_a_missing_identity_file_is_said(identity, decoded) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        decoded(Codec.AGE, pyrage.encrypt(b"text", [identity.to_public()]), AgeKeys((Path("/nowhere/keys.txt"),)))


@pytest.mark.parametrize("damage", ["cut", "flip"])
@pytest.mark.parametrize("armored", [False, True])
def test_every_chunk_before_damage_is_given(damage, armored, identity, keys, plain, decoded) -> None:
    packed = bytearray(pyrage.encrypt(plain, [identity.to_public()], armored=armored))
    at = len(packed) * 3 // 4
    if damage == "cut":
        del packed[at:]
    else:
        packed[at] ^= 2
    found = decoded(Codec.AGE, bytes(packed), keys)
    assert plain.startswith(found.data)
    assert len(found.data) == len(plain) * 3 // 4 // CHUNK * CHUNK
    (said,) = found.breaks
    assert not said.doubt, "what was given is authentic"


def test_a_damaged_header_is_said(identity, keys, decoded) -> None:
    packed = bytearray(pyrage.encrypt(b"text", [identity.to_public()]))
    packed[60] ^= 1
    with pytest.raises(BadInputError, match=r"^users.bson"):
        decoded(Codec.AGE, bytes(packed), keys)


def test_what_the_disk_says_is_not_taken_for_damage(identity, keys, plain) -> None:
    packed = pyrage.encrypt(plain, [identity.to_public()])

    class Failing:
        def read_at(self, position: int, length: int) -> bytes:
            if position > 100_000:
                raise DamagedSourceError("the disk failed")
            return packed[position : position + min(length, 50_000)]

    with pytest.raises(DamagedSourceError, match="the disk failed"):
        decode_with(Codec.AGE, Failing(), 0, lambda _part: None, keys=keys, label="users.bson")
