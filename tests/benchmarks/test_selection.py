from __future__ import annotations

import pytest
import torch

from benchmarks.selection import choose, render_table, weight_rows
from midebias.attributes import Categorical
from midebias.experiments.image_data import ImageData, hold_out
from midebias.training.data import Problem, TensorData

CURVE = {
    "step": [1.0, 2.0, 3.0],
    "held_out": [0.9, 0.9, 0.8],
    "held_out_reweighted": [0.2, 0.6, 0.5],
    "test": [0.3, 0.5, 0.7],
}


@pytest.mark.parametrize(
    ("rule", "accuracy"), [("last", 0.7), ("held_out", 0.3), ("held_out_reweighted", 0.5), ("test", 0.7)]
)
def test_each_rule_takes_its_own_point_of_the_curve(rule: str, accuracy: float) -> None:
    assert choose(CURVE, rule) == accuracy


def test_weights_make_rows_against_the_bias_count_as_much_as_they_would_without_it() -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.randint(2, (4000,), generator=g)
    c = torch.where(torch.rand(4000, generator=g) < 0.9, y, 1 - y)
    images = TensorData(torch.zeros(4000, 1, 2, 2), y, c[:, None], c)
    problem = Problem(2, Categorical(2), (2,))
    held = hold_out(ImageData("made", "rho=0.9", problem, images, images, c, c, c != y), 0)
    weights = weight_rows(held, 0)
    against = held.test.c != held.test.y
    assert float(weights[against].sum() / weights.sum()) == pytest.approx(0.5, abs=0.1)  # without weights 0.1
    assert float(weights.mean()) == pytest.approx(1.0)


def test_the_table_has_a_column_for_each_rule() -> None:
    row = {"dataset": "d", "setting": "rho=0.99", "method": "plain", "seed": 0}
    row |= {"last": 0.7, "held_out": 0.3, "held_out_reweighted": 0.5, "test": 0.7}
    text = render_table({"rows": [row, row | {"seed": 1, "last": 0.9}], "command": "run"})
    assert "| d | rho=0.99 | plain | 0.800 ± 0.141 | 0.300 ± 0.000 | 0.500 ± 0.000 | 0.700 ± 0.000 |" in text
