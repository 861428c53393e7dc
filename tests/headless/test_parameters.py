"""Parameters are read from the notebook's own cell, and checked before any kernel starts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from nbformat import v4

from recovery_nb.errors import BadInputError
from recovery_nb.headless.parameters import Parameter, check_parameters, notebook_parameters

SOURCE = '''
"""What to look for."""
collection = ""  # which collection; all if empty
limit = 100  # at most so many
share = 0.5
dry_run = True
fields = ["_id"]
ports = [27017]
options = {}
since = None
interactive: bool | None = None  # None detects
case = ""
'''


def known(source: str = SOURCE) -> tuple[Parameter, ...]:
    cell = v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    return notebook_parameters(v4.new_notebook(cells=[v4.new_markdown_cell("x"), cell]))


def test_a_parameter_has_a_name_a_default_a_kind_and_a_help() -> None:
    first, *_, interactive, _case = known()
    assert first == Parameter("collection", "", "str", "which collection; all if empty")
    assert interactive == Parameter("interactive", None, "bool", "None detects")


def test_a_notebook_may_have_none() -> None:
    assert notebook_parameters(v4.new_notebook(cells=[v4.new_code_cell("x = 1")])) == ()


@pytest.mark.parametrize("source", ["x = 1 +", "x = call()", "x = y = 1", "import os", "a.b = 1", "x = b'1'"])
def test_a_parameters_cell_of_anything_else_is_refused(source: str) -> None:
    with pytest.raises(BadInputError, match="parameters cannot be read"):
        known(source)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("collection", "quotes", "quotes"),
        ("collection", Path("a/b"), "a/b"),
        ("collection", datetime(2025, 12, 1, tzinfo=UTC), "2025-12-01T00:00:00+00:00"),
        ("limit", "5", 5),
        ("share", 1, 1.0),
        ("share", "0.25", 0.25),
        ("dry_run", "False", False),
        ("dry_run", "yes", True),
        ("fields", "a, b,", ["a", "b"]),
        ("fields", '["a,b"]', ["a,b"]),
        ("fields", [Path("x")], ["x"]),
        ("ports", "1,2", [1, 2]),
        ("options", '{"a": 1}', {"a": 1}),
        ("since", None, None),
        ("since", "2025", "2025"),
    ],
)
def test_a_value_takes_the_type_of_its_default(name: str, given: object, value: object) -> None:
    assert check_parameters(known(), {name: given})[name] == value


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("collection", 5),
        ("collection", None),
        ("limit", "5.5"),
        ("limit", True),
        ("share", "nan"),
        ("share", "half"),
        ("dry_run", "maybe"),
        ("dry_run", 1),
        ("ports", "a,b"),
        ("fields", 5),
        ("options", "[]"),
        ("options", "{"),
        ("since", object()),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(name: str, given: object) -> None:
    with pytest.raises(BadInputError, match=f"parameter {name} is .*, which is no") as caught:
        check_parameters(known(), {name: given})
    assert "\n" not in str(caught.value)


def test_an_unknown_one_is_refused_with_what_there_is() -> None:
    with pytest.raises(BadInputError, match=r"no parameter 'limits'; did you mean limit\? it takes collection=''"):
        check_parameters(known(), {"limits": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("collection", "mongodb://u:p@h/db"),
        ("fields", ["x", "mongodb+srv://u:p@h/db"]),
        ("options", {"uri": "mongodb://u@h/?tlsCertificateKeyFilePassword=p"}),
    ],
)
def test_a_secret_is_refused(name: str, value: object) -> None:
    with pytest.raises(BadInputError, match="would put a secret into the notebook"):
        check_parameters(known(), {name: value})


def test_a_secret_is_known_by_its_name_too() -> None:
    with pytest.raises(BadInputError, match="parameter db_password would put a secret"):
        check_parameters(known("db_password = ''"), {"db_password": "x"})


def test_a_uri_without_a_password_is_none() -> None:
    assert check_parameters(known(), {"collection": "mongodb://host/db"})["collection"] == "mongodb://host/db"


def test_a_headless_run_is_never_interactive() -> None:
    assert check_parameters(known(), {}) == {"interactive": False}
    assert check_parameters(known("x = 1"), {}) == {}
    with pytest.raises(BadInputError, match="always False"):
        check_parameters(known(), {"interactive": True})


def test_the_case_is_handed_on_as_an_absolute_path_unless_given() -> None:
    assert check_parameters(known(), {}, case=Path("c"))["case"] == str(Path("c").absolute())
    assert check_parameters(known(), {"case": "other"}, case=Path("c"))["case"] == "other"
