"""`certify`: what anybody can tell of an attribute from a representation of few cells, at most."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arguments import checked
from ..column_kinds import Column, is_frame, name_level, read_array, read_column, read_columns, read_frame
from ..errors import InputError, TooFewSamples
from ..matrices import read_matrix
from .confidence import (
    SHARE_OF_RATE,
    Counts,
    limit_balanced_accuracy,
    limit_information,
    limit_total_variation,
    measure_information,
)
from .inputs import check_range

Criterion = Literal["independence", "separation"]

MOST_CELLS = 1024
_MOST_GROUPS = 200
_MEASURES = {
    "balanced_accuracy": "balanced accuracy", "decision_difference": "difference of decisions", "mi": "I(Z;C) in nats",
}  # fmt: skip
_WITHIN = {"independence": "", "separation": " within classes"}
_FEWEST_ROWS_OF_A_CELL = 4  # on average: z of fewer is no representation of cells


@dataclass(frozen=True)
class CertifiedAttribute:
    """Upper bounds of what cells tell about one attribute; beside each what was seen on the rows, as ``_seen``.

    Attributes
    ----------
    attribute : str
    criterion : {"independence", "separation"}
        Over all rows, or within the classes of y: then accuracy and difference are those of the class with the largest
        bound, and information is I(Z;C|Y).
    groups : dict
        Rows of each category.
    missing : int
        Rows that were left out, since the attribute is missing there.
    balanced_accuracy, balanced_accuracy_seen : float
        In [0, 1], of any classifier that names the category; ``balanced_chance`` is one over the number of categories.
    decision_difference, decision_difference_seen : float
        In [0, 1]: of any decision, how much more often it is taken in one group than in another. That is the
        demographic parity difference; within classes, the equalized odds difference.
    mi, mi_seen : float
        I(Z;C) or I(Z;C|Y), in nats.
    balanced_chance : float
    """

    attribute: str
    criterion: Criterion
    groups: Mapping[str, int]
    missing: int
    balanced_accuracy: float
    decision_difference: float
    mi: float
    balanced_accuracy_seen: float
    decision_difference_seen: float
    mi_seen: float
    balanced_chance: float


@dataclass(frozen=True)
class Certificate:
    """What `certify` found.

    Each bound holds with probability ``confidence`` over the draw of the rows, if they are drawn independently from
    the population that the representation is used on, and if nothing was fitted to them. A property is the largest of
    its kind over attributes, and holds with that probability too.

    Parameters
    ----------
    bounds : tuple of CertifiedAttribute
        Of each attribute: over all rows and, where y was given, within its classes.
    rows : int
        That were looked at.
    cells : int
        Distinct values of z among them.
    confidence : float
    """

    bounds: tuple[CertifiedAttribute, ...]
    rows: int
    cells: int
    confidence: float

    @property
    def balanced_accuracy(self) -> float:
        """Bound of the balanced accuracy of any classifier of the attribute."""
        return self._find("independence", "balanced_accuracy")

    @property
    def parity_difference(self) -> float:
        """Bound of the demographic parity difference of any decision."""
        return self._find("independence", "decision_difference")

    @property
    def odds_difference(self) -> float | None:
        """Bound of the equalized odds difference of any decision; None without y."""
        return None if self.bounds[-1].criterion == "independence" else self._find("separation", "decision_difference")

    @property
    def mi(self) -> float:
        """Bound of I(Z;C) in nats."""
        return self._find("independence", "mi")

    def _find(self, criterion: str, measure: str) -> float:
        return max(float(getattr(b, measure)) for b in self.bounds if b.criterion == criterion)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Certificate":
        """Make a certificate of ``values``, which `to_dict` returned."""
        return cls(**{**values, "bounds": tuple(CertifiedAttribute(**bound) for bound in values["bounds"])})

    def list_figures(self) -> dict[str, str]:
        """List measures in words with their bounds, as a model card does."""
        return {
            f"{words} of {b.attribute}{_WITHIN[b.criterion]}, at most ({self.confidence:.0%})": f"{getattr(b, key):.4f}"
            for b in self.bounds
            for key, words in _MEASURES.items()
        }

    def __str__(self) -> str:
        lines = [f"Certified at {self.confidence:.0%} for any use of {self.cells} cells, from {self.rows:,} rows:"]
        for b in self.bounds:
            lines.append(
                f"{b.attribute}{_WITHIN[b.criterion]}: balanced accuracy at most {b.balanced_accuracy:.3f} (chance "
                f"{b.balanced_chance:.3f}), decisions differ by at most {b.decision_difference:.3f}, "
                f"at most {b.mi:.4f} nats"
            )
        return "\n".join(lines)


@checked
def certify(z: Any, c: Any, y: Any = None, *, confidence: float = 0.95) -> Certificate:
    """Bound from above what any classifier or decision whatsoever can tell about attributes from a representation.

    The representation takes few distinct values, its cells. What can be told from a cell is decided by how often each
    group falls into it, and the bounds follow from the counts of held-out rows; no probe is fitted. They hold for
    finite n without an assumption about distributions: that of decisions from exact binomial probabilities, that of
    information from Chernoff's bound.

    Parameters
    ----------
    z : array, tensor, frame or lists of shape (n, dim) or (n,)
        Distinct rows are cells. Neither cells nor representation may have been fitted to these rows.
    c : array, tensor, series or list of shape (n,) or (n, attributes), frame, or mapping of names to them
        The attributes, categories all. Rows in which one is missing are left out of it, and counted.
    y : array, tensor, series or list of shape (n,), optional
        Labels, within which the attributes are looked at too.
    confidence : float, default 0.95
        Probability with which each bound holds, in (0, 1). It is to be chosen before the rows are seen.

    Returns
    -------
    Certificate

    Raises
    ------
    InputError
        A z of too many distinct values, an attribute that is a quantity or never varies, a missing y, or another shape.

    References
    ----------
    Jovanović, Balunović, Dimitrov and Vechev, "FARE: Provably fair representation learning with practical
    certificates", ICML 2023, for certificates of cells. Berger, "Multiparameter hypothesis testing and acceptance
    sampling", Technometrics 1982; Berger and Boos, "P values maximized over a confidence set for the nuisance
    parameter", JASA 1994; Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 1934; Chernoff, "A measure of asymptotic efficiency for tests of a hypothesis based on the sum
    of observations", 1952, for the bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from midebias.leakage import certify
    >>> rng = np.random.default_rng(0)
    >>> sex, cell = rng.integers(2, size=4000), rng.integers(4, size=4000)
    >>> certificate = certify(cell, sex)
    >>> 0.0 < certificate.parity_difference < 0.08
    True
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie in (0, 1), got {confidence}")
    cells, classes = code_cells(z), None
    n = len(cells)
    if y is not None:
        labels = read_columns(y, "y", n=n, like="z")
        if len(labels) > 1:
            raise InputError(f"y must be one column, got {len(labels)}")
        check_groups([replace(label, name="y") for label in labels])
        classes, _ = labels[0].code()
        if (classes < 0).any():
            raise InputError(f"y is missing in {int((classes < 0).sum()):,} rows: leave them out")
    return certify_columns(cells, read_columns(c, "c", n=n, like="z"), classes, confidence=confidence)


