"""What is hidden until it is asked for: by name, wherever it is in a record, and however it would be shown."""

from __future__ import annotations

import bson
import pytest

from recovery_nb.browse.cells import cell
from recovery_nb.browse.masking import HIDDEN, Masking, Veil
from recovery_nb.errors import BadInputError
from recovery_nb.settings import Settings, load_settings

SECRET = "hunter2"


def shown(
    record: dict[str, object], path: str = "/a", *, reveal: tuple[str, ...] = (), names: Masking | None = None
) -> str:
    """Return the text of a document in a cell at `path`."""
    return cell((0x03, bson.encode(record)), path, Veil(names or Masking(), reveal)).text


@pytest.mark.parametrize(
    "name",
    ["password", "PassWord", "user_password", "passwordHash", "PASSWD", "apiKey", "api-key", "X-Api-Key", "accessToken",
     "SSN", "user_ssn", "userSSN", "IBAN", "cardNumber", "card_number", "credit card number", "e_mail_email", "Email",
     "phone", "phoneNumber", "pin", "userPin"],
)  # fmt: skip
def test_names_are_hidden_whatever_their_case_and_separators(name: str) -> None:
    assert Masking().hides(name)


@pytest.mark.parametrize(
    "name", ["name", "className", "shipping", "opinion", "spinner", "", "_id", "0", "created_at", "ключ"]
)
def test_other_names_are_not(name: str) -> None:
    assert not Masking().hides(name)


def test_patterns_are_those_that_are_given() -> None:
    masking = Masking(["salary", "*_note", "", "*", "(a+)+$"])
    assert Masking(["salary"]).hides("Salary")
    assert not Masking(["salary"]).hides("password")
    assert Masking(["*note"]).hides("private_note")
    assert masking.hides("anything")
    assert not Masking([]).hides("password")
    assert not Masking(["(a+)+$"]).hides("a" * 100 + "!")


def test_a_hidden_value_is_not_in_the_cell_but_its_type_is() -> None:
    veil = Veil(Masking())
    found = cell((0x02, bson.encode({"v": SECRET})[7:-1]), "/user/password", veil)

    assert (found.text, found.type, found.masked) == ("", "string", True)
    assert list(veil.met) == ["password"]


@pytest.mark.parametrize("path", ["/password/0", "/password/history/0/at", "/emails/3", "/x/Secret/y"])
def test_all_that_is_below_a_hidden_field_is_hidden(path: str) -> None:
    assert Veil(Masking()).hides(path)


def test_within_the_text_of_a_whole_document_it_is_hidden_too() -> None:
    record = {"n": 1, "list": [{"password": SECRET}], "deep": {"token": {"x": SECRET}}}

    assert shown(record) == f"{{n: 1, list: [{{password: {HIDDEN}}}], deep: {{token: {HIDDEN}}}}}"
    assert SECRET not in shown({"x": SECRET}, "/secrets")


def test_what_is_asked_for_is_shown_and_nothing_else() -> None:
    record: dict[str, object] = {"password": "one", "token": "two", "inner": {"token": "three"}}

    assert shown(record, reveal=("/a/token",)) == f'{{password: {HIDDEN}, token: "two", inner: {{token: {HIDDEN}}}}}'
    assert shown(record, reveal=("token",)) == f'{{password: {HIDDEN}, token: "two", inner: {{token: "three"}}}}'
    assert shown(record, reveal=("/a",)) == '{password: "one", token: "two", inner: {token: "three"}}'
    assert HIDDEN in shown(record, reveal=("/a/tok", "/b", "pass", "/"))


def test_settings_say_what_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Masking.of(Settings()).hides("password")
    monkeypatch.setenv("RECOVERY_NB_MASKED", '["salary"]')
    assert Masking.of(load_settings()).hides("salary")
    assert not Masking.of(load_settings()).hides("password")
    monkeypatch.setenv("RECOVERY_NB_MASKED", "salary")
    with pytest.raises(BadInputError):
        load_settings()
