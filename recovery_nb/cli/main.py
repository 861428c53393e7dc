"""The entry point: global options, errors as one line, exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import typer
import typer.main

from recovery_nb.cli.console import Console
from recovery_nb.errors import RecoveryError

__all__ = ["INTERRUPTED", "hoist", "main"]

INTERRUPTED = 130
_FLAGS = frozenset({"--json", "--quiet", "--debug", "--version"})
_VALUES = frozenset({"--case", "--db"})
_PAIRS = frozenset({"-p", "--parameter"})


def hoist(arguments: Sequence[str]) -> list[str]:
    """Move the global options to the front: they may stand before the command or after it."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)  # `-p NAME VALUE` becomes one word: the parser knows options of one word only
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _FLAGS or (word.partition("=")[0] in _VALUES and "=" in word):
            first.append(word)
        elif word in _VALUES:
            first += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word in _PAIRS:
            rest += [
                word,
                "=".join(value for value in (next(words, None), next(words, None)) if value is not None),
            ]
        else:
            rest.append(word)
    return first + rest


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code: 0, 1, 2, 3 or 130 (docs/commands.md says when which)."""
    words = hoist(sys.argv[1:] if arguments is None else arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup a closed terminal ends nothing
            signal.signal(number, _terminated)
    try:
        code = _run(words, Console.from_words(words))
        sys.stdout.flush()
    except OSError as error:  # only stdout itself: the reader went away, or the disk it goes to is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"recovery-nb: the result cannot be written to stdout: {error.strerror}\n")
        code = 2
    if code == INTERRUPTED:
        # An interrupt that met a library's C code marks the interpreter: it would end by SIGINT and not with 130.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(words: list[str], console: Console) -> int:
    try:
        from recovery_nb.cli.app import app  # noqa: PLC0415 - an interrupt while it is imported is one line, too

        # Not by calling `app`: that turns an interrupt and a closed pipe into exit codes without a word.
        command = typer.main.get_command(app)
        with command.make_context("recovery-nb", words) as context:
            result = command.invoke(context)
        return result if isinstance(result, int) else 0
    except typer.Exit as end:
        return end.exit_code
    except KeyboardInterrupt:
        console.error("interrupted; what was finished is kept, what was not is undone or journalled")
        return INTERRUPTED
    except typer.Abort:
        console.error("not confirmed; nothing was changed")
    except typer.TyperException as error:
        console.error(_usage(error))
    except SystemExit:  # how the library of tables ends when the reader of stdout went away
        return 2
    except BrokenPipeError:
        raise
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        console.error(_line(error))
        return error.exit_code if isinstance(error, RecoveryError) else 2
    return 2


def _line(error: Exception) -> str:
    if isinstance(error, RecoveryError):
        return str(error)
    from recovery_nb.audit import redact_text  # noqa: PLC0415 - rarely needed

    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}; check that file, its permissions and the space on its disk"
    line = " ".join(redact_text(str(error)).split())
    return f"an unexpected {type(error).__name__}: {line[:300]}; run again with --debug and report it"


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "recovery-nb"
    line = error.format_message().rstrip(".").replace("Value error, ", "")
    return f"{line}; see {command} --help"
