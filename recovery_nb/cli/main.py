"""The entry point: global options, errors as one line, exit codes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

import typer

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
    console = Console.from_words(words)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup a closed terminal ends nothing
            signal.signal(number, _terminated)
    code = 2
    try:
        from recovery_nb.cli.app import app  # noqa: PLC0415 - an interrupt at this moment, too, is one line

        result = app(words, prog_name="recovery-nb", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except KeyboardInterrupt:
        console.error("interrupted; what was finished is kept, what was not is undone or journalled")
        code = INTERRUPTED
    except typer.Abort:
        console.error("not confirmed; nothing was changed")
    except typer.TyperException as error:
        console.error(_usage(error))
        code = 2
    except RecoveryError as error:
        if "--debug" in words:
            raise
        console.error(str(error))
        code = error.exit_code
    except BrokenPipeError:
        _discard_stdout()
        code = 2
    except Exception as error:
        if "--debug" in words:
            raise
        from recovery_nb.audit import redact_text  # noqa: PLC0415 - rarely needed

        line = " ".join(redact_text(str(error)).split())
        _discard_stdout()
        full = isinstance(error, OSError) and error.errno is not None
        hint = "check the disk and its permissions" if full else "run again with --debug and report it"
        console.complain(f"an unexpected {type(error).__name__}: {line[:300]}; {hint}")
    sys.exit(code)


def _finish(code: int) -> NoReturn:


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "recovery-nb"
    return f"{error.format_message().rstrip('.')}; see {command} --help"
