from __future__ import annotations

from random import Random

from recovery_nb.sources.content import Memory
from recovery_nb.sources.oplog.store import State, Store, is_spooled


def test_states_are_the_same_in_memory_and_out_of_it() -> None:
    random, store = Random(1), Store()
    place = store.add_content(Memory(b"0123456789"))
    expected: dict[bytes, bytes] = {}
    for number in range(40_000):
        key = b"\x00\x00\x00\x01" + b"%d" % random.randrange(5000)
        chance = random.random()
        if chance < 0.2:
            store.delete(key)
            expected.pop(key, None)
        elif chance < 0.3:
            store.put(key, State(number, place + 3, 4, 0))
            expected[key] = b"3456"
        elif chance < 0.7:
            record = b"%d" % number * 500
            store.put(key, State(number, store.spool(record), len(record), 0, record))
            expected[key] = record
        else:
            state = store.get(key)
            assert (None if state is None else store.record(state)) == expected.get(key)
    assert {key: store.record(state) for key, state in store.states(b"\x00\x00\x00\x01")} == expected
    assert list(store.states(b"\x00\x00\x00\x02")) == []


def test_states_come_in_the_order_in_which_they_first_came() -> None:
    store = Store()
    keys = [b"\x00\x00\x00\x01%d" % number for number in (5, 3, 9, 1)]
    for number, key in enumerate([*keys, keys[0]]):
        store.put(key, State(number, store.spool(b"x"), 1, 0))
    assert [key for key, _ in store.states(b"\x00\x00\x00\x01")] == keys


def test_what_updates_made_is_found_by_their_place() -> None:
    store = Store()
    places = [store.spool(b"%d" % number) for number in range(25_000)]
    for number, place in enumerate(places):
        store.remember(1000 + number, place, len(b"%d" % number), sure=number % 2 == 0)
    store.settle()
    found = store.folded(1000 + 12_345)
    assert found is not None
    assert (found.record, found.sure) == (b"12345", False)
    assert store.folded(999) is None


def test_a_record_in_a_content_is_not_kept_again() -> None:
    store = Store()
    place = store.add_content(Memory(b"abc"))
    assert not is_spooled(State(0, place + 1, 2, 0))
    assert is_spooled(State(0, store.spool(b"x"), 1, 0))
    assert store.record(State(0, place + 1, 2, 0)) == b"bc"
