"""The transformer that takes an attribute out of representations."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data
from torch import nn

from ..arguments import check_kind
from ..column_kinds import Column, is_frame, read_array, read_columns
from ..errors import InputError
from ..leakage.certificate import Certificate
from ..matrices import read_matrix
from ..random_state import draw_seed
from .aware import code_levels, fit_aware, refuse_unseen
from .cells import check_cells, draw_aside, lay_cells
from .covariates import compute_residuals, read_covariates
from .grouping import Grouping, group_rows
from .inputs import FitRows, read_classes, read_weights
from .line_search import NO_LEAKAGE
from .linear import LinearFit
from .moments import Floats
from .nonlinear import NonlinearFit
from .saved import read_eraser, write_eraser

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
        that map, if z may tell more than 0.01 nats linearly, and a further one, after which nonlinear probes of
        held-out rows read little.
    criterion : {"independence", "separation"}, default "independence"
        What is minimised: I(Z;C), or I(Z;C|Y), which needs y in `fit`: labels, or quantities such as age.
    max_mi : float, optional
        Nats that held-out rows may leak: a map is followed until it meets them, and `fit` warns where none does.
    min_neighbours : float, optional
        Share of the ten nearest neighbours after the linear map that held-out rows are to keep, unless ``max_mi`` is
        given. Without either, the map goes on down to 0.01 nats as long as it is worth it: all neighbours are taken
        to be worth as much as l (1 + l / 0.1) = 0.8 of l nats. ``history_`` has the alternatives.
    aware : bool, default False
        Whether `transform` is given the attribute too.
    unseen : {"error", "unaware"}, default "error"
        What an aware eraser does with categories that `fit` has not seen, and with missing ones.
    n_cells : int, optional
        Cells, 2 to 1,024, that what is erased is put into by k-means, so that what it tells can be certified:
        ``certificate_``. A quarter of the rows is held aside for that. `transform` then returns the mean of the cell.
    shrinkage : bool, default True
        Whether the linear map measures movement in a shrunk covariance, as the authors of LEACE do.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    module_ : torch.nn.Module
        z (n, p) -> z erased (n, p).
    movement_ : float
        Mean squared movement of the rows of `fit`, as a share of their variance.
    history_ : list of dict
        Of the nonlinear maps tried, the curve: ``attribute``, ``step`` (1 goes all of a map's way, 0 is the linear
        map), ``leakage`` in nats of held-out rows, a lower estimate, ``neighbours`` kept, and ``chosen``.
    certificate_ : Certificate
        With ``n_cells``: upper bounds at 95% of what any classifier or decision can tell of the attributes, see
        `midebias.leakage.certify`.
    leakage_ : dict
        Of each attribute, the leakage of the map that was chosen, before the last fit to all rows.
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
    min_neighbours: float | None = None
    aware: bool = False
    unseen: Literal["error", "unaware"] = "error"
    n_cells: int | None = None
    shrinkage: bool = True
    random_state: int | np.random.RandomState | None = None

    _module: nn.Module | None = field(default=None, init=False)  # computed when it is asked for
    _aware: nn.Module | None = field(default=None, init=False)

    def fit(
        self, X: Any, y: Any = None, sensitive_features: Any = None, *, keep: Any = None,
        sample_weight: ArrayLike | None = None, groups: Any = None, fit_on: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Fit.

        Parameters
        ----------
        X : array, tensor or data frame of shape (n, p)
            Representations z.
        y : array of shape (n,) or (n, k), frame or mapping, optional
            What separation conditions on: labels, or quantities, functions of which are taken off what is erased.
        sensitive_features : array, list, series, frame or mapping, of n rows
            One or several attributes, categories or quantities. Where one is missing, the others are still erased.
        keep : as ``sensitive_features``, optional
            Labels or quantities whose covariance with z is left as it is.
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
        rows = self._gather(X, y, sensitive_features, keep, sample_weight, fit_on, first=True)
        groupings = [group_rows(column, rows.classes) for column in rows.erased]
        if self.aware:
            self._names, self._levels = [g.name for g in groupings], [g.levels for g in groupings]
            self._aware = fit_aware(rows.z, groupings, rows.weights, linear=self.method == "linear")
        if self.method == "nonlinear" and not (self.aware and self.unseen == "error"):
            self._module = self._fit_nonlinear(rows, groupings, groups)
            chosen = [record for record in self.history_ if record["chosen"]]
            self.leakage_ = {record["attribute"]: record["leakage"] for record in chosen}
        if self.n_cells is not None:
            cells, self.certificate_ = lay_cells(self.module_, rows, self.n_cells, groups, draw_seed(self.random_state))
            self._module = nn.Sequential(self.module_, cells).eval()
        erased = self._map(rows.z, np.stack([g.codes for g in groupings], axis=1) if self.aware else None)
        center = np.average(rows.z, axis=0, weights=rows.weights)
        moved, spread = (rows.weights @ np.square(part).sum(axis=1) for part in (erased - rows.z, rows.z - center))
        self.movement_ = float(moved / max(spread, 1e-300))
        return self

    def partial_fit(
        self, X: Any, y: Any = None, sensitive_features: Any = None, *, keep: Any = None,
        sample_weight: ArrayLike | None = None, fit_on: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Learn from one more batch of rows; batches give the same map as all rows at once.

        Parameters
        ----------
        X, y, sensitive_features, keep, sample_weight, fit_on : optional but for X and ``sensitive_features``
            As in `fit`. Categories may appear in any batch.

        Raises
        ------
        InputError
            As in `fit`; for an aware or a nonlinear eraser, which is fitted to all rows at once; for one that was
            loaded.
        """
        if self.method != "linear" or self.aware or self.n_cells is not None:
            raise InputError(
                "partial_fit needs method='linear', aware=False and n_cells=None: others are fitted to all rows at once"
            )
        first = not hasattr(self, "_linear")
        if read_covariates(y, len(X), self.criterion) is not None:
            raise InputError("partial_fit conditions on labels alone, and y is a quantity: use fit")
        if first and self._module is not None:
            raise InputError("partial_fit cannot go on from an eraser that was loaded: moments are not saved; use fit")
        self.__dict__.pop("movement_", None)  # of the rows of `fit` alone
        self._gather(X, y, sensitive_features, keep, sample_weight, fit_on, first=first)
        return self

    def fit_transform(self, X: Any, y: Any = None, sensitive_features: Any = None, **fit_params: Any) -> Any:
        """Fit, and return X erased."""
        self.fit(X, y, sensitive_features, **fit_params)
        return self.transform(X, sensitive_features) if self.aware else self.transform(X)

    def transform(self, X: Any, sensitive_features: Any = None) -> NDArray[np.floating[Any]]:
        """Return X erased, of shape (n, p): float64 of float64, float32 of less.

        Parameters
        ----------
        X : as in `fit`
        sensitive_features : as in `fit`, optional
            With ``aware=True``, and then only.

        Raises
        ------
        InputError
            Other columns than those of `fit`; a category it has not seen, unless ``unseen`` is "unaware".
        NotFittedError
            Before `fit`.
        """
        if (sensitive_features is not None) != self.aware:
            raise InputError(f"transform takes sensitive_features where aware=True, and it is {self.aware}")
        self._check_fit()
        z = self._read(X, reset=False)
        if not self.aware:
            return self._map(z, None)
        columns = read_columns(sensitive_features, "sensitive_features", n=len(z))
        codes = code_levels(columns, self._levels, self._names)
        if self.unseen == "error":
            refuse_unseen(columns, codes)
        return self._map(z, codes)

    @torch.no_grad()
    def _map(self, z: NDArray[Any], codes: NDArray[np.intp] | None) -> NDArray[Any]:
        """z erased; by the unaware map where a code is -1."""
        found = np.empty_like(z)
        for start in range(0, len(z), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            part = torch.from_numpy(z[rows])
            if codes is None or self._aware is None:
                found[rows] = self.module_(part).numpy()
                continue
            known = torch.from_numpy(codes[rows])
            seen = (known >= 0).all(dim=1, keepdim=True)
            moved = self._aware(part, known.clamp(min=0))
            found[rows] = (moved if bool(seen.all()) else torch.where(seen, moved, self.module_(part))).numpy()
        return found

    def save(self, path: str | Path) -> None:
        """Write the fitted eraser as safetensors, to be read by `load`.

        Parameters
        ----------
        path : path
            Written whole or not at all.
        """
        modules = {"module": self.module_, **({} if self._aware is None else {"aware": self._aware})}
        parameters = {**self.get_params(deep=False), "random_state": None}
        known = {
            name: getattr(self, name)
            for name in ("_names", "_levels", "history_", "leakage_", "movement_")
            if hasattr(self, name)
        }
        known |= {"certificate_": self.certificate_.to_dict()} if hasattr(self, "certificate_") else {}
        names = [str(name) for name in getattr(self, "feature_names_in_", ())]
        description = {"parameters": parameters, "fitted": known, "names": names, "n_features": self.n_features_in_}
        write_eraser(path, modules, description)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an eraser that `save` wrote; it transforms, and learns no further batches.

        Parameters
        ----------
        path : path

        Raises
        ------
        DataError
            A file that is missing, damaged or of another format.
        """
        modules, description = read_eraser(path)
        eraser = cls(**description["parameters"])
        eraser._module, eraser.n_features_in_ = modules["module"], description["n_features"]
        for name, value in description["fitted"].items():
            setattr(eraser, name, Certificate.from_dict(value) if name == "certificate_" else value)
        if description["names"]:
            eraser.feature_names_in_ = np.array(description["names"], dtype=object)
        if "aware" in modules:
            eraser._aware = modules["aware"]
        return eraser

    @property
    def module_(self) -> nn.Module:
        """The map of `transform`: z (n, p) -> z erased (n, p)."""
        self._check_fit()
        if self._module is None:
            self._module = self._linear.compute()
        return self._module

    def _check_fit(self) -> None:
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet: call fit first")

    def __sklearn_is_fitted__(self) -> bool:
        return self._module is not None or hasattr(self, "_linear")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = False
        return tags

    def _forget(self) -> None:
        for name in (
            "_linear", "_module", "_aware", "_names", "_levels", "history_", "leakage_", "movement_", "n_features_in_",
            "feature_names_in_", "certificate_",
        ):  # fmt: skip
            self.__dict__.pop(name, None)

    def _check_parameters(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be {' or '.join(map(repr, choices))}, got {getattr(self, name)!r}")
        if self.max_mi is not None:
            check_kind("max_mi", self.max_mi, float)
            if not 0 < self.max_mi < math.inf:
                raise InputError(f"max_mi must be a positive number of nats, got {self.max_mi!r}")
        check_kind("aware", self.aware, bool)
        if self.min_neighbours is not None:
            check_kind("min_neighbours", self.min_neighbours, float)
        if not 0 <= (self.min_neighbours or 0) <= 1:
            raise InputError(f"min_neighbours must lie in [0, 1], got {self.min_neighbours!r}")
        check_cells(self.n_cells, aware=self.aware)
        if self.aware and self.criterion == "separation":
            raise InputError("aware=True needs criterion='independence': y is not known at prediction")

    def _read(self, X: Any, *, reset: bool) -> NDArray[Any]:
        """X as finite numbers (n, p)."""
        if is_frame(X):
            validate_data(self, X, skip_check_array=True, reset=reset)  # reads the names
            X, reset = read_matrix(X, "X"), False
        X = read_array(X, "X") if isinstance(X, torch.Tensor) else X
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")  # of a frame, they were compared
            X = X.astype(np.float32) if getattr(X, "dtype", None) == np.float16 else X
            z = validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        return z if z.flags.writeable else z.copy()  # torch warns of what it could not write to

    def _gather(
        self, X: Any, y: Any, sensitive_features: Any, keep: Any, sample_weight: Any, fit_on: Any, *, first: bool
    ) -> FitRows:
        self._check_parameters()
        z = self._read(X, reset=first)
        n = len(z)
        if sensitive_features is None:
            raise InputError(f"{type(self).__name__} needs sensitive_features: what is to be erased")
        erased = read_columns(sensitive_features, "sensitive_features", n=n)
        kept = [] if keep is None else read_columns(keep, "keep", n=n)
        quantity = next((column.name for column in erased if self.aware and not column.is_category), None)
        if quantity is not None:
            raise InputError(f"aware=True takes categories, and {quantity!r} is a quantity: use aware=False")
        weights, classes = read_weights(sample_weight, fit_on, n), read_classes(y, n, self.criterion)
        aside = draw_aside(self.n_cells, erased, n, draw_seed(self.random_state))
        weights[aside] = 0.0
        w = read_covariates(y, n, self.criterion)
        targets = erased if w is None else compute_residuals(erased, w, weights)
        if first:
            self._linear = self._start(z, targets, kept, weights)
        self._linear.update(z, targets, kept, weights, classes)
        self._module = None
        return FitRows(z, erased, kept, weights, classes, aside, targets, w)

    def _start(self, z: NDArray[Any], erased: list[Column], kept: list[Column], weights: Floats) -> LinearFit:
        origin = z[weights > 0][:_ROWS_AT_ONCE].mean(axis=0, dtype=np.float64)
        return LinearFit(origin, erased, kept, shrinkage=bool(self.shrinkage))

    def _fit_nonlinear(self, rows: FitRows, groupings: list[Grouping], groups: Any) -> nn.Module:
        n = len(rows.z)
        blocks = np.arange(n)
        if groups is not None:
            (column,) = read_columns({"groups": groups}, "groups", n=n)
            codes, levels = column.code()
            blocks = np.where(codes < 0, len(levels) + np.arange(n), codes)  # a row without a group is one by itself

        @torch.no_grad()
        def gather(module: Callable[[torch.Tensor], torch.Tensor]) -> LinearFit:
            fit: LinearFit | None = None
            for start in range(0, n, _ROWS_AT_ONCE):
                part = np.arange(start, min(start + _ROWS_AT_ONCE, n))
                erased, kept = ([c.take(part) for c in several] for several in (rows.targets, rows.kept))
                z = module(torch.from_numpy(rows.z[part])).numpy()
                fit = LinearFit(z.mean(axis=0, dtype=np.float64), erased, kept) if fit is None else fit
                fit.update(z, erased, kept, rows.weights[part], rows.classes[part])
            assert fit is not None
            return fit

        search = NonlinearFit(max_mi=self.max_mi, min_neighbours=self.min_neighbours, seed=draw_seed(self.random_state))
        linear = self._linear.compute()
        if self._linear.limit_information() <= NO_LEAKAGE:  # then it would move rows for nothing but chance
            linear.writes.zero_()
        module, self.history_ = search.fit(rows, linear, groupings, blocks, gather)
        return module
