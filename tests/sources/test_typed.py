from __future__ import annotations

import pytest

from recovery_nb.sources.base import Typing
from recovery_nb.sources.typed import TypingSeen


@pytest.mark.parametrize(
    ("texts", "typing"),
    [
        ([], Typing.PLAIN),
        ([b'{"_id": 1, "price": "$5", "$unknown": {"$gt": 1}}'], Typing.PLAIN),
        ([b'{"n": {"$numberDecimal": "1.5"}, "t": {"$timestamp": {"t": 1, "i": 2}}}'], Typing.PLAIN),
        ([b'{"n": {"$numberDouble": "NaN"}, "m": {"$numberDouble": "-Infinity"}}'], Typing.PLAIN),
        ([b'{"_id": {"$oid": "507f1f77bcf86cd799439011"}}'], Typing.RELAXED),
        ([b'{"a": {"$date" : "2025-11-01T08:00:00Z"}}', b'{"a": 1}'], Typing.RELAXED),
        ([b'{"n": {"$numberInt": "1"}}'], Typing.FULL),
        ([b'{"n": {"$numberDouble": "-1.5"}}', b'{"a": {"$date": 1}}'], Typing.FULL),
        ([b'{"a": {"$date": 1}}', b'{"n": {"$numberInt" : "1"}}'], Typing.FULL),
    ],
)
def test_what_texts_state_of_their_types_adds_up(texts: list[bytes], typing: Typing) -> None:
    seen = TypingSeen()
    for text in texts:
        seen.see(text)
    assert seen.typing is typing
