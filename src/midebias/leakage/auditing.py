"""`audit`: the leakage of a frozen representation by fresh probes, on rows that they were not fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..arguments import checked
from ..errors import InputError, TooFewSamples
from ..matrices import read_matrix
from .answers import answer_questions, summarize
from .inputs import CodedColumn, check_range, code_columns, code_predictions
from .probes import PROBES
from .questions import list_questions
from .result import AuditResult
from .sample_map import draw_sample

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
        The attributes. Text, booleans and whole numbers of at most 20 distinct values are categories; other numbers,
        also where they are written as text, are quantities, which are cut into ``n_bins`` bins of equally many rows.
        That can only lose information. NaN, None and empty text are missing: these rows are left out of that attribute.
    y : array, tensor, series or list of shape (n,), optional
        The task's label.
    predictions : array, tensor, series, list or frame of shape (n,) or (n, classes), optional
        A model's answers, as labels, as probabilities per class, or as probabilities of the second of two classes. Adds
        fairness metrics on all rows; needs ``y``. Classes stand in ascending order, numbers by size, unless columns of
        a frame have their names.
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
        Wrong shapes or kinds, NaN in z, fewer than 100 rows, or an attribute that never varies or is nearly all
        distinct.

    References
    ----------
    Barber and Agakov, "The IM algorithm", NeurIPS 2003, for the bound; Bayle et al., "Cross-validation confidence
    intervals for test error", NeurIPS 2020, for its interval; Hoeffding, "A combinatorial central limit theorem",
    1951, for the tests.

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
    options: dict[str, Any] = {"probes": list(probes), "n_folds": n_folds, "n_bins": n_bins, "alpha": alpha}
    options |= {"max_rows": max_rows, "random_state": random_state}
    _check_options(n, **options)
    attributes = code_columns(c, "c", n, n_bins=n_bins)
    label: tuple[CodedColumn, ...] = ()  # or one column
    if y is not None:
        label = tuple(replace(column, name="y") for column in code_columns(y, "y", n, n_bins=n_bins))
        if len(label) > 1:
            raise InputError(f"y must be one column, got {len(label)}")
    warnings = [f"{a.name} is missing in {int((a.codes < 0).sum()):,} rows" for a in attributes if (a.codes < 0).any()]
    groups, differences = list[dict[str, Any]](), list[dict[str, Any]]()
    if predictions is not None:
        if not label:
            raise InputError("predictions need y beside them")
        from .fairness_metrics import SMALL_GROUP, measure_groups

        groups, differences = measure_groups(label[0], code_predictions(predictions, label[0]), attributes)
        small = sum(g["small"] for g in groups)
        if small:
            warnings.append(f"{small} of {len(groups)} groups hold fewer than {SMALL_GROUP} rows: uncertain rates")

    generator = np.random.default_rng(random_state)
    rows = np.arange(n)
    if n > max_rows:
        rows = np.sort(generator.choice(n, max_rows, replace=False))
        warnings.append(f"probes saw {max_rows:,} of {n:,} rows, drawn at random")
    seen = np.asarray(z[rows], dtype=np.float32)
    attributes, label = (tuple(column.take(rows) for column in columns) for columns in (attributes, label))
    folds = n_folds or (3 if len(rows) > _MANY_ROWS else 5)
    questions = [q for a in attributes for q in list_questions(a, label[0] if label else None, warnings)]
    findings = answer_questions(seen, questions, probes, folds, generator, random_state, on_step)
    parts = [findings[i : i + len(probes)] for i in range(0, len(findings), len(probes))]
    summary = tuple(summarize(question, part, alpha) for question, part in zip(questions, parts, strict=True))
    settings = {
        "rows": n, "rows_probed": len(rows), "dim": int(z.shape[1]), "attributes": [a.name for a in attributes],
        **options, "n_folds": folds, "tests": len(findings),
    }  # fmt: skip
    sample = draw_sample(seen, [*label, *attributes], generator)
    unique = tuple(dict.fromkeys(warnings))
    return AuditResult(summary, findings, tuple(groups), tuple(differences), unique, settings, sample)


def _check_options(
    n: int, probes: Sequence[str], alpha: float, max_rows: int, n_bins: int, n_folds: int | None, random_state: int
) -> None:
    if n < _FEWEST_ROWS:
        raise TooFewSamples(f"z holds {n} rows; an audit needs at least {_FEWEST_ROWS}")
    if len(probes) == 0 or any(not isinstance(p, str) or p not in PROBES for p in probes):
        raise InputError(f"probes must be among {', '.join(PROBES)}, got {', '.join(map(str, probes)) or 'none'}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie in (0, 1), got {alpha}")
    values = {"max_rows": max_rows, "n_bins": n_bins, "n_folds": n_folds, "random_state": random_state}
    for (name, value), least in zip(values.items(), (_FEWEST_ROWS, 2, 2, 0), strict=True):
        if value is not None and value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    if n_folds is not None and min(n, max_rows) // n_folds < _FEWEST_IN_FOLD:
        raise InputError(f"n_folds must leave {_FEWEST_IN_FOLD} of {min(n, max_rows)} rows in each, got {n_folds}")
