"""A transformer whose output carries little about an attribute."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.multiclass import type_of_target

from ..errors import InputError
from ..tabular.targets import Target, compute_moments, read_labels, read_numbers, refuse_missing
from .base import MIDebiasEstimator


@dataclass(kw_only=True, repr=False, eq=False)
class MIDebiasTransformer(MIDebiasEstimator):
    """A transformer whose output, the representation z, carries little about ``sensitive_features``.

    Parameters
    ----------
    criterion : {"independence", "separation"}, default "independence"
        What is minimised: I(Z;C), or I(Z;C|Y), which needs y.
    n_bins : int, default 5
        Bins of numbers y that separation conditions on, at least 2, which hold equally many rows each.
    mi_weight : float, optional
        What a nat counts against the task loss. Default 8 where y holds labels; else, and under a budget, 2.5 for
        independence, 3 for separation.
    max_mi : float, optional
        A budget in nats: dual ascent moves the weight until the leakage of rows held out (a fifth at least) meets it.
    decision_weight : float, optional
        Weight of the decision's dependence beside that of z, see `TabularPenalty`. Default 1.5 for independence, 3 for
        separation. Used where y holds labels, and without a budget only.
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
        Last training estimates in nats, of the decision where it is penalised, and of z.
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
    >>> from midebias.sklearn import MIDebiasTransformer
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 3)) + sex[:, None]
    >>> model = MIDebiasTransformer(epochs=1, random_state=0).fit(X, sensitive_features=sex)    # z reconstructs X
    >>> model.transform(X).shape
    (200, 3)
    """

    n_bins: int = 5
    decision_weight: float | None = None

    def _read_target(self, y: Any, n: int, weights: NDArray[np.float64] | None, *, resume: bool) -> Target:
        if y is None:
            if self.criterion == "separation":
                raise InputError("criterion='separation' needs y; use 'independence' to go without")
            return Target("reconstruction", torch.empty(n, 0), 0)
        refuse_missing(y)
        if type_of_target(y, input_name="y").startswith("continuous"):
            values, _ = read_numbers(y, n)
            center, scale = compute_moments(values, weights)
            return Target.of_numbers((values - center) / scale, self.criterion, self.n_bins)
        codes, classes = read_labels(y, n)
        return Target.of_labels(codes, max(2, len(classes)), self.criterion)

    def _describe_outputs(self) -> dict[str, Any]:
        return {"task": "representation"}
