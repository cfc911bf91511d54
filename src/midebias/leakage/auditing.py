"""Leakage: what a frozen representation still tells about c to somebody who looks afresh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import checked
from ..errors import InputError
from .inputs import Column, as_array, as_attributes, as_column, as_representation, check_size, distinct_values
from .probes import PROBES
from .questions import answered, questions_about, summarized
from .result import AuditResult
from .statistics import holm

__all__ = ["audit"]


_FEWEST_ROWS = 100
_FEWEST_IN_FOLD = 10
_MANY_ROWS = 20_000  # beyond, three folds instead of five
_SAMPLE = 1_200  # rows on the map


@checked
def audit(
    z: Any,
    c: Any,
    y: Any = None,
    *,
    predictions: Any = None,
    probes: Sequence[str] = tuple(PROBES),
    alpha: float = 0.05,
    max_rows: int = 50_000,
    n_bins: int = 5,
    n_folds: int | None = None,
    random_state: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> AuditResult:
    """What a frozen representation, whoever trained it, still tells about attributes.

    Fresh probes are cross-fitted: each is fitted on some rows, tuned on others, and judged on rows that neither saw.
    The leakage is the largest held-out lower estimate of I(Z;C) over the probes; with ``y`` also of I(Z;C|Y), and
    within each class. Independence is tested by permuting c among held-out rows: valid however a probe was fitted.

    Parameters
    ----------
    z : array, tensor or frame of shape (n, dim)
    c : array of shape (n,) or (n, attributes), mapping of names to arrays, or frame
        Words and numbers; a number of more than 20 values is cut into ``n_bins`` bins of equally many rows, which can
        only lose information. NaN, None and negative category numbers are missing: left out of that attribute.
    y : array of shape (n,), optional
        The task's label.
    predictions : array of shape (n,) or (n, classes), optional
        A model's answers, as labels, as probabilities per class, or as probabilities of the second of two classes. Adds
        fairness metrics on all rows; needs ``y``.
    probes : sequence of {"linear", "quadratic", "nearest neighbours", "boosted trees", "mlp"}
    alpha : float, default 0.05
        How often a representation that tells nothing may be called leaking, over all attributes, classes and probes.
    max_rows : int, default 50000
        Probes see so many rows, drawn at random.
    n_bins : int, default 5
    n_folds : int, optional
        Five, or three for more than 20,000 rows.
    random_state : int, default 0
    on_step : callable, optional
        Told the share that is done, in (0, 1].

    Returns
    -------
    AuditResult

    Raises
    ------
    InputError
        Wrong shapes or kinds, NaN in z, fewer than 100 rows, or an attribute that never varies.

    References
    ----------
    Barber and Agakov, "The IM algorithm", NeurIPS 2003, for the bound; Bayle et al., "Cross-validation confidence
    intervals for test error", NeurIPS 2020, for its interval; `audit_statistics` for the tests.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sex = rng.integers(0, 2, 1000)
    >>> z = rng.normal(size=(1000, 4)) + sex[:, None]
    >>> result = audit(z, {"sex": sex}, probes=["linear"])
    >>> result.leaks, round(result.leakage, 1)
    (True, 0.4)
    """
    if find_spec("sklearn") is None:
        raise InputError("audit: scikit-learn is not installed; pip install 'midebias[audit]'")
    z = as_representation(z)
    n = len(z)
    check_size(n, _FEWEST_ROWS)
    _check_options(probes, alpha, max_rows, n_bins, n_folds)
    if random_state < 0:
        raise InputError(f"random_state must be at least 0, got {random_state}")
    if n_folds is not None and min(n, max_rows) // n_folds < _FEWEST_IN_FOLD:
        raise InputError(f"n_folds must leave {_FEWEST_IN_FOLD} of {min(n, max_rows)} rows in each, got {n_folds}")
    attributes = as_attributes(c, n, n_bins=n_bins)
    label = None if y is None else as_column(y, n, name="y", n_bins=n_bins, argument="y")
    warnings = [f"{a.name} is missing in {int((a.codes < 0).sum()):,} rows" for a in attributes if (a.codes < 0).any()]
    groups: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    if predictions is not None:
        if label is None or y is None:
            raise InputError("predictions need y beside them")
        from .fairness_metrics import SMALL_GROUP, group_metrics

        groups, differences = group_metrics(label, _answers(predictions, label), attributes)
        small = sum(g["small"] for g in groups)
        if small:
            warnings.append(f"{small} of {len(groups)} groups hold fewer than {SMALL_GROUP} rows: uncertain rates")

    generator = np.random.default_rng(random_state)
    rows = np.arange(n)
    if n > max_rows:
        rows = np.sort(generator.choice(n, max_rows, replace=False))
        warnings.append(f"probes saw {max_rows:,} of {n:,} rows, drawn at random")
    seen = np.asarray(z[rows], dtype=np.float32)
    attributes = tuple(a.take(rows) for a in attributes)
    label = None if label is None else label.take(rows)
    folds = n_folds or (3 if len(rows) > _MANY_ROWS else 5)
    questions = [q for a in attributes for q in questions_about(a, label, warnings)]
    parts = answered(seen, questions, probes, folds, generator, random_state, on_step)
    p_values = [p.p_value for p in parts]
    findings = [p.finding(adjusted) for p, adjusted in zip(parts, holm(p_values), strict=True)]
    summary = []
    for i, question in enumerate(questions):
        mine = findings[i * len(probes) : (i + 1) * len(probes)]
        summary.append(summarized(question, mine, alpha))
    drawn = generator.permutation(len(rows))[:_SAMPLE]
    sample = {
        "z": seen[drawn],
        "colourings": [
            {"name": a.name, "names": list(a.names), "codes": a.codes[drawn].tolist(), "ordered": a.binned}
            for a in ([label] if label is not None else []) + list(attributes)
        ],
    }
    settings = {
        "rows": n, "rows_probed": len(rows), "dim": int(z.shape[1]), "attributes": [a.name for a in attributes],
        "probes": list(probes), "n_folds": folds, "n_bins": n_bins, "alpha": alpha, "max_rows": max_rows,
        "random_state": random_state, "tests": len(parts),
    }  # fmt: skip
    return AuditResult(
        tuple(summary),
        tuple(findings),
        tuple(groups),
        tuple(differences),
        tuple(dict.fromkeys(warnings)),
        settings,
        sample,
    )


def _check_options(probes: Sequence[str], alpha: float, max_rows: int, n_bins: int, n_folds: int | None) -> None:
    if len(probes) == 0 or any(not isinstance(p, str) or p not in PROBES for p in probes):
        raise InputError(f"probes must be among {', '.join(PROBES)}, got {', '.join(map(str, probes)) or 'none'}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie in (0, 1), got {alpha}")
    if max_rows < _FEWEST_ROWS:
        raise InputError(f"max_rows must be at least {_FEWEST_ROWS}, got {max_rows}")
    if n_bins < 2:
        raise InputError(f"n_bins must be at least 2, got {n_bins}")
    if n_folds is not None and n_folds < 2:
        raise InputError(f"n_folds must be at least 2, got {n_folds}")


def _answers(predictions: Any, y: Column) -> NDArray[np.int64]:
    """Predictions as codes of y."""
    values = as_array(predictions, name="predictions")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or len(values) != len(y.codes):
        raise InputError(f"predictions must hold {len(y.codes)} rows like z, got shape {values.shape}")
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise InputError(f"predictions are missing (NaN) in {int(np.isnan(values).sum()):,} places")
    if y.binned:
        raise InputError("predictions need a y of classes; a y of more than 20 values is none")
    if values.ndim == 2:
        if values.shape[1] != len(y.names):
            raise InputError(f"predictions must have {len(y.names)} columns, one per class, got {values.shape[1]}")
        return values.argmax(axis=1)
    if values.dtype.kind == "f" and len(y.names) == 2 and len(np.unique(values)) > 2:
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise InputError("predictions must be labels or probabilities in [0, 1]")
        return (values >= 0.5).astype(np.int64)
    places, names = distinct_values(values)
    place = {name: i for i, name in enumerate(y.names)}
    unknown = sorted(str(n) for n in set(names) - set(place))
    joined = any(n.startswith("other (") for n in y.names)  # of rare classes, always the last
    if unknown and not joined:
        raise InputError(f"predictions hold {unknown[0]!r}, which y never is; y is {', '.join(y.names[:6])}")
    return np.array([place.get(str(name), len(place) - 1) for name in names])[places]
