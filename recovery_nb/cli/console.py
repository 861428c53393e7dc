"""What goes to the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from recovery_nb.events import Emit, Event, silent

__all__ = ["Console"]

_EVERY_SECONDS = 5.0
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: object) -> str:
    """Return text without control characters: names from evidence must not steer the terminal."""
    return _CONTROL.sub("�", str(text))


@dataclass(frozen=True, slots=True)
class Console:
    """Prints for people, or one JSON document for programs.

    Attributes:
        as_json: Print one JSON document and nothing else on stdout.
        quiet: Print no progress and no remarks.
    """

    as_json: bool = False
    quiet: bool = False

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Console:
        """Return the console that the global options ask for; used before they are parsed."""
        return cls(as_json="--json" in words, quiet="--quiet" in words)

    def error(self, line: str) -> None:
        """Say what went wrong, on one line of stderr; and as JSON where JSON is asked for."""
        text = clean(" ".join(line.split()))
        if self.as_json:
            sys.stdout.write(json.dumps({"error": text}) + "\n")
        self.complain(text)

    def complain(self, line: str) -> None:
        """Say on one line of stderr what went wrong beside a result, `--quiet` or not."""
        sys.stderr.write(f"recovery-nb: {clean(' '.join(line.split()))}\n")

    def remark(self, line: str) -> None:
        """Say something on stderr that is no result."""
        if not self.quiet:
            sys.stderr.write(clean(line) + "\n")

    def document(self, values: Mapping[str, Any]) -> None:
        """Print the result as JSON, if JSON is asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(values, indent=1, default=str, ensure_ascii=False) + "\n")

    def say(self, line: str = "") -> None:
        """Print a line of the result for people."""
        if not self.as_json:
            sys.stdout.write(clean(line) + "\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
        """Print a table of the result for people; numbers to the right."""
        if self.as_json or not rows:
            return
        from rich.console import Console as Rich  # noqa: PLC0415 - only tables pay for its import
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        table = Table(title=title or None, title_justify="left", header_style="bold")
        for number, column in enumerate(columns):
            whole = all(isinstance(row[number], int) for row in rows)
            table.add_column(column, justify="right" if whole else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(f"{one:,}" if isinstance(one, int) else clean(one)) for one in row))
        Rich(width=None if sys.stdout.isatty() else 120).print(table)

    @contextmanager
    def progress(self) -> Iterator[Emit]:
        """Show how far a verb is: a bar on a terminal, a line every five seconds elsewhere."""
        if self.quiet:
            yield silent
        elif sys.stderr.isatty():
            with _bars() as emit:
                yield emit
        else:
            yield _lines()


@contextmanager
def _bars() -> Iterator[Emit]:
    from rich.console import Console as Rich  # noqa: PLC0415 - only terminals pay for its import
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - as above

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Rich(stderr=True), transient=True) as bars:
        known: dict[str, TaskID] = {}
        said: set[str] = set()

        def emit(event: Event) -> None:
            label = clean(f"{event.verb} {event.what}")
            if label not in known:
                known[label] = bars.add_task(label)
            bars.update(known[label], completed=event.done, total=event.total or None)
            if event.note and event.note not in said:
                said.add(event.note)
                bars.console.print(clean(event.note), markup=False)

        yield emit


def _lines() -> Emit:
    last = time.monotonic()
    said: set[str] = set()

    def emit(event: Event) -> None:
        nonlocal last
        if event.note and event.note not in said:
            said.add(event.note)
            sys.stderr.write(clean(event.note) + "\n")
        if time.monotonic() - last < _EVERY_SECONDS:
            return
        last = time.monotonic()
        of = f" of {event.total:,}" if event.total else ""
        sys.stderr.write(clean(f"{event.verb} {event.what}: {event.done:,}{of} {event.unit}") + "\n")

    return emit
