"""The picture of accuracy against disparity."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figure_style import GRID, INK, Figure, add_legend, make_figure, style_axis

_OURS = "mib"
_DEPTH = 0.06  # accuracy below the best that is drawn; what lies lower is named
_LOOKS = {
    _OURS: ("MI backpropagation", "#1f6f8b", "o"),
    "mlp": ("plain network", "#b8473d", "s"),
    "logistic_regression": ("logistic regression", "#8a8f98", "s"),
    "exponentiated_gradient": ("ExponentiatedGradient", "#c98a1b", "^"),
    "threshold_optimizer": ("ThresholdOptimizer (sees c)", "#6a4c93", "v"),
    "correlation_remover": ("CorrelationRemover (sees c)", "#4f8a4f", "D"),
    "adversarial": ("AdversarialFairnessClassifier", "#d0679d", "P"),
    "reference": ("reference recipe", "#5b6068", "X"),
}
_MEASURES = {"independence": "demographic_parity_difference", "separation": "equalized_odds_difference"}


def draw_front(path: Path, summary: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy against both disparities, a row for each data set and attribute.

    Methods trained for one criterion are drawn against its own disparity only; those trained for neither, against
    both. Bars are standard deviations. Hollow marks are of methods that were given the usual columns.

    Parameters
    ----------
    path : Path of the PNG
    summary : sequence of mappings
        With ``dataset``, ``attribute``, ``method``, ``setting``, the measures and their ``_std`` (None of one run).
    """
    problems = list(dict.fromkeys((e["dataset"], e["attribute"]) for e in summary))
    figure = make_figure(11, 3.7 * len(problems) + 0.9)
    grid: Any = figure.subplots(len(problems), 2, squeeze=False, sharey="row")
    for axes, problem in zip(grid, problems, strict=True):
        entries = [e for e in summary if (e["dataset"], e["attribute"]) == problem]
        lowest = max(e["accuracy"] for e in entries) - _DEPTH
        for axis, (criterion, measure) in zip(axes, _MEASURES.items(), strict=True):
            (other,) = _MEASURES.keys() - {criterion}
            mine = [e for e in entries if not e["setting"].startswith(other)]
            _draw_panel(axis, [e for e in mine if e["accuracy"] >= lowest], measure)
            _name_rest(axis, [e for e in mine if e["accuracy"] < lowest])
            style_axis(axis, f"{problem[0].capitalize()}, {problem[1]}")
            axis.set_xlabel(f"{measure.replace('_', ' ')} (smaller is better)", fontsize=9, color=INK)
        axes[0].set_ylabel("accuracy on the test rows", fontsize=9, color=INK)
    add_legend(figure, grid[0, :1], columns=3, size=8.5)
    figure.savefig(path)
    return figure


def _draw_panel(axis: Any, entries: Sequence[Mapping[str, Any]], measure: str) -> None:
    for method, (label, colour, marker) in _LOOKS.items():
        ours = method == _OURS
        for usual in (False, True):
            mine = (e for e in entries if e["method"] == method and ("usual columns" in e["setting"]) == usual)
            points = sorted(mine, key=lambda e: float(e[measure]))
            if not points:
                continue
            x, y, x_spread, y_spread = (
                [e[key] or 0.0 for e in points] for key in (measure, "accuracy", f"{measure}_std", "accuracy_std")
            )
            _, _, bars = axis.errorbar(
                x, y, xerr=x_spread, yerr=y_spread, label=f"{label}, usual columns" if usual else label,
                color=colour, marker=marker, markerfacecolor="white" if usual else colour, ms=7 if ours else 5,
                lw=1.6 if ours else 0.0, elinewidth=0.8, zorder=3 if ours else 2,
            )  # fmt: skip
            for bar in bars:
                bar.set_alpha(0.4)
    axis.set_xlim(left=0)
    axis.grid(color=GRID, lw=0.7)
    axis.set_axisbelow(True)


def _name_rest(axis: Any, entries: Sequence[Mapping[str, Any]]) -> None:
    """Name the entries that lie below the panel."""
    if entries:
        lines = [f"{_LOOKS[e['method']][0]}, {e['setting']}: {e['accuracy']:.2f}" for e in entries]
        text = "\n".join(("below this panel:", *lines))
        axis.text(0.99, 0.02, text, transform=axis.transAxes, ha="right", va="bottom", fontsize=7, color=INK)
