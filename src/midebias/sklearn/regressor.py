"""A regressor whose representation carries little about an attribute."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from ..column_kinds import read_array
from ..errors import InputError
from ..tabular.targets import Target, compute_moments, read_numbers
from .base import MIDebiasEstimator


@dataclass(kw_only=True, repr=False, eq=False)
class MIDebiasRegressor(RegressorMixin, MIDebiasEstimator):  # type: ignore[misc]  # scikit-learn is not annotated
    """A regressor, of one or several outputs, whose representation carries little about ``sensitive_features``.

    Parameters without a description are those of `MIDebiasClassifier`.

    Parameters
    ----------
    criterion : {"independence", "separation"}, default "independence"
        What is minimised: I(Z;C), or I(Z;C|Y), where functions of y are taken off z and c: what z tells of c beyond y,
        as errors of a prediction do.
    mi_weight : float, optional
        What a nat counts against the squared error of standardised y. Default 2.5 for independence, 3 for separation.
    max_mi : float or mapping, optional
    sensitive_columns : str, int or sequence of them, optional
    missing_attribute : {"mask", "draw"}, default "mask"
    hidden_layer_sizes : sequence of int, default (256, 64)
    dim, epochs : int, optional
    n_pieces : int, default 32
    module : torch.nn.Module or callable, optional
    preprocess : bool, default True
    estimator : str or callable, default "gaussian"
    batch_size : int, default 2048
    learning_rate : float, default 0.003
    weight_decay : float, default 1.0
    early_stopping, warm_start : bool, default False
    validation_fraction : float, default 0.1
    n_iter_no_change : int, default 5
    callbacks : sequence of callable, optional
    max_categories : int, default 1000
    verbose : bool, default False
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    network_, attribute_, mi_, front_, held_out_mi_, readings_, mi_weight_, history_, n_iter_
        As of `MIDebiasClassifier`.
    n_features_in_, feature_names_in_
        As of `MIDebiasClassifier`.

    References
    ----------
    Ragonesi, Volpi, Cavazza, Murino, "Learning Unbiased Representations via Mutual Information Backpropagation",
    arXiv 2003.06430.

    Examples
    --------
    >>> import numpy as np
    >>> from midebias.sklearn import MIDebiasRegressor
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 3)) + sex[:, None]
    >>> model = MIDebiasRegressor(epochs=1, random_state=0).fit(X, X[:, 0], sensitive_features=sex)
    >>> model.transform(X).shape, model.predict(X).shape
    ((200, 2), (200,))
    """

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return numbers (n,) or (n, n_outputs), as y was, for X (n, p)."""
        return self._finish(self._predict(X)[0])[0]

    def _finish(self, outputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        numbers = outputs * self._scale + self._center
        return (numbers if self._several else numbers[:, 0],)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² on X (n, p) of numbers y (n,) or (n, n_outputs), weighted."""
        values, several = read_numbers(y, len(read_array(y, "y")))
        return float(super().score(X, values if several else values[:, 0], sample_weight))

    def _read_target(self, y: Any, n: int, weights: NDArray[np.float64] | None, *, resume: bool) -> Target:
        values, several = read_numbers(y, n)
        if not resume:
            self._center, self._scale = compute_moments(values, weights)
            self._several = several
        elif several != self._several or values.shape[1] != len(self._center):
            raise InputError(f"warm_start: y has another shape than in the first fit, {values.shape}")
        return Target.of_numbers((values - self._center) / self._scale, self.criterion)

    def _describe_outputs(self) -> dict[str, Any]:
        center, scale = self._center.tolist(), self._scale.tolist()
        return {"task": "regression", "center": center, "scale": scale, "several": self._several}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
