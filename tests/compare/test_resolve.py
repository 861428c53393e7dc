from __future__ import annotations

import pytest

from recovery_nb.compare.resolve import stem_collection


@pytest.mark.parametrize(
    ("name", "collection"),
    [
        ("export_quotes_20251201.json", "quotes"),
        ("quotes.json", "quotes"),
        ("conversations.relaxed.jsonl", "conversations"),
        ("conversations_20251201_103000.array.json", "conversations"),
        ("users_data.json", "users"),
        ("20251201_users.json", "users"),
        ("backup_20251201_103000.json", ""),
        ("backup_2025-12-01T10-30-00-000Z.json", ""),
        ("dump-2025-12-01.bson", ""),
    ],
)
def test_a_files_name_suggests_a_collection(name: str, collection: str) -> None:
    assert stem_collection(name) == collection
