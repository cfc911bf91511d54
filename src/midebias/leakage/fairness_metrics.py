"""Fairness metrics of predictions: by group and by intersection of groups, by fairlearn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .inputs import CodedColumn
from .statistics import compute_wilson_interval

SMALL_GROUP = 50  # rows below which a group's figures are marked
_MOST_GROUPS = 200
_RATES = {"selection_rate": None, "true_positive_rate": 1, "false_positive_rate": 0}  # among rows of that label
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
    groups, differences = list[dict[str, Any]](), list[dict[str, Any]]()
    positives = range(len(y.names)) if len(y.names) > 2 else (1,)
    crossed = [[a] for a in attributes] + ([list(attributes)] if len(attributes) > 1 else [])
    for parts in crossed:
        name = " x ".join(a.name for a in parts)
        members, names, y_true, y_pred, weight = _count_cells(y, predictions, parts)
        values, place = np.unique(members, return_inverse=True)
        sizes = np.bincount(place, weights=weight)
        if not 0 < len(values) <= _MOST_GROUPS:
            continue
        accuracies = dict[int, float]()
        for group in values.tolist():
            t, p, w = (column[members == group] for column in (y_true, y_pred, weight))
            n, right = round(w.sum()), float(np.sum(w * (t == p)))
            low, high = compute_wilson_interval(right, n)
            accuracies[group] = right / n
            entry = {
                "attribute": name, "group": names[group], "n": n, "small": n < SMALL_GROUP, "accuracy": right / n,
                "low": low, "high": high,
            }  # fmt: skip
            for rate, label in _RATES.items() if len(y.names) == 2 else ():
                known = label is None or label in t  # otherwise the rate is not known, and not zero
                entry[rate] = float(getattr(fair, rate)(t, p, sample_weight=w)) if known else None
            groups.append(entry)
        large = np.isin(members, values[sizes >= SMALL_GROUP])
        compared = large if len(np.unique(members[large])) >= 2 else np.ones_like(large)
        t, p, s, w = (column[compared] for column in (y_true, y_pred, members, weight))
        shown = [accuracies[group] for group in np.unique(s).tolist()]
        parity, odds = [], []
        for label in positives:
            given = {"y_true": t == label, "y_pred": p == label, "sensitive_features": s, "sample_weight": w}
            parity.append(fair.demographic_parity_difference(**given))
            odds += _compare_odds(fair, given, least=1 if len(positives) == 1 else _LEAST_OF_MANY)
        differences.append({
            "attribute": name, "demographic_parity_difference": float(max(parity)),
            "equalized_odds_difference": max(odds, default=None),
            "accuracy_difference": float(max(shown) - min(shown)),
            "worst_group_accuracy": float(min(shown)), "without_small": not bool(compared.all()),
        })  # fmt: skip
    return groups, differences


def _count_cells(
    y: CodedColumn, predictions: NDArray[np.int64], parts: Sequence[CodedColumn]
) -> tuple[NDArray[np.int64], dict[int, str], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Group, label and prediction of each combination that there is, and how many rows hold it: few for many rows.

    Groups are numbers, since names may look alike once they are joined; the second is the name of each.
    """
    rows = np.flatnonzero(np.logical_and.reduce([column.codes >= 0 for column in (y, *parts)]))
    group = np.zeros(len(rows), dtype=np.int64)
    for a in parts:  # numbered anew each time: the product of many attributes' sizes would overflow
        group = np.unique(group * len(a.names) + a.codes[rows], return_inverse=True)[1]
    answers = predictions[rows]
    kinds = int(answers.max(initial=0)) + 1
    cells = (group * len(y.names) + y.codes[rows]) * kinds + answers
    _, first, n = np.unique(cells, return_index=True, return_counts=True)
    example = rows[first]
    members = group[first]
    names = {
        g: ", ".join(a.names[a.codes[row]] for a in parts) for g, row in zip(members.tolist(), example, strict=True)
    }
    return members, names, y.codes[example], predictions[example], n.astype(np.float64)


def _compare_odds(fair: Any, given: dict[str, Any], *, least: int) -> list[float]:
    """Differences of true and false positive rates, among groups that have rows to know them from.

    fairlearn counts a rate without rows as zero: the difference would then say more about size than about odds.
    """
    found = []
    group, weight = given["sensitive_features"], given["sample_weight"]
    for rate, label in ((fair.true_positive_rate_difference, True), (fair.false_positive_rate_difference, False)):
        asked = given["y_true"] == label
        enough = [g for g in np.unique(group) if weight[asked & (group == g)].sum() >= least]
        if len(enough) > 1:
            found.append(float(rate(**{k: v[np.isin(group, enough)] for k, v in given.items()})))
    return found
