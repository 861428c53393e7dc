"""What was given on a command line. What is empty was not given: an unset variable of a shell asks for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import typer
import typer.core

from recovery_nb.errors import BadInputError

__all__ = ["Command", "Group", "given", "listed"]


def _shown(parameter: Any) -> str:
    """Return what the help calls an option or an argument."""
    if parameter.param_type_name == "option":
        return str(parameter.opts[0])
    return str(parameter.metavar or parameter.name).strip("[]…")


def _refuse_empty(parameters: Iterable[Any], words: Mapping[str, Any]) -> None:
    """Refuse what is empty as it was written: later, a path would be the working folder."""
    for parameter in parameters:
        value = words.get(parameter.name)
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            option = parameter.param_type_name == "option"
            hint = "give a value, or leave the option out" if option else "give a value"
            raise BadInputError(f"{_shown(parameter)} is empty", hint=hint)


class Command(typer.core.TyperCommand):
    """A command that takes no empty value, for none of its options and arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of a command.

        Raises:
            BadInputError: A value is empty.
        """
        _refuse_empty(self.params, self.make_parser(ctx).parse_args(args=[*args])[0])
        return super().parse_args(ctx, args)


class Group(typer.core.TyperGroup):
    """Commands whose common options take no empty value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words before a command's name.

        Raises:
            BadInputError: A value is empty.
        """
        _refuse_empty(self.params, self.make_parser(ctx).parse_args(args=[*args])[0])
        return super().parse_args(ctx, args)


def given(context: typer.Context) -> dict[str, str]:
    """Return which parameters of a command were given on its command line: by name, what the help calls them."""
    found = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is not None and source.name == "COMMANDLINE":
            found[str(parameter.name)] = _shown(parameter)
    return found


def listed(text: str, option: str) -> tuple[str, ...]:
    """Return the words of an option that takes several, with commas between them.

    Args:
        text: What was given, "" where the option was not.
        option: Its name.

    Raises:
        BadInputError: It was given, and there is no word in it.
    """
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if text and not words:
        raise BadInputError(f"{option} names nothing", hint="give names with commas between them, or leave it out")
    return words
