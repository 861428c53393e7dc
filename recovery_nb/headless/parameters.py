"""A notebook's parameters: what it takes, and what it is given, checked before any kernel starts."""

from __future__ import annotations

import ast
import difflib
import io
import json
import math
import re
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from recovery_nb.errors import BadInputError
from recovery_nb.headless.scrub import has_credentials

__all__ = ["Parameter", "check_parameters", "notebook_parameters"]

_SECRET_NAME = re.compile(r"passw(or)?d|secret|token|api_?key|credential", re.IGNORECASE)
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One line of the cell tagged `parameters`.

    Attributes:
        name: The variable.
        default: Its value there, a Python literal.
        kind: "bool", "int", "float", "str", "list", "dict", or "any" (a default of None without annotation).
        help: The comment at the end of its line.
    """

    name: str
    default: object
    kind: str
    help: str = ""


def notebook_parameters(notebook: Any) -> tuple[Parameter, ...]:
    """Return the parameters of a notebook (an nbformat node) in their order.

    Raises:
        BadInputError: The cell tagged `parameters` holds something else than `name = literal` lines.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
            return tuple(_parse(cell.source))
    return ()


def _parse(source: str) -> list[Parameter]:
    try:
        statements = ast.parse(source).body
        notes = {
            token.start[0]: token.string.lstrip("# ")
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
        return [_parameter(statement, notes) for statement in statements if not _is_text(statement)]
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise BadInputError(
            f"the notebook's parameters cannot be read ({error})",
            hint="write its parameters cell as lines of `name = literal`",
        ) from error


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _parameter(statement: ast.stmt, notes: Mapping[int, str]) -> Parameter:
    annotation = ""
    target: ast.expr
    literal: ast.expr
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        target, literal = statement.target, statement.value
        annotation = ast.unparse(statement.annotation)
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, literal = statement.targets[0], statement.value
    else:
        raise ValueError(f"line {statement.lineno} is no assignment")
    if not isinstance(target, ast.Name):
        raise ValueError(f"line {statement.lineno} assigns to no plain name")
    default = ast.literal_eval(literal)
    kind = type(default).__name__
    if isinstance(default, tuple | set):
        kind = "list"
    elif default is None:
        named = [word for word in re.findall(r"\w+", annotation) if word in _CONVERTERS]
        kind = named[0] if named else "any"
    if kind not in _CONVERTERS:
        raise ValueError(f"line {statement.lineno} has a default that no parameter can have")
    return Parameter(target.id, default, kind, notes.get(statement.end_lineno or statement.lineno, ""))


def check_parameters(
    known: tuple[Parameter, ...], given: Mapping[str, object], *, case: Path | None = None
) -> dict[str, object]:
    """Return the values to inject: those given, in their parameter's type, and those of every headless run.

    Args:
        known: What the notebook takes.
        given: What the caller gives: Python values, or text as a command line has it.
        case: The case folder, for a notebook with a parameter `case` that is not given.

    Raises:
        BadInputError: A parameter is unknown, of the wrong type, or holds a secret.
    """
    by_name = {parameter.name: parameter for parameter in known}
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in by_name:
            raise _unknown(name, by_name)
        if _SECRET_NAME.search(name) or has_credentials(value):
            raise BadInputError(
                f"parameter {name} would put a secret into the notebook",
                hint="give the database's URI by --db or DATABASE_URI",
            )
        values[name] = _convert(by_name[name], value)
    if "interactive" in by_name:
        if values.get("interactive"):
            raise BadInputError("parameter interactive is always False in a headless run", hint="leave it out")
        values["interactive"] = False
    if case is not None and "case" in by_name:
        values.setdefault("case", str(case.absolute()))
    return values


def _unknown(name: str, known: Mapping[str, Parameter]) -> BadInputError:
    listing = ", ".join(f"{parameter.name}={parameter.default!r}" for parameter in known.values())
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    takes = f"it takes {listing}" if known else "it takes none"
    return BadInputError(f"the notebook has no parameter {name!r}", hint=hint + takes)


def _convert(parameter: Parameter, value: object) -> object:
    if value is None and parameter.default is None:
        return None
    try:
        return _CONVERTERS[parameter.kind](_plain(value), parameter)
    except (TypeError, ValueError) as error:
        shown = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:77]}…"
        raise BadInputError(
            f"parameter {parameter.name} is {shown}, which is no {parameter.kind}",
            hint=f"give a value like its default, {parameter.default!r}",
        ) from error


def _plain(value: object) -> object:
    """Return a value made of what a notebook's source can hold: paths and dates become text."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(type(value).__name__)


def _to_bool(value: object, _: Parameter) -> bool:
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _to_int(value: object, _: Parameter) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(value)
    return int(value)


def _to_float(value: object, _: Parameter) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _to_str(value: object, _: Parameter) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _to_list(value: object, parameter: Parameter) -> list[object]:
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]
    if not isinstance(value, list):
        raise TypeError(value)
    examples = list(parameter.default) if isinstance(parameter.default, list | tuple | set) else []
    kind = type(examples[0]).__name__ if examples else "any"
    convert = _CONVERTERS.get(kind, _as_it_is)
    return [convert(item, Parameter(parameter.name, examples[0] if examples else None, kind)) for item in value]


def _to_dict(value: object, _: Parameter) -> dict[str, object]:
    if isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _as_it_is(value: object, _: Parameter) -> object:
    return value


_CONVERTERS: dict[str, Callable[[object, Parameter], object]] = {
    "bool": _to_bool,
    "int": _to_int,
    "float": _to_float,
    "str": _to_str,
    "list": _to_list,
    "dict": _to_dict,
    "any": _as_it_is,
}
