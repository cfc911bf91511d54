"""Fairness metrics of predictions: by group and by intersection of groups, through fairlearn's MetricFrame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .inputs import CodedColumn
from .statistics import compute_wilson_interval

SMALL_GROUP = 50  # rows below which a group's figures are marked
_MOST_GROUPS = 200
_LEAST_OF_MANY = 20  # rows of one of more than two classes, below which its rates are not compared


def measure_groups(
    y: CodedColumn, predictions: NDArray[np.int64], attributes: Sequence[CodedColumn]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Metrics by group, and the largest differences between groups; predictions are codes of y.

    Attributes count each alone, and all of them crossed where there are several. A group has ``accuracy`` with its
    Wilson interval, and for two classes the rates of the second one. Differences of more than two classes are the
    largest over the classes, each against the rest, where a group holds at least 20 rows of the class; that of odds is
    None where no rate is known of two groups. ``without_small``: small groups were left out of the differences.
    """
    try:
        from fairlearn import metrics as fair
    except ModuleNotFoundError:
        raise InputError("predictions: fairlearn is not installed; pip install 'midebias[audit]'") from None
    groups: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    positives = range(len(y.names)) if len(y.names) > 2 else (1,)
    crossed = [[a] for a in attributes] + ([list(attributes)] if len(attributes) > 1 else [])
    for parts in crossed:
        name = " x ".join(a.name for a in parts)
        table = _count_cells(y, predictions, parts)
        values, place = np.unique(table.group, return_inverse=True)
        sizes = np.bincount(place, weights=table.n)
        if not 0 < len(values) <= _MOST_GROUPS:
            continue
        functions: dict[str, Any] = {"n": _count_rows, "right": _count_right}
        of_two = ("selection_rate", "true_positive_rate", "false_positive_rate") if len(y.names) == 2 else ()
        functions |= {rate: getattr(fair, rate) for rate in of_two}
        frame = fair.MetricFrame(
            metrics=functions, y_true=table.y, y_pred=table.prediction, sensitive_features=table.group,
            sample_params={f: {"sample_weight": table.n} for f in functions},
        )  # fmt: skip
        for group, found in frame.by_group.iterrows():
            n = round(found["n"])
            low, high = compute_wilson_interval(float(found["right"]), n)
            entry = {
                "attribute": name, "group": str(group), "n": n, "small": n < SMALL_GROUP,
                "accuracy": float(found["right"] / n), "low": low, "high": high,
            }  # fmt: skip
            for rate in of_two:  # without a row of that class a rate is not known, and not zero
                label = {"true_positive_rate": 1, "false_positive_rate": 0}.get(rate)
                known = label is None or label in table.y[table.group == group]
                entry[rate] = float(found[rate]) if known else None
            groups.append(entry)
        large = np.isin(table.group, values[sizes >= SMALL_GROUP])
        compared = large if len(np.unique(table.group[large])) >= 2 else np.ones_like(large)
        t, p, s, w = (column[compared] for column in (table.y, table.prediction, table.group, table.n))
        accuracies = [e["accuracy"] for e in groups if e["attribute"] == name and e["group"] in set(s)]
        parity, odds = [], []
        for label in positives:
            given = {"y_true": t == label, "y_pred": p == label, "sensitive_features": s, "sample_weight": w}
            parity.append(fair.demographic_parity_difference(**given))
            odds += _compare_odds(fair, given, least=1 if len(positives) == 1 else _LEAST_OF_MANY)
        differences.append(
            {
                "attribute": name, "demographic_parity_difference": float(max(parity)),
                "equalized_odds_difference": max(odds, default=None),
                "accuracy_difference": float(max(accuracies) - min(accuracies)),
                "worst_group_accuracy": float(min(accuracies)), "without_small": not bool(compared.all()),
            }
        )  # fmt: skip
    return groups, differences


@dataclass(frozen=True)
class _Cells:
    """How many rows hold each combination of group, label and prediction that there is."""

    group: NDArray[np.str_]
    y: NDArray[np.int64]
    prediction: NDArray[np.int64]
    n: NDArray[np.float64]


def _count_cells(y: CodedColumn, predictions: NDArray[np.int64], parts: Sequence[CodedColumn]) -> _Cells:
    """Rows as a table of counts: metrics of weighted combinations are those of the rows, and a million rows are few."""
    rows = np.flatnonzero((y.codes >= 0) & np.logical_and.reduce([a.codes >= 0 for a in parts]))
    group = np.zeros(len(rows), dtype=np.int64)
    for a in parts:  # numbered anew each time: the product of many attributes' sizes would overflow
        group = np.unique(group * len(a.names) + a.codes[rows], return_inverse=True)[1]
    answers = predictions[rows]
    kinds = int(answers.max(initial=0)) + 1
    cells = (group * len(y.names) + y.codes[rows]) * kinds + answers
    _, first, n = np.unique(cells, return_index=True, return_counts=True)
    example = rows[first]
    joined = np.array([", ".join(a.names[a.codes[row]] for a in parts) for row in example], dtype=str)
    return _Cells(joined, y.codes[example], predictions[example], n.astype(np.float64))


def _compare_odds(fair: Any, given: dict[str, Any], *, least: int) -> list[float]:
    """Differences of true and false positive rates, among groups that have rows to know them from.

    fairlearn counts a rate without rows as zero: the difference would then say more about size than about odds.
    """
    found = []
    group, weight = given["sensitive_features"], given["sample_weight"]
    for rate, label in ((fair.true_positive_rate_difference, True), (fair.false_positive_rate_difference, False)):
        asked = given["y_true"] == label
        enough = [g for g in np.unique(group) if weight[asked & (group == g)].sum() >= least]
        kept = np.isin(group, enough)
        if len(enough) > 1:
            found.append(float(rate(**{k: v[kept] for k, v in given.items()})))
    return found


def _count_rows(y_true: Any, y_pred: Any, sample_weight: NDArray[np.float64]) -> float:
    return float(np.sum(sample_weight))


def _count_right(y_true: Any, y_pred: Any, sample_weight: NDArray[np.float64]) -> float:
    return float(np.sum(sample_weight * (np.asarray(y_true) == np.asarray(y_pred))))
