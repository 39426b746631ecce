"""100,000 damaged statements, the same in each run: see tests/unit/statements.py."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from statements import Target, fuzz

pytestmark = pytest.mark.long

RUNS, STATEMENTS_PER_RUN = 20, 5000


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.sample] if seed == 2 else [])
                                  for seed in range(2, RUNS + 2)])
def test_fuzz(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = Target()
    try:
        fuzz(target, seed, STATEMENTS_PER_RUN)
        assert target.outcomes["refused"] + target.outcomes["done"] == STATEMENTS_PER_RUN
        assert target.outcomes["done"] > STATEMENTS_PER_RUN / 30
    finally:
        target.close()
