"""Fairness metrics of predictions: by group and by intersection of groups, through fairlearn's MetricFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .audit_input import Column
from .audit_statistics import wilson_interval
from .protocols import InputError

__all__ = ["SMALL_GROUP", "group_metrics"]

SMALL_GROUP = 50  # rows below which a group's figures are marked
_MOST_GROUPS = 200


def group_metrics(
    y: Column, predictions: NDArray[np.int64], attributes: Sequence[Column]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Metrics by group, and the largest differences between groups.

    Parameters
    ----------
    y : Column
    predictions : integer array of shape (n,)
        Codes of ``y``.
    attributes : sequence of Column
        Each alone, and all of them crossed where there are several.

    Returns
    -------
    groups : list of dict
        ``attribute``, ``group``, ``n``, ``small``, ``accuracy`` with ``low`` and ``high`` (95%, Wilson), and for two
        classes ``selection_rate``, ``true_positive_rate``, ``false_positive_rate`` of the second class.
    differences : list of dict
        For each attribute ``demographic_parity_difference``, ``equalized_odds_difference``, ``accuracy_difference`` and
        ``worst_group_accuracy``; for more than two classes the largest over the classes, each against the rest.
        ``without_small`` says whether small groups were left out of them.
    """
    try:
        from fairlearn import metrics as fair
    except ModuleNotFoundError:
        raise InputError("predictions: fairlearn is not installed; pip install 'midebias[audit]'") from None
    groups: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    known = y.codes >= 0
    positives = range(len(y.names)) if len(y.names) > 2 else (1,)
    crossed = [[a] for a in attributes] + ([list(attributes)] if len(attributes) > 1 else [])
    for parts in crossed:
        name = " x ".join(a.name for a in parts)
        rows = known & np.logical_and.reduce([a.codes >= 0 for a in parts])
        sensitive = _crossed(parts, rows)
        values, sizes = np.unique(sensitive, return_counts=True)
        if len(values) > _MOST_GROUPS or not rows.any():
            continue
        truth, answers = y.codes[rows], predictions[rows]
        functions: dict[str, Any] = {"n": fair.count, "right": lambda t, p: float((t == p).sum())}
        if len(y.names) == 2:
            functions |= {
                "selection_rate": fair.selection_rate,
                "true_positive_rate": fair.true_positive_rate,
                "false_positive_rate": fair.false_positive_rate,
            }
        frame = fair.MetricFrame(metrics=functions, y_true=truth, y_pred=answers, sensitive_features=sensitive)
        for group, found in frame.by_group.iterrows():
            n = int(found["n"])
            low, high = wilson_interval(float(found["right"]), n)
            entry = {
                "attribute": name, "group": str(group), "n": n, "small": n < SMALL_GROUP,
                "accuracy": float(found["right"] / n), "low": low, "high": high,
            }  # fmt: skip
            rates = {k: float(found[k]) for k in functions if k not in ("n", "right")}
            # Without a row of that class the rate is not known, and not zero.
            for rate, label in (("true_positive_rate", 1), ("false_positive_rate", 0)):
                if rate in rates and not (truth[sensitive == group] == label).any():
                    rates[rate] = None  # type: ignore[assignment]
            groups.append(entry | rates)
        large = np.isin(sensitive, values[sizes >= SMALL_GROUP])
        judged = large if len(np.unique(sensitive[large])) >= 2 else np.ones_like(large)
        t, p, s = truth[judged], answers[judged], sensitive[judged]
        accuracies = [e["accuracy"] for e in groups if e["attribute"] == name and e["group"] in set(s)]
        parity, odds = [], []
        for label in positives:
            # fairlearn counts a rate without rows as zero; the difference then says more about size than about odds.
            parity.append(fair.demographic_parity_difference(t == label, p == label, sensitive_features=s))
            odds.append(fair.equalized_odds_difference(t == label, p == label, sensitive_features=s))
        differences.append(
            {
                "attribute": name, "demographic_parity_difference": float(max(parity)),
                "equalized_odds_difference": float(max(odds)),
                "accuracy_difference": float(max(accuracies) - min(accuracies)),
                "worst_group_accuracy": float(min(accuracies)), "without_small": not bool(judged.all()),
            }
        )  # fmt: skip
    return groups, differences


def _crossed(parts: Sequence[Column], rows: NDArray[np.bool_]) -> NDArray[Any]:
    names = [np.array(a.names, dtype=object)[a.codes[rows]] for a in parts]
    if len(names) == 1:
        return names[0].astype(str)
    return np.array([", ".join(t) for t in zip(*names, strict=True)])
