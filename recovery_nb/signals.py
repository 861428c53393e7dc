"""Ending in order: the signals that end a process are taken for Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ended_like_ctrl_c"]


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Turn the signals of `kill`, a shutdown and a closed terminal into a KeyboardInterrupt.

    Only what would end the process is turned: under nohup a closed terminal ends nothing. In another thread than the
    main one nothing is turned, for signals come to that one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
