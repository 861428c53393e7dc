"""What the cells of this kernel ran and showed: a front end's file holds it only once it is saved."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

__all__ = ["LARGEST", "LARGEST_CELL", "CellRun", "Transcript", "keep", "kept"]

LARGEST = 64 << 20
"""Characters that the outputs of a session may have altogether."""
LARGEST_CELL = 16 << 20
"""Characters that the outputs of one cell may have."""
_OVERHEAD = 64
"""What an output takes beside its text: a million empty ones are not nothing."""
_MOST_OUTPUTS = 10_000
_MOST_RUNS = 10_000
_SHOWN = ("display_data", "execute_result", "error", "stream")

Output = dict[str, Any]


@dataclass(slots=True)
class CellRun:
    """One execution of a cell.

    Attributes:
        number: Its execution count.
        cell: What the front end calls the cell; "" if it does not say.
        source: The text that was run.
        outputs: What it showed, as the contents of Jupyter's messages with their `output_type`.
        whole: Whether all of it was kept.
        size: Characters in the outputs.
        first: Whether the transcript was begun within it: what it had shown before is not there.
    """

    number: int
    cell: str
    source: str
    outputs: list[Output] = field(default_factory=list)
    whole: bool = True
    size: int = 0
    first: bool = False
    clearing: bool = False


class Transcript:
    """The executions of one kernel from a time on, each with what it showed, as a front end sees it.

    Follows the messaging protocol: an update of a display changes what was shown before, wherever it stands; a cell
    that is run again shows only its last run. What would go beyond a bound is left out, and the run says so.

    Attributes:
        since: When it was begun, in UTC.
        first: The execution count at which it was begun.
        missed: Why it may not hold all that was shown; "" as long as nothing went wrong.
    """

    def __init__(self, first: int = 1) -> None:
        self.since = datetime.now(UTC)
        self.first = first
        self.missed = ""
        self._lock = threading.RLock()
        self._runs: dict[str, CellRun] = {}
        self._size = 0

    def runs(self) -> list[CellRun]:
        """Return a copy of the executions, in their order."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # whatever the analyst has put there
                stream.flush()
        with self._lock:
            copies = [replace(run, outputs=[*map(_copied, run.outputs)]) for run in self._runs.values()]
        return sorted(copies, key=lambda run: run.number)

    def begun(self, request: Mapping[str, Any], *, number: int, source: str) -> None:
        """Note that a cell is run.

        Args:
            request: The message that asked for it. JupyterLab and Notebook 7 name the cell in its metadata.
            number: Its execution count.
            source: Its text.
        """
        cell = str((request.get("metadata") or {}).get("cellId") or "")
        with self._lock:
            before = [name for name, run in self._runs.items() if cell and run.cell == cell]
            if not before and len(self._runs) >= _MOST_RUNS:
                before = [next(iter(self._runs))]
                self.missed = f"more than {_MOST_RUNS:,} cells were run"
            for name in before:
                self._size -= self._runs.pop(name).size
            first = not self._runs and number == self.first
            self._runs[request["header"]["msg_id"]] = CellRun(number, cell, source, first=first)

    def heard(self, kind: str, content: Mapping[str, Any], *, parent: str) -> None:
        """Take in what the kernel tells its front ends.

        Args:
            kind: The type of the message.
            content: Its content.
            parent: The id of the request that it belongs to. What belongs to none that ran a cell (what a click
                prints) no front end shows below a cell, and it is passed over.
        """
        with self._lock:
            if kind == "update_display_data":
                self._update(content)
            elif (run := self._runs.get(parent)) is None:
                return
            elif kind == "clear_output":
                if content.get("wait"):
                    run.clearing = True
                else:
                    self._clear(run)
            elif kind in _SHOWN:
                if run.clearing:
                    self._clear(run)
                if kind == "display_data":
                    self._update(content)
                self._add(run, {"output_type": kind, **content})

    def _clear(self, run: CellRun) -> None:
        self._size -= run.size
        run.outputs, run.size, run.whole, run.clearing = [], 0, True, False

    def _add(self, run: CellRun, output: Output) -> None:
        size = _size(output)
        last = run.outputs[-1] if run.outputs else {}
        joins = output["output_type"] == "stream" == last.get("output_type") and last["name"] == output["name"]
        if not self._fits(run, size) or (len(run.outputs) >= _MOST_OUTPUTS and not joins):
            run.whole = False
            return
        if joins:
            # As a list: joining the text of a million small prints each time would take forever.
            last["parts"].append(output["text"])
        else:
            if output["output_type"] == "stream":
                output = {"output_type": "stream", "name": output["name"], "parts": [output["text"]]}
            run.outputs.append(output)
        self._resize(run, size)

    def _update(self, content: Mapping[str, Any]) -> None:
        name = (content.get("transient") or {}).get("display_id")
        if name is None:
            return
        for run in self._runs.values():
            for output in run.outputs:
                if (output.get("transient") or {}).get("display_id") == name:
                    changed = {**output, "data": content.get("data", {}), "metadata": content.get("metadata", {})}
                    more = _size(changed) - _size(output)
                    if self._fits(run, more):
                        output.update(changed)
                        self._resize(run, more)
                    else:
                        run.whole = False

    def _fits(self, run: CellRun, more: int) -> bool:
        return more <= 0 or (run.size + more <= LARGEST_CELL and self._size + more <= LARGEST)

    def _resize(self, run: CellRun, more: int) -> None:
        run.size += more
        self._size += more


