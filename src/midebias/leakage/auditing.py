"""`audit`: the leakage of a frozen representation by fresh probes, on rows that they were not fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..arguments import checked
from ..columns import read_matrix
from ..errors import InputError, TooFewSamples
from .answers import answer_questions, summarize
from .inputs import CodedColumn, check_range, code_columns, code_predictions
from .probes import PROBES
from .questions import list_questions
from .result import AuditResult
from .sample_map import draw_sample
from .statistics import adjust_p_values

_FEWEST_ROWS = 100
_FEWEST_IN_FOLD = 10
_MANY_ROWS = 20_000  # beyond, three folds instead of five


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
    """Measure what a frozen representation, whoever trained it, still tells about attributes.

    Fresh probes are cross-fitted: each is fitted on some rows, tuned on others, and judged on rows that neither saw.
    The leakage is the largest held-out lower estimate of I(Z;C) over the probes; with ``y`` also of I(Z;C|Y), and
    within each class. Independence is tested by permuting c among held-out rows: valid however a probe was fitted.

    Parameters
    ----------
    z : array, tensor, frame or lists of shape (n, dim)
        The representation; further axes are flattened.
    c : array, tensor, series or list of shape (n,) or (n, attributes), frame, or mapping of names to them
        The attributes. Text, booleans and whole numbers of at most 20 distinct values are categories; other numbers are
        quantities, which are cut into ``n_bins`` bins of equally many rows. That can only lose information. NaN, None
        and negative integers among categories are missing: these rows are left out of that attribute.
    y : array, tensor, series or list of shape (n,), optional
        The task's label.
    predictions : array, tensor, series, list or frame of shape (n,) or (n, classes), optional
        A model's answers, as labels, as probabilities per class, or as probabilities of the second of two classes. Adds
        fairness metrics on all rows; needs ``y``.
    probes : sequence of {"linear", "quadratic", "nearest neighbours", "boosted trees", "mlp"}
        Classifiers to ask; all by default.
    alpha : float, default 0.05
        How often a representation that tells nothing may be called leaking, over all attributes, classes and probes.
    max_rows : int, default 50000
        Probes see so many rows at most, drawn at random.
    n_bins : int, default 5
        Bins of a quantity.
    n_folds : int, optional
        Parts of the rows, each held out once. Default is five, or three for more than 20,000 rows.
    random_state : int, default 0
        Seeds folds, probes and the sample of rows.
    on_step : callable, optional
        Called with the share that is done, in (0, 1].

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
    intervals for test error", NeurIPS 2020, for its interval; `compare_with_permutations` for the tests.

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
    z = read_matrix(z, "z")
    check_range(z)
    n = len(z)
    _check_options(n, probes, alpha, max_rows, n_bins, n_folds, random_state)
    attributes = code_columns(c, "c", n, n_bins=n_bins)
    label = None if y is None else _code_label(y, n, n_bins)
    warnings = [f"{a.name} is missing in {int((a.codes < 0).sum()):,} rows" for a in attributes if (a.codes < 0).any()]
    groups: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    if predictions is not None:
        if label is None:
            raise InputError("predictions need y beside them")
        from .fairness_metrics import SMALL_GROUP, measure_groups

        groups, differences = measure_groups(label, code_predictions(predictions, label), attributes)
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
    questions = [q for a in attributes for q in list_questions(a, label, warnings)]
    answers = answer_questions(seen, questions, probes, folds, generator, random_state, on_step)
    adjusted = adjust_p_values([a.p_value for a in answers])
    findings = tuple(a.to_finding(p) for a, p in zip(answers, adjusted, strict=True))
    summary = tuple(
        summarize(question, findings[i * len(probes) : (i + 1) * len(probes)], alpha)
        for i, question in enumerate(questions)
    )
    sample = draw_sample(seen, [*([] if label is None else [label]), *attributes], generator)
    settings = {
        "rows": n, "rows_probed": len(rows), "dim": int(z.shape[1]), "attributes": [a.name for a in attributes],
        "probes": list(probes), "n_folds": folds, "n_bins": n_bins, "alpha": alpha, "max_rows": max_rows,
        "random_state": random_state, "tests": len(answers),
    }  # fmt: skip
    unique = tuple(dict.fromkeys(warnings))
    return AuditResult(summary, findings, tuple(groups), tuple(differences), unique, settings, sample)


def _code_label(y: Any, n: int, n_bins: int) -> CodedColumn:
    columns = code_columns(y, "y", n, n_bins=n_bins)
    if len(columns) > 1:
        raise InputError(f"y must be one column, got {len(columns)}")
    return replace(columns[0], name="y")


def _check_options(
    n: int, probes: Sequence[str], alpha: float, max_rows: int, n_bins: int, n_folds: int | None, random_state: int
) -> None:
    if n < _FEWEST_ROWS:
        raise TooFewSamples(f"z holds {n} rows; an audit needs at least {_FEWEST_ROWS}")
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
    if random_state < 0:
        raise InputError(f"random_state must be at least 0, got {random_state}")
    if n_folds is not None and min(n, max_rows) // n_folds < _FEWEST_IN_FOLD:
        raise InputError(f"n_folds must leave {_FEWEST_IN_FOLD} of {min(n, max_rows)} rows in each, got {n_folds}")
