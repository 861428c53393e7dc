"""Reading ahead: the next batches are fetched while the last one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["ahead"]

_AHEAD = 2

Item = TypeVar("Item")


def ahead(batches: Iterable[Item]) -> Iterator[Item]:
    """Yield from an iterable that a thread drains, at most two batches ahead: the server works while we hash."""
    waiting: queue.Queue[Item | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def hand_on(item: Item | BaseException | None) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def drain() -> None:
        try:
            for batch in batches:
                hand_on(batch)
                if stop.is_set():
                    return
            hand_on(None)
        except BaseException as error:
            hand_on(error)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
