"""A saved notebook tells no passwords: static views hide what settings name."""

from __future__ import annotations

import pytest

from recovery_nb.widgets.veils import Veiling


def test_a_value_is_hidden_by_its_path_or_by_a_name_within_it() -> None:
    veiling = Veiling()
    assert veiling.value("/user/email", "ann@x.org") == "•••"
    assert veiling.value("/user/email", "") == "", "a value that is not there is not hidden"
    assert veiling.value("/user", '{"name": "Ann", "apiKey": "k-1"}') == "•••"
    assert veiling.value("/note", "no email here") == "no email here"
    assert veiling.said().startswith("Hidden here: email, apiKey.")


def test_records_keep_their_form() -> None:
    record = {"a": [{"phone": "1"}, 2], "password": {"x": 1}}
    assert Veiling().record(record) == {"a": [{"phone": "•••"}, 2], "password": "•••"}


def test_nothing_hidden_is_nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOVERY_NB_MASKED", "[]")
    veiling = Veiling()
    assert veiling.value("/email", "ann@x.org") == "ann@x.org"
    assert veiling.said() == ""