def certify_columns(
    cells: NDArray[np.int64], columns: Sequence[Column], classes: NDArray[np.int64] | None, *, confidence: float = 0.95
) -> Certificate:
    """Certify as `certify` does, of cells (n,) and classes (n,) as codes."""
    check_groups(columns)
    delta = 1 - confidence
    bounds = [_certify_column(cells, column, np.zeros_like(cells), "independence", delta) for column in columns]
    if classes is not None:
        bounds += [_certify_column(cells, column, classes, "separation", delta) for column in columns]
    return Certificate(tuple(bounds), len(cells), int(cells.max()) + 1, float(confidence))


def code_cells(z: Any) -> NDArray[np.int64]:
    """Number the distinct rows of a representation. Raises `InputError` where there are too many of them."""
    column: Column | None = None
    if is_frame(z, "z"):
        columns = read_frame(z, "z")
        column = columns[0] if len(columns) == 1 else None
    else:
        values = read_array(z, "z")
        if values.ndim == 1 and not isinstance(next(iter(values), None), (list, tuple, np.ndarray)):
            column = read_column(values, "z")
    if column is not None:  # numbers or names of cells
        codes, _ = column.code()
        if (codes < 0).any():
            raise InputError(f"z is missing in {int((codes < 0).sum()):,} rows")
    else:
        matrix = read_matrix(z, "z")
        check_range(matrix)
        codes = np.unique(matrix, axis=0, return_inverse=True)[1].reshape(-1)
    n, n_cells = len(codes), int(codes.max(initial=-1)) + 1
    if n < 2:
        raise TooFewSamples(f"z holds {n} rows; a certificate needs at least 2")
    if n_cells > max(2, min(MOST_CELLS, n // _FEWEST_ROWS_OF_A_CELL)):
        raise InputError(
            f"z takes {n_cells:,} distinct values in {n:,} rows, and a continuous z cannot be certified: a classifier "
            "might tell any two values apart. Fit with n_cells=, or give a column of cells"
        )
    return codes


def check_groups(columns: Sequence[Column]) -> None:
    """Raise `InputError` for columns that are no groups to be compared."""
    for column in columns:
        if not column.is_category:
            raise InputError(f"{column.name!r} is a quantity, and certificates compare groups: make categories of it")
        column.check_categories()
        n_groups = len(column.code()[1])
        if n_groups > _MOST_GROUPS:
            raise InputError(f"{column.name!r} has {n_groups:,} categories; at most {_MOST_GROUPS} can be certified")


def _certify_column(
    cells: NDArray[np.int64], column: Column, classes: NDArray[np.int64], criterion: Criterion, delta: float
) -> CertifiedAttribute:
    codes, levels = column.code()
    if len(levels) < 2:
        raise InputError(f"{column.name!r} never varies: there is nothing to tell apart")
    known, n_groups = codes >= 0, len(levels)
    table = np.zeros((int(classes.max()) + 1, int(cells.max()) + 1, n_groups), dtype=np.int64)
    np.add.at(table, (classes[known], cells[known], codes[known]), 1)
    strata, pairs = list(table), list(combinations(range(n_groups), 2))
    shares = [counts / np.maximum(1, counts.sum(axis=0)) for counts in strata]
    # Neither strata nor pairs of groups need a share of delta each: the module of the bounds explains why.
    difference = _limit_difference([counts[:, list(pair)] for counts in strata for pair in pairs], delta)
    accuracy = max(limit_balanced_accuracy(c, delta) for c in strata) if n_groups > 2 else 0.5 + 0.5 * difference
    return CertifiedAttribute(
        attribute=column.name, criterion=criterion, missing=int((~known).sum()),
        groups=dict(zip(map(name_level, levels), table.sum(axis=(0, 1)).tolist(), strict=True)),
        balanced_accuracy=accuracy, decision_difference=difference, mi=limit_information(strata, delta),
        balanced_accuracy_seen=float(max(p.max(axis=1).sum() / n_groups for p in shares)),
        decision_difference_seen=float(max(np.abs(p[:, g] - p[:, h]).sum() / 2 for p in shares for g, h in pairs)),
        mi_seen=measure_information(strata), balanced_chance=1 / n_groups,
    )  # fmt: skip


def _limit_difference(pairs: list[Counts], delta: float) -> float:
    """Bound the largest total variation of pairs of groups, from the rows (K, 2) of each."""
    sizes = np.array([pair.sum(axis=0) for pair in pairs])
    if not sizes.all():
        return 1.0
    seen = np.array([np.abs(pair / pair.sum(axis=0) @ [1, -1]).sum() / 2 for pair in pairs])
    # By Hoeffding's inequality no bound is larger, so most pairs of many need not be looked at.
    limits = seen + np.sqrt(0.5 * math.log(1 / (delta * (1 - SHARE_OF_RATE))) * (1 / sizes).sum(axis=1))
    largest = 0.0
    for at in np.argsort(-limits):
        if limits[at] <= largest:
            break
        largest = limit_total_variation(pairs[at][:, 0], pairs[at][:, 1], delta, least=largest)
    return largest
