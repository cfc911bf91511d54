"""`audit`: the leakage of a frozen representation by fresh probes, on rows that they were not fitted on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import checked
from ..column_kinds import read_columns
from ..errors import InputError, TooFewSamples
from ..matrices import read_matrix
from .answers import answer_questions, join_folds
from .certificate import certify as certify_cells
from .findings import judge_findings
from .given_covariates import Covariates, answer_beside_covariates, read_covariates
from .inputs import CodedColumn, check_range, code_columns, code_predictions
from .many_categories import join_rare
from .probes import PROBES
from .questions import Question, Unaudited, list_questions
from .result import AuditResult
from .sample_map import draw_sample
from .split import deal_groups

_FEWEST_ROWS = 100
_FEWEST_IN_FOLD = 10
_MANY_ROWS = 20_000  # beyond, three folds instead of five
_FEWEST_GROUPS, _FEW_GROUPS = 10, 40  # that an audit needs; below which it warns


@checked
def audit(
    z: Any,
    c: Any,
    y: Any = None,
    *,
    condition_on: Any = None,
    predictions: Any = None,
    groups: Any = None,
    probes: Sequence[str] = tuple(PROBES),
    alpha: float = 0.05,
    max_rows: int = 50_000,
    n_bins: int = 5,
    n_folds: int | None = None,
    certify: bool = False,
    random_state: int = 0,
    on_step: Callable[[float], None] | None = None,
) -> AuditResult:
    """Measure what a frozen representation, whoever trained it, still tells about attributes.

    Fresh probes are cross-fitted: each is fitted on some rows, tuned on others, and judged on rows that neither saw.
    The leakage is the largest held-out lower estimate of I(Z;C) over the probes; with ``y`` also of I(Z;C|Y), and
    within each class. Independence is tested by permuting c among held-out rows, valid however a probe was fitted, and
    by the estimates' intervals. Of more than 1,024 categories the rare ones are joined; of more than 32 those alike are
    joined for probes whose cost grows with them.

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
    condition_on : as ``c``, optional
        Covariates W, quantities or categories: asks, too, what z tells beyond them all, I(Z;C|W). Quantities are not
        binned; probes see what smooth functions of W leave of z. Rows that miss one are left out of that question.
    predictions : array, tensor, series, list or frame of shape (n,) or (n, classes), optional
        A model's answers, as labels, as probabilities per class, or as probabilities of the second of two classes. Adds
        fairness metrics on all rows; needs ``y``. Classes stand in ascending order, numbers by size, unless columns of
        a frame have their names.
    groups : array, tensor, series or list of shape (n,), optional
        Which rows belong together, as the images of one person do. No group is split between fitting and judging, as
        by scikit-learn's `GroupKFold`, and intervals and tests take groups for independent, not rows. At least ten.
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
    certify : bool, default False
        Adds upper bounds of what any classifier can tell, see `certify`, each with probability 1 - ``alpha``. For a z
        of few distinct values, and attributes and labels that are categories.
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
        Wrong shapes or kinds, NaN in z, fewer than 100 rows or ten groups, an attribute that never varies or is nearly
        all distinct, or what cannot be certified.

    See Also
    --------
    leave_one_group_out : The same on groups that the probes have never seen, such as sites.

    References
    ----------
    van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018, for the bound;
    Bayle et al., "Cross-validation confidence intervals for test error", NeurIPS 2020, for its interval; Hoeffding, "A
    combinatorial central limit theorem", 1951, for the tests; Liang and Zeger, "Longitudinal data analysis using
    generalized linear models", Biometrika 1986, for intervals of groups.

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
    options: dict[str, Any] = {"probes": list(probes), "n_folds": n_folds, "n_bins": n_bins, "alpha": alpha}
    options |= {"max_rows": max_rows, "random_state": random_state}
    given = read_audit_inputs(z, c, y, groups, options)
    if certify and groups is not None:
        raise InputError("certify takes rows for independent, and groups says that they are not")
    certificate = certify_cells(z, c, y, confidence=1 - alpha) if certify else None
    metrics, differences = list[dict[str, Any]](), list[dict[str, Any]]()
    if predictions is not None:
        if not given.label:
            raise InputError("predictions need y beside them")
        from .fairness_metrics import SMALL_GROUP, measure_groups

        codes = code_predictions(predictions, given.label[0])
        metrics, differences = measure_groups(given.label[0], codes, given.attributes)
        small = sum(g["small"] for g in metrics)
        if small:
            given.warnings.append(
                f"{small} of {len(metrics)} groups hold fewer than {SMALL_GROUP} rows: uncertain rates"
            )
    n = len(given.z)
    covariates = () if condition_on is None else (read_covariates(condition_on, n),)
    given.warnings.extend(
        f"{', '.join(w.names)} is missing in {int((~w.known).sum()):,} rows" for w in covariates if not w.known.all()
    )
    part = replace(given, covariates=covariates).draw(max_rows)
    n_groups = len(np.unique(part.groups))
    if groups is not None and n_groups < max(_FEWEST_GROUPS, n_folds or 0):
        least = max(_FEWEST_GROUPS, n_folds or 0)
        raise TooFewSamples(f"groups has {n_groups} distinct values, needs at least {least}; see leave_one_group_out")
    if n_groups < _FEW_GROUPS:
        part.warnings.append(f"only {n_groups} groups: intervals and p-values rest on few independent values")
    n_folds = n_folds or (3 if len(part.z) > _MANY_ROWS else 5)
    label, unaudited = part.label[0] if part.label else None, list[Unaudited]()
    questions = [q for a in part.attributes for q in list_questions(a, label, part.warnings, unaudited)]
    folds = deal_groups(part.groups, np.arange(len(part.z)), n_folds, part.generator)
    answers = answer_questions(part.z, questions, probes, folds, part.groups, part.generator, random_state, on_step)
    for w in part.covariates:
        asked = [Question(a, w.condition, ((a.codes >= 0) & w.known,)) for a in part.attributes]
        found = answer_beside_covariates(part.z, w, asked, probes, folds, part.groups, part.generator, random_state)
        answers |= {(len(questions) + i, name): folds_of for (i, name), folds_of in found.items()}
        questions += asked
    findings = [
        [join_folds(q, name, answers[i, name], part.groups) for name in probes] for i, q in enumerate(questions)
    ]
    settings = {
        "rows": n, "rows_probed": len(part.z), "dim": int(part.z.shape[1]),
        "attributes": [a.name for a in part.attributes], **options, "n_folds": n_folds,
        **({} if groups is None else {"groups": n_groups}),
        **({"condition_on": [*part.covariates[0].names]} if part.covariates else {}),
        "tests": len(questions) * len(probes),
    }  # fmt: skip
    judged, summary = judge_findings(questions, findings, alpha)
    sample = draw_sample(part.z, [*part.label, *part.attributes], part.generator)
    unique = tuple(dict.fromkeys(part.warnings))
    return AuditResult(
        summary, judged, tuple(metrics), tuple(differences), unique, settings, sample, tuple(unaudited), certificate
    )


