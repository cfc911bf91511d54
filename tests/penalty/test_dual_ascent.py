"""The multiplier of a budget moves by the formula of its docstring."""

from __future__ import annotations

import math

import pytest

from midebias.errors import InputError
from midebias.penalty.dual_ascent import DualAscent


def test_the_logarithm_moves_by_the_relative_excess_of_the_running_mean() -> None:
    budget = DualAscent(0.1, rate=0.1, memory=0.5, highest=1.2)

    def observe(estimate: float) -> float:
        budget.observe(estimate)
        return math.log(float(budget.multiplier))

    assert observe(0.15) == pytest.approx(0.05)  # the first is the mean: half above the budget
    assert observe(0.05) == pytest.approx(0.05)  # the mean is the budget
    assert observe(float("inf")) == pytest.approx(0.05)  # which is no estimate
    assert observe(-0.9) == pytest.approx(-0.05)  # far below it: no more than the rate
    assert float(budget.estimate) == pytest.approx(-0.4)
    assert int(budget.observed) == 3
    for _ in range(9):
        observe(9.0)  # far above it
    assert observe(9.0) == pytest.approx(math.log(1.2))


OUTSIDE = [
    ("rate", 0.0), ("rate", 1.0), ("memory", -0.1), ("memory", 1.0), ("lowest", 0.0), ("lowest", 1.1), ("highest", 0.9),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
def test_numbers_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=r"rate must lie in \(0, 1\), memory in \[0, 1\)"):
        DualAscent(0.1, **{name: value})
    DualAscent(0.1, rate=0.99, memory=0.0, lowest=1.0, highest=1.0)
