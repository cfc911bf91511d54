"""Attributes that few rows have, drawn for the others from what the known rows say."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attributes import Attribute, list_sizes
from ..errors import InputError

_FEWEST = 20  # rows that say anything
_FOLDS = 3


def draw_missing(c: Tensor, x: Tensor, y: Tensor | None, attribute: Attribute, seed: int) -> Tensor:
    """c (n, k) with missing values (NaN) drawn from p(c|x, y), which boosted trees learn from the rows that have them.

    So a penalty sees of each row what can be told of its attribute, with the uncertainty that is left. To a quantity
    that is predicted, a residual of rows held out is added. Each column is drawn by itself.

    References
    ----------
    Rubin, "Multiple Imputation for Nonresponse in Surveys", 1987, of which this is one draw.
    """
    rows = torch.cat([x, *([] if y is None else [y.reshape(len(x), -1)])], dim=1).double().numpy()
    filled = c.reshape(len(x), -1).clone()
    rng = np.random.default_rng(seed)
    for column, size in enumerate(list_sizes(attribute)):
        there = ~filled[:, column].isnan().numpy()
        if there.all():
            continue
        if there.sum() < _FEWEST:
            raise InputError(
                f"missing_attribute='draw' needs an attribute in at least {_FEWEST} rows, and one is in {there.sum()}"
            )
        known = filled[torch.from_numpy(there), column].double().numpy()
        draw = _draw_category if size else _draw_quantity
        drawn = draw(rows[there], known, rows[~there], rng)
        filled[torch.from_numpy(~there), column] = torch.from_numpy(drawn).to(filled.dtype)
    return filled.reshape(c.shape)


def _draw_category(
    x: NDArray[np.float64], codes: NDArray[np.float64], unknown: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    categories, rows = np.unique(codes, return_counts=True)
    if len(categories) == 1:
        return np.full(len(unknown), codes[0])
    stops = bool(rows.min() > 1) and len(codes) >= 10 * len(categories)  # a tenth is held out, with rows of each
    model = HistGradientBoostingClassifier(early_stopping=stops, random_state=int(rng.integers(2**31))).fit(x, codes)
    shares = model.predict_proba(unknown).cumsum(axis=1)
    places = (rng.random((len(unknown), 1)) > shares).sum(axis=1).clip(0, len(model.classes_) - 1)
    return np.asarray(model.classes_[places], dtype=np.float64)


def _draw_quantity(
    x: NDArray[np.float64], values: NDArray[np.float64], unknown: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import cross_val_predict

    model = HistGradientBoostingRegressor(early_stopping=True, random_state=int(rng.integers(2**31)))
    residuals = values - cross_val_predict(model, x, values, cv=_FOLDS)
    return np.asarray(model.fit(x, values).predict(unknown) + rng.choice(residuals, len(unknown)), dtype=np.float64)
