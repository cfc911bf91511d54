from __future__ import annotations

import pytest
import torch

from midebias.covariates import CovariateRegression, expand_covariates
from midebias.marginals import center_within, span_columns
from midebias.normal_scores import compute_normal_scores

from .conftest import generator


def test_predictions_leave_their_own_row_out() -> None:
    g = generator(0)
    w, y = torch.randn(40, 2, generator=g), torch.randn(40, 1, generator=g).double()
    moved = y.clone()
    moved[7] += 100.0
    regression = CovariateRegression(w)
    # With one ridge the prediction of a row does not depend on its own target; here w says nothing of y: the mean.
    assert regression.predict(y)[7] == pytest.approx(float(y[torch.arange(40) != 7].mean()), abs=0.5)
    assert regression.predict(moved)[7] == pytest.approx(float(y[torch.arange(40) != 7].mean()), abs=0.5)


def test_smooth_functions_are_found_and_noise_is_left() -> None:
    g = generator(1)
    w, noise = torch.randn(1000, 3, generator=g), torch.randn(1000, 3, generator=g)
    told = torch.stack([w[:, 0] - w[:, 2], w[:, 0] * w[:, 1], (2 * w[:, 1]).sin()], dim=1)
    left = CovariateRegression(w).compute_residuals(told + 0.5 * noise)
    assert (left - 0.5 * noise).square().mean(dim=0).max() < 0.03
    assert left.square().mean(dim=0) == pytest.approx([0.25] * 3, rel=0.15)


def test_deviations_that_follow_w_are_taken_off() -> None:
    g = generator(2)
    w, noise = torch.randn(2000, 1, generator=g), torch.randn(2000, 1, generator=g)
    left = CovariateRegression(w).standardize(w.exp() * noise)
    low, high = (left[rows].std() for rows in (w[:, 0] < -0.5, w[:, 0] > 0.5))
    assert 0.7 < float(low / high) < 1.4  # before, 0.2


def test_functions_are_those_asked_for_and_w_first() -> None:
    w = torch.randn(50, 3, generator=generator(0))
    functions = expand_covariates(w, 20)
    assert functions.shape == (50, 20)
    scores = compute_normal_scores(w)
    assert torch.allclose(functions[:, :3], scores / scores.std(0, unbiased=False), atol=1e-5)
    spread = functions.std(dim=0)[3:]
    assert bool((spread[1:] < spread[:-1] + 1e-4).all())
    assert torch.equal(functions, expand_covariates(w, 20))
    assert expand_covariates(w, 2).shape == (50, 3)


def test_columns_are_taken_off_by_least_squares() -> None:
    g = generator(3)
    w, values = torch.randn(60, 2, generator=g).double(), torch.randn(60, 4, generator=g).double()
    left, n_functions = center_within(values, torch.cat([w, w[:, :1]], dim=1))
    design = torch.cat([torch.ones(60, 1), w], dim=1).double()
    expected = values - design @ torch.linalg.lstsq(design, values).solution
    assert n_functions == 3
    assert torch.allclose(left, expected, atol=1e-8)
    basis = span_columns(w)
    assert torch.allclose(basis.T @ basis, torch.eye(3).double(), atol=1e-10)


def test_indicators_as_columns_are_groups() -> None:
    g = generator(4)
    groups, values = torch.randint(3, (50,), generator=g), torch.randn(50, 2, generator=g)
    columns = torch.nn.functional.one_hot(groups).float()
    assert torch.allclose(center_within(values, columns)[0], center_within(values, groups)[0], atol=1e-5)
    assert center_within(values, columns)[1] == 3