@dataclass(frozen=True)
class AuditInputs:
    """What is audited, read: z (n, dim), attributes, a label or none, and the group of each row, as codes."""

    z: NDArray[Any]
    attributes: tuple[CodedColumn, ...]
    label: tuple[CodedColumn, ...]
    groups: NDArray[np.int64]
    warnings: list[str]
    generator: np.random.Generator
    covariates: tuple[Covariates, ...] = ()  # or one set of them

    def draw(self, max_rows: int) -> "AuditInputs":
        """So many rows at most, drawn at random, as float32; rare categories of the attributes are joined."""
        n, rows = len(self.z), np.arange(len(self.z))
        warnings = list(self.warnings)
        if n > max_rows:
            rows = np.sort(self.generator.choice(n, max_rows, replace=False))
            warnings.append(f"probes saw {max_rows:,} of {n:,} rows, drawn at random")
        attributes = []
        for given in self.attributes:
            joined = join_rare(given.take(rows))
            if len(joined.names) < len(given.names):
                warnings.append(
                    f"{given.name}: rare categories were joined, {len(given.names):,} to {len(joined.names):,}"
                )
            attributes.append(joined)
        z = np.asarray(self.z[rows], dtype=np.float32)
        label = tuple(column.take(rows) for column in self.label)
        covariates = tuple(several.take(rows) for several in self.covariates)
        return replace(
            self, z=z, attributes=tuple(attributes), label=label, groups=self.groups[rows], warnings=warnings,
            covariates=covariates,
        )  # fmt: skip


def read_audit_inputs(z: Any, c: Any, y: Any, groups: Any, options: dict[str, Any]) -> AuditInputs:
    """Read what is audited; without ``groups`` each row is a group of its own."""
    if find_spec("sklearn") is None:
        raise InputError("audit: scikit-learn is not installed; pip install 'midebias[audit]'")
    z = read_matrix(z, "z")
    check_range(z)
    n, n_bins = len(z), options["n_bins"]
    _check_options(n, **options)
    attributes = code_columns(c, "c", n, n_bins=n_bins)
    for known, name in ((int((a.codes >= 0).sum()), a.name) for a in attributes):
        if known < _FEWEST_ROWS:
            raise TooFewSamples(f"{name} is known in {known} rows; an audit needs at least {_FEWEST_ROWS}")
    label: tuple[CodedColumn, ...] = ()  # or one column
    if y is not None:
        label = tuple(replace(column, name="y") for column in code_columns(y, "y", n, n_bins=n_bins))
        if len(label) > 1:
            raise InputError(f"y must be one column, got {len(label)}")
    warnings = [f"{a.name} is missing in {int((a.codes < 0).sum()):,} rows" for a in attributes if (a.codes < 0).any()]
    generator = np.random.default_rng(options["random_state"])
    codes = np.arange(n) if groups is None else code_groups(groups, n)[0]
    return AuditInputs(z, attributes, label, codes, warnings, generator)


def code_groups(groups: Any, n: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Read the group of each row: codes (n,), numbered as they appear, and the name of each."""
    columns = read_columns(groups, "groups", n=n, like="z")
    if len(columns) > 1:
        raise InputError(f"groups must be one column, got {len(columns)}")
    codes, levels = columns[0].code()
    if (codes < 0).any():
        raise InputError(f"groups is missing in {int((codes < 0).sum()):,} rows: name a group for each row")
    order = np.argsort(np.unique(codes, return_index=True)[1])
    names = tuple(v if isinstance(v, str) else np.format_float_positional(v, trim="-") for v in levels[order])
    return np.argsort(order)[codes], names


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
