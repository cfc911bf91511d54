"""The picture of the demo."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .figure_style import INK, MUTED, Figure, choose_colour, make_figure, style_axis
from .method_titles import title_method


def draw_poster(
    path: Path,
    *,
    digits: NDArray[Any],
    truth: Sequence[int],
    answers: Mapping[str, Sequence[int]],
    history: Mapping[str, Sequence[Mapping[str, Any]]],
    rows: Sequence[Mapping[str, Any]],
    title: str,
) -> Figure:
    """Draw answers to digits in wrong colours, accuracy over time, and what a probe reads of the colour.

    Parameters
    ----------
    path : Path of the PNG
    digits : array of shape (k, height, width, 3), in [0, 1]
    truth : sequence of k labels
    answers : mapping of method to k labels
    history : mapping of method to evaluations, with ``step``, ``seconds`` and ``test_accuracy``
    rows : sequence of mappings, one per method, with ``method``, ``probe_accuracy``, ``chance`` and ``mi``
    title : str
    """
    figure = make_figure(13, 8.2, layout=None)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.12, 1.0])
    top, bottom = halves
    top.suptitle(title, x=0.045, y=0.955, ha="left", fontsize=16, fontweight="bold", color=INK)
    _draw_answers(top, digits, truth, answers)
    curves, leakage = bottom.subplots(1, 2, gridspec_kw={"width_ratios": [1.35, 1.0]})
    bottom.subplots_adjust(left=0.075, right=0.955, top=0.86, bottom=0.15, wspace=0.4)
    _draw_accuracy(curves, list(answers), history)
    _draw_leakage(leakage, list(answers), {r["method"]: r for r in rows})
    figure.savefig(path)
    return figure


def _draw_answers(
    figure: Any, digits: NDArray[Any], truth: Sequence[int], answers: Mapping[str, Sequence[int]]
) -> None:
    grid = figure.subplots(len(answers) + 1, len(truth), gridspec_kw={"height_ratios": [1.9] + [1.0] * len(answers)})
    figure.subplots_adjust(left=0.175, right=0.955, top=0.83, bottom=0.03, wspace=0.08, hspace=0.06)
    for axis in grid.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, image in zip(grid[0], digits, strict=True):
        axis.imshow(np.clip(image, 0, 1), interpolation="nearest")
    _label_row(grid[0, 0], "test digits in\nanother digit's colour", INK, "normal")
    for row, (name, given) in zip(grid[1:], answers.items(), strict=True):
        colour = choose_colour(name)
        _label_row(row[0], title_method(name), colour, "bold")
        for axis, answer, right in zip(row, given, truth, strict=True):
            look = {"color": colour, "weight": "bold"} if answer == right else {"color": "#c9ccd1"}
            axis.set(xlim=(0, 1), ylim=(0, 1))
            axis.text(0.5, 0.5, str(answer), ha="center", va="center_baseline", fontsize=21, **look)
            if answer != right:
                axis.plot([0.3, 0.7], [0.5, 0.5], color="#c0392b", lw=1.6)


def _label_row(axis: Any, label: str, colour: str, weight: str) -> None:
    place = {"transform": axis.transAxes, "ha": "right", "va": "center"}
    axis.text(-0.35, 0.5, label, fontsize=11, color=colour, weight=weight, **place)


def _draw_accuracy(axis: Any, names: Sequence[str], history: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for name in names:
        seconds, accuracy = ([point[key] for point in history[name]] for key in ("seconds", "test_accuracy"))
        colour = choose_colour(name)
        axis.plot(seconds, accuracy, "o-", color=colour, lw=2.2, ms=4)
        axis.annotate(
            f"{title_method(name)}  {accuracy[-1]:.2f}, {history[name][-1]['step']} steps",
            (seconds[-1], accuracy[-1]), xytext=(8, 0), textcoords="offset points", ha="left", va="center",
            fontsize=10, color=colour, weight="bold",
        )  # fmt: skip
    axis.axhline(0.1, color=MUTED, lw=1, ls=":")
    place = {"transform": axis.get_yaxis_transform(), "ha": "right", "va": "top"}
    axis.text(1, 0.09, "guessing", fontsize=9, color="#6b7178", **place)
    axis.set(ylim=(0, 1.04), xlim=(0, 1.75 * max(h[-1]["seconds"] for h in history.values())))
    axis.set_xlabel("seconds of training", color=INK)
    style_axis(axis, "Test accuracy on unbiased colours")


def _draw_leakage(axis: Any, names: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> None:
    values = [rows[name]["probe_accuracy"] for name in names]
    axis.barh(range(len(names)), values, color=[choose_colour(n) for n in names], height=0.58)
    for i, name in enumerate(names):
        label = f"{values[i]:.2f}   {rows[name]['mi']:.2f} nats"
        axis.text(values[i] + 0.015, i, label, va="center", fontsize=10, color=INK)
    chance = rows[names[0]]["chance"]
    axis.axvline(chance, color=INK, lw=1.2, ls="--")
    axis.text(chance + 0.012, -0.62, "chance", fontsize=9, color=INK)
    axis.set_yticks(range(len(names)), [title_method(n) for n in names])
    axis.set(xlim=(0, 1.3), ylim=(len(names) - 0.45, -0.85), xticks=[0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axis.set_xlabel("accuracy of a fresh probe that reads the colour from z", color=INK)
    style_axis(axis, "Colour left in the representation")
