from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient

from recovery_nb.embedded import EmbeddedMongod, Holder
from recovery_nb.embedded import mongod as module
from recovery_nb.errors import BadInputError, ConflictError

HOLD = """
import sys, pathlib
from recovery_nb.embedded import EmbeddedMongod
with EmbeddedMongod(pathlib.Path(sys.argv[1])) as server:
    print(server.uri("shop"), flush=True)
    sys.stdin.read()
"""


def servers_of(folder: Path) -> list[psutil.Process]:
    """Every process, watchdogs included, that was started for `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if str(folder) in arguments or str(folder / "db") in arguments:
            found.append(process)
    return [process for process in found if process.is_running() and process.pid != psutil.Process().pid]


def mongod_of(folder: Path) -> psutil.Process:
    (process,) = (p for p in servers_of(folder) if p.name() == "mongod")
    return process


def eventually(what: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another Python process that holds a server in `tmp_path / "data"`, and the URI it gave."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()
    assert eventually(lambda: not servers_of(tmp_path / "data"))


def test_a_new_server_is_a_writable_primary_within_five_seconds(tmp_path: Path) -> None:
    begun = time.monotonic()
    with EmbeddedMongod(tmp_path / "data") as server, MongoClient[Any](server.uri("shop")) as client:
        client["shop"]["quotes"].insert_one({"_id": 1})
        assert time.monotonic() - begun < 5


def test_it_has_transactions_and_snapshots(mongod_uri: str) -> None:
    with MongoClient[Any](mongod_uri) as client:
        quotes = client["embedded_test"]["quotes"]
        quotes.insert_one({"_id": 1})
        with client.start_session() as session, session.start_transaction():
            quotes.insert_one({"_id": 2}, session=session)
        with client.start_session(snapshot=True) as session:
            assert quotes.count_documents({}, session=session) == 2
            quotes.insert_one({"_id": 3})
            assert quotes.count_documents({}, session=session) == 2
        client.drop_database("embedded_test")


def test_data_survive_a_stop_and_a_start_on_another_port(tmp_path: Path) -> None:
    server = EmbeddedMongod(tmp_path / "data")
    ports = []
    for visit in range(2):
        with server, MongoClient[Any](server.uri("shop")) as client:
            ports.append(server.port)
            assert client["shop"]["visits"].count_documents({}) == visit
            client["shop"]["visits"].insert_one({"_id": visit})
    assert len(set(ports)) > 1
    assert not servers_of(tmp_path / "data")


def test_data_survive_a_server_that_was_killed(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path / "data") as server, MongoClient[Any](server.uri("shop")) as client:
        client["shop"].get_collection("visits").insert_one({"_id": 1})
        mongod_of(tmp_path / "data").kill()
    with EmbeddedMongod(tmp_path / "data") as server, MongoClient[Any](server.uri("shop")) as client:
        assert client["shop"]["visits"].count_documents({}) == 1


def test_it_listens_on_the_loopback_only(mongod: EmbeddedMongod) -> None:
    listening = [c for c in mongod_of(mongod.data).net_connections("all") if c.status == psutil.CONN_LISTEN]
    assert [(c.laddr.ip, c.laddr.port) for c in listening] == [("127.0.0.1", mongod.port)]


def test_it_writes_only_into_its_folder(mongod: EmbeddedMongod) -> None:
    opened = {Path(file.path) for file in mongod_of(mongod.data).open_files()}
    assert opened
    assert all(path.is_relative_to(mongod.data) for path in opened)
    assert mongod.log.stat().st_size > 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_never_outlives_its_parent(
    tmp_path: Path, elsewhere: tuple[subprocess.Popen[str], str], how: signal.Signals
) -> None:
    process, _ = elsewhere
    assert {p.name() == "mongod" for p in servers_of(tmp_path / "data")} == {True, False}
    process.send_signal(how)
    process.wait()
    assert eventually(lambda: not servers_of(tmp_path / "data"))


def test_it_does_not_outlive_a_parent_whose_fork_lives_on(tmp_path: Path) -> None:
    script = HOLD.replace(
        "    sys.stdin.read()", "    import os, time\n    os.fork() or time.sleep(60)\n    time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert eventually(lambda: len(psutil.Process(process.pid).children()) == 2)
    forks = [p for p in psutil.Process(process.pid).children() if "watchdog.py" not in " ".join(p.cmdline())]
    process.kill()
    process.wait()
    try:
        assert eventually(lambda: not [p for p in servers_of(tmp_path / "data") if p not in forks])
    finally:
        for fork in forks:
            fork.kill()
        process.stdout.close()


def test_it_ends_even_when_its_watchdog_is_killed(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path / "data"):
        mongod = mongod_of(tmp_path / "data")
        (watchdog,) = (p for p in servers_of(tmp_path / "data") if p != mongod)
        watchdog.kill()
        assert eventually(lambda: not mongod.is_running())


def test_ctrl_c_at_the_terminal_does_not_reach_the_server(
    tmp_path: Path, elsewhere: tuple[subprocess.Popen[str], str]
) -> None:
    process, _ = elsewhere
    own = psutil.Process(process.pid)
    assert all(os.getsid(p.pid) != os.getsid(own.pid) for p in servers_of(tmp_path / "data") if p != own)


def test_a_second_process_is_told_who_holds_the_data(
    tmp_path: Path, elsewhere: tuple[subprocess.Popen[str], str]
) -> None:
    process, _ = elsewhere
    waits: list[Holder] = []
    with pytest.raises(ConflictError, match=rf"in use by process {process.pid} \(.*\) since 20\d\d-") as raised:
        EmbeddedMongod(tmp_path / "data", wait=0.1, on_wait=waits.append).start()
    assert raised.value.hint
    assert [holder.pid for holder in waits] == [process.pid]


def test_a_second_process_waits_for_the_first_to_end(
    tmp_path: Path, elsewhere: tuple[subprocess.Popen[str], str]
) -> None:
    process, uri = elsewhere
    with MongoClient[Any](uri) as client:
        client["shop"]["visits"].insert_one({"_id": 1})

    def end_it(_: Holder) -> None:
        assert process.stdin is not None
        process.stdin.close()

    waiting = EmbeddedMongod(tmp_path / "data", wait=20, on_wait=end_it)
    with waiting as server, MongoClient[Any](server.uri("shop")) as client:
        assert client["shop"]["visits"].count_documents({}) == 1


def test_a_holder_that_was_killed_blocks_nobody_even_while_its_server_still_stops(
    tmp_path: Path, elsewhere: tuple[subprocess.Popen[str], str]
) -> None:
    process, uri = elsewhere
    with MongoClient[Any](uri) as client:
        client["shop"]["visits"].insert_one({"_id": 1})
    process.kill()
    process.wait()
    with EmbeddedMongod(tmp_path / "data", wait=0) as server, MongoClient[Any](server.uri("shop")) as client:
        assert client["shop"]["visits"].count_documents({}) == 1


def test_two_in_one_process_exclude_each_other_too(mongod: EmbeddedMongod) -> None:
    with pytest.raises(ConflictError, match="in use by process"):
        EmbeddedMongod(mongod.data, wait=0).start()


def test_starting_twice_and_stopping_twice_is_harmless(tmp_path: Path) -> None:
    server = EmbeddedMongod(tmp_path / "data")
    port = server.start().port
    assert server.start().port == port
    server.stop()
    server.stop()
    with pytest.raises(ConflictError, match="not running"):
        server.uri("shop")


def test_a_password_on_the_command_line_does_not_reach_the_holder_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/recovery-nb", "scan", "mongodb://u:hunter2@db/shop"])
    with EmbeddedMongod(tmp_path / "data"):
        written = (tmp_path / "data" / "holder.json").read_text()
    assert "hunter2" not in written
    assert "recovery-nb" in written


def test_damaged_data_end_in_one_line_that_says_so(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path / "data"):
        pass
    (tmp_path / "data" / "db" / "WiredTiger.turtle").write_bytes(b"not this")
    with pytest.raises(ConflictError, match=r"did not start in .*: the data there are damaged") as raised:
        EmbeddedMongod(tmp_path / "data").start()
    assert "\n" not in str(raised.value)
    assert not servers_of(tmp_path / "data")


def test_data_in_use_by_another_mongod_are_left_alone(tmp_path: Path, mongod: EmbeddedMongod) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "db").symlink_to(mongod.data / "db")
    with pytest.raises(ConflictError, match="another mongod already uses the data"):
        EmbeddedMongod(tmp_path / "data").start()


def test_a_port_taken_at_the_last_moment_is_given_up_for_another(
    tmp_path: Path, mongod: EmbeddedMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = module._free_port
    offered = iter([mongod.port])
    monkeypatch.setattr(module, "_free_port", lambda: next(offered, None) or free())
    with EmbeddedMongod(tmp_path / "data") as server:
        assert server.port != mongod.port


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = EmbeddedMongod(tmp_path / "data")
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    with MongoClient[Any](server.uri("shop")) as client:
        client["shop"]["visits"].insert_one({"_id": 1})
    server.stop()
    assert not servers_of(tmp_path / "data")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(BadInputError, match="cannot be used"):
        EmbeddedMongod(tmp_path / "data").start()
