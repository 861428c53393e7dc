from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import corpus
    import damage
finally:
    sys.path.remove(str(BENCHMARKS))

TRIALS = 4
RECORDS = 200


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, damage.Campaign]:
    """The undamaged files of each format, made and read once."""
    made: dict[str, damage.Campaign] = {}
    for name, make in corpus.FORMATS.items():
        made[name] = damage.Campaign(make(RECORDS), tmp_path_factory.mktemp(name))
    return made


@pytest.mark.parametrize("name", corpus.FORMATS)
@pytest.mark.seeded(2)
def test_damage_costs_only_what_it_touched(campaigns: dict[str, damage.Campaign], name: str, seed: int) -> None:
    result = damage.Result()
    for number in range(TRIALS):
        campaigns[name].trial(f"{name} {seed} {number} of a test", result)
    assert result.trials == TRIALS
    assert (result.lost, result.wrong, result.faults) == (0, 0, 0), "\n".join(result.examples)


def test_a_record_that_is_gone_or_changed_is_counted(tmp_path: Path) -> None:
    made = damage.Campaign(corpus.FORMATS["bson"](20), tmp_path)
    whole = made.sample.files["orders.bson"]
    result = damage.Result()
    untouched = damage.Edit("none", "orders.bson", whole, [damage.Piece(0, 0, len(whole))])
    found = damage.read(made.root, damage.random.Random(0))
    first, second, *_ = found.found
    found.found.remove(first)
    found.found[0] = second._replace(record=first.record)
    made._judge(untouched, found, result)
    assert (result.touched, result.lost, result.wrong) == (0, 1, 1)
