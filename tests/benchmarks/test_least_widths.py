from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.least_widths import compute_least_width, measure_truth


def test_truths_are_those_of_closed_forms() -> None:
    joint = np.array([[[0.3, 0.1], [0.1, 0.5]]])
    assert measure_truth(joint, "decision_difference") == pytest.approx(0.75 - 0.1 / 0.6)
    assert measure_truth(joint, "balanced_accuracy") == pytest.approx((0.75 + 0.5 / 0.6) / 2)
    expected = sum(
        p * np.log(p / (a * b)) for p, a, b in [(0.3, 0.4, 0.4), (0.1, 0.4, 0.6), (0.1, 0.6, 0.4), (0.5, 0.6, 0.6)]
    )
    assert measure_truth(joint, "mi") == pytest.approx(expected)


def test_two_equal_cells_are_the_folded_normal() -> None:
    """By the integral of the power of |N(0, 1)| <= x with P(|N(t, 1)| <= x) of 5% over t, and over squares of t."""
    n, joint = 2000, np.full((1, 2, 2), 0.25)
    error = 0.5 * np.sqrt(2 / (n / 2))
    t = np.linspace(0, 8, 400)
    x = np.array([brentq(lambda x, s=s: norm.cdf(x - s) - norm.cdf(-x - s) - 0.05, 0, 20) for s in t])
    missed = 1 - (2 * norm.cdf(x) - 1)
    difference, information = np.trapezoid(missed, t), np.trapezoid(missed, t**2)
    found = compute_least_width(joint, n, "decision_difference", members=40, draws=1500)
    assert found == pytest.approx(difference * error, rel=0.08)
    assert compute_least_width(joint, n, "mi", members=40, draws=1500) == pytest.approx(information / (2 * n), rel=0.12)


def test_groups_that_lie_apart_leave_the_error_of_the_best_decision() -> None:
    n, joint = 1000, np.array([[[0.40, 0.05], [0.10, 0.45]]])
    error = np.sqrt(0.16 / 500 + 0.09 / 500)
    found = compute_least_width(joint, n, "decision_difference", members=40, draws=1500)
    assert found == pytest.approx(1.64 * error, rel=0.12)
