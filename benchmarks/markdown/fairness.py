"""Fairness on tables as Markdown: accuracy, disparities and what a probe reads, a table per data set and attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["render_table"]

_SHOWN = ("accuracy", "demographic_parity_difference", "equalized_odds_difference", "probe_balanced_accuracy")
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
    parts = []
    for dataset, attribute in dict.fromkeys((e["dataset"], e["attribute"]) for e in document["summary"]):
        entries = [e for e in document["summary"] if (e["dataset"], e["attribute"]) == (dataset, attribute)]
        runs = sorted({r["seed"] for r in document["rows"] if (r["dataset"], r["attribute"]) == (dataset, attribute)})
        what = "seeds" if dataset == "adult" else "folds"
        parts += [f"{dataset.capitalize()}, attribute {attribute}, {what} {', '.join(map(str, runs))}:", ""]
        parts.append("| method | setting | accuracy | parity difference | odds difference | best probe | fit, s |")
        parts.append("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
        for e in entries:
            cells = [_pm(e, n) for n in _SHOWN]
            parts.append(f"| {_NAMES[e['method']]} | {e['setting']} | {' | '.join(cells)} | {e['seconds']:.0f} |")
        parts.append("")
    parts.append(f"Mean ± standard deviation on the test rows. `{document['command']}`")
    return "\n".join(parts) + "\n"


def _pm(entry: Mapping[str, Any], name: str) -> str:
    if entry[name] is None:
        return ""
    spread = entry[f"{name}_std"]
    return f"{entry[name]:.3f}" + ("" if spread is None else f" ± {spread:.3f}")
