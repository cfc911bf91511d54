"""The penalty's gradient follows the length that the task's has had lately, not that of the same batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from midebias.penalty.gradient_balance import GradientBalance


def length(value: float) -> Tensor:
    return torch.tensor(value)


def test_the_factor_is_the_ratio_of_a_running_length_and_the_estimates() -> None:
    balance = GradientBalance(2.0, memory=0.75)
    assert float(balance(length(8.0), length(4.0), 1.0)) == 4.0  # at first there is none but the batch's own
    assert float(balance(length(float("nan")), length(4.0), 1.0)) == 0.0
    balance.observe(length(8.0))
    assert float(balance(length(0.0), length(4.0), 0.5)) == 2.0  # from then on that of the batches before
    balance.observe(length(4.0))
    balance.observe(length(float("inf")))  # changes nothing
    assert float(balance.task_norm) == pytest.approx(0.75 * 8 + 0.25 * 4)
    assert float(balance(length(100.0), length(2.0), 1.0)) == pytest.approx(7.0)
    assert float(balance(length(1.0), length(0.0), 1.0)) == 0.0  # an estimate without a gradient has no length to give


def test_a_first_length_that_is_not_finite_leaves_the_next_one_the_first() -> None:
    balance = GradientBalance(1.0, memory=0.75)
    balance.observe(length(float("nan")))
    assert float(balance(length(3.0), length(1.0), 1.0)) == 3.0
    balance.observe(length(3.0))
    assert float(balance.task_norm) == 3.0
