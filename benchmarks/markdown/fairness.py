"""Fairness on tables as Markdown: accuracy, disparities and what a probe reads, a table per data set and attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midebias.experiments.summary import format_spread

from ..script import format_table

__all__ = ["render_table"]

_SHOWN = ("accuracy", "demographic_parity_difference", "equalized_odds_difference", "probe_balanced_accuracy")
_HEADER = ("method", "setting", "accuracy", "parity difference", "odds difference", "best probe", "fit, s")
_NAMES = {
    "mib": "**MI backpropagation**",
    "mlp": "plain network",
    "logistic_regression": "logistic regression",
    "exponentiated_gradient": "ExponentiatedGradient",
    "threshold_optimizer": "ThresholdOptimizer (c at prediction)",
    "correlation_remover": "CorrelationRemover (c at prediction)",
    "adversarial": "AdversarialFairnessClassifier",
    "reference": "reference recipe",
}


def render_table(document: Mapping[str, Any]) -> str:
    """One Markdown table for each data set and attribute."""
    lines = []
    for dataset, attribute in dict.fromkeys((e["dataset"], e["attribute"]) for e in document["summary"]):
        entries = [e for e in document["summary"] if (e["dataset"], e["attribute"]) == (dataset, attribute)]
        runs = sorted({r["seed"] for r in document["rows"] if (r["dataset"], r["attribute"]) == (dataset, attribute)})
        what = "seeds" if dataset == "adult" else "folds"
        rows = [
            (_NAMES[e["method"]], e["setting"], *(format_spread(e, n) for n in _SHOWN), f"{e['seconds']:.0f}")
            for e in entries
        ]
        lines += [f"{dataset.capitalize()}, attribute {attribute}, {what} {', '.join(map(str, runs))}:", ""]
        lines += [*format_table(_HEADER, rows, left=2), ""]
    lines.append(f"Mean ± standard deviation on the test rows. `{document['command']}`")
    return "\n".join(lines) + "\n"
