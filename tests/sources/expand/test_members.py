from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.sources.expand.members import Names, safe_parts


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("shop/users.bson", ("shop", "users.bson")),
        ("/etc/passwd", ("etc", "passwd")),
        ("../../.ssh/keys", (".ssh", "keys")),
        ("a/./b//c/", ("a", "b", "c")),
        ("C:\\dumps\\users.bson", ("dumps", "users.bson")),
        ("c:users.bson", ("users.bson",)),
        ("..", ()),
        ("a\x1b[2Jb\n", ("a\\x1b[2Jb\\n",)),
        ("naïve/日本.json", ("naïve", "日本.json")),
        ("\udcff.bson", ("\\udcff.bson",)),
        ("a\u202eb", ("a\\u202eb",)),
    ],
)
def test_a_name_is_a_label_and_leads_nowhere(name, parts) -> None:
    assert safe_parts(name) == parts


@given(st.text())
def test_no_name_leads_anywhere(name) -> None:
    for part in safe_parts(name):
        assert part not in ("", ".", "..")
        assert "/" not in part
        assert part.isprintable()


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "C:\\x", "..\\x"])
def test_a_name_that_leads_elsewhere_is_said(name) -> None:
    shown, problem = Names().give(name)
    assert problem is not None
    assert shown in problem.reason


@given(st.lists(st.sampled_from(["a", "a#2", "a#3", "./a", "b", "/a"])))
def test_every_member_has_a_name_of_its_own(given_names) -> None:
    names = Names()
    shown = [names.give(name)[0] for name in given_names]
    assert len(set(shown)) == len(shown)
