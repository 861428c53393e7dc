"""No password survives, in whatever spelling; and nothing else is taken away."""

from __future__ import annotations

import html
import json
import re
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recovery_nb.headless.scrub import Scrubber, has_credentials

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]), min_size=4, max_size=20)
SPELL = {
    "plain": str,
    "encoded": lambda text: quote(text, safe=""),
    "encoded in lower case": lambda text: re.sub("%..", lambda code: code[0].lower(), quote(text, safe="")),
    "encoded as a path": quote,
    "encoded as a form": quote_plus,
    "repr": lambda text: repr(text)[1:-1],
    "JSON": lambda text: json.dumps(text)[1:-1],
    "HTML": html.escape,
}


@given(password=PASSWORDS)
@example(password="a/b@c")
@example(password="p%40ss")
@example(password="q?x=&;")
@settings(max_examples=50, deadline=None)
def test_no_spelling_of_a_password_survives(password: str) -> None:
    scrubber = Scrubber(f"mongodb://bob:{quote(password, safe='')}@127.0.0.1/db")
    shown = [spell(password) for spell in SPELL.values()]
    assert [scrubber.text(f"<<{text}>>") for text in shown] == ["<<***>>"] * len(shown)


@given(password=PASSWORDS)
@settings(deadline=None)
def test_a_password_that_was_not_encoded_is_known_too(password: str) -> None:
    assert Scrubber(f"mongodb://bob:{password}@127.0.0.1/db").text(f"<{password}>") == "<***>"


@given(st.text(st.sampled_from("ab:@/?=&%. '\""), max_size=60))
@settings(deadline=None)
def test_a_uri_of_any_other_server_loses_its_password(noise: str) -> None:
    scrubbed = Scrubber().text(f"{noise} mongodb+srv://eve:hunter2@host/db {noise}")
    assert "hunter2" not in scrubbed


@pytest.mark.parametrize(
    "text",
    ["mongodb://bob@host/db", "http://host:8080/a@b", "see https://host/x:y@z", "a:b@c", "data://x"],
)
def test_what_holds_no_password_is_left(text: str) -> None:
    assert Scrubber().text(text) == text
    assert not has_credentials(text)


def test_tokens_in_a_query_are_secrets() -> None:
    uri = "mongodb://h/db?authMechanismProperties=AWS_SESSION_TOKEN:tok1,X:y&tlsCertificateKeyFilePassword=pw99"
    scrubbed = Scrubber(uri).text(f"{uri} tok1 pw99")
    assert "tok1" not in scrubbed
    assert "pw99" not in scrubbed
    assert has_credentials(uri)


def test_a_short_password_is_taken_where_it_stands_alone() -> None:
    assert Scrubber("mongodb://u:pw@h/db").text("pw, 'pw' and pwd") == "***, '***' and pwd"


def test_keys_and_values_of_a_tree_are_scrubbed() -> None:
    tree = {"hunter2": ["x", {"y": "hunter2"}], "n": 1}
    assert Scrubber("mongodb://u:hunter2@h/db").tree(tree) == {"***": ["x", {"y": "***"}], "n": 1}


def test_without_a_uri_nothing_is_known() -> None:
    assert Scrubber("", "embedded:demo").text("demo") == "demo"


def test_a_megabyte_without_a_uri_takes_no_time() -> None:
    text = "iVBORw0KGgo+" * 100_000
    begun = time.perf_counter()
    assert Scrubber("mongodb://u:hunter2@h/db").text(text) == text
    assert time.perf_counter() - begun < 1.0
