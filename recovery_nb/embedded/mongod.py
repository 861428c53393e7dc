"""A private `mongod`: started for whoever needs a database, and gone when they are."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from recovery_nb.embedded import watchdog
from recovery_nb.embedded.binary import find_mongod
from recovery_nb.embedded.failure import PORT_TAKEN, explain
from recovery_nb.embedded.holder import Holder, hold
from recovery_nb.errors import BadInputError, ConflictError

__all__ = ["EmbeddedMongod"]

_REPLICA_SET = "recovery"
_HOST = "127.0.0.1"
_POLL_SECONDS = 0.01

_NOT_YET_INITIALIZED = 94
_INVALID_REPLICA_SET_CONFIG = 93
"""Error codes of the server, src/mongo/base/error_codes.yml."""


class EmbeddedMongod:
    """A real `mongod`: a replica set of one, reachable from this machine only, all it holds in one folder.

    Use it as a context manager, or call `start` and `stop`. It never outlives the process that started it,
    whatever ends that process; the data stay and the next start finds them. One process at a time may use a
    folder.

    Args:
        data: The folder for data, log and locks; it is made if need be. Nothing is written elsewhere.
        wait: For how many seconds to wait for another process that uses the folder.
        ready_within: For how many seconds to wait for the server itself.
        on_wait: Called once, with the holder, when another process uses the folder.
    """

    def __init__(
        self,
        data: Path,
        *,
        wait: float = 30.0,
        ready_within: float = 60.0,
        on_wait: Callable[[Holder], None] | None = None,
    ) -> None:
        self._folder = data.absolute()
        self._wait = wait
        self._ready_within = ready_within
        self._on_wait = on_wait
        self._undo = ExitStack()
        self._port = 0

    @property
    def data(self) -> Path:
        """The folder that holds everything."""
        return self._folder

    @property
    def log(self) -> Path:
        """The server's own log, of this start."""
        return self._folder / "mongod.log"

    @property
    def running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._port != 0

    @property
    def port(self) -> int:
        """The port on the loopback; it is another one at each start.

        Raises:
            ConflictError: It is not running.
        """
        if not self._port:
            raise ConflictError("the embedded database is not running", hint="start it first")
        return self._port

    def uri(self, name: str = "") -> str:
        """Return how a client reaches the database `name`.

        Raises:
            ConflictError: It is not running.
        """
        return f"mongodb://{_HOST}:{self.port}/{name}?replicaSet={_REPLICA_SET}&directConnection=true"

    def start(self) -> Self:
        """Start the server and return when it can be written to. Does nothing if it runs.

        Raises:
            MissingRequirementError: There is no `mongod` that runs here.
            ConflictError: Another process uses the folder, or the server did not start.
            BadInputError: The folder cannot be used.
        """
        if self.running:
            return self
        with ExitStack() as undo:
            self._make_folder()
            undo.enter_context(hold(self._folder, wait=self._wait, on_wait=self._on_wait))
            binary = find_mongod(scratch=self._folder)
            port = self._launch(binary, undo)
            self._undo = undo.pop_all()
            self._port = port
        return self

    def stop(self) -> None:
        """Stop the server in good order, so that it starts fast again. Does nothing if it does not run."""
        self._port = 0
        self._undo.close()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / "db").mkdir(exist_ok=True)
        except OSError as error:
            raise BadInputError(
                f"the folder {self._folder} cannot be used for the embedded database: {error.strerror}",
                hint="give a folder that you may write to",
            ) from error

    def _launch(self, binary: Path, undo: ExitStack) -> int:
        for last in (False, False, True):
            port = _free_port()
            guard = _start_guarded(binary, self._folder, port)
            with ExitStack() as attempt:
                attempt.callback(_stop_guarded, guard)
                if self._await_ready(guard, port):
                    undo.push(attempt.pop_all())
                    return port
                reason = explain(self.log)
            # Someone may take the free port before the server does; anything else will not mend itself.
            if last or reason is not PORT_TAKEN:
                raise ConflictError(
                    f"the embedded mongod did not start in {self._folder}: {reason.what}",
                    hint=reason.hint or f"read {self.log}",
                )
        raise AssertionError("unreachable")

    def _await_ready(self, guard: subprocess.Popen[bytes], port: int) -> bool:
        deadline = time.monotonic() + self._ready_within
        while not _accepts(port):
            if guard.poll() is not None:
                return False
            self._check_time(deadline)
            time.sleep(_POLL_SECONDS)
        database = str(self._folder / "db")
        client: MongoClient[dict[str, Any]]
        with MongoClient(_HOST, port, directConnection=True, serverSelectionTimeoutMS=2000) as client:
            # Should the port have been taken, a stranger answers there: it must be told nothing.
            while not (_serves(client, database) and _is_primary(client, port)):
                if guard.poll() is not None:
                    return False
                self._check_time(deadline)
                time.sleep(_POLL_SECONDS)
        return True

    def _check_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise ConflictError(
                f"the embedded mongod in {self._folder} was not ready within {self._ready_within:g} s",
                hint=f"read {self.log}",
            )


def _start_guarded(binary: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [
        *(str(binary), "--dbpath", str(folder / "db"), "--replSet", _REPLICA_SET),
        *("--bind_ip", _HOST, "--port", str(port), "--nounixsocket"),
        *("--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "128"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # What is put back for inspection must not expire under the analyst's eyes.
        *("--setParameter", "ttlMonitorEnabled=false"),
    ]
    guard = Path(watchdog.__file__)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(guard), str(folder), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C at the terminal is ours to handle: the server must not hear it before it is stopped in order.
        start_new_session=True,
    )


def _stop_guarded(guard: subprocess.Popen[bytes]) -> None:
    if guard.stdin:
        try:
            # A word, not only the end of the pipe: a fork of this process may hold the pipe open.
            guard.stdin.write(b"stop")
            guard.stdin.close()
        except BrokenPipeError:
            pass
    try:
        guard.wait(watchdog.STOP_SECONDS + 10)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _serves(client: MongoClient[dict[str, Any]], database: str) -> bool:
    try:
        options = client.admin.command("getCmdLineOpts")["parsed"]
    except (PyMongoError, KeyError):
        return False
    return bool(options.get("storage", {}).get("dbPath") == database)


def _is_primary(client: MongoClient[dict[str, Any]], port: int) -> bool:
    """Say whether the server can be written to; make it so where it waits to be told its replica set."""
    try:
        if client.admin.command("hello").get("isWritablePrimary"):
            return True
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        _configure(client, port, error.code)
    except PyMongoError:
        pass
    return False


def _configure(client: MongoClient[dict[str, Any]], port: int, code: int | None) -> None:
    address = f"{_HOST}:{port}"
    try:
        if code == _NOT_YET_INITIALIZED:
            members = [{"_id": 0, "host": address}]
            client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": members})
        elif code == _INVALID_REPLICA_SET_CONFIG:
            # The stored configuration names the port of the start before, not this one.
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"][0]["host"] = address
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
    except PyMongoError:
        # Too early: it is still reading its configuration. The next look will tell.
        pass
