"""Estimators that end in cells: what is certified is what is used, and nothing was fitted to the rows of it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from midebias.column_kinds import read_columns
from midebias.errors import InputError
from midebias.leakage import certify
from midebias.leakage.cells import hold_aside
from midebias.random_state import draw_seed
from midebias.serving import ServedTable
from midebias.sklearn import MIDebiasClassifier, MIDebiasTransformer
from midebias.tabular.cells import tighten_limits

SMALL: dict[str, Any] = {"hidden_layer_sizes": (16,), "epochs": 60, "learning_rate": 0.02, "random_state": 0}


def draw(n: int = 1200, seed: int = 0) -> tuple[pd.DataFrame, Any, Any]:
    rng = np.random.default_rng(seed)
    c, merit = rng.integers(2, size=n), rng.normal(size=n)
    y = (merit + c + 0.5 * rng.normal(size=n) > 0.5).astype(int)
    return pd.DataFrame({"merit": merit, "tell": c + 0.5 * rng.normal(size=n)}), y, np.where(c, "m", "f")


def list_aside(n: int) -> Any:
    return hold_aside(read_columns(np.arange(n) % 2, "c"), n, draw_seed(0))[1]


@pytest.fixture(scope="module")
def model() -> MIDebiasClassifier:
    X, y, c = draw()
    return MIDebiasClassifier(n_cells=8, mi_weight=1.0, **SMALL).fit(X, y, sensitive_features=c)


def test_everything_goes_through_the_cells(model: MIDebiasClassifier) -> None:
    X, _, _ = draw(seed=1)
    cells, which = np.unique(model.transform(X), axis=0, return_inverse=True)
    assert 2 <= len(cells) <= 8
    for of in (model.predict(X)[:, None], model.predict_proba(X)):
        assert len(np.unique(np.column_stack([which.reshape(-1), of]), axis=0)) == len(cells)
    assert model.score(X, draw(seed=1)[1]) > 0.75


def test_the_certificate_is_of_the_rows_aside(model: MIDebiasClassifier) -> None:
    X, y, c = draw()
    aside = list_aside(len(y))
    expected = certify(model.transform(X.iloc[aside]), {"sensitive_features": c[aside]}, y[aside])
    assert model.certificate_.rows == len(aside) == 300
    for found, bound in zip(model.certificate_.bounds, expected.bounds, strict=True):
        assert (found.criterion, found.groups) == (bound.criterion, bound.groups)
        assert found.decision_difference == pytest.approx(bound.decision_difference)
        assert found.mi == pytest.approx(bound.mi)


def test_nothing_is_fitted_to_the_rows_aside(model: MIDebiasClassifier) -> None:
    X, y, c = draw()
    aside, rng = list_aside(len(y)), np.random.default_rng(3)
    X.iloc[aside] = 50 + rng.normal(size=(len(aside), 2))
    y[aside], c[aside] = rng.permutation(y[aside]), rng.permutation(c[aside])
    other = MIDebiasClassifier(n_cells=8, mi_weight=1.0, **SMALL).fit(X, y, sensitive_features=c)
    new = draw(seed=1)[0]
    assert np.array_equal(other.predict_proba(new), model.predict_proba(new))


def test_a_served_table_answers_the_same(model: MIDebiasClassifier) -> None:
    X, _, _ = draw(seed=1)
    served = ServedTable.from_model(model)
    probabilities, z = served(torch.from_numpy(served.encode(X)))
    assert np.allclose(probabilities.numpy(), model.predict_proba(X))
    assert np.allclose(z.numpy(), model.transform(X))


def test_weights_path_and_budgets_go_with_cells() -> None:
    X, y, c = draw(n=2400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so few rows keep no budget for certain
        model = MIDebiasClassifier(
            criterion="independence", n_cells=16, max_parity_difference=0.15, random_state=0, epochs=100
        ).fit(X, y, sensitive_features=c)
    assert model.front_
    assert model.certificate_.parity_difference < 0.25
    with pytest.raises(InputError, match="use_front_point"):
        model.use_front_point(0)


@pytest.mark.filterwarnings("ignore:MIDebiasClassifier does not keep")  # of the rows that the weight was judged on
def test_fit_warns_of_a_budget_that_is_not_certified() -> None:
    X, y, c = draw()
    with pytest.warns(UserWarning, match="no difference of 0.001 is certified of 'sensitive_features', but 0"):
        MIDebiasClassifier(
            criterion="independence", n_cells=4, max_parity_difference=0.001, base="network", **SMALL
        ).fit(X, y, sensitive_features=c)


def test_budgets_leave_room_for_the_certificate() -> None:
    columns, classes = read_columns(np.repeat([0, 1], [100, 400]), "c"), np.tile([0, 1], 250)
    found = tighten_limits({"parity_difference": 0.3, "odds_difference": {"c": 0.4}, "leakage": 0.1}, columns, classes)
    margin = 2.5 * 0.5 * np.sqrt(1 / 100 + 1 / 400)
    assert found["parity_difference"] == pytest.approx(0.3 - margin)
    assert found["odds_difference"] == {"c": pytest.approx(0.4 - margin * np.sqrt(2))}
    assert found["leakage"] == 0.1


@pytest.mark.parametrize("labels", [True, False])
def test_a_transformer_returns_cells(labels: bool) -> None:
    X, y, c = draw()
    model = MIDebiasTransformer(n_cells=8, mi_weight=1.0, **SMALL).fit(X, y if labels else None, sensitive_features=c)
    cells = np.unique(model.transform(X), axis=0)
    assert len(cells) <= 8 if labels else len(cells) == 8
    assert (model.certificate_.odds_difference is not None) is labels


def test_another_fit_forgets_the_certificate(model: MIDebiasClassifier) -> None:
    X, y, c = draw()
    plain = MIDebiasClassifier(n_cells=8, mi_weight=1.0, **SMALL).fit(X, y, sensitive_features=c)
    plain.set_params(n_cells=None).fit(X, y, sensitive_features=c)
    assert not hasattr(plain, "certificate_")
    assert len(np.unique(plain.transform(X), axis=0)) > 100


@pytest.mark.parametrize(
    ("parameters", "c", "message"),
    [
        ({"n_cells": 1}, "f", "n_cells must lie in 2 to 1,024"),
        ({"n_cells": 2000}, "f", "n_cells must lie in 2 to 1,024"),
        ({"n_cells": 8, "warm_start": True}, "f", "n_cells and warm_start exclude each other"),
        ({"n_cells": 8}, None, "n_cells needs sensitive_features"),
        ({"n_cells": 8}, "age", "is a quantity"),
    ],
)
def test_what_cannot_be_certified_is_refused(parameters: dict[str, Any], c: str | None, message: str) -> None:
    X, y, sex = draw()
    given = None if c is None else sex if c == "f" else np.random.default_rng(0).normal(size=len(y))
    with pytest.raises(InputError, match=message):
        MIDebiasClassifier(**SMALL, **parameters).fit(X, y, sensitive_features=given)
