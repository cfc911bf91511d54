"""A classifier whose representation and decisions carry little about an attribute."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from ..errors import InputError
from ..penalty import Criterion
from ..tabular.boosted_trees import FOLDS, BoostedTrees
from ..tabular.targets import Target, read_labels, read_target
from .base import MIDebiasEstimator

_OF_A_NETWORK = ("hidden_layer_sizes", "n_pieces", "module", "weight_decay", "warm_start")
_FEWEST_STEPS = 100  # that it takes to learn from trees what the penalty makes of them
_LEAST_ROWS_OF_TREES, _MOST_CLASSES_OF_TREES = 500, 10


@dataclass(kw_only=True, repr=False, eq=False)
class MIDebiasClassifier(ClassifierMixin, MIDebiasEstimator):  # type: ignore[misc]  # scikit-learn is not annotated
    """A classifier whose representation and decisions carry little about ``sensitive_features``.

    Parameters
    ----------
    criterion : {"separation", "independence"}, default "separation"
        What is minimised: I(Z;C|Y), the form of equalized odds, or I(Z;C), that of demographic parity.
    base : {"auto", "trees", "network"}, default "auto"
        With "trees" the encoder is a linear map of the columns and of what boosted trees predict of them, see
        `BoostedTrees`, and begins as the trees; with "network" it adds a perceptron instead. "auto" takes trees for at
        least 500 rows and at most 10 classes of 20 rows each, unless ``epochs`` leaves fewer than 100 steps or one of
        ``hidden_layer_sizes``, ``n_pieces``, ``module``, ``weight_decay`` and ``warm_start`` is given.
    mi_weight : float, optional
        What a nat counts against the task loss. By default it is looked for with trees: the least on a path, whose
        points are judged on a fifth of the rows, that leaves hardly anything of the attribute in z and in decisions, or
        the largest that leaves four tenths of AUC above one half. With a network 8; if only ``max_mi`` is given, the
        path lies about 2.5 for independence, 3 for separation.
    max_mi, max_parity_difference, max_odds_difference : float or mapping, optional
        Budgets, in nats and in [0, 1], of each attribute or by its name, or that of crossed groups ("race x sex"). The
        least weight on the path is taken that keeps them on rows held aside (a fifth at least), as measured by
        `FrontPoint`, to a quarter of a standard error. `fit` warns where none does.
    decision_weight : float, optional
        Weight of the decision's dependence beside that of z, see `TabularPenalty`. Default 1.5 for independence, 3 for
        separation. Not used if ``max_mi`` alone is given: decisions made from z cannot tell more than z.
    n_cells : int, optional
        Most cells that z is put into, 2 to 1,024, so that what it tells can be certified: ``certificate_``. A quarter
        of the rows is held aside for that. There are fewer cells where more would loosen the certificate by over half.
        `predict` answers, and `transform` returns, the mean of the cell.
    sensitive_columns : str, int or sequence of them, optional
        Columns of X that are sensitive: `fit` takes them out of X, and in prediction they may be missing.
    missing_attribute : {"mask", "draw"}, default "mask"
        What rows without their attribute do. "mask": they train the task alone. "draw": theirs is drawn from what
        boosted trees say of it by X and y, learned from the rows that have it; readings are then of drawn values.
        Take it where few rows have it.
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
    verbose : bool, default False
        Write a line for each of the first ten epochs, and then for every tenth.
    validation_fraction : float, default 0.1
        Share of the rows that early stopping holds out, in (0, 1).
    n_iter_no_change : int, default 5
    warm_start : bool, default False
    callbacks : sequence of callable, optional
        Called as ``callback(estimator, record)`` after each epoch, with an `EpochRecord`; True stops the training.
    max_categories : int, default 1000
        A text column with more is taken for an identifier and refused.
    random_state : int, RandomState or None, default None
        Seeds local generators; no global one is used.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    network_ : TabularNetwork
    attribute_ : Attribute or None
        How the sensitive columns were read.
    mi_ : tuple of float
        Last training estimates in nats, of the decision where it is penalised, and of z.
    front_ : list of FrontPoint
        Points of the path: the weight, and loss, accuracy, AUC, disparities and leakage on the rows held aside.
        ``use_front_point(i)`` makes the model that of a point. Empty where no weight was looked for.
    held_out_mi_ : float or None
        Leakage of z at the point taken, on the rows held aside, in nats; of several attributes the largest.
    readings_ : dict of Reading
        ``leakage``, ``parity_difference`` and ``odds_difference`` there, of each attribute and of crossed groups; like
        ``front_``, of decisions before `predict` moves its threshold.
    mi_weight_ : float
        The weight at the end.
    certificate_ : Certificate
        With ``n_cells``: upper bounds at 95% of what any classifier or decision can tell of the attributes from z, see
        `midebias.leakage.certify`.
    history_, n_iter_ : list of EpochRecord, int
        Epochs trained, and how many.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Of X without the sensitive columns.

    References
    ----------
    Ragonesi, Volpi, Cavazza, Murino, "Learning Unbiased Representations via Mutual Information Backpropagation",
    arXiv 2003.06430.

    Examples
    --------
    >>> import numpy as np
    >>> from midebias.sklearn import MIDebiasClassifier
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 3)) + sex[:, None]
    >>> y = X[:, 0] > 0.5
    >>> model = MIDebiasClassifier(epochs=1, random_state=0).fit(X, y, sensitive_features=sex)
    >>> model.transform(X).shape, model.predict_proba(X).shape    # sex is not needed any more
    ((200, 2), (200, 2))
    """

    criterion: Criterion = "separation"
    base: Literal["auto", "trees", "network"] = "auto"
    decision_weight: float | None = None
    max_parity_difference: float | Mapping[str, float] | None = None
    max_odds_difference: float | Mapping[str, float] | None = None
    n_cells: int | None = None

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return probabilities (n, n_classes) for X (n, p), in the order of ``classes_``."""
        return self._finish(self._predict(X)[0])[0]

    def _finish(self, outputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        return (torch.from_numpy(outputs).softmax(dim=1).numpy(),)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable labels.

        Where the default penalty leaves scores so even that one of two classes would hardly ever be answered, the
        threshold is moved, so that it is for a tenth as many rows as without a penalty, and for one in 200.

        Parameters
        ----------
        X : data frame or array of shape (n, p)

        Returns
        -------
        ndarray of shape (n,)
        """
        outputs, _ = self._predict(X)
        labels: NDArray[Any] = self.classes_[(outputs + self._offset).argmax(axis=1)]
        return labels

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on X (n, p) of labels y (n,), weighted."""
        return float(super().score(X, read_target(y), sample_weight))

    def _read_target(self, y: Any, n: int, weights: NDArray[np.float64] | None, *, resume: bool) -> Target:
        codes, classes = read_labels(y, n)
        if not resume:
            self.classes_: NDArray[Any] = classes
        elif not np.isin(classes, self.classes_).all():
            raise InputError("warm_start: y holds classes that the first fit did not see")
        if len(classes) < 2:
            raise InputError(f"y holds one class only ({str(classes[0])!r}); a classifier needs two")
        if weights is not None and len(np.unique(codes[weights > 0])) < 2:
            raise InputError("y holds one class only among the rows of positive sample_weight; a classifier needs two")
        return Target.of_labels(np.searchsorted(self.classes_, classes)[codes], len(self.classes_), self.criterion)

    def _grow_trees(
        self, x: NDArray[np.float64], target: Target, weights: NDArray[np.float64] | None, seed: int
    ) -> tuple[BoostedTrees | None, torch.Tensor | None]:
        y = target.y.numpy()
        if self.base == "network" or (self.base == "auto" and not self._prefers_trees(y)):
            return None, None
        fewest = np.bincount(y).min()
        if fewest < FOLDS:
            raise InputError(f"base='trees' needs {FOLDS} rows of each class, and y has {fewest} of one: use 'network'")
        return BoostedTrees.fit(x, self._preprocessor.category_columns, y, weights, seed=seed)

    def _prefers_trees(self, y: NDArray[np.int64]) -> bool:
        """Whether trees are likely to be of use, and nothing of a network was asked for."""
        steps = math.inf if self.epochs is None else self.epochs * max(1, len(y) // self.batch_size)
        usual = steps >= _FEWEST_STEPS and all(
            getattr(self, name) == getattr(type(self), name) for name in _OF_A_NETWORK
        )
        fewest, n_classes = np.bincount(y).min(), len(self.classes_)
        return usual and len(y) >= _LEAST_ROWS_OF_TREES and fewest >= 20 and n_classes <= _MOST_CLASSES_OF_TREES

    def _describe_outputs(self) -> dict[str, Any]:
        plain = [label.item() if isinstance(label, np.generic) else label for label in self.classes_]
        labels = [v if isinstance(v, (bool, int, float, str)) else str(v) for v in plain]
        return {"task": "classification", "classes": labels}
