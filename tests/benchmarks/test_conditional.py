from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.conditional import CASES, TESTS, measure_rejections, render_table
from benchmarks.kernel_tests import apply_circe, apply_kci
from midebias.estimators import GaussianMI

from ..conftest import generator


@pytest.mark.parametrize("case", ["normal, 3 + 2 given 2", "common effect"])
def test_truths_of_normal_cases_are_what_the_closed_form_reads(case: str) -> None:
    z, c, w, truth = CASES[case](40_000, generator(0))
    assert float(GaussianMI()(z, c, w)) == pytest.approx(truth, abs=0.02)


def test_the_truth_of_a_category_is_its_mean_log_ratio() -> None:
    z, c, w, truth = CASES["category shifts z"](200_000, generator(0))
    share = torch.sigmoid(3 * (2 * w[:, 0]).sin())
    x = z[:, 0] - 2 * w[:, 0]
    low, high = (-0.5 * x.square()).exp(), (-0.5 * (x - 1).square()).exp()
    ratio = torch.where(c == 1, high, low) / (share * high + (1 - share) * low)
    assert float(ratio.log().mean()) == pytest.approx(truth, abs=0.003)


def test_kernel_tests_tell_dependence_from_none() -> None:
    p_values: dict[str, list[float]] = {"kci": [], "circe": [], "kci none": [], "circe none": []}
    for seed in range(12):
        g = generator(seed)
        w, noise = torch.randn(120, 1, generator=g), torch.randn(120, 2, generator=g)
        z, c = w + noise[:, :1], w + noise[:, 1:]
        for name, other in (("", c + noise[:, :1]), (" none", c)):
            p_values["kci" + name].append(apply_kci(z, other, w))
            p_values["circe" + name].append(apply_circe(z, other, w, n_draws=39, generator=g))
    for name in ("kci", "circe"):
        assert np.mean(np.array(p_values[name]) <= 0.05) > 0.7
        assert np.mean(np.array(p_values[f"{name} none"]) <= 0.05) < 0.35


def test_rows_become_a_table() -> None:
    row = measure_rejections(next(iter(TESTS)), 100, 2)
    assert {0.0, 0.5, 1.0} >= {row["ours"], row["kci"], row["circe"]}
    reading = {"part": "reading", "case": "a", "n": 100, "seed": 0, "truth": 0.1, "auto": 0.2, "gaussian": 0.3}
    text = render_table({"rows": [row, reading | {"gaussian_linear": 0.4, "without_w": 0.5}], "command": "x"})
    assert "| a | 100 | 0.100 | 0.200 | 0.300 | 0.400 | 0.500 |" in text
    assert "Of 2 draws each" in text
