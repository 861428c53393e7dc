"""Keeps one server and lets it live no longer than whoever asked for it.

Run as a script, without `site` and without this package, so that it costs little:
`python -I -S watchdog.py FOLDER COMMAND…`. It ends with the exit code of the command.

Its standard input is a pipe whose other end only the asking process has. The kernel closes that end however
the process ends, SIGKILL included, and then the command is stopped. The same way stops it in good order: one
path for both. The lock on `running.lock` is inherited by the command, so it lasts as long as either lives.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import subprocess
import sys
import time

__all__ = ["main"]

STOP_SECONDS = 20.0
"""How long the command may take to stop in good order before it is killed."""

POLL_SECONDS = 1.0
"""How often to look whether the asker is gone. A fork of it may hold our pipe open after it died."""

PR_SET_PDEATHSIG = 1
"""prctl(2), linux/prctl.h."""


def main(folder: str, command: list[str]) -> int:
    """Run `command` until it ends or the asking process does.

    Args:
        folder: Where `running.lock` and the log `mongod.log` are.
        command: The program, by its path, and its arguments.

    Returns:
        The command's exit code, as a shell would give it (128 + N for signal N).
    """
    asker = os.getppid()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    lock = os.open(os.path.join(folder, "running.lock"), os.O_RDWR | os.O_CREAT, 0o600)  # noqa: PTH118 - starts faster without pathlib
    while not _try_lock(lock):
        if _asked_to_stop(asker, wake_read, 0.02):
            return 0
    with open(os.path.join(folder, "mongod.log"), "wb") as log:  # noqa: PTH118, PTH123 - as above
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            pass_fds=[lock],
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
        )
    while server.poll() is None and not _asked_to_stop(asker, wake_read, POLL_SECONDS):
        pass
    return _stop(server)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _asked_to_stop(asker: int, wake: int, seconds: float) -> bool:
    readable, _, _ = select.select([0, wake], [], [], seconds)
    if wake in readable:
        os.read(wake, 1024)
    return 0 in readable or os.getppid() != asker


def _end_with_parent() -> None:
    # The last net: where this very process is killed, the kernel asks the server to stop.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(server: subprocess.Popen[bytes]) -> int:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if server.poll() is None:
            server.kill()
    code = server.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
