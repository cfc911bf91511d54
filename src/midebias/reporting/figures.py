"""Pictures. Draws what it is handed and computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["METHOD_TITLES", "draw_comparison", "draw_cost_by_batch", "draw_estimators", "draw_poster", "draw_training"]

_COLOURS = {"plain": "#b8473d", "reference": "#8a8f98", "mib": "#1f6f8b"}
METHOD_TITLES = {
    "ceiling": "ceiling (no bias)",
    "plain": "plain training",
    "reference": "reference recipe",
    "mib": "midebias",
    "balanced": "group-balanced sampling",
    "group_dro": "group DRO",
    "grl": "gradient reversal",
    "end": "EnD",
    "hsic": "HSIC",
    "club": "CLUB",
    "gray": "Gray",
    "blind_eye": "BlindEye",
    "lnl": "LNL",
}
"""Methods as pictures and tables call them."""
_INK = "#22262b"


def draw_poster(
    path: Path,
    *,
    digits: NDArray[Any],
    truth: Sequence[int],
    answers: Mapping[str, Sequence[int]],
    history: Mapping[str, Sequence[Mapping[str, Any]]],
    rows: Sequence[Mapping[str, Any]],
    title: str,
) -> None:
    """The demo's picture: answers to digits in wrong colours, accuracy over time, what is left of colour.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    digits : array of shape (k, height, width, 3)
        Test images in [0, 1].
    truth : k labels
    answers : method -> k labels
    history : method -> evaluations with ``step``, ``seconds`` and ``test_accuracy``
    rows : one row per method with ``method``, ``test_accuracy``, ``probe_accuracy``, ``chance`` and ``mi``
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8.2), dpi=130, facecolor="white")
    names = list(answers)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.12, 1.0])
    top, bottom = halves
    top.suptitle(title, x=0.045, y=0.955, ha="left", fontsize=16, fontweight="bold", color=_INK)
    _draw_answers(top, digits, truth, answers)
    curves, leakage = bottom.subplots(1, 2, gridspec_kw={"width_ratios": [1.35, 1.0]})
    bottom.subplots_adjust(left=0.075, right=0.955, top=0.86, bottom=0.15, wspace=0.36)
    _draw_curves(curves, names, history)
    _draw_leakage(leakage, names, {r["method"]: r for r in rows})
    figure.savefig(path)


def draw_comparison(path: Path, summary: Sequence[Mapping[str, Any]], published: Mapping[str, Any]) -> None:
    """Test accuracy of each method in each setting, with its spread over seeds; published figures hollow.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    summary : one mapping per method and setting
        With ``method``, ``setting``, ``test_accuracy`` and ``test_accuracy_std``.
    published : data set -> ``test_accuracy`` -> method -> setting -> accuracy
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(e["setting"] for e in summary))
    methods = list(dict.fromkeys(e["method"] for e in summary))
    theirs = {
        f"{name} (published)": [figures.get(s) for s in settings]
        for p in published.values()
        for name, figures in p["test_accuracy"].items()
        if any(s in figures for s in settings)
    }
    last = {m: next(e["test_accuracy"] for e in reversed(summary) if e["method"] == m) for m in methods}
    order = sorted(methods, key=lambda m: -last[m]) + list(theirs)
    figure = Figure(figsize=(9.5, max(3.2, 0.3 * len(order) + 1.4)), dpi=130, facecolor="white", layout="constrained")
    grid: Any = figure.subplots(1, len(settings), sharey=True, squeeze=False) if len(settings) <= 4 else None
    axes = list(grid[0]) if grid is not None else [figure.subplots()]
    if grid is None:
        _draw_lines(axes[0], settings, order, summary, theirs)
    else:
        for axis, setting in zip(axes, settings, strict=True):
            _draw_bars(axis, setting, order, summary, {n: v[settings.index(setting)] for n, v in theirs.items()})
    figure.savefig(path)


def draw_training(path: Path, traces: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """What training did: a column per run with task loss, mutual information, and the weight that met it.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    traces : title -> points
        With ``step``, ``loss``, ``mi`` and ``weights``; the last two may be empty, and are then not drawn.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    informed = any(point["mi"] for trace in traces.values() for point in trace)
    weighted = any(point["weights"] for trace in traces.values() for point in trace)
    kinds = ["loss"] + ["mi"] * informed + ["weights"] * weighted
    size = (max(5.0, 2.2 * len(traces) + 1.6), 2.1 * len(kinds) + 0.6)
    figure = Figure(figsize=size, dpi=130, facecolor="white", layout="constrained")
    axes: Any = figure.subplots(len(kinds), len(traces), sharex="col", sharey="row", squeeze=False)
    names = {"loss": "task loss", "mi": "estimate, nats", "weights": "weight"}
    for column, (title, trace) in enumerate(traces.items()):
        steps = [point["step"] for point in trace]
        for row, kind in enumerate(kinds):
            axis = axes[row, column]
            if kind == "loss":
                axis.plot(steps, [point["loss"] for point in trace], color=_INK, lw=1.4)
            else:
                # A weight of zero, nothing having been descended on, is a gap: there is no place for it on the scale.
                gap = float("nan")
                values = [[v or gap if kind == "weights" else v for v in point[kind]] for point in trace]
                _draw_depths(axis, steps, values)
                if kind == "weights" and any(w > 0 for point in trace for w in point["weights"]):
                    axis.set_yscale("log")
            _style(axis, title if row == 0 else "", size=10)
            if column == 0:
                axis.set_ylabel(names[kind], color=_INK, fontsize=9)
        axes[-1, column].set_xlabel("step", color=_INK, fontsize=9)
    if informed:
        handles, labels = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path)


