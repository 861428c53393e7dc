"""A keys file of any size and any content: each line names what it says, and nothing else."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from recovery_nb.errors import BadInputError
from recovery_nb.selection import Choice, Keys, read_keys

LONG = "k" * 200_000


def read(tmp_path: Path, text: str) -> Keys:
    path = tmp_path / "keys.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return read_keys(path)


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        (f"{LONG}\nb\n", [Choice(LONG), Choice("b")]),  # more than a field of CSV may hold
        ("\n\n collection,key\nc,a\n", [Choice("a", "c")]),
        ("key,collection\na,c\nb\n\n", [Choice("a", "c"), Choice("b")]),
        ("[]", []),
        ('\n [ "a" ,\n 7 ] \n', [Choice("a"), Choice("7")]),
        ('{"key": "a", "source": "s", "offset": 0, "partial": true, "more": 1}', [Choice("a", "", "s", 0, True)]),
        ('{"key": "a", "partial": 1}\n{"id": "b", "key": "c"}\n', [Choice("a"), Choice("c")]),
        ('{"key": 9223372036854775807}\n{"key": 1.5}\n{"key": true}',
         [Choice(str(2**63 - 1)), Choice("1.5"), Choice("true")]),
        ('{"key": "\\ud800"}\n', [Choice("\ud800")]),
        ("a\nb\na\n", [Choice("a"), Choice("b")]),
    ],
)  # fmt: skip
def test_what_a_keys_file_names(tmp_path: Path, text: str, choices: list[Choice]) -> None:
    assert list(read(tmp_path, text)) == choices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"key,note\na,{LONG}\n", "a broken table: field larger"),
        ("note,key\na,b\nc\n", "line 3: no key"),
        ('note,"key\na,b\nc\n', "no key"),
        ('"a"\n\n{"collection": "c"}\n', "line 3: no key"),
        ("key\na\n{'key': 1}\n" + '{"key": }', "broken JSON"),
        ('\n["a"\n"b"]', r"Expecting ',' delimiter: line 3 column 1"),
        ('["a",]', "broken JSON"),
        ('["a"] "b"', "Extra data"),
        ("[" * 100_000, "nested too deeply"),
        ('{"key": ' + "[" * 100_000, "nested too deeply"),
        ('{"key": 18446744073709551616}', "is no key"),
        ('{"key": "a", "offset": 9223372036854775808}', "is no place in a file"),
        ('{"key": "a", "offset": 1' + "0" * 400 + "}", "is no place in a file"),
    ],
)
def test_what_names_no_key_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(BadInputError, match="cannot read the keys file"):
        read_keys(Path("keys\0.txt"))


def test_a_record_is_found_by_exactly_what_names_it() -> None:
    luck = random.Random(7)
    names = ["a", "b", "1", "é", "\ud800", "", "x" * 300]

    def collection() -> str:
        return luck.choice(["", "c", "d", "system.buckets.c"])

    given = [
        Choice(luck.choice(names), collection(), luck.choice(["", "s"]), luck.choice([-1, 0, 5]), luck.random() < 0.2)
        for _ in range(200)
    ]
    keys = Keys.of(given)
    wanted = list(dict.fromkeys(given))

    assert list(keys) == wanted
    for place in ("c", "d", "e", "system.buckets.c"):
        meant = ("", place, place.removeprefix("system.buckets."))
        for name in [*names, "2", "aa"]:
            expected = [one for one in wanted if one.key == name and one.collection in meant]
            assert [keys[number] for number in keys.find(place, name)] == expected
    assert [keys[number] for number in keys.placed()] == [one for one in wanted if one.is_placed]


def test_a_key_that_shares_the_only_slot_with_another_is_not_taken_for_it() -> None:
    keys = Keys.of([Choice("a", "c")])

    assert [name for name in map(str, range(1_000)) if keys.find("c", name)] == []
    assert keys.find("d", "a") == []


def test_where_no_key_is_named_no_record_is() -> None:
    keys = Keys.of([])

    assert keys.find("c", "") == []
    assert (list(keys), keys.unmatched, keys.count, bool(keys.matched)) == ([], [], 0, False)


def test_what_was_not_found_is_told_in_the_order_in_which_it_was_named() -> None:
    keys = Keys.of(Choice(str(number), "c") for number in (3, 1, 2, 1))
    keys.matched.update(keys.find("c", "1"))

    assert keys.matched
    assert keys.unmatched == [Choice("3", "c"), Choice("2", "c")]


def test_the_same_key_in_very_many_collections_is_found_without_looking_through_them_all() -> None:
    names = [f"c{number}" for number in range(20_000)]
    keys = Keys.of(Choice("1", name) for name in names)

    assert [keys.find(name, "1") for name in names] == [[number] for number in range(len(names))]


def test_a_key_takes_little_more_memory_than_its_text(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text("".join(f'{{"collection": "users", "key": "{number:024x}"}}\n' for number in range(50_000)))
    read_keys(path)
    tracemalloc.start()
    try:
        keys = read_keys(path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert keys.count == 50_000
    assert held < 50_000 * (24 + 64)
    assert peak < 50_000 * (24 + 64) + 8 * 1024 * 1024
