"""Pictures of estimators of mutual information: their estimates beside the truth, and the cost of an update."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figure_style import GRID, INK, MUTED, Figure, add_legend, make_figure, style_axis

_WITH_INTERVAL = ("#1f6f8b", "o")
_MARKS = (("#8a8f98", "v"), ("#b8473d", "^"), ("#6b4c9a", "+"), ("#d08a2e", "x"), ("#4c9a55", "s"))


def draw_estimators(path: Path, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw estimates beside the truth, a line per task.

    Parameters
    ----------
    path : Path of the PNG
    rows : sequence of mappings
        One per task, seed and estimator: ``task``, ``truth``, ``estimator`` and ``value`` in nats. Rows that have a 95%
        interval, ``low`` to ``high``, are drawn with it and on top.
    """
    tasks = list(dict.fromkeys(r["task"] for r in rows))
    others = sorted({r["estimator"] for r in rows if "low" not in r})
    marks = {name: _MARKS[i % len(_MARKS)] for i, name in enumerate(others)}
    figure = make_figure(8.5, 0.24 * len(tasks) + 1.4)
    axis: Any = figure.subplots()
    for i, task in enumerate(tasks):
        mine = [r for r in rows if r["task"] == task]
        axis.plot([mine[0]["truth"]] * 2, [i - 0.38, i + 0.38], color=INK, lw=2, label="truth")
        for r in sorted(mine, key=lambda r: "low" in r):
            colour, marker = marks.get(r["estimator"], _WITH_INTERVAL)
            if "low" in r:
                axis.plot([r["low"], r["high"]], [i, i], color=colour, lw=1.4)
            name = f"{r['estimator']} with 95% interval" if "low" in r else r["estimator"]
            axis.plot(r["value"], i, marker, color=colour, ms=5, label=name)
    axis.set_yticks(range(len(tasks)), tasks)
    axis.set_ylim(len(tasks) - 0.4, -0.6)
    axis.set_xlabel("mutual information, nats", color=INK, fontsize=9)
    axis.grid(axis="x", color=GRID, lw=0.8)
    add_legend(figure, [axis], columns=3, size=8)
    style_axis(axis, "Estimated and true mutual information, default settings")
    axis.tick_params(axis="y", labelsize=8)
    figure.savefig(path)
    return figure


def draw_cost_by_batch(path: Path, rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the time of one critic update over the size of the batch, beside a line of slope one.

    Parameters
    ----------
    path : Path of the PNG
    rows : sequence of mappings
        Those with ``kind`` "batch" are drawn: ``estimator``, ``batch`` and ``seconds``.
    """
    mine = [r for r in rows if r["kind"] == "batch"]
    figure = make_figure(6.5, 4.2)
    axis: Any = figure.subplots()
    for name in dict.fromkeys(r["estimator"] for r in mine):
        points = [(r["batch"], 1e3 * r["seconds"]) for r in mine if r["estimator"] == name]
        axis.plot(*zip(*points, strict=True), "o-", lw=1.4, ms=3.5, label=name)
    ends = min(r["batch"] for r in mine), max(r["batch"] for r in mine)
    above = 2e3 * max(r["seconds"] for r in mine) / ends[1]
    axis.plot(ends, [above * size for size in ends], color=MUTED, lw=1, ls="--", label="proportional to the batch")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("pairs in the batch", color=INK, fontsize=9)
    axis.set_ylabel("milliseconds per update, one thread", color=INK, fontsize=9)
    axis.grid(color=GRID, lw=0.8)
    axis.legend(frameon=False, fontsize=8)
    style_axis(axis, "Time of one critic update")
    figure.savefig(path)
    return figure
