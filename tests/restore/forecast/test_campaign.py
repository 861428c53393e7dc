"""Random plans come to what was foreseen of them; with others at work, to what their writes explain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.restore.exchange import Outcome, Verdict

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import forecast
finally:
    sys.path.remove(str(BENCHMARKS))

PLANS = 3


@pytest.mark.parametrize("writers", [False, True], ids=["alone", "others write"])
@pytest.mark.seeded(2)
def test_random_plans_come_to_what_was_foreseen(
    mongod: EmbeddedMongod, tmp_path: Path, seed: int, writers: bool
) -> None:
    result = forecast.Result()
    for number in range(PLANS):
        plan = forecast.made(1_000_000 + seed, number, writers=writers)
        forecast.Trial(plan, mongod).run(tmp_path, result)
    assert result.plans == PLANS
    assert result.outcomes["restored: "] > 0
    assert result.wrong == []
    if not writers:
        assert (result.skipped, result.collided) == (0, 0)


class Blind(forecast.Trial):
    """Foresees that all will be well."""

    def _foresee(self, work: Any, structures: dict[str, str], folder: Path) -> tuple[list[list[Verdict]], list[str]]:
        return [[Verdict(Outcome.DONE) for _ in changes] for _, changes in work], []


def test_what_was_not_foreseen_is_counted(mongod: EmbeddedMongod, tmp_path: Path) -> None:
    result, truth = forecast.Result(), forecast.Result()
    for number in range(2):
        plan = forecast.made(2_000_000, number, writers=False)
        forecast.Trial(plan, mongod).run(tmp_path, truth)
        Blind(plan, mongod).run(tmp_path, result)
    assert len(result.wrong) == sum(count for kind, count in truth.outcomes.items() if kind != "restored: ") > 0
