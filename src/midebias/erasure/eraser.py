"""The transformer that takes an attribute out of representations."""

import math
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import _check_sample_weight, validate_data
from torch import nn

from ..arguments import check_kind
from ..columns import Column, is_frame, read_array, read_columns
from ..errors import InputError
from ..matrices import read_matrix
from .linear import LinearErasure, compute_linear_erasure
from .moments import CrossMoments, Floats, Moments

Method = Literal["linear", "nonlinear"]
_ROWS_AT_ONCE = 8192
_CHOICES = {
    "method": ("nonlinear", "linear"), "criterion": ("independence", "separation"), "unseen": ("error", "unaware"),
}  # fmt: skip


@dataclass(kw_only=True, repr=False, eq=False)
class MIEraser(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not annotated
    """A transformer that takes ``sensitive_features`` out of representations z, and moves them as little as it can.

    Parameters
    ----------
    method : {"nonlinear", "linear"}, default "nonlinear"
        "linear": the least-squares affine map after which no linear probe beats chance, in closed form. "nonlinear":
        that map and the smallest further one after which nonlinear probes of held-out rows read little.
    criterion : {"independence", "separation"}, default "independence"
        What is minimised: I(Z;C), or I(Z;C|Y), which needs y in `fit`.
    max_mi : float, optional
        The leakage in nats that may be left in held-out rows: the least map that meets it is taken.
    aware : bool, default False
        Whether `transform` is given the attribute too.
    unseen : {"error", "unaware"}, default "error"
        What an aware eraser does with categories that `fit` has not seen, and with missing ones.
    shrinkage : bool, default True
        Whether the linear map measures movement in a shrunk covariance, as the authors of LEACE do.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    module_ : torch.nn.Module
        z (n, p) -> z erased (n, p).
    movement_ : float
        Mean squared movement of the rows of `fit`, as a share of their variance.
    n_features_in_, feature_names_in_

    References
    ----------
    Belrose et al., "LEACE: Perfect linear concept erasure in closed form", NeurIPS 2023.
    Holstege et al., "Preserving task-relevant information under linear concept removal", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from midebias import MIEraser
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(2, size=500)
    >>> z = rng.normal(size=(500, 8)) + sex[:, None]
    >>> erased = MIEraser(method="linear").fit(z, sensitive_features=sex).transform(z)
    >>> bool(abs(np.corrcoef(erased[:, 0], sex)[0, 1]) < 1e-6)
    True
    """

    method: Method = "nonlinear"
    criterion: Literal["independence", "separation"] = "independence"
    max_mi: float | None = None
    aware: bool = False
    unseen: Literal["error", "unaware"] = "error"
    shrinkage: bool = True
    random_state: int | np.random.RandomState | None = None

    _module: nn.Module | None = field(default=None, init=False)  # computed when it is asked for

    def fit(
        self, X: Any, y: Any = None, sensitive_features: Any = None, *, keep: Any = None,
        sample_weight: ArrayLike | None = None, groups: Any = None, fit_on: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Fit.

        Parameters
        ----------
        X : array, tensor or data frame of shape (n, p)
            Representations z.
        y : array of shape (n,), optional
            Labels, which separation conditions on; independence does not look at them.
        sensitive_features : array, list, series, frame or mapping, of n rows
            One or several attributes, categories or quantities. Where one is missing, the others are still erased.
        keep : as ``sensitive_features``, optional
            Labels or quantities whose covariance with z the linear map leaves as it is.
        sample_weight : array of shape (n,), optional
        groups : array of shape (n,), optional
            Rows of one group, a patient say, stay together where rows are held out.
        fit_on : array of shape (n,) of booleans, optional
            The rows to learn the map from: the controls, say.

        Raises
        ------
        InputError
            A parameter, a column or an argument that cannot be used; the message names it.
        """
        self._forget()
        return self._gather(X, y, sensitive_features, keep, sample_weight, fit_on, first=True)

    def partial_fit(
        self, X: Any, y: Any = None, sensitive_features: Any = None, *, keep: Any = None,
        sample_weight: ArrayLike | None = None, fit_on: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Learn from one more batch of rows; of ``method="linear"``. Arguments are those of `fit`.

        Batches give the same map as all rows at once. Categories may appear in any batch.
        """
        if self.method != "linear":
            raise InputError("partial_fit needs method='linear': a nonlinear map is fitted to all rows at once")
        return self._gather(
            X, y, sensitive_features, keep, sample_weight, fit_on, first=not hasattr(self, "n_features_in_")
        )

    def fit_transform(self, X: Any, y: Any = None, sensitive_features: Any = None, **fit_params: Any) -> Any:
        """Fit, and return X erased."""
        self.fit(X, y, sensitive_features, **fit_params)
        return self.transform(X, sensitive_features) if self.aware else self.transform(X)

    @torch.no_grad()
    def transform(self, X: Any, sensitive_features: Any = None) -> NDArray[np.floating[Any]]:
        """Return X erased, of shape (n, p): float64 of float64, float32 of less.

        ``sensitive_features`` is for ``aware=True`` alone.
        """
        module = self.module_
        if sensitive_features is not None and not self.aware:
            raise InputError("transform takes sensitive_features with aware=True only")
        z = self._read(X, reset=False)
        found = np.empty(z.shape, dtype=np.float64 if z.dtype == np.float64 else np.float32)
        for start in range(0, len(z), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            found[rows] = module(torch.from_numpy(z[rows].astype(found.dtype))).numpy()
        return found

    @property
    def module_(self) -> nn.Module:
        """The map of `transform`: z (n, p) -> z erased (n, p)."""
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first")
        if self._module is None:
            self._module = self._compute_linear()
        return self._module

    @property
    def movement_(self) -> float:
        """Mean squared movement of the rows of `fit`, as a share of their variance."""
        covariance = self._moments.covariance
        module = self.module_
        assert isinstance(module, LinearErasure)
        change = (module.reads @ module.writes).numpy()
        return float(np.sum(change * (covariance @ change)) / max(np.trace(covariance), 1e-300))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_moments")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = False
        return tags

    def _forget(self) -> None:
        for name in ("_moments", "_erased", "_kept", "_module", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)

    def _check_parameters(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be {' or '.join(map(repr, choices))}, got {getattr(self, name)!r}")
        if self.max_mi is not None:
            check_kind("max_mi", self.max_mi, float)
            if not 0 < self.max_mi < math.inf:
                raise InputError(f"max_mi must be a positive number of nats, got {self.max_mi!r}")

    def _read(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """X as finite numbers (n, p)."""
        if is_frame(X):
            validate_data(self, X, skip_check_array=True, reset=reset)  # reads the names
            X, reset = read_matrix(X, "X"), False
        X = read_array(X, "X") if isinstance(X, torch.Tensor) else X
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")  # of a frame, they were compared
            return validate_data(self, X, dtype=[np.float64, np.float32, np.float16], reset=reset)

    def _gather(
        self, X: Any, y: Any, sensitive_features: Any, keep: Any, sample_weight: Any, fit_on: Any, *, first: bool
    ) -> Self:
        self._check_parameters()
        z = self._read(X, reset=first)
        n, p = z.shape
        if sensitive_features is None:
            raise InputError(f"{type(self).__name__} needs sensitive_features: what is to be erased")
        columns = read_columns(sensitive_features, "sensitive_features", n=n)
        kept = [] if keep is None else read_columns(keep, "keep", n=n)
        weights = self._read_weights(sample_weight, fit_on, n)
        classes = self._read_classes(y, n)
        if first:
            used = z[weights > 0][:_ROWS_AT_ONCE]
            self._moments = Moments(used.mean(axis=0, dtype=np.float64))
            self._erased = [CrossMoments(column, p) for column in columns]
            self._kept = [CrossMoments(column, p) for column in kept]
        for name, known, given in (("sensitive_features", self._erased, columns), ("keep", self._kept, kept)):
            if [part.name for part in known] != [column.name for column in given]:
                raise InputError(f"{name} must hold the same columns in every batch: {[part.name for part in known]}")
        for start in range(0, n, _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, n))
            part, w = z[rows].astype(np.float64) - self._moments.origin, weights[rows]
            self._moments.update(part, w)
            for moments, column in zip(self._erased, columns, strict=True):
                moments.update(part, column.take(rows), w, classes[rows])
            for moments, column in zip(self._kept, kept, strict=True):
                moments.update(part, column.take(rows), w, np.zeros(len(rows)))
        self._module = None
        return self

    def _compute_linear(self) -> nn.Module:
        for role, several in (("attribute", self._erased), ("keep", self._kept)):
            for part in several:
                part.check(role)
        erased, kept = (
            np.concatenate([part.compute_covariance() for part in several], axis=1) if several else None
            for several in (self._erased, self._kept)
        )
        assert erased is not None
        moments = self._moments
        return compute_linear_erasure(
            moments.mean, moments.covariance, erased, kept, rows=moments.rows, shrinkage=bool(self.shrinkage)
        )

    def _read_weights(self, sample_weight: Any, fit_on: Any, n: int) -> Floats:
        weights = np.ones(n)
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, np.empty((n, 1)), dtype=np.float64, ensure_non_negative=True, copy=True
            )
        if fit_on is not None:
            chosen = read_array(fit_on, "fit_on")
            if chosen.shape != (n,) or not set(map(type, chosen.tolist())) <= {bool}:
                raise InputError(f"fit_on must hold {n} booleans, one for each row of X: True where it is learned from")
            weights = weights * chosen.astype(bool)
        if not weights.any():
            raise InputError("sample_weight and fit_on leave no row to learn from")
        return weights

    def _read_classes(self, y: Any, n: int) -> NDArray[Any]:
        if self.criterion != "separation":
            return np.zeros(n)
        if y is None:
            raise InputError("criterion='separation' needs y; use 'independence' to go without")
        columns: list[Column] = read_columns(y, "y", n=n)
        if len(columns) > 1 or not columns[0].is_category or columns[0].missing.any():
            raise InputError("y must be one column of labels, none of them missing, for criterion='separation'")
        return columns[0].values
