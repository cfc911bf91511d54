"""The picture of accuracy against disparity. Draws what it is handed and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

__all__ = ["draw_front"]

_INK = "#22262b"
_DEPTH = 0.06  # accuracy below the best that is drawn; what lies lower is named
_LOOKS = {
    "mib": ("MI backpropagation", "#1f6f8b", "o"),
    "mlp": ("plain network", "#b8473d", "s"),
    "logistic_regression": ("logistic regression", "#8a8f98", "s"),
    "exponentiated_gradient": ("ExponentiatedGradient", "#c98a1b", "^"),
    "threshold_optimizer": ("ThresholdOptimizer (sees c)", "#6a4c93", "v"),
    "correlation_remover": ("CorrelationRemover (sees c)", "#4f8a4f", "D"),
    "adversarial": ("AdversarialFairnessClassifier", "#d0679d", "P"),
    "reference": ("reference recipe", "#5b6068", "X"),
}
_AXES = {
    "demographic_parity_difference": ("demographic parity difference", "independence"),
    "equalized_odds_difference": ("equalized odds difference", "separation"),
}


def draw_front(path: Path, summary: Sequence[Mapping[str, Any]]) -> None:
    """Accuracy against both disparities, a row for each data set and attribute; bars are standard deviations.

    Methods trained for one criterion are shown against its own disparity only; those of neither, against both. Hollow
    marks are of methods that were given the usual columns.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    summary : sequence of mappings
        With ``dataset``, ``attribute``, ``method``, ``setting``, the measures and their ``_std`` (None of one run).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    problems = list(dict.fromkeys((e["dataset"], e["attribute"]) for e in summary))
    figure = Figure(figsize=(11, 3.5 * len(problems) + 0.9), dpi=130, facecolor="white", layout="constrained")
    grid: Any = figure.subplots(len(problems), 2, squeeze=False, sharey="row")
    for axes, (dataset, attribute) in zip(grid, problems, strict=True):
        entries = [e for e in summary if (e["dataset"], e["attribute"]) == (dataset, attribute)]
        lowest = max(e["accuracy"] for e in entries) - _DEPTH
        below = [e for e in entries if e["accuracy"] < lowest]
        entries = [e for e in entries if e["accuracy"] >= lowest]
        if below:
            said = "\n".join(f"{_LOOKS[e['method']][0]}, {e['setting']}: {e['accuracy']:.2f}" for e in below)
            axes[0].text(0.99, 0.02, f"below:\n{said}", transform=axes[0].transAxes, ha="right", fontsize=7, color=_INK)
        for axis, (measure, (name, criterion)) in zip(axes, _AXES.items(), strict=True):
            other = "separation" if criterion == "independence" else "independence"
            _panel(axis, [e for e in entries if not e["setting"].startswith(other)], measure)
            axis.set_title(f"{dataset.capitalize()}, {attribute}", loc="left", fontsize=11, color=_INK)
            axis.set_xlabel(f"{name}, less is better", fontsize=9, color=_INK)
        axes[0].set_ylabel("accuracy on the test rows", fontsize=9, color=_INK)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    figure.savefig(path)


def _panel(axis: Any, entries: Sequence[Mapping[str, Any]], measure: str) -> None:
    for (method, (label, colour, marker)), usual in product(_LOOKS.items(), (False, True)):
        mine = (e for e in entries if e["method"] == method and ("usual columns" in e["setting"]) == usual)
        points = sorted(mine, key=lambda e: float(e[measure]))
        if not points:
            continue
        axis.errorbar(
            [e[measure] for e in points],
            [e["accuracy"] for e in points],
            xerr=[e[f"{measure}_std"] or 0.0 for e in points],
            yerr=[e["accuracy_std"] or 0.0 for e in points],
            label=f"{label}, usual columns" if usual else label,
            color=colour,
            marker=marker,
            markerfacecolor="white" if usual else colour,
            ms=7 if method == "mib" else 5,
            lw=1.6 if method == "mib" else 0.0,
            elinewidth=0.8,
            zorder=3 if method == "mib" else 2,
        )
    axis.set_xlim(left=0)
    axis.grid(color="#e6e8eb", lw=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(labelsize=8.5, colors=_INK)
