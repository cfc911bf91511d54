"""What `estimate_mi` reads where z has hundreds of columns and rows are few beside them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from midebias import estimate_mi
from midebias.attributes import Continuous
from midebias.estimation.discriminant import estimate_by_discriminant
from midebias.estimation.exponential_family import Regression, fit_weights
from midebias.estimation.summaries import summarize

from ..conftest import generator

QUICK = {"max_steps": 25, "n_permutations": 0}


def draw_shift(n: int, dim: int, size: float, seed: int) -> tuple[Tensor, Tensor, float]:
    """z whose mean moves by ``size`` along a direction of all columns with a fair bit c, and I(Z;C) by quadrature."""
    g = generator(seed)
    c = torch.randint(2, (n,), generator=g)
    direction = torch.randn(dim, generator=g)
    z = torch.randn(n, dim, generator=g) + size * c[:, None] * direction / direction.norm()
    x = torch.linspace(-10, 10, 4001, dtype=torch.float64)
    own, other = (torch.exp(-0.5 * (x - m) ** 2) / math.sqrt(2 * math.pi) for m in (0.0, size))
    truth = torch.trapezoid(own * (2 * own / (own + other)).clamp(min=1e-300).log(), x)
    return z, c, float(truth)


@pytest.mark.parametrize("size", [0.0, 1.6, 4.0])
def test_the_discriminant_is_free_of_its_excess(size: float) -> None:
    found = []
    for seed in range(8):
        z, c, truth = draw_shift(500, 150, size, seed)
        estimate = estimate_by_discriminant(z, c, None)
        assert estimate is not None
        found.append(estimate.value)
    assert sum(found) / 8 == pytest.approx(truth, abs=0.025)


@pytest.mark.parametrize("opposite", [False, True])
def test_the_discriminant_within_groups(opposite: bool) -> None:
    g = generator(0)
    groups = torch.randint(2, (1200,), generator=g)
    c = (torch.rand(1200, generator=g) < 0.3 + 0.4 * groups).long()
    z = torch.randn(1200, 40, generator=g) + 3.0 * groups[:, None]
    z[:, 0] += 2 * c * (1 - 2 * groups if opposite else 1)
    found = estimate_by_discriminant(z, c, groups)
    assert found is not None
    assert found.value == pytest.approx(0.30, abs=0.06)  # of normals two apart, with shares of 0.3 and 0.7
    turned = estimate_by_discriminant(z @ torch.linalg.qr(torch.randn(40, 40, generator=g)).Q, c, groups)
    assert turned is not None
    assert turned.value == pytest.approx(found.value, abs=1e-4)


def test_the_discriminant_is_silent_where_columns_are_too_many() -> None:
    z, c, _ = draw_shift(200, 180, 1.0, 0)
    assert estimate_by_discriminant(z, c, None) is None


@pytest.mark.parametrize(("size", "rows", "dim"), [(0.0, 400, 100), (1.6, 600, 128)])
def test_a_shift_of_many_columns_is_read_in_full(size: float, rows: int, dim: int) -> None:
    z, c, truth = draw_shift(rows, dim, size, 1)
    found = estimate_mi(z, c, **QUICK)  # type: ignore[arg-type]
    assert abs(found.value - truth) <= max(0.07, 0.3 * truth)
    assert found.value > -0.02
    assert 0.0 < found.stderr < 0.1


def test_what_no_column_tells_by_itself_is_found_among_many() -> None:
    g = generator(2)
    z = torch.randn(1500, 128, generator=g)
    c = ((z[:, 7] * z[:, 90] > 0) ^ (torch.rand(1500, generator=g) < 0.1)).long()
    found = estimate_mi(z, c, **QUICK)  # type: ignore[arg-type]
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    assert 0.7 * truth < found.value < 1.2 * truth


def test_a_quantity_in_the_variance_of_one_of_many_columns() -> None:
    g = generator(3)
    c = torch.randn(1500, generator=g)
    z = torch.randn(1500, 100, generator=g)
    blind = estimate_mi(z, c, attribute=Continuous(), **QUICK)  # type: ignore[arg-type]
    z[:, 5] *= (1.2 * c).exp()
    found = estimate_mi(z, c, attribute=Continuous(), **QUICK)  # type: ignore[arg-type]
    assert -0.02 < blind.value < 0.05
    assert found.value > 0.2


def test_an_estimate_is_no_more_than_the_entropy() -> None:
    z, c, _ = draw_shift(400, 60, 40.0, 0)
    found = estimate_mi(z, c, **QUICK)  # type: ignore[arg-type]
    assert 0.6 < found.value <= math.log(2) + 1e-9


def test_scores_are_out_of_sample_and_screening_finds_what_was_planted() -> None:
    g = generator(4)
    z = torch.randn(700, 60, generator=g)
    c = (z[:, 3] * z[:, 8] + 0.3 * z[:, 20] + 0.3 * torch.randn(700, generator=g))[:, None]
    fit, rest = torch.arange(600), torch.arange(600, 700)
    found = summarize(z, c, c, fit)
    assert {3, 8, 20} <= {int((z.T @ column).abs().argmax()) for column in found.columns.T}
    told = torch.corrcoef(torch.cat([found.feature_scores[rest], c[rest]], dim=1).T)[0, 1]
    assert abs(float(told)) > 0.85
    noise = torch.randn(700, 1, generator=g)
    blind = summarize(z, noise, noise, fit)
    assert blind.columns.shape[1] <= 2
    # Of rows that were fitted on, as little as of the others.
    inside = torch.corrcoef(torch.cat([blind.scores[fit], noise[fit]], dim=1).T)[0, 1]
    assert float(inside) < 0.15


def test_scores_do_not_know_the_rows_they_are_of() -> None:
    g = generator(5)
    z, c = torch.randn(60, 5, generator=g), torch.randn(60, 1, generator=g)
    fit = torch.arange(60)
    first = summarize(z, c, c, fit).scores
    assert summarize(z[:59], c[:59], c[:59], fit[:59]).scores[:50].std() > 0
    changed = c.clone()
    changed[0] += 0.01
    moved = (summarize(z, changed, changed, fit).scores - first).abs().squeeze(1)
    assert float(moved[0]) < 0.5 * float(moved[1:].max())


def test_weights_of_a_logistic_regression() -> None:
    g = generator(6)
    x = torch.randn(20_000, 2, generator=g)
    own = (torch.rand(20_000, generator=g) < (1.5 * x[:, 0]).sigmoid()).long()
    onehot = torch.nn.functional.one_hot(own).float()
    weights = fit_weights(Regression(x, onehot, torch.zeros(20_000, 2), torch.eye(2)))
    assert (weights[:, 1] - weights[:, 0]).tolist() == pytest.approx([1.5, 0.0], abs=0.1)
