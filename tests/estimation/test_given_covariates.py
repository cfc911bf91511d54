from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from midebias import estimate_mi

from ..conftest import generator

QUICK = {"max_steps": 50, "n_permutations": 39, "n_folds": 2}


def normal_triple(n: int, p: int, q: int, k: int, seed: int) -> tuple[Tensor, Tensor, Tensor, float]:
    """Jointly normal z, c and w of unit variances, and I(Z;C|W) from the determinants of their correlations."""
    g, d = generator(seed), p + q + k
    rows = torch.nn.functional.normalize(torch.randn(d, d + 2, generator=g, dtype=torch.float64), dim=1)
    matrix = 0.8 * rows @ rows.T + 0.2 * torch.eye(d)
    x = (torch.randn(n, d, generator=g, dtype=torch.float64) @ torch.linalg.cholesky(matrix).T).float()
    z, c, w = ([*range(a, b)] for a, b in ((0, p), (p, p + q), (p + q, d)))
    of_zw, of_cw, of_w, of_all = (float(torch.logdet(matrix[i][:, i])) for i in (z + w, c + w, w, z + c + w))
    return x[:, z], x[:, c], x[:, w], 0.5 * (of_zw + of_cw - of_w - of_all)


def common_cause(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Means and deviations of z and c follow w, and nothing else connects them."""
    g = generator(seed)
    w = torch.randn(n, 1, generator=g)
    noise = torch.randn(n, 3, generator=g)
    z = torch.cat([(2 * w).sin() + 0.5 * noise[:, :1], w.exp() * noise[:, 1:2]], dim=1)
    return z, w.square() + 0.5 * (0.5 * w).exp() * noise[:, 2:], w


@pytest.mark.parametrize(("p", "q", "k"), [(1, 1, 1), (3, 2, 2), (8, 2, 6)])
def test_jointly_normal_triples(p: int, q: int, k: int) -> None:
    z, c, w, truth = normal_triple(2000, p, q, k, seed=0)
    linear = estimate_mi(z, c, condition_on=w, estimator="gaussian_linear", **QUICK)  # type: ignore[arg-type]
    assert abs(linear.value - truth) < 3.5 * linear.stderr
    assert linear.p_value == 1 / 40
    found = estimate_mi(z, c, condition_on=w, **QUICK)  # type: ignore[arg-type]
    assert found.value == pytest.approx(truth, abs=0.05)


def test_monotone_maps_of_columns_change_little() -> None:
    z, c, w, _ = normal_triple(400, 2, 1, 2, seed=1)
    first = estimate_mi(z, c, condition_on=w, estimator="gaussian")
    second = estimate_mi(z.exp(), c**3, condition_on=w.sinh(), estimator="gaussian")
    assert second.value == pytest.approx(first.value, abs=1e-5)
    assert second.p_value == first.p_value


def test_what_only_covariates_connect_is_none_given_them() -> None:
    z, c, w = common_cause(1000, seed=0)
    joint, given = (estimate_mi(z, c, condition_on=v, **QUICK) for v in (None, w))  # type: ignore[arg-type]
    assert joint.value > 0.15
    assert joint.p_value == 1 / 40
    assert abs(given.value) < 0.03
    assert given.p_value is not None
    assert given.p_value > 0.05


def test_what_shows_given_a_covariate_alone() -> None:
    g = generator(0)
    z, w = torch.randn(1000, 1, generator=g), torch.randn(1000, 1, generator=g)
    c = (z[:, 0] * w[:, 0] > 0).long()
    joint, given = (estimate_mi(z, c, condition_on=v, **QUICK) for v in (None, w))  # type: ignore[arg-type]
    assert abs(joint.value) < 0.02
    assert math.log(2) - 0.2 < given.value <= math.log(2)
    assert given.p_value == 1 / 40


def test_a_category_and_a_quantity_together() -> None:
    rng = np.random.default_rng(0)
    site, age = rng.integers(3, size=1500), rng.normal(50, 10, size=1500)
    slope = np.array([-1.0, 0.0, 1.0])[site] * (age - 50) / 10
    z = np.stack([2 * slope + site, slope**2], axis=1) + 0.5 * rng.normal(size=(1500, 2))
    c = slope + rng.normal(size=1500)
    names = np.array(["a", "b", "c"])[site]
    by_age = estimate_mi(z, c, condition_on=age, estimator="gaussian", n_permutations=39)
    by_both = estimate_mi(z, c, condition_on={"site": names, "age": age}, estimator="gaussian", n_permutations=39)
    assert by_age.value > 0.1
    assert abs(by_both.value) < 0.03
    assert by_age.p_value == 1 / 40
    assert by_both.p_value is not None
    assert by_both.p_value > 0.05


def test_categories_of_two_columns_are_their_pairs() -> None:
    g = generator(2)
    first, second = torch.randint(2, (2, 500), generator=g)
    z = torch.randn(500, 2, generator=g) + (first * second)[:, None]
    c = first * second + torch.randn(500, generator=g)
    both = estimate_mi(z, c, condition_on=torch.stack([first, second], dim=1), estimator="gaussian_linear")
    assert both == estimate_mi(z, c, condition_on=2 * first + second, estimator="gaussian_linear")


def test_the_test_rejects_as_often_as_it_says() -> None:
    """Of 60 draws in which deviations of both sides follow w 3 are expected, and 9 come once in 500 times."""
    p_values = []
    for seed in range(60):
        z, c, w = common_cause(300, seed)
        found = estimate_mi(z, c, condition_on=w, estimator="gaussian_linear", n_permutations=19, random_state=seed)
        p_values.append(found.p_value)
    assert sum(p is not None and p <= 0.05 for p in p_values) <= 8


def test_a_quantity_beside_labels_and_pairs_of_labels_are_not_confused() -> None:
    z, c, w, _ = normal_triple(300, 1, 1, 1, seed=0)
    labels = (w[:, 0] > 0).long()
    both = estimate_mi(z, c, condition_on={"w": w[:, 0], "above": labels}, estimator="gaussian_linear")
    alone = estimate_mi(z, c, condition_on=w, estimator="gaussian_linear")
    assert both.value == pytest.approx(alone.value, abs=0.05)
    assert estimate_mi(z, c, condition_on=labels, estimator="gaussian_linear").value != both.value