_MARKS = (
    (_COLOURS["mib"], "o"),
    ("#8a8f98", "v"),
    ("#b8473d", "^"),
    ("#6b4c9a", "+"),
    ("#d08a2e", "x"),
    ("#4c9a55", "s"),
)


def draw_estimators(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Estimates, with their intervals, beside the truth; a line per task.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    rows : one mapping per task, seed and estimator
        With ``task``, ``truth``, ``estimator``, ``value``, and ``low`` and ``high`` for `estimate_mi`.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(r["task"] for r in rows))
    others = sorted({r["estimator"] for r in rows} - {"estimate_mi"})
    figure = Figure(figsize=(8.5, 0.24 * len(tasks) + 1.4), dpi=130, facecolor="white", layout="constrained")
    axis: Any = figure.subplots()
    for i, task in enumerate(tasks):
        mine = [r for r in rows if r["task"] == task]
        axis.plot([mine[0]["truth"]] * 2, [i - 0.38, i + 0.38], color=_INK, lw=2, label="truth" if i == 0 else None)
        for r in sorted(mine, key=lambda r: r["estimator"] == "estimate_mi"):  # ours on top
            ours = r["estimator"] == "estimate_mi"
            place = 0 if ours else 1 + others.index(r["estimator"]) % (len(_MARKS) - 1)
            (colour, marker), name = _MARKS[place], "estimate_mi, 95%" if ours else r["estimator"]
            if ours:
                axis.plot([r["low"], r["high"]], [i, i], color=colour, lw=1.4)
            label = name if name not in axis.get_legend_handles_labels()[1] else None
            axis.plot(r["value"], i, marker, color=colour, ms=5, label=label)
    axis.set_yticks(range(len(tasks)), tasks, fontsize=8)
    axis.set_ylim(len(tasks) - 0.4, -0.6)
    axis.set_xlabel("mutual information, nats", color=_INK, fontsize=9)
    axis.grid(axis="x", color="#e6e8eb", lw=0.8)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    _style(axis, "Estimates beside the truth, default settings")
    figure.savefig(path)


