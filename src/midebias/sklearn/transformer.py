"""A transformer whose output carries little about an attribute."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.multiclass import type_of_target

from ..errors import InputError
from ..tabular.targets import Target, compute_moments, read_labels, read_numbers, read_target
from .base import MIDebiasEstimator


@dataclass(kw_only=True, repr=False, eq=False)
class MIDebiasTransformer(MIDebiasEstimator):
    """A transformer whose output, the representation z, carries little about ``sensitive_features``.

    Parameters without a description are those of `MIDebiasClassifier`.

    Parameters
    ----------
    criterion : {"independence", "separation"}, default "independence"
        What is minimised: I(Z;C), or I(Z;C|Y), which needs y: labels, or numbers, functions of which are taken off.
    mi_weight : float, optional
        What a nat counts against the task loss. Default 8 where y holds labels; else, and under a budget, 2.5 for
        independence, 3 for separation.
    decision_weight : float, optional
        As in `MIDebiasClassifier`; used where y holds labels, and without a budget only.
    n_cells : int, optional
        As in `MIDebiasClassifier`; where y holds no labels, so many cells as there are, by k-means.
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
    network_, attribute_, mi_, front_, held_out_mi_, readings_, mi_weight_, history_, n_iter_, certificate_
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
    >>> from midebias.sklearn import MIDebiasTransformer
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 3)) + sex[:, None]
    >>> model = MIDebiasTransformer(epochs=1, random_state=0).fit(X, sensitive_features=sex)    # z reconstructs X
    >>> model.transform(X).shape
    (200, 3)
    """

    decision_weight: float | None = None
    n_cells: int | None = None

    def _read_target(self, y: Any, n: int, weights: NDArray[np.float64] | None, *, resume: bool) -> Target:
        if y is None:
            if self.criterion == "separation":
                raise InputError("criterion='separation' needs y; use 'independence' to go without")
            return Target("reconstruction", torch.empty(n, 0), 0)
        y = read_target(y)
        if type_of_target(y, input_name="y").startswith("continuous"):
            values, _ = read_numbers(y, n)
            center, scale = compute_moments(values, weights)
            return Target.of_numbers((values - center) / scale, self.criterion)
        codes, classes = read_labels(y, n)
        return Target.of_labels(codes, max(2, len(classes)), self.criterion)

    def _describe_outputs(self) -> dict[str, Any]:
        return {"task": "representation"}
