from __future__ import annotations

import bson
import pytest

from recovery_nb.records.columns import observe_columns


@pytest.mark.parametrize(
    ("cells", "kinds"),
    [
        (["1", "22", "3"], {0x10}),
        (["1", "99999999999"], {0x10, 0x12}),
        (["1", "2.5"], {0x01}),
        (["1.25", "2.50"], {0x13}),
        (["12345", "02345"], {0x02}),
        (["5557650934", "+49"], {0x02}),
        (["true", "false"], {0x08}),
        (["true", "yes"], {0x02}),
        (["2025-12-01T10:30:00.000Z"], {0x09}),
        (['{"a":1}', "[1]"], {0x02}),
        (["x"], {0x02}),
    ],
)
def test_a_column_has_one_type_that_all_its_cells_have(cells: list[str], kinds: set[int]) -> None:
    schema = observe_columns(bson.encode({"top": cell, "in": {"it": cell}}) for cell in cells)
    assert set(schema.types[b"top",]) == kinds
    assert set(schema.types[b"in", b"it"]) == kinds
    assert schema.sampled == len(cells)
