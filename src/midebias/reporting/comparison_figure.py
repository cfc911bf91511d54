"""The picture of a comparison: test accuracy of each method in each setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .figure_style import INK, MUTED, Figure, choose_colour, make_figure, style_axis
from .method_titles import title_method

_ROW = 0.3  # inches of a method


def draw_comparison(path: Path, summary: Sequence[Mapping[str, Any]], published: Mapping[str, Any]) -> Figure:
    """Draw test accuracy of each method in each setting, with its spread over seeds, and published figures.

    Up to four settings are panels of bars, hollow where published; more are the x axis of a line per method, dotted
    where published.

    Parameters
    ----------
    path : Path of the PNG
    summary : sequence of mappings
        With ``dataset``, ``method``, ``setting``, ``test_accuracy`` and ``test_accuracy_std``.
    published : mapping
        Data set -> ``test_accuracy`` -> method -> setting -> accuracy.
    """
    settings = list(dict.fromkeys(e["setting"] for e in summary))
    last = {e["method"]: e["test_accuracy"] for e in summary}
    curves: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in sorted(last, key=lambda m: -last[m])}
    for e in summary:
        curves[e["method"]][e["setting"]] = e["test_accuracy"], e["test_accuracy_std"]
    theirs = {
        f"{name} (published)": {s: (figures[s], 0.0) for s in settings if s in figures}
        for source in published.values()
        for name, figures in source["test_accuracy"].items()
        if any(s in figures for s in settings)
    }
    held_out = any(str(e.get("dataset", "")).endswith("-held-out") for e in summary)
    images = "held-out images, as biased as the training images" if held_out else "the unbiased test set"
    measure = f"accuracy on {images}"
    figure = make_figure(9.5, max(3.2, _ROW * len(curves | theirs) + 1.4))
    if len(settings) > 4:
        axis: Any = figure.subplots()
        _draw_lines(axis, settings, curves, theirs)
        style_axis(axis, measure.capitalize() + ("; dotted: published" if theirs else ""))
    else:
        axes: Any = figure.subplots(1, len(settings), sharey=True, squeeze=False)
        for axis, setting in zip(axes[0], settings, strict=True):
            _draw_bars(axis, setting, curves, theirs)
        figure.supxlabel(measure + ("; hollow: published" if theirs else ""), fontsize=10, color=INK)
    figure.savefig(path)
    return figure


def _draw_bars(axis: Any, setting: str, curves: dict[str, Any], theirs: dict[str, Any]) -> None:
    names = [*curves, *theirs]
    for i, name in enumerate(names):
        value, spread = (curves | theirs)[name].get(setting, (None, 0.0))
        if value is None:
            continue
        colour = MUTED if name in theirs else choose_colour(name, "#b9bec6")
        axis.barh(
            i, value, height=0.62, color="none" if name in theirs else colour, edgecolor=colour, xerr=spread or None,
            error_kw={"ecolor": INK, "lw": 1},
        )  # fmt: skip
        axis.text(value + spread + 0.015, i, f"{value:.3f}", va="center", fontsize=9, color=INK)
    axis.set_yticks(range(len(names)), [title_method(n) for n in names])
    axis.set(xlim=(0, 1.25), ylim=(len(names) - 0.4, -0.6), xticks=[0, 0.5, 1.0])
    style_axis(axis, setting.replace("=", " "))


def _draw_lines(axis: Any, settings: Sequence[str], curves: dict[str, Any], theirs: dict[str, Any]) -> None:
    ends = []
    for name, points in (curves | theirs).items():
        places = [i for i, s in enumerate(settings) if s in points]
        values, spreads = zip(*(points[settings[i]] for i in places), strict=True)
        colour = "#6b7178" if name in theirs else choose_colour(name, "#7d8590")
        look: dict[str, Any] = {"color": colour, "lw": 2.4 if name == "mib" else 1.4}
        if name in theirs:
            axis.plot(places, values, ":", **look)
        else:
            axis.errorbar(places, values, yerr=spreads, fmt="-o", ms=3, capsize=2, elinewidth=1, **look)
        ends.append((values[-1], places[-1], title_method(name), colour))
    gap = 1.02 * 0.21 / (_ROW * len(ends) + 0.6)  # between labels, in accuracy
    at, leader = 1.02 + gap, {"arrowstyle": "-", "lw": 0.5, "alpha": 0.6, "relpos": (0, 0.5)}
    for value, place, title, colour in sorted(ends, reverse=True):
        at = min(value, at - gap)
        axis.annotate(
            f"{title}  {value:.3f}", (place, value), xytext=(len(settings) - 0.75, at), va="center", fontsize=8.5,
            color=colour, annotation_clip=False, arrowprops=leader | {"color": colour},
        )  # fmt: skip
    axis.set_xticks(range(len(settings)), [s.split("=")[-1] for s in settings])
    axis.set(xlim=(-0.2, len(settings) + 1.6), ylim=(0, 1.02))
    axis.spines["bottom"].set_bounds(-0.2, len(settings) - 1)
    axis.set_xlabel(settings[0].split("=")[0], x=0.5 * (len(settings) - 0.8) / (len(settings) + 1.8), color=INK)
