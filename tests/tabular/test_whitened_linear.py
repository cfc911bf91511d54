"""A linear map in whitened coordinates: the same function, another path of learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor, nn

from midebias.randomness import seeded
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.networks import TabularEncoder
from midebias.tabular.whitened_linear import WhitenedLinear


def _rows(n: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    scales = torch.logspace(0, -2, columns, dtype=torch.float64)
    return 3 + (torch.randn(n, columns, generator=generator, dtype=torch.float64) * scales) @ mixing


def _linear(columns: int) -> WhitenedLinear:
    with seeded(0):
        return WhitenedLinear(columns, 2).double()


def _size(layer: nn.Module) -> float:
    assert isinstance(layer, nn.Linear)
    return float(layer.weight.detach().norm())


def test_whitening_does_not_change_the_function_and_unwhitening_leaves_a_plain_linear_map() -> None:
    linear, x, other = _linear(5), _rows(500, 5), 4 * _rows(30, 5)
    before, names = linear(other), set(linear.state_dict())
    linear.whiten(x)
    assert set(linear.state_dict()) > names
    torch.testing.assert_close(linear(other), before)
    linear.whiten(2 * x)  # again, and of other rows
    torch.testing.assert_close(linear(other), before)
    linear.unwhiten()
    assert set(linear.state_dict()) == names
    torch.testing.assert_close(linear(other), before)
    linear.unwhiten()
    torch.testing.assert_close(linear(other), before)


def test_the_rows_shown_are_white_where_it_learns() -> None:
    mixing = torch.tensor([[1.0, 0.8, 0.0], [0.0, 0.6, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
    x = torch.randn(50_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) @ mixing
    linear = _linear(3)
    linear.whiten(5 + x)
    assert linear.whitening is not None
    assert linear.mean is not None
    white = (5 + x - linear.mean) @ linear.whitening
    torch.testing.assert_close(torch.cov(white.T), torch.eye(3, dtype=torch.float64), atol=0.05, rtol=0)
    assert white.mean(dim=0).abs().max() < 1e-9


def test_few_steps_solve_what_an_ordinary_map_does_not() -> None:
    x = _rows(4000, 8)
    x = x - x.mean(dim=0)
    weights = torch.linalg.pinv(x) @ torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)).double()
    y = x @ weights
    y = y / y.std()

    def left(whitened: bool) -> float:
        linear = _linear(8)
        if whitened:
            linear.whiten(x)
        optimizer = torch.optim.SGD(linear.parameters(), lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            loss = (linear(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float((linear(x) - y).square().mean())

    assert left(True) < 0.3 * left(False)


@pytest.mark.parametrize(
    "x",
    [
        _rows(199, 3),
        torch.ones(500, 3, dtype=torch.float64),
        torch.zeros(300, 1025, dtype=torch.float64),
        1e200 * _rows(500, 3),
    ],
    ids=["few rows", "constant", "many columns", "infinite variance"],
)
def test_it_stays_plain_where_nothing_can_be_learned_of_the_columns(x: Tensor) -> None:
    linear = _linear(x.shape[1])
    names = set(linear.state_dict())
    linear.whiten(x)
    assert set(linear.state_dict()) == names


def test_a_fitted_estimator_holds_a_plain_map_and_decays_the_perceptron_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4))
    y = (x[:, 0] > 0).astype(int)

    def fitted(weight_decay: float) -> MIDebiasClassifier:
        return MIDebiasClassifier(mi_weight=0, weight_decay=weight_decay, random_state=0, hidden_layer_sizes=(8,)).fit(
            x, y
        )

    light, heavy = (fitted(d).network_.encoder for d in (0.0, 300.0))
    assert isinstance(light, TabularEncoder)
    assert isinstance(heavy, TabularEncoder)
    assert light.wide.whitening is None
    assert isinstance(light.deep, nn.Sequential)
    assert isinstance(heavy.deep, nn.Sequential)
    assert _size(heavy.deep[0]) < 0.1 * _size(light.deep[0])
    assert _size(heavy.wide) > 0.5 * _size(light.wide)


@pytest.mark.parametrize("n", [800, 8000])
def test_without_a_perceptron_the_default_fit_is_as_good_as_logistic_regression(n: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * n, 12)) @ rng.normal(size=(12, 12))
    y = (x @ rng.normal(size=12) / 4 + rng.logistic(size=2 * n) > 0).astype(int)
    ours = MIDebiasClassifier(mi_weight=0, hidden_layer_sizes=(), n_pieces=0, preprocess=False, random_state=0)
    losses = [log_loss(y[n:], model.fit(x[:n], y[:n]).predict_proba(x[n:])) for model in (ours, LogisticRegression())]
    assert losses[0] < losses[1] + 0.02


def test_an_interrupted_fit_leaves_a_plain_map() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4))

    def interrupt(model: MIDebiasClassifier, record: object) -> None:
        seen.append(model.network_.encoder)
        raise KeyboardInterrupt

    seen: list[nn.Module] = []
    with pytest.raises(KeyboardInterrupt):
        MIDebiasClassifier(mi_weight=0, callbacks=[interrupt]).fit(x, (x[:, 0] > 0).astype(int))
    assert isinstance(seen[0], TabularEncoder)
    assert seen[0].wide.whitening is None
