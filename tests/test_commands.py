"""Commands that are told run as they are told."""

from __future__ import annotations

import shlex

from recovery_nb.commands import command_line


def test_it_is_quoted_for_a_shell() -> None:
    told = command_line("restore", "a b/$(c)", case="/my case", database="mongodb://h/n?a=b&c=d")
    words = ["recovery-nb", "--case", "/my case", "--db", "mongodb://h/n?a=b&c=d", "restore", "a b/$(c)"]
    assert shlex.split(told) == words


def test_what_is_not_given_is_not_told() -> None:
    assert command_line("backup") == "recovery-nb backup"


def test_a_variable_stands_for_a_uri_with_secrets() -> None:
    for uri in ("mongodb://ann:s3cret@h/n", "mongodb://***@h/n"):
        assert command_line("backup", database=uri) == 'recovery-nb --db "$DATABASE_URI" backup'
