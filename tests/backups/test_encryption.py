"""Encryption to one or several keys, which the `age` command undoes; and no secret in any message."""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from recovery_nb.backups.encryption import Encryption, recipients
from recovery_nb.errors import BadInputError

from .conftest import command, key_file, public


def ssh_key(folder: Path, kind: str) -> Path:
    path = folder / kind
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(
        [command("ssh-keygen"), "-q", "-t", kind, *bits, "-N", "", "-C", "me@here", "-f", str(path)], check=True
    )
    return path


def encrypted(data: bytes, to: list[str]) -> bytes:
    out = io.BytesIO()
    encryption = Encryption(recipients(to), lambda block: out.write(block) and None)
    for start in range(0, len(data), 300_000):
        encryption.write(data[start : start + 300_000])
    encryption.close()
    return out.getvalue()


def test_each_of_several_recipients_decrypts_alone(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(3_000_000)
    first, second = key_file(tmp_path / "first"), key_file(tmp_path / "second")
    packed = encrypted(data, [public(first), public(second)])
    for path in (first, second):
        identity = pyrage.x25519.Identity.from_str(path.read_text().split()[-1])
        assert pyrage.decrypt(packed, [identity]) == data
        if command := shutil.which("age"):
            done = subprocess.run([command, "-d", "-i", str(path)], input=packed, capture_output=True, check=True)
            assert done.stdout == data
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(packed, [pyrage.x25519.Identity.generate()])


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_is_a_recipient_with_or_without_its_comment(tmp_path: Path, kind: str) -> None:
    path = ssh_key(tmp_path, kind)
    line = path.with_suffix(".pub").read_text()
    assert recipients([line]) == recipients([" ".join(line.split()[:2])])
    packed = encrypted(b"content", [line])
    assert pyrage.decrypt(packed, [pyrage.ssh.Identity.from_buffer(path.read_bytes())]) == b"content"


def test_a_file_names_recipients_a_line_each(tmp_path: Path) -> None:
    keys = [public(key_file(tmp_path / name)) for name in ("first", "second", "third")]
    (tmp_path / "team").write_text(f"# ours\n\n{keys[0]}\n  {keys[1]}\n")
    assert [one.text for one in recipients([str(tmp_path / "team"), keys[2], keys[0]])] == keys


def secrets(tmp_path: Path) -> dict[str, Callable[[], str]]:
    secret = str(pyrage.x25519.Identity.generate())

    def in_a_file() -> str:
        (tmp_path / "identity.txt").write_text(f"# public key: age1\n{secret}\n")
        return str(tmp_path / "identity.txt")

    return {
        "the key": lambda: secret,
        "lower case": lambda: f"  {secret.lower()}\n",
        "mistyped": lambda: "x" + secret,
        "behind a public key": lambda: f"age1{secret}",
        "a file of it": in_a_file,
        "an SSH key": lambda: ssh_key(tmp_path, "ed25519").read_text(),
        "the file of an SSH key": lambda: str(ssh_key(tmp_path, "ed25519")),
    }


@pytest.mark.parametrize("way", secrets(Path()))
def test_a_secret_key_as_a_recipient_is_refused_and_not_repeated(tmp_path: Path, way: str) -> None:
    given = secrets(tmp_path)[way]()
    with pytest.raises(BadInputError, match="is a secret key, which was not used") as caught:
        recipients([given])
    assert "\n" not in str(caught.value)
    assert "age-keygen -y" in caught.value.hint
    hidden = Path(given).read_text() if given.startswith("/") else given
    for word in hidden.split():
        assert len(word) < 20 or word not in str(caught.value)


@pytest.mark.parametrize(
    "given", ["", "age1", "age1qqq", "ssh-ed25519", "ssh-ed25519 AAAA", "nowhere", "a\0b", "/", "é"]
)
def test_what_is_no_recipient_is_one_line_that_says_which(given: str, tmp_path: Path) -> None:
    good = public(key_file(tmp_path / "first"))
    with pytest.raises(BadInputError, match=r"^recipient 2 is ") as caught:
        recipients([good, given])
    assert "\n" not in str(caught.value)


def test_a_bad_line_in_a_file_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "team"
    path.write_text(f"{public(key_file(tmp_path / 'first'))}\n\nage1bad\n")
    with pytest.raises(BadInputError, match=r"line 3 of .*team is no public key"):
        recipients([str(path)])
    path.write_text("# nobody\n")
    with pytest.raises(BadInputError, match="holds no recipient"):
        recipients([str(path)])


def test_an_error_of_the_disk_comes_as_it_was_and_never_hangs(tmp_path: Path) -> None:
    def write_much() -> None:
        for _ in range(100):
            encryption.write(os.urandom(1_000_000))

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        encryption = Encryption(
            recipients([public(key_file(tmp_path / "key"))]), lambda block: file.write(block) and None
        )
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limit[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                write_much()
            encryption.abandon()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_what_is_given_up_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.enumerate()
    encryption = Encryption(recipients([public(key_file(tmp_path / "key"))]), lambda block: None)
    encryption.write(b"something")
    encryption.abandon()
    encryption.abandon()
    left = [one for one in threading.enumerate() if one not in before and not one.name.startswith("pymongo")]
    assert left == []