def _copied(output: Output) -> Output:
    """Return an output that does not change any more, with the pieces of a stream as one text."""
    if output["output_type"] == "stream":
        return {"output_type": "stream", "name": output["name"], "text": "".join(output["parts"])}
    return dict(output)


def _size(output: Mapping[str, Any]) -> int:
    data = output.get("data") or {}
    said = [output.get("text"), output.get("evalue"), *(output.get("traceback") or ())]
    # What is no text (the JSON of a widget or of a plot) is dropped from a record anyway.
    return _OVERHEAD + sum(len(text) for text in (*data.values(), *said) if isinstance(text, str))


_kept: list[tuple[Any, Transcript]] = []


def keep(shell: Any) -> Transcript | None:
    """Begin to keep what the cells of a kernel show, from the one on that is running.

    Everything that a front end is told goes through `send` of the kernel's session: it is listened to there. A
    publisher's own hooks belong to a thread, and know nothing of streams and errors.

    Args:
        shell: What `get_ipython` returns.

    Returns:
        The transcript; the one that there is already, if this is not the first call. None without a kernel.
    """
    session = getattr(getattr(shell, "kernel", None), "session", None)
    if session is None:
        return None
    if (known := kept(shell)) is not None:
        return known
    # The history, and not the shell's own count: releases of IPython differ in when that one goes up.
    number = len(shell.history_manager.input_hist_raw) - 1
    transcript = Transcript(number)
    request = shell.kernel.get_parent()
    if request and "code" in request.get("content", {}):
        transcript.begun(request, number=number, source=request["content"]["code"])
    send = session.send

    def listening(*positional: Any, **named: Any) -> Any:
        message = send(*positional, **named)
        try:
            _listen(transcript, message, named.get("parent"))
        except Exception as error:  # whatever a library sends: what it shows must reach the screen
            transcript.missed = f"an output could not be kept ({type(error).__name__})"
        return message

    session.send = listening
    _kept[:] = [(session, transcript)]
    return transcript


def kept(shell: Any) -> Transcript | None:
    """Return the transcript of a shell's kernel; None if none was begun."""
    session = getattr(getattr(shell, "kernel", None), "session", None)
    return next((transcript for known, transcript in _kept if session is not None and known is session), None)


def _listen(transcript: Transcript, message: Any, request: Any) -> None:
    if not message:
        return
    kind, content = message["header"]["msg_type"], message["content"]
    if kind == "execute_input":
        # The message itself knows only the header of the request: which cell it was stands in the request.
        transcript.begun(request, number=content["execution_count"], source=content["code"])
    else:
        transcript.heard(kind, content, parent=(message.get("parent_header") or {}).get("msg_id", ""))