def draw_cost_by_batch(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Seconds of one critic update against the batch, both logarithmic, beside a line of slope one.

    Parameters
    ----------
    path : Path
        Where the PNG goes.
    rows : mappings
        Those with ``kind`` "batch" are drawn: ``estimator``, ``batch`` and ``seconds``.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    mine = [r for r in rows if r["kind"] == "batch"]
    figure = Figure(figsize=(6.5, 4.2), dpi=130, facecolor="white", layout="constrained")
    axis: Any = figure.subplots()
    names = list(dict.fromkeys(r["estimator"] for r in mine))
    for i, name in enumerate(names):
        points = [(r["batch"], 1e3 * r["seconds"]) for r in mine if r["estimator"] == name]
        axis.plot(*zip(*points, strict=True), "o-", color=f"C{i}", lw=1.4, ms=3.5, label=name.replace("_", " "))
    largest = max(r["batch"] for r in mine)
    top = 2e3 * max(r["seconds"] for r in mine)
    ends = [min(r["batch"] for r in mine), largest]
    axis.plot(ends, [top * b / largest for b in ends], color="#98a0a8", lw=1, ls="--", label="linear")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("pairs in the batch", color=_INK, fontsize=9)
    axis.set_ylabel("milliseconds of one update, one thread", color=_INK, fontsize=9)
    axis.grid(color="#e6e8eb", lw=0.8)
    axis.legend(frameon=False, fontsize=8)
    _style(axis, "Cost of one critic update")
    figure.savefig(path)


def _draw_depths(axis: Any, steps: Sequence[int], values: Sequence[Sequence[float]]) -> None:
    shades = ("#9ecae1", "#4292c6", "#08306b")
    n = len(values[0])
    for k in range(n):
        shade = shades[round(k * (len(shades) - 1) / max(1, n - 1))] if n > 1 else shades[-1]
        name = "z" if k == n - 1 else f"depth {k + 1}"
        axis.plot(steps, [v[k] for v in values], color=shade, lw=1.4, label=name)


def _draw_bars(
    axis: Any, setting: str, order: Sequence[str], summary: Sequence[Mapping[str, Any]], theirs: Mapping[str, Any]
) -> None:
    found = {e["method"]: e for e in summary if e["setting"] == setting}
    for i, name in enumerate(order):
        value = theirs.get(name) if name in theirs else found.get(name, {}).get("test_accuracy")
        if value is None:
            continue
        colour = _COLOURS.get(name, "#b9bec6")
        hollow = name in theirs
        spread = found[name]["test_accuracy_std"] if name in found else 0.0
        axis.barh(
            i, value, height=0.62, color="none" if hollow else colour, edgecolor="#9aa0a6" if hollow else colour,
            xerr=spread or None, error_kw={"ecolor": _INK, "lw": 1},
        )  # fmt: skip
        axis.text(value + spread + 0.015, i, f"{value:.3f}", va="center", fontsize=9, color=_INK)
    axis.set_yticks(range(len(order)), [METHOD_TITLES.get(n, n) for n in order], fontsize=9)
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set(xlim=(0, 1.18), xlabel="accuracy, unbiased test")
    axis.set_xticks([0, 0.5, 1.0])
    _style(axis, setting.replace("=", " "))


def _draw_lines(
    axis: Any,
    settings: Sequence[str],
    order: Sequence[str],
    summary: Sequence[Mapping[str, Any]],
    theirs: Mapping[str, Sequence[float | None]],
) -> None:
    found = {(e["method"], e["setting"]): e for e in summary}
    ends = []
    for name in order:
        if name in theirs:
            values = [float("nan") if v is None else v for v in theirs[name]]
            axis.plot(range(len(settings)), values, ":", color="#9aa0a6", lw=1.3)
            ends.append((*_last(values), name, "#6b7178"))
            continue
        entries = [found.get((name, s)) for s in settings]
        values = [float("nan") if e is None else e["test_accuracy"] for e in entries]
        spread = [0.0 if e is None else e["test_accuracy_std"] for e in entries]
        colour = _COLOURS.get(name, "#7d8590")
        axis.errorbar(
            range(len(settings)), values, yerr=spread, fmt="-o", ms=3, color=colour, lw=2.4 if name == "mib" else 1.4,
            capsize=2,
        )  # fmt: skip
        ends.append((*_last(values), name, colour))
    axis.set_ylim(0, 1.02)
    # A column of labels on the right, and one beside each setting after which methods end.
    gap = 1.02 * 0.21 / (0.3 * len(order) + 0.6)
    for place in {e[1] for e in ends}:
        at = float("inf")
        for value, _, name, colour in sorted((e for e in ends if e[1] == place), reverse=True):
            at = min(value, at - gap)
            axis.annotate(
                f"{METHOD_TITLES.get(name, name)}  {value:.3f}", (place, value), xytext=(place + 0.15, at),
                va="center", fontsize=8.5, color=colour, annotation_clip=False,
            )  # fmt: skip
    axis.set_xticks(range(len(settings)), [s.split("=")[-1] for s in settings])
    axis.set_xlim(-0.2, len(settings) + 1.6)
    axis.spines["bottom"].set_bounds(-0.2, len(settings) - 1)
    axis.set_xlabel(settings[0].split("=")[0], x=0.5 * (len(settings) - 0.8) / (len(settings) + 1.8))
    _style(axis, "Accuracy on the unbiased test")


def _last(values: Sequence[float]) -> tuple[float, int]:
    """The last value that is there, and its place."""
    return next((v, i) for i, v in reversed(list(enumerate(values))) if v == v)


def _draw_answers(
    figure: Any, digits: NDArray[Any], truth: Sequence[int], answers: Mapping[str, Sequence[int]]
) -> None:
    k, n_rows = len(truth), len(answers) + 1
    grid = figure.subplots(n_rows, k, gridspec_kw={"height_ratios": [1.9] + [1.0] * len(answers)})
    figure.subplots_adjust(left=0.175, right=0.955, top=0.83, bottom=0.03, wspace=0.08, hspace=0.06)
    for j in range(k):
        grid[0, j].imshow(np.clip(digits[j], 0, 1), interpolation="nearest")
        for i, (name, given) in enumerate(answers.items(), start=1):
            right = given[j] == truth[j]
            colour = _COLOURS.get(name, _INK) if right else "#c9ccd1"
            weight = "bold" if right else "normal"
            grid[i, j].text(0.5, 0.5, str(given[j]), ha="center", va="center", fontsize=21, color=colour, weight=weight)
            if not right:
                grid[i, j].plot([0.3, 0.7], [0.5, 0.5], color="#c0392b", lw=1.6)
            grid[i, j].set(xlim=(0, 1), ylim=(0, 1))
    for axis in grid.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    labels = ["test digits in\nanother digit's colour", *(METHOD_TITLES.get(n, n) for n in answers)]
    for i, label in enumerate(labels):
        colour = _INK if i == 0 else _COLOURS.get(list(answers)[i - 1], _INK)
        weight = "normal" if i == 0 else "bold"
        grid[i, 0].text(
            -0.35, 0.5, label, transform=grid[i, 0].transAxes, ha="right", va="center", fontsize=11, color=colour,
            weight=weight,
        )  # fmt: skip


def _draw_curves(axis: Any, names: Sequence[str], history: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for name in names:
        points = history[name]
        seconds = [p["seconds"] for p in points]
        accuracy = [p["test_accuracy"] for p in points]
        axis.plot(seconds, accuracy, "o-", color=_COLOURS.get(name, _INK), lw=2.2, ms=4)
        label = f"{METHOD_TITLES.get(name, name)}  {accuracy[-1]:.2f}, {points[-1]['step']} steps"
        axis.annotate(
            label, (seconds[-1], accuracy[-1]), xytext=(8, 0), va="center",
            textcoords="offset points", ha="left", fontsize=10, color=_COLOURS.get(name, _INK), weight="bold",
        )  # fmt: skip
    axis.axhline(0.1, color="#9aa0a6", lw=1, ls=":")
    axis.text(
        1, 0.09, "guessing", fontsize=9, color="#6b7178", va="top", ha="right", transform=axis.get_yaxis_transform()
    )
    axis.set(ylim=(0, 1.04), xlabel="seconds of training")
    axis.set_xlim(0, 1.55 * max(p[-1]["seconds"] for p in history.values()))
    _style(axis, "Test accuracy on unbiased colours")


def _draw_leakage(axis: Any, names: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> None:
    values = [rows[n]["probe_accuracy"] for n in names]
    axis.barh(range(len(names)), values, color=[_COLOURS.get(n, _INK) for n in names], height=0.58)
    for i, name in enumerate(names):
        axis.text(values[i] + 0.015, i, f"{values[i]:.2f}   {rows[name]['mi']:.2f} nats", va="center", fontsize=10)
    chance = rows[names[0]]["chance"]
    axis.axvline(chance, color=_INK, lw=1.2, ls="--")
    axis.text(chance + 0.012, -0.62, "chance", fontsize=9, color=_INK)
    axis.set_yticks(range(len(names)), [METHOD_TITLES.get(n, n) for n in names], fontsize=10)
    axis.set_ylim(len(names) - 0.45, -0.85)
    axis.set(xlim=(0, 1.22), xlabel="accuracy of a fresh probe that reads the colour from z")
    axis.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    _style(axis, "What the representation still knows of colour")


def _style(axis: Any, title: str, *, size: int = 12) -> None:
    axis.set_title(title, loc="left", fontsize=size, fontweight="bold", color=_INK, pad=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(colors=_INK, labelsize=9)
