"""Databases that cannot be reached, or will not let us in: exit 2, one line, and never the password."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from recovery_nb.embedded.binary import find_mongod

from .conftest import Cli

SECRET = "s3cr3t-Pa55"
WITHIN = 20.0
"""Three tries of five seconds, and what the command needs for itself."""


def no_secret(cli: Cli, text: str) -> None:
    assert SECRET not in text
    for path in cli.folder.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mongodb://127.0.0.1:27017", "names no database; add its name"),
        (f"mongodb://user:{SECRET}@127.0.0.1:27017/", "names no database; add its name"),
        (f"mongodb://user:{SECRET}@@@:x/", "can be used"),
        (f"mongodb://user:{SECRET}@host:port/name", "not a MongoDB URI"),
        (f"mongodb://user:{SECRET}@[::1/name", "URI"),
        (f"http://user:{SECRET}@host/name", "can be used"),
        (f"mongodb://user:{SECRET}@127.0.0.1/na me", "not a MongoDB URI"),
        (f"mongodb+srv://user:{SECRET}@nowhere.invalid/name", "nowhere.invalid"),
        ("nonsense", "not a MongoDB URI: nonsense"),
        ("embedded:", "names no database; write embedded:NAME"),
        ("embedded:a/b", "names no database"),
        ("", "no database was given; set DATABASE_URI"),
    ],
)
def test_a_uri_that_cannot_be_used_is_refused(plain: Cli, uri: str, says: str) -> None:
    plain.db = uri
    done = plain.refused("backup", says=says)
    no_secret(plain, done.text)


def test_the_uri_of_the_environment_and_of_the_profile_is_no_less_secret(plain: Cli) -> None:
    uri = f"mongodb://user:{SECRET}@host:port/name"
    done = plain.refused("compare", ".", says="not a MongoDB URI", env={"DATABASE_URI": uri})
    no_secret(plain, done.text)
    profile = plain.folder / "recovery-nb.toml"
    profile.write_text(f'database = "{uri}"\n')
    assert SECRET not in plain.refused("compare", ".", says="not a MongoDB URI").text
    profile.write_text(f'database = ["{uri}"]\n')
    assert SECRET not in plain.refused("compare", ".", says="the setting").text
    profile.write_text(f"database = {uri}\nnonsense")
    assert SECRET not in plain.refused("compare", ".", says="recovery-nb.toml").text


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


def test_hosts_that_do_not_answer_are_given_up_in_time(tmp_path: Path, silent: int) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    hosts = [f"127.0.0.1:{port}", f"127.0.0.1:{silent}", "nowhere.invalid:27017"]
    running: list[tuple[Cli, str, subprocess.Popen[bytes]]] = []
    begun = time.monotonic()
    for number, host in enumerate(hosts):
        folder = tmp_path / str(number)
        folder.mkdir()
        cli = Cli(folder, db=f"mongodb://user:{SECRET}@{host}/name")
        running.append((cli, host, cli.start("backup")))
    for cli, host, process in running:
        out, err = (stream.decode() for stream in process.communicate(timeout=WITHIN * 2))
        took = time.monotonic() - begun
        assert process.returncode == 2
        assert err.count("\n") == 1, err
        assert f"{host}/name does not answer (3 tries); check host" in err
        assert took < WITHIN + 2  # three at once on a busy machine
        no_secret(cli, out + err)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A mongod that asks who we are: `root` may all, `nobody` may nothing; both have the same password."""
    folder = tmp_path_factory.mktemp("auth")
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = int(probe.getsockname()[1])
    words = [str(find_mongod(scratch=folder)), "--auth", "--dbpath", str(folder), "--port", str(port)]
    words += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            _await(port)
            with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
                client.admin.command("createUser", "root", pwd=SECRET, roles=["root"])
            with MongoClient[dict[str, Any]](f"mongodb://root:{SECRET}@127.0.0.1:{port}/") as client:
                client.admin.command("createUser", "nobody", pwd=SECRET, roles=[])
                client.admin.command("createUser", "reader", pwd=SECRET, roles=[{"role": "read", "db": "shop"}])
                client["shop"]["users"].insert_one({"_id": 1})
            yield port
        finally:
            server.terminate()


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with MongoClient[dict[str, Any]]("127.0.0.1", port, serverSelectionTimeoutMS=500) as client:
                client.admin.command("ping")
                return
        except PyMongoError:
            assert time.monotonic() < deadline


def test_a_wrong_password_is_refused_at_once_and_never_shown(plain: Cli, guarded: int, samples: Path) -> None:
    backup = samples / "backups" / "export_spec_v1.json"
    plain.db = f"mongodb://root:{SECRET}x@127.0.0.1:{guarded}/shop?authSource=admin"
    for words in (["backup"], ["compare", backup], ["restore", backup, "--yes"], ["recover"]):
        done = plain.refused(*words, says="refused the user name or password; check the credentials", timeout=10)
        no_secret(plain, done.text)
    scanned = plain("scan", backup, "--json")
    assert scanned.code == 2
    assert not scanned.json["database"]["connected"]
    assert "refused the user name" in scanned.json["summary"]["errors"][0]
    assert scanned.err.count("\n") == 1
    no_secret(plain, scanned.text)


def test_a_user_without_rights_is_told_which_are_needed(plain: Cli, guarded: int, samples: Path) -> None:
    plain.db = f"mongodb://nobody:{SECRET}@127.0.0.1:{guarded}/shop?authSource=admin"
    done = plain.refused("backup", says="the read role")
    no_secret(plain, done.text)
    plain.db = f"mongodb://reader:{SECRET}@127.0.0.1:{guarded}/shop?authSource=admin"
    assert plain("backup", "--quiet").code == 0
    done = plain("restore", samples / "mongodump" / "shop" / "quotes.bson", "--yes", "--json")
    assert done.code in (2, 3)
    assert done.err.count("\n") == 1, done.err
    assert "not allowed" in done.err
    no_secret(plain, done.text)


def test_the_right_password_works_and_is_nowhere(plain: Cli, guarded: int) -> None:
    plain.db = f"mongodb://root:{SECRET}@127.0.0.1:{guarded}/shop?authSource=admin"
    taken = plain("backup", "--json")
    for done in (taken, plain("compare", taken.json["path"]), plain("recover", "--json")):
        assert done.code == 0, done.text
        no_secret(plain, done.text)


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://admin:hunter2/TopSecret@127.0.0.1:27017/shop",
        "mongodb://admin:TopSecret@127.0.0.1:27017/sh op",
        "mongodb://admin:TopSecret@127.0.0.1:1/shop?foo=bar&serverSelectionTimeoutMS=50",
        "mongodb://admin:TopSecret@127.0.0.1:port/shop",
    ],
)
def test_no_part_of_a_password_is_printed_whatever_is_wrong_with_the_uri(plain: Cli, uri: str) -> None:
    done = plain("backup", "--json", env={"DATABASE_URI": uri})
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "TopSecret" not in done.text
    assert "hunter2" not in done.text
