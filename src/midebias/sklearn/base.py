"""scikit-learn estimators: give a table, its labels and what must not be learned.

>>> import numpy as np
>>> from midebias.sklearn import MIDebiasClassifier
>>> rng = np.random.default_rng(0)
>>> sex = rng.integers(2, size=400)
>>> X = rng.normal(size=(400, 3)) + sex[:, None]
>>> y = (X[:, 0] + rng.normal(size=400) > 0.5).astype(int)
>>> model = MIDebiasClassifier(criterion="independence", random_state=0).fit(X, y, sensitive_features=sex)
>>> model.predict(X[:2]).shape, model.transform(X[:2]).shape    # the attribute is not needed any more
((2,), (2, 2))
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..arguments import check_kind
from ..attributes import Attribute, encode_columns
from ..columns import Column, is_frame, read_column, read_columns, read_frame
from ..errors import InputError
from ..penalty.mi_penalty import Criterion, MIPenalty
from ..randomness import seeded
from ..tabular.fit import Fit, Task
from ..tabular.networks import TabularEncoder, TabularNetwork
from ..tabular.penalty import TabularPenalty, TabularRows
from ..tabular.piecewise_linear import PiecewiseLinear
from ..tabular.preprocessing import TablePreprocessor
from ..tabular.targets import Groups, as_labels, as_numbers, itself, moments, quantile_bins, refuse_missing
from ..training.records import EpochRecord

__all__ = ["MIDebiasClassifier", "MIDebiasRegressor", "MIDebiasTransformer"]

_LEAST_ROWS = 5
_MI_WEIGHT = 8.0
_WEAKER = {"independence": 2.5, "separation": 3.0}  # where z alone is penalised, or a budget moves the weight
_MOST = 1_000_000_000  # widths and counts: what is larger is a slip
_DECISION_WEIGHTS = {"independence": 1.5, "separation": 3.0}
_KINDS: dict[str, Any] = {
    "criterion": str,
    "preprocess": bool,
    "early_stopping": bool,
    "warm_start": bool,
    "estimator": str | Callable[..., Any],
    "module": Callable[..., Any] | None,
    "callbacks": Sequence[Callable[..., Any]] | None,
    "sensitive_columns": str | int | Sequence[str | int] | None,
}
_PARAMETERS = """
    Parameters
    ----------
    criterion : {"independence", "separation"}
        What is minimised: I(Z;C), demographic parity's form, or I(Z;C|Y), that of equalized odds.
    mi_weight : float, optional
        How much a nat of dependence counts against the task loss. Default 8; where there is no decision
        (numbers, no y) or a budget moves it, 2.5 for independence and 3 for separation.
    max_mi : float, optional
        A budget in nats instead: a fifth of the rows is held aside, the representation's leakage is measured there
        after each epoch, and the weight is moved by dual ascent until the budget is met. See ``held_out_mi_``.
    decision_weight : float, optional
        Of classifiers: what the dependence of the decision counts beside that of the representation; see
        `TabularPenalty`. Default 1.5 for independence, 3 for separation. Not used under a budget, which no decision
        made from z can exceed.
    sensitive_columns : str, int or sequence of them, optional
        Columns of X that are the attributes: taken out of X in fit, and ignored in prediction, where they may be
        missing. So no metadata routing is needed in a `Pipeline` or `GridSearchCV`.
    hidden_layer_sizes : sequence of int, default (256, 64)
        Of the encoder's perceptron, to which a linear map of the columns is added: z is their sum. () leaves the
        perceptron out.
    dim : int, optional
        Columns of z. Default is as many as there are outputs, at least 2: a wider z has more room to hide in.
    n_pieces : int, default 32
        The encoder reads each number also piece by piece, see `PiecewiseLinear`: in at most so many pieces, and one for
        a hundred rows. 0 leaves that out.
    module : torch.nn.Module or callable, optional
        An encoder of your own instead, from (n, n_inputs) to (n, dim), or a function of ``n_inputs`` that makes it.
        It is copied: fit never changes the one given.
    preprocess : bool, default True
        Standardise numbers, one-hot categories, fill missing values; see `TablePreprocessor`. False takes numbers as
        they are.
    estimator : str or callable, default "gaussian"
        How the representation's information is estimated; see `MIPenalty`.
    epochs : int, optional
        Passes over the rows. Default 20, or more where 20 passes are fewer than 60 steps.
    batch_size : int, default 2048
        Bigger batches see smaller leaks. A table of no more rows is trained whole, in double precision.
    learning_rate : float, default 0.003
        Of AdamW, with a cosine schedule.
    weight_decay : float, default 1.0
        Of the perceptron, or of ``module``; linear maps are not decayed. More, up to 10, keeps the perceptron from
        learning by heart, also what sets groups apart; less lets it learn what is narrow or has many corners.
    early_stopping : bool, default False
        Hold ``validation_fraction`` of the rows aside, stop after ``n_iter_no_change`` epochs in which task loss and
        penalty did not improve there, and keep the best weights.
    validation_fraction : float, default 0.1
    n_iter_no_change : int, default 5
    warm_start : bool, default False
        Go on from the last fit instead of starting afresh.
    callbacks : sequence of callables, optional
        Each is called as ``callback(estimator, record)`` after each epoch, with an `EpochRecord`; True stops.
    max_categories : int, default 1000
        A text column with more is taken for an identifier and refused.
    random_state : int, RandomState or None
        Seeds local generators; no global one is touched.

    Attributes
    ----------
    network_ : TabularNetwork
        ``encoder`` and ``head``, in double precision.
    attribute_ : Attribute or None
    mi_ : tuple of float
        Last training estimates in nats: of the decision, and of the representation.
    held_out_mi_ : float or None
        Under a budget: leakage of the representation on the rows held aside, in nats.
    mi_weight_ : float
        The weight used at the end: under a budget, what dual ascent found.
    history_ : list of EpochRecord
    n_iter_ : int
        Epochs done.
    n_features_in_, feature_names_in_
        Without sensitive columns.

    Notes
    -----
    Without ``sensitive_features`` or ``sensitive_columns``, fit warns and trains plainly. ``sample_weight`` weighs the
    task loss; the penalty counts every row once. Rows whose attribute is missing train the task alone.

    References
    ----------
    Ragonesi, Volpi, Cavazza, Murino, arXiv 2003.06430.
    """


def _lies(value: Any, least: float, most: float) -> bool:
    """Whether a number, of any size and kind but a truth value, lies between these."""
    return not isinstance(value, bool) and bool(least <= value <= most)


class _MIDebias(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn is not annotated
    """What the three estimators share. Subclasses say what y is."""

    def __init__(
        self,
        *,
        criterion: Criterion = "separation",
        mi_weight: float | None = None,
        max_mi: float | None = None,
        decision_weight: float | None = None,
        sensitive_columns: str | int | Sequence[str | int] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 64),
        dim: int | None = None,
        n_pieces: int = 32,
        module: torch.nn.Module | Callable[[int], torch.nn.Module] | None = None,
        preprocess: bool = True,
        estimator: Any = "gaussian",
        epochs: int | None = None,
        batch_size: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        callbacks: Sequence[Callable[[Any, EpochRecord], bool | None]] | None = None,
        max_categories: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.criterion = criterion
        self.mi_weight = mi_weight
        self.max_mi = max_mi
        self.decision_weight = decision_weight
        self.sensitive_columns = sensitive_columns
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dim = dim
        self.n_pieces = n_pieces
        self.module = module
        self.preprocess = preprocess
        self.estimator = estimator
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.max_categories = max_categories
        self.random_state = random_state

    def transform(self, X: Any) -> NDArray[np.float64]:
        """The representation z, of shape (n, dim)."""
        return self._run(X)[0]

    @property
    def _n_features_out(self) -> int:
        return int(self.network_.dim)

    # -- fitting ---------------------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sensitive_features: Any, sample_weight: ArrayLike | None) -> None:
        self._check_parameters()
        again = bool(self.warm_start) and hasattr(self, "network_")
        columns, sensitive = self._table(X, reset=not again)
        n = len(columns[0].values)
        if n < _LEAST_ROWS:
            raise InputError(f"X has n_samples={n} rows; at least {_LEAST_ROWS} are needed")
        sensitive = self._sensitive(columns, sensitive, sensitive_features, n)
        weights = None if sample_weight is None else self._weights(sample_weight, n)
        task, target, groups_of, n_outputs, n_groups = self._target(y, n, again, weights)
        kept = np.arange(n)
        if weights is not None and not weights.all():
            kept = np.flatnonzero(weights)
            weights = weights[kept]
            columns, sensitive = [[c.take(kept) for c in part] for part in (columns, sensitive)]
            self._check_kept(target, kept)
        c, attribute = encode_columns(sensitive) if sensitive else (None, None)
        plainly = task == "classification" and self.max_mi is None
        default = _MI_WEIGHT if plainly else _WEAKER[self.criterion]
        mi_weight = default if self.mi_weight is None else float(self.mi_weight)
        if attribute is None and mi_weight > 0:
            warnings.warn(
                f"{type(self).__name__}.fit was given neither sensitive_features nor sensitive_columns: "
                "it trains plainly, without a penalty",
                UserWarning,
                stacklevel=3,
            )
        if not (again and hasattr(self, "_preprocessor")):
            self._preprocessor = TablePreprocessor(max_categories=self.max_categories)
            matrix = self._matrix(columns, weights, fit=True)
        else:
            matrix = self._matrix(columns, weights, fit=False)
        seed = int(self._random().randint(2**31 - 1))
        x = torch.from_numpy(matrix)
        if task == "reconstruction":
            target, n_outputs = x, x.shape[1]
            kept = np.arange(len(x))
        if not again:
            self.network_ = self._network(x, n_outputs, seed)
        rows = TabularRows(
            x,
            target[torch.from_numpy(kept)],
            c,
            None if weights is None else torch.from_numpy(weights),
        )
        self.attribute_ = attribute
        penalty = None
        if attribute is not None and mi_weight > 0:
            penalty = self._penalty(n_outputs, attribute, task, n_groups, groups_of, len(x), seed)
        run = Fit(
            self.network_, penalty, task=task, attribute=attribute, groups_of=groups_of,
            epochs=self.epochs, batch_size=self.batch_size,
            learning_rate=self.learning_rate, weight_decay=self.weight_decay, mi_weight=mi_weight,
            max_mi=self.max_mi, early_stopping=self.early_stopping, validation_fraction=self.validation_fraction,
            patience=self.n_iter_no_change, seed=seed,
        )  # fmt: skip
        self.history_ = run.records
        run.run(rows, self._told)
        self.n_iter_ = len(run.records)
        self.mi_ = () if penalty is None else tuple(penalty.estimates)
        self.held_out_mi_ = run.leakage
        self.mi_weight_ = mi_weight * (float(run.budget.multiplier) if run.budget else 1.0)

    def _penalty(
        self,
        n_outputs: int,
        attribute: Attribute,
        task: Task,
        n_groups: int,
        groups_of: Groups | None,
        n: int,
        seed: int,
    ) -> TabularPenalty | MIPenalty:
        # Closed forms of that many pairs need no older ones beside them.
        bank = 0 if self.estimator == "gaussian" and min(self.batch_size, n) >= 256 else None
        mapped = groups_of if task == "regression" else None
        # A budget is for z; what is decided from z cannot tell more (the data processing inequality).
        weight = _DECISION_WEIGHTS[self.criterion] if self.decision_weight is None else float(self.decision_weight)
        if weight == 0 or self.max_mi is not None or task != "classification":
            return MIPenalty(
                self.network_.dim, attribute, criterion=self.criterion, condition_on=mapped,
                estimator=self.estimator, bank=bank, seed=seed,
            )  # fmt: skip
        return TabularPenalty(
            self.network_.dim, n_outputs, attribute, criterion=self.criterion, n_groups=n_groups,
            decision_weight=weight, estimator=self.estimator, bank=bank, seed=seed,
        )  # fmt: skip

    def _told(self, record: EpochRecord) -> bool:
        answers = [callback(self, record) for callback in self.callbacks or ()]  # every one is told
        return any(answers)

    def _random(self) -> np.random.RandomState:
        # scikit-learn's global generator is left alone.
        fresh = np.random.RandomState() if self.random_state is None else self.random_state
        try:
            return check_random_state(fresh)
        except ValueError as error:
            raise InputError(f"random_state cannot be used: {error}") from error

    def _network(self, x: torch.Tensor, n_outputs: int, seed: int) -> TabularNetwork:
        with seeded(seed):
            if self.module is None:
                dim = max(2, min(n_outputs, 8)) if self.dim is None else self.dim
                reading = PiecewiseLinear.learned(x.numpy(), self.n_pieces)
                encoder: torch.nn.Module = TabularEncoder(x.shape[1], tuple(self.hidden_layer_sizes), dim, reading)
            else:
                given = self.module
                encoder = copy.deepcopy(given) if isinstance(given, torch.nn.Module) else given(x.shape[1])
                if not isinstance(encoder, torch.nn.Module):
                    raise InputError(f"module must be or make a torch.nn.Module, got {type(encoder).__name__}")
                encoder.double().eval()
                try:
                    with torch.no_grad():
                        z = encoder(x[:2])
                except RuntimeError as error:
                    raise InputError(f"module cannot encode x of shape (n, {x.shape[1]}): {error}") from error
                if z.ndim != 2 or len(z) != 2:
                    raise InputError(f"module must return z of shape (n, dim), got {tuple(z.shape)} for n = 2")
                dim = z.shape[1]
            return TabularNetwork(encoder, dim, n_outputs)

    def _matrix(self, columns: list[Column], weights: NDArray[np.float64] | None, *, fit: bool) -> NDArray[np.float64]:
        if self.preprocess:
            if fit:
                return self._preprocessor.fit_transform(columns, weights)
            return self._preprocessor.transform(columns)
        for column in columns:
            if not column.is_numeric:
                raise InputError(f"column {column.name!r} holds text, which preprocess=False does not take")
            if np.isnan(column.values).any():
                raise InputError(f"column {column.name!r} has missing values, which preprocess=False does not take")
        return np.column_stack([c.values for c in columns])

    # -- reading ---------------------------------------------------------------------------------------------

    def _table(self, X: Any, *, reset: bool) -> tuple[list[Column], list[Column]]:
        """Columns of X that are features, and those that ``sensitive_columns`` names."""
        named: Any = self.sensitive_columns
        taken = [] if named is None else [named] if isinstance(named, (str, Integral)) else list(named)
        if is_frame(X):
            return self._frame(X, taken, reset)
        sensitive: list[Column] = []
        if taken:
            X, sensitive = self._array_without(X, taken, reset)
        try:
            checked = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=reset)
            columns = [Column(f"X[{j}]", checked[:, j]) for j in range(checked.shape[1])]
        except ValueError as error:
            if "could not convert" not in str(error) and "numeric bytes/strings" not in str(error):
                raise
            checked = validate_data(self, X, dtype=object, ensure_all_finite=False, reset=reset)
            columns = [read_column(checked[:, j].tolist(), f"X[{j}]") for j in range(checked.shape[1])]
        return columns, sensitive

    def _frame(self, X: Any, taken: list[Any], reset: bool) -> tuple[list[Column], list[Column]]:
        import narwhals as nw

        frame: Any = nw.from_native(X, eager_only=True, allow_series=True)
        if isinstance(frame, nw.Series):
            raise InputError(f"X must be two-dimensional, got the series {frame.name!r}: use to_frame()")
        names = [str(name) for name in frame.columns]
        unknown = [t for t in taken if str(t) not in names]
        if unknown and reset:
            raise InputError(f"sensitive_columns: X has no column {unknown[0]!r}; it has {', '.join(names[:20])}")
        is_sensitive = [name in {str(t) for t in taken} for name in names]
        features = frame[:, [j for j, s in enumerate(is_sensitive) if not s]]
        if features.shape[1] == 0:
            raise InputError("X has no column beside sensitive_columns")
        if len(frame) == 0:
            raise InputError("X has 0 rows (n_samples=0)")
        validate_data(self, features.to_native(), skip_check_array=True, reset=reset)
        sensitive = frame[:, [j for j, s in enumerate(is_sensitive) if s]] if any(is_sensitive) else None
        return read_frame(features.to_native()), (
            [] if sensitive is None or (not reset and not taken) else read_frame(sensitive.to_native())
        )

    def _array_without(self, X: Any, taken: list[Any], reset: bool) -> tuple[Any, list[Column]]:
        try:
            X = np.asarray(X)
        except TypeError as error:  # a tensor in bfloat16, say
            raise InputError(f"X cannot be read as an array: {error}") from error
        if not all(isinstance(t, Integral) for t in taken):
            raise InputError(f"sensitive_columns must be column numbers where X has no names, got {taken!r}")
        if X.ndim != 2:
            return X, []  # refused with the words of scikit-learn
        width = X.shape[1]
        if not reset and width == self.n_features_in_:
            return X, []  # the attribute is not needed any more
        outside = [t for t in taken if not -width <= t < width]
        if outside:
            raise InputError(f"sensitive_columns: X has {width} columns, there is no column {outside[0]}")
        chosen = [t % width for t in taken]
        rest = [j for j in range(width) if j not in chosen]
        if not rest:
            raise InputError("X has no column beside sensitive_columns")
        return X[:, rest], [read_column(X[:, j].tolist(), f"X[{j}]") for j in chosen]

    def _sensitive(self, columns: list[Column], in_table: list[Column], given: Any, n: int) -> list[Column]:
        if given is None:
            return in_table
        if in_table:
            raise InputError("give sensitive_features or sensitive_columns, not both")
        found = read_columns(given, "sensitive_features", n=n)
        if hasattr(self, "feature_names_in_"):
            both = sorted({c.name for c in columns} & {c.name for c in found})
            if both:
                raise InputError(
                    f"column {both[0]!r} is both a feature in X and in sensitive_features: "
                    "drop it from X, or name it in sensitive_columns="
                )
        return found

    def _weights(self, sample_weight: ArrayLike, n: int) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = _check_sample_weight(
            sample_weight, np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise InputError("sample_weight must hold a weight above zero")
        return weights

    def _check_kept(self, target: torch.Tensor, kept: NDArray[Any]) -> None:
        """Whether the rows of positive weight can be learned from."""

    @abstractmethod
    def _target(
        self, y: Any, n: int, again: bool, weights: NDArray[np.float64] | None
    ) -> tuple[Task, torch.Tensor, Groups | None, int, int]:
        """Task, y as a tensor, y -> the groups of separation, number of outputs, number of groups."""

    def _check_parameters(self) -> None:
        for name, hint in _KINDS.items():
            check_kind(name, getattr(self, name), hint)
        if self.criterion not in ("independence", "separation"):
            raise InputError(f"criterion must be 'independence' or 'separation', got {self.criterion!r}")
        for name in ("mi_weight", "decision_weight", "weight_decay", "learning_rate"):
            value: Any = getattr(self, name)
            if value is None and name in ("mi_weight", "decision_weight"):
                continue
            if not isinstance(value, Real) or not _lies(value, 0, 1e30):  # more is none that float32 could hold
                raise InputError(f"{name} must be a number >= 0 and <= 1e30, got {value!r}")
        budget: Any = self.max_mi
        if budget is not None and not (isinstance(budget, Real) and 0 < float(budget) < math.inf):
            raise InputError(f"max_mi must be a positive number of nats, got {budget!r}")
        if budget is not None and self.mi_weight == 0:
            raise InputError("max_mi needs mi_weight > 0: the weight is what it moves")
        if budget is not None and self.early_stopping:
            raise InputError("max_mi and early_stopping exclude each other: a budget decides itself when it is done")
        for name in ("batch_size", "n_iter_no_change", "max_categories", "epochs", "dim"):
            value = getattr(self, name)
            optional = value is None and name in ("epochs", "dim")
            if not optional and (not isinstance(value, Integral) or not _lies(value, 1, _MOST)):
                raise InputError(f"{name} must be a whole number >= 1 and <= {_MOST:,}, got {value!r}")
        pieces: Any = self.n_pieces
        if not isinstance(pieces, Integral) or pieces < 0:
            raise InputError(f"n_pieces must be a whole number >= 0, got {pieces!r}")
        widths: Any = self.hidden_layer_sizes
        if not isinstance(widths, Sequence) or any(
            not isinstance(w, Integral) or not _lies(w, 1, _MOST) for w in widths
        ):
            raise InputError(f"hidden_layer_sizes must be whole numbers >= 1 and <= {_MOST:,}, got {widths!r}")
        fraction: Any = self.validation_fraction
        if not isinstance(fraction, Real) or not 0 < float(fraction) < 1:
            raise InputError(f"validation_fraction must lie in (0, 1), got {self.validation_fraction!r}")

    # -- predicting ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _run(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """z and outputs of X."""
        check_is_fitted(self, "network_")
        columns, _ = self._table(X, reset=False)
        x = torch.from_numpy(self._matrix(columns, None, fit=False))
        parts = [self.network_(part) for part in x.split(8192)]
        z, outputs = (torch.cat([p[i] for p in parts]).numpy() for i in (0, 1))
        return z, outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(self.preprocess)
        tags.non_deterministic = False
        return tags


class MIDebiasClassifier(ClassifierMixin, _MIDebias):  # type: ignore[misc]  # scikit-learn is not annotated
    """A classifier whose representation and decisions carry little about ``sensitive_features``."""

    def fit(
        self,
        X: Any,
        y: Any,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> MIDebiasClassifier:
        """Fit.

        Parameters
        ----------
        X : data frame or array of shape (n, p)
            Numbers, booleans and text, with missing values.
        y : array of shape (n,)
            Labels of any kind, two classes or more.
        sensitive_features : array, list, series, frame or mapping, of n rows, optional
            One or several attributes. Text, booleans and whole numbers of at most 20 distinct values are categories,
            other numbers are continuous. Missing values are allowed.
        sample_weight : array of shape (n,), optional

        Raises
        ------
        InputError
            What cannot be used; the message names the argument or the column.
        """
        self._fit(X, y, sensitive_features, sample_weight)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (n, n_classes), in the order of ``classes_``."""
        outputs = self._run(X)[1]
        return torch.from_numpy(outputs).softmax(dim=1).numpy()

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels (n,)."""
        outputs = self._run(X)[1]
        labels: NDArray[Any] = self.classes_[outputs.argmax(axis=1)]
        return labels

    def _target(
        self, y: Any, n: int, again: bool, weights: NDArray[np.float64] | None
    ) -> tuple[Task, torch.Tensor, Groups | None, int, int]:
        codes, classes = as_labels(y, n)
        if again:
            if not np.array_equal(classes, self.classes_[np.isin(self.classes_, classes)]):
                raise InputError("warm_start: y holds classes that the first fit did not see")
            codes = np.searchsorted(self.classes_, classes)[codes]
        else:
            self.classes_: NDArray[Any] = classes
        if len(classes) < 2:
            raise InputError(f"y holds one class only ({str(classes[0])!r}); a classifier needs two")
        k = len(self.classes_)
        target = torch.from_numpy(codes.astype(np.int64))
        return "classification", target, itself if self.criterion == "separation" else None, k, k

    def _check_kept(self, target: torch.Tensor, kept: NDArray[Any]) -> None:
        if len(torch.unique(target[torch.from_numpy(kept)])) < 2:
            raise InputError("y holds one class only among the rows of positive sample_weight; a classifier needs two")


class MIDebiasRegressor(RegressorMixin, _MIDebias):  # type: ignore[misc]  # scikit-learn is not annotated
    """A regressor, of one or several outputs, whose representation carries little about ``sensitive_features``.

    ``criterion="separation"`` conditions on ``n_bins`` bins of y that hold equally many rows each (default 5).
    """

    def __init__(
        self,
        *,
        criterion: Criterion = "independence",
        n_bins: int = 5,
        mi_weight: float | None = None,
        max_mi: float | None = None,
        sensitive_columns: str | int | Sequence[str | int] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 64),
        dim: int | None = None,
        n_pieces: int = 32,
        module: torch.nn.Module | Callable[[int], torch.nn.Module] | None = None,
        preprocess: bool = True,
        estimator: Any = "gaussian",
        epochs: int | None = None,
        batch_size: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        callbacks: Sequence[Callable[[Any, EpochRecord], bool | None]] | None = None,
        max_categories: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            criterion=criterion, mi_weight=mi_weight, max_mi=max_mi,
            sensitive_columns=sensitive_columns, hidden_layer_sizes=hidden_layer_sizes, dim=dim,
            n_pieces=n_pieces, module=module,
            preprocess=preprocess, estimator=estimator, epochs=epochs, batch_size=batch_size,
            learning_rate=learning_rate, weight_decay=weight_decay, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, warm_start=warm_start,
            callbacks=callbacks, max_categories=max_categories, random_state=random_state,
        )  # fmt: skip
        self.n_bins = n_bins

    def fit(
        self,
        X: Any,
        y: Any,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> MIDebiasRegressor:
        """Fit; see `MIDebiasClassifier.fit`. y is (n,) or (n, n_outputs) numbers."""
        self._fit(X, y, sensitive_features, sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Numbers (n,) or (n, n_outputs), as y was."""
        outputs = self._run(X)[1] * self._scale + self._center
        return outputs if self._several else outputs[:, 0]

    def _target(
        self, y: Any, n: int, again: bool, weights: NDArray[np.float64] | None
    ) -> tuple[Task, torch.Tensor, Groups | None, int, int]:
        values, several = as_numbers(y, n)
        if not again:
            self._center, self._scale = moments(values, weights)
            self._several = several
        elif several != self._several or values.shape[1] != len(self._center):
            raise InputError(f"warm_start: y has another shape than in the first fit, {values.shape}")
        target = torch.from_numpy((values - self._center) / self._scale)
        groups = quantile_bins(target, self.n_bins) if self.criterion == "separation" else None
        return "regression", target, groups, values.shape[1], self.n_bins

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MIDebiasTransformer(_MIDebias):
    """A transformer whose output carries little about ``sensitive_features``.

    ``criterion="separation"`` conditions on y, or on ``n_bins`` bins of a y of numbers (default 5).
    """

    def __init__(
        self,
        *,
        criterion: Criterion = "independence",
        n_bins: int = 5,
        mi_weight: float | None = None,
        max_mi: float | None = None,
        decision_weight: float | None = None,
        sensitive_columns: str | int | Sequence[str | int] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 64),
        dim: int | None = None,
        n_pieces: int = 32,
        module: torch.nn.Module | Callable[[int], torch.nn.Module] | None = None,
        preprocess: bool = True,
        estimator: Any = "gaussian",
        epochs: int | None = None,
        batch_size: int = 2048,
        learning_rate: float = 3e-3,
        weight_decay: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        callbacks: Sequence[Callable[[Any, EpochRecord], bool | None]] | None = None,
        max_categories: int = 1000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            criterion=criterion, mi_weight=mi_weight, max_mi=max_mi, decision_weight=decision_weight,
            sensitive_columns=sensitive_columns, hidden_layer_sizes=hidden_layer_sizes, dim=dim,
            n_pieces=n_pieces, module=module,
            preprocess=preprocess, estimator=estimator, epochs=epochs, batch_size=batch_size,
            learning_rate=learning_rate, weight_decay=weight_decay, early_stopping=early_stopping,
            validation_fraction=validation_fraction, n_iter_no_change=n_iter_no_change, warm_start=warm_start,
            callbacks=callbacks, max_categories=max_categories, random_state=random_state,
        )  # fmt: skip
        self.n_bins = n_bins

    def fit(
        self,
        X: Any,
        y: Any = None,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> MIDebiasTransformer:
        """Fit; see `MIDebiasClassifier.fit`. y is labels, numbers, or None: then z is to reconstruct X."""
        self._fit(X, y, sensitive_features, sample_weight)
        return self

    def _target(
        self, y: Any, n: int, again: bool, weights: NDArray[np.float64] | None
    ) -> tuple[Task, torch.Tensor, Groups | None, int, int]:
        if y is None:
            if self.criterion == "separation":
                raise InputError("criterion='separation' needs y; use 'independence' to go without")
            return "reconstruction", torch.empty(0), None, 0, 1
        refuse_missing(y)
        separate = self.criterion == "separation"
        if type_of_target(y, input_name="y").startswith("continuous"):
            values, _ = as_numbers(y, n)
            center, scale = moments(values, weights)
            target = torch.from_numpy((values - center) / scale)
            groups = quantile_bins(target, self.n_bins) if separate else None
            return "regression", target, groups, values.shape[1], self.n_bins
        codes, classes = as_labels(y, n)
        target = torch.from_numpy(codes.astype(np.int64))
        k = max(2, len(classes))
        return "classification", target, itself if separate else None, k, k


_EXAMPLE = """
    Raises
    ------
    InputError
        From `fit`: a parameter, a column or an argument that cannot be used; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from midebias.sklearn import {name}
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 3)) + sex[:, None]
    >>> y = {target}
    >>> model = {name}(epochs=1, random_state=0).fit(X, y, sensitive_features=sex)
    >>> model.transform(X).shape{more}
    """
for _estimator, _target, _more in (
    (MIDebiasClassifier, "X[:, 0] > 0.5", ", model.predict_proba(X).shape\n    ((200, 2), (200, 2))"),
    (MIDebiasRegressor, "X[:, 0]", ", model.predict(X).shape\n    ((200, 2), (200,))"),
    (MIDebiasTransformer, "None    # z is to reconstruct X", "\n    (200, 3)"),
):
    _shown = _EXAMPLE.format(name=_estimator.__name__, target=_target, more=_more)
    _estimator.__doc__ = (_estimator.__doc__ or "").rstrip() + "\n" + _PARAMETERS.rstrip() + "\n" + _shown
