"""No secret survives `redact`, whatever it is made of and wherever it stands."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.audit import MASK, redact, redact_uri

passwords = st.text(st.characters(codec="utf-8"), min_size=1)
one_line = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1)


@given(user=passwords, password=passwords, encode=st.sampled_from([quote, quote_plus]))
def test_a_percent_encoded_password_never_survives_in_a_text(user, password, encode):
    uri = f"mongodb://{encode(user, safe='')}:{encode(password, safe='')}@host:27017/shop"
    assert redact(f"cannot reach {uri} now") == "cannot reach mongodb://***@host:27017/shop now"


@given(user=one_line, password=one_line)
def test_a_password_that_was_not_encoded_never_survives_in_a_uri(user, password):
    uri = f"mongodb+srv://{user}:{password}@host/shop?w=1"
    assert redact_uri(uri) == redact(uri) == "mongodb+srv://***@host/shop?w=1"


@given(password=passwords, name=st.sampled_from(["password", "pass%77ord", "tlsCertificateKeyFilePassword"]))
def test_a_secret_query_parameter_never_survives(password, name):
    uri = f"mongodb://host/shop?w=1&{name}={quote(password, safe='')}&retryWrites=true"
    expected = f"mongodb://host/shop?w=1&{name}=***&retryWrites=true"
    assert redact_uri(uri) == expected
    assert redact(f"at {uri}, twice") == f"at {expected[:-4]}true, twice"


@given(
    st.recursive(
        st.just("s3cr3t-value"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["token", "x", "Api-Key"]), inner),
    )
)
def test_values_of_secret_keys_never_survive_at_any_depth(value):
    assert "s3cr3t-value" not in str(redact({"authorization": value, "list": [{"dbPassword": value}]}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see mongodb://localhost:27017/db.", "see mongodb://localhost:27017/db."),
        ("at mongodb://u:pa ss@h/db", "at mongodb://***@h/db"),
        ('"mongodb://u:pa"ss@h/db', '"mongodb://***@h/db'),
        ("https://ghp_abc@git.example/x", "https://***@git.example/x"),
        ("https://a.example/?y=1&access_token=abc", "https://a.example/?y=1&access_token=***"),
        (
            "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:q,A:b&w=1",
            "mongodb://h/?authMechanismProperties=***&w=1",
        ),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ('{"password": "a b", "n": 1}', '{"password": ***, "n": 1}'),
        ("5 of 7 records of quotes restored", "5 of 7 records of quotes restored"),
    ],
)
def test_text(text, expected):
    assert redact(text) == expected


def test_what_is_no_secret_stays_and_nothing_is_changed_in_place():
    value = {"path": "backups/a.json", "count": 3, "password": None, "nested": ["mongodb://a:b@c/d"]}
    result = redact(value)
    assert result == value | {"nested": [f"mongodb://{MASK}@c/d"]}
    assert value["nested"] == ["mongodb://a:b@c/d"]


@pytest.mark.timeout(5)
def test_hostile_text_takes_linear_time():
    for text in (
        "://" * 100_000,
        "a" * 300_000,
        "mongodb://a:" * 5_000,
        '"\\' * 100_000,
        "password=" * 30_000,
    ):
        redact(text)
