"""The demo's records: a small shop's conversations, sessions and quotes, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Decimal128, Int64, ObjectId

__all__ = ["COLLECTIONS", "SEED", "Document", "conversations", "moment", "quotes", "sessions"]

Document = dict[str, Any]

SEED = 20251201

_EPOCH = datetime(2025, 11, 1, 8, tzinfo=UTC)
_STEP = timedelta(seconds=97, milliseconds=139)
_MESSAGE_POOL = 400
_TEXT = """
order refund invoice shipping quote price account password delay ticket address phone hello thanks pending
please café über naïve façade Zürich München 東京 こんにちは 你好 спасибо ευχαριστώ שלום 🚚 📦 ✓
"""
_WORDS = _TEXT.split()
_KINDS = ("greeting", "quote", "support", "faq")
_AGENTS = ("web", "android", "ios", "kiosk")
_CURRENCIES = ("EUR", "USD", "JPY", "CHF")


def moment(number: int) -> datetime:
    """Return when the records of that number began, in UTC: each a little after the one before."""
    return _EPOCH + number * _STEP


def conversations(count: int, *, start: int = 0, seed: int = SEED) -> Iterator[Document]:
    """Yield `count` conversations, from number `start` on.

    A conversation is the same whatever range it was made in, so that a later range continues an earlier one.
    """
    pool = _messages(seed)
    for number in range(start, start + count):
        chance = _chance(seed, "conversation", number)
        began = moment(number)
        chosen = chance.sample(pool, chance.randint(1, 4))
        yield {
            "_id": _object_id(began, chance),
            "session_id": f"sess-{number:06d}",
            "phone": f"+1555{chance.randrange(10**7):07d}",
            "started_at": began,
            "message_count": len(chosen),
            "messages": [
                {"timestamp": began + timedelta(seconds=40 * turn), **message} for turn, message in enumerate(chosen)
            ],
            "updated_at": began + timedelta(seconds=40 * len(chosen)),
        }


def sessions(count: int, *, start: int = 0, seed: int = SEED) -> Iterator[Document]:
    """Yield `count` sessions, from number `start` on: those of the conversations of the same numbers."""
    for number in range(start, start + count):
        chance = _chance(seed, "session", number)
        began = moment(number)
        yield {
            "_id": _object_id(began, chance),
            "session_id": f"sess-{number:06d}",
            "started_at": began,
            "ip": f"192.0.2.{chance.randrange(1, 255)}",
            "agent": chance.choice(_AGENTS),
            "closed": chance.random() < 0.5,
            "duration_s": Int64(chance.randrange(10, 5000)),
        }


def quotes(count: int, *, start: int = 0, seed: int = SEED) -> Iterator[Document]:
    """Yield `count` quotes, from number `start` on; their `_id` is an integer, from 1."""
    for number in range(start, start + count):
        chance = _chance(seed, "quote", number)
        yield {
            "_id": number + 1,
            "quote_no": f"Q-2025-{number + 1:06d}",
            "session_id": f"sess-{number:06d}",
            "amount": Decimal128(f"{chance.randrange(100, 9_000_000) / 100:.2f}"),
            "currency": chance.choice(_CURRENCIES),
            "items": [
                {
                    "sku": f"SKU{chance.randrange(1000, 9999)}",
                    "qty": chance.randint(1, 6),
                    "unit": chance.randrange(100, 10_000) / 100,
                }
                for _ in range(chance.randint(1, 4))
            ],
            "issued_at": moment(number),
            "note": chance.choice((None, "rush", "Bitte vor 9 Uhr liefern, danke!", "領収書が必要です")),
        }


COLLECTIONS = {"conversations": conversations, "sessions": sessions, "quotes": quotes}
"""What makes the records of each collection."""


def _chance(seed: int, what: str, number: int) -> random.Random:
    return random.Random(f"{seed}/{what}/{number}")  # noqa: S311 - sample data, to be the same each time


def _object_id(began: datetime, chance: random.Random) -> ObjectId:
    return ObjectId(int(began.timestamp()).to_bytes(4, "big") + chance.randbytes(8))


def _messages(seed: int) -> list[Document]:
    # A limited pool: most of the time would go into choosing words.
    chance = _chance(seed, "messages", 0)
    return [
        {
            "user_message": " ".join(chance.choices(_WORDS, k=chance.randint(3, 12))),
            "bot_response": {
                "message": " ".join(chance.choices(_WORDS, k=chance.randint(5, 20))),
                "type": chance.choice(_KINDS),
                "confidence": chance.randrange(1000) / 1000,
            },
        }
        for _ in range(_MESSAGE_POOL)
    ]
