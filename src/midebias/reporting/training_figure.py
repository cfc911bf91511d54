"""The picture of training: task loss, mutual information and penalty weight over the steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figure_style import INK, MUTED, Figure, add_legend, make_figure, style_axis

_LABELS = {"loss": "task loss", "mi": "estimated MI, nats", "weights": "weight of the penalty"}
_SHADES = ("#9ecae1", "#4292c6", "#08306b")


def draw_training(path: Path, traces: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw a column per run: task loss, estimated mutual information, and the weight of the penalty's gradient.

    Parameters
    ----------
    path : Path of the PNG
    traces : mapping of title to points
        With ``step``, ``loss``, ``mi`` and ``weights``. The last two hold a value per representation and are empty
        where a method has no penalty; a weight of 0, where no estimate was descended on, is a gap in the line.
    """
    kinds = ["loss", *(k for k in ("mi", "weights") if any(point[k] for trace in traces.values() for point in trace))]
    figure = make_figure(max(5.0, 2.2 * len(traces) + 1.6), 2.1 * len(kinds) + 0.6)
    axes: Any = figure.subplots(len(kinds), len(traces), sharex="col", sharey="row", squeeze=False)
    for axis, kind in zip(axes[:, 0], kinds, strict=True):
        axis.set_ylabel(_LABELS[kind], color=INK, fontsize=9)
    for column, (title, trace) in zip(axes.T, traces.items(), strict=True):
        for axis, kind in zip(column, kinds, strict=True):
            style_axis(axis, title if kind == "loss" else "", size=10)
            _draw_lines(axis, trace, kind)
        column[-1].set_xlabel("step", color=INK, fontsize=9)
    add_legend(figure, axes[1:].flat, columns=6, size=9)
    figure.savefig(path)
    return figure


def _draw_lines(axis: Any, trace: Sequence[Mapping[str, Any]], kind: str) -> None:
    steps = [point["step"] for point in trace]
    if kind == "loss":
        axis.plot(steps, [point["loss"] for point in trace], color=INK, lw=1.4, label="task loss")
        return
    n = len(trace[0][kind])
    if n == 0:
        axis.text(0.5, 0.5, "no penalty", transform=axis.transAxes, ha="center", va="center", color=MUTED, fontsize=9)
    for k in range(n):
        values = [point[kind][k] or (float("nan") if kind == "weights" else 0.0) for point in trace]
        shade = _SHADES[round(k * 2 / (n - 1)) if n > 1 else 2]
        axis.plot(steps, values, color=shade, lw=1.4, label="z" if k == n - 1 else f"depth {k + 1}")
    if kind == "weights" and any(weight > 0 for point in trace for weight in point[kind]):
        axis.set_yscale("log")
