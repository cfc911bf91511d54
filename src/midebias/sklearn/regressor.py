"""A regressor whose representation carries little about an attribute."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from ..errors import InputError
from ..tabular.targets import Target, compute_moments, read_numbers
from .base import MIDebiasEstimator


@dataclass(kw_only=True, repr=False, eq=False)
class MIDebiasRegressor(RegressorMixin, MIDebiasEstimator):  # type: ignore[misc]  # scikit-learn is not annotated
    """A regressor, of one or several outputs, whose representation carries little about ``sensitive_features``.

    Parameters
    ----------
    criterion : {"independence", "separation"}, default "independence"
        What is minimised: I(Z;C), or I(Z;C|B) for bins B of y.
    n_bins : int, default 5
        Bins of y that separation conditions on, at least 2, which hold equally many rows each.
    mi_weight : float, optional
        What a nat counts against the squared error of standardised y. Default 2.5 for independence, 3 for separation.
    max_mi : float, optional
        A budget in nats: dual ascent moves the weight until the leakage of rows held out (a fifth at least) meets it.
    sensitive_columns : str, int or sequence of them, optional
        Columns of X that are sensitive: `fit` takes them out of X, and in prediction they may be missing.
    hidden_layer_sizes : sequence of int, default (256, 64)
        Widths of the encoder's perceptron, to which a linear map is added. () leaves the perceptron out.
    dim : int, optional
        Columns of z. Default is the number of outputs, from 2 to 8. The estimate sees less of a wider z.
    n_pieces : int, default 32
        Most pieces in which the encoder reads a number, see `PiecewiseLinear`. 0 leaves that code out.
    module : torch.nn.Module or callable, optional
        An encoder of your own, (n, n_inputs) -> (n, dim), which is copied, or a function that makes one from n_inputs.
    preprocess : bool, default True
        Standardise numbers, encode categories, fill missing values, see `TablePreprocessor`. False takes numbers alone.
    estimator : str or callable, default "gaussian"
        Estimator of the information in z, see `MIPenalty`.
    epochs : int, optional
        Passes over the rows. Default 20, or more where 20 passes are fewer than 60 steps.
    batch_size : int, default 2048
        Larger batches show smaller leaks. A table of no more rows is trained whole, in double precision.
    learning_rate : float, default 0.003
        Of AdamW, with a cosine schedule.
    weight_decay : float, default 1.0
        Of the perceptron or ``module``. Up to 10, more fits fewer single rows; less learns narrower patterns.
    early_stopping : bool, default False
        Stop when task loss and penalty on rows held out improve no more, and keep the best weights.
    validation_fraction : float, default 0.1
        Share of the rows that early stopping holds out, in (0, 1).
    n_iter_no_change : int, default 5
        Epochs without improvement after which early stopping stops.
    warm_start : bool, default False
        Go on from the last fit.
    callbacks : sequence of callable, optional
        Called as ``callback(estimator, record)`` after each epoch, with an `EpochRecord`; True stops the training.
    max_categories : int, default 1000
        A text column with more is taken for an identifier and refused.
    random_state : int, RandomState or None, default None
        Seeds local generators; no global one is used.

    Attributes
    ----------
    network_ : TabularNetwork
    attribute_ : Attribute or None
        How the sensitive columns were read.
    mi_ : tuple of float
        Last training estimates in nats, of z.
    held_out_mi_ : float or None
        Under a budget, the leakage of z on the rows held out, in nats.
    mi_weight_ : float
        The weight at the end; under a budget, the one that dual ascent found.
    history_, n_iter_ : list of EpochRecord, int
        Epochs trained, and how many.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Of X without the sensitive columns; names only where X has them.

    Raises
    ------
    InputError
        From `fit`: a parameter, a column or an argument that cannot be used; the message names it.

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

    n_bins: int = 5

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return numbers (n,) or (n, n_outputs), as y was, for X (n, p)."""
        outputs = self._predict(X)[0] * self._scale + self._center
        return outputs if self._several else outputs[:, 0]

    def _read_target(self, y: Any, n: int, weights: NDArray[np.float64] | None, *, resume: bool) -> Target:
        values, several = read_numbers(y, n)
        if not resume:
            self._center, self._scale = compute_moments(values, weights)
            self._several = several
        elif several != self._several or values.shape[1] != len(self._center):
            raise InputError(f"warm_start: y has another shape than in the first fit, {values.shape}")
        return Target.of_numbers((values - self._center) / self._scale, self.criterion, self.n_bins)

    def _describe_outputs(self) -> dict[str, Any]:
        moments = {"center": self._center.tolist(), "scale": self._scale.tolist()}
        return {"task": "regression", **moments, "several": self._several}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
