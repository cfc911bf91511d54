"""Each figure shows the figures it was handed: assertions read them off the drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.image import imread

from midebias.reporting.comparison_figure import draw_comparison
from midebias.reporting.estimator_figures import draw_cost_by_batch, draw_estimators
from midebias.reporting.fairness_figure import draw_front
from midebias.reporting.figure_style import choose_colour
from midebias.reporting.method_titles import METHOD_TITLES
from midebias.reporting.poster import draw_poster
from midebias.reporting.training_figure import draw_training


@pytest.fixture
def path(tmp_path: Path) -> Any:
    """Where a figure goes; after the test it is a picture that is not all of one colour."""
    yield tmp_path / "figure.png"
    assert imread(tmp_path / "figure.png").std() > 0


def texts(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.texts]


def tick_labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


@pytest.mark.parametrize("names", [["plain"], ["plain", "reference", "mib"], ["somebody else's"]])
def test_the_poster_shows_answers_accuracy_and_leakage_of_any_methods(path: Path, names: list[str]) -> None:
    digits = np.linspace(0, 1, 4 * 28 * 28 * 3).reshape(4, 28, 28, 3)
    figure = draw_poster(
        path,
        digits=digits,
        truth=[1, 2, 3, 4],
        answers={n: [1, 2, 0, 0] for n in names},
        history={n: [{"step": 10, "seconds": s, "test_accuracy": 0.1 * s} for s in (1.0, 2.0)] for n in names},
        rows=[{"method": n, "probe_accuracy": 0.5, "mi": 0.7, "chance": 0.1} for n in names],
        title="A title",
    )
    titles = [METHOD_TITLES.get(n, n) for n in names]
    *cells, curves, leakage = figure.get_axes()
    grid = np.array(cells).reshape(len(names) + 1, 4)
    assert all((axis.images[0].get_array() == image).all() for axis, image in zip(grid[0], digits, strict=True))
    for title, row in zip(titles, grid[1:], strict=True):
        assert [texts(axis)[-1] for axis in row] == ["1", "2", "0", "0"]
        assert texts(row[0])[0] == title
        assert [len(axis.lines) for axis in row] == [0, 0, 1, 1]  # wrong answers are struck through
    for title, line, text in zip(titles, curves.lines, texts(curves), strict=False):
        assert list(line.get_xdata()) == [1.0, 2.0]
        assert list(line.get_ydata()) == [0.1, 0.2]
        assert text == f"{title}  0.20, 10 steps"
    assert [bar.get_width() for bar in leakage.patches] == [0.5] * len(names)
    assert texts(leakage) == ["0.50   0.70 nats"] * len(names) + ["chance"]
    assert tick_labels(leakage) == titles


@pytest.mark.parametrize(("depths", "runs"), [(0, 1), (1, 2), (3, 11)])
def test_training_is_drawn_with_and_without_a_penalty(depths: int, runs: int, path: Path) -> None:
    trace = [
        {"step": s, "loss": 1 / s, "mi": [0.1 - 0.05 * s] * depths, "weights": [2.0 * (s - 1)] * depths}
        for s in (1, 2, 3)
    ]
    figure = draw_training(path, {f"run {i}": trace for i in range(runs)})
    axes = np.array(figure.get_axes()).reshape(-1, runs)
    assert len(axes) == (3 if depths else 1)
    assert [axis.get_title(loc="left") for axis in axes[0]] == [f"run {i}" for i in range(runs)]
    for column in axes.T:
        assert list(column[0].lines[0].get_ydata()) == [1.0, 0.5, 1 / 3]
        for line in column[1].lines if depths else ():
            assert line.get_ydata() == pytest.approx([0.05, 0.0, -0.05])
        for line in column[2].lines if depths else ():
            assert line.get_ydata() == pytest.approx([np.nan, 2.0, 4.0], nan_ok=True)  # a weight of 0 is a gap
    names = [f"depth {k + 1}" for k in range(depths - 1)] + ["z"] * (depths > 0)
    assert [text.get_text() for legend in figure.legends for text in legend.get_texts()] == names


def test_a_run_without_a_penalty_beside_one_with_it_says_so(path: Path) -> None:
    plain = [{"step": 1, "loss": 1.0, "mi": [], "weights": []}]
    figure = draw_training(path, {"plain": plain, "mib": [{"step": 1, "loss": 1.0, "mi": [0.3], "weights": [2.0]}]})
    axes = np.array(figure.get_axes()).reshape(3, 2)
    assert [texts(axis) for axis in axes[:, 0]] == [[], ["no penalty"], ["no penalty"]]
    assert not any(map(texts, axes[:, 1]))


def summary(settings: list[str], **accuracies: float) -> list[dict[str, Any]]:
    return [
        {"dataset": "d", "method": m, "setting": s, "test_accuracy": a - 0.1 * i, "test_accuracy_std": 0.02}
        for i, s in enumerate(settings)
        for m, a in accuracies.items()
    ]


PUBLISHED = {"d": {"test_accuracy": {"LNL": {"rho=0": 0.8}, "EnD": {"rho=9": 0.7}}}}


def test_few_settings_are_bars_best_first_and_published_hollow(path: Path) -> None:
    entries = summary(["rho=0", "rho=1"], plain=0.5, mib=0.9)
    figure = draw_comparison(path, entries, PUBLISHED)
    first, second = figure.get_axes()
    assert tick_labels(first) == ["MI backpropagation", "plain training", "LNL (published)"]
    assert [bar.get_width() for bar in first.patches] == [0.9, 0.5, 0.8]
    assert [bar.get_facecolor()[3] for bar in first.patches] == [1, 1, 0]
    assert to_hex(first.patches[0].get_facecolor()) == choose_colour("mib")
    assert [bar.get_width() for bar in second.patches] == [0.8, 0.4]
    assert texts(second) == ["0.800", "0.400"]
    assert figure.get_supxlabel() == "accuracy on the unbiased test set; hollow: published"


def test_many_settings_are_lines_and_settings_that_were_not_run_are_left_out(path: Path) -> None:
    entries = [
        e for e in summary([f"rho={i}" for i in range(6)], mib=0.9, plain=0.5)
        if (e["method"], e["setting"]) != ("plain", "rho=5")
    ]  # fmt: skip
    (axis,) = draw_comparison(path, entries, PUBLISHED).get_axes()
    drawn = [*(c.lines[0] for c in axis.containers), *(line for line in axis.lines if line.get_linestyle() == ":")]
    lines = {tuple(line.get_xdata()): list(line.get_ydata()) for line in drawn}
    assert lines[0, 1, 2, 3, 4, 5] == pytest.approx([0.9 - 0.1 * i for i in range(6)])
    assert lines[0, 1, 2, 3, 4] == pytest.approx([0.5 - 0.1 * i for i in range(5)])
    assert lines[(0,)] == [0.8]
    assert texts(axis) == ["LNL (published)  0.800", "MI backpropagation  0.400", "plain training  0.100"]
    assert axis.get_title(loc="left") == "Accuracy on the unbiased test set; dotted: published"


def test_held_out_accuracy_is_not_called_unbiased(path: Path) -> None:
    entries = [e | {"dataset": "d-held-out"} for e in summary(["rho=0"], mib=0.9)]
    said = draw_comparison(path, entries, {}).get_supxlabel()
    assert said == "accuracy on held-out images, as biased as the training images"


def test_estimates_stand_beside_the_truth_with_their_intervals(path: Path) -> None:
    rows = [
        {"task": "a", "truth": 1.0, "estimator": "estimate_mi", "value": 0.9, "low": 0.8, "high": 1.1},
        {"task": "a", "truth": 1.0, "estimator": "MINE", "value": 0.5},
        {"task": "b", "truth": 2.0, "estimator": "MINE", "value": 1.5},
    ]
    figure = draw_estimators(path, rows)
    (axis,) = figure.get_axes()
    assert tick_labels(axis) == ["a", "b"]
    assert [list(line.get_xdata()) for line in axis.lines] == [[1.0] * 2, [0.5], [0.8, 1.1], [0.9], [2.0] * 2, [1.5]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "truth", "MINE", "estimate_mi with 95% interval",
    ]  # fmt: skip


def test_the_cost_of_an_update_is_drawn_in_milliseconds(path: Path) -> None:
    rows = [{"kind": "batch", "estimator": "nwj", "batch": n, "seconds": 3e-6 * n} for n in (16, 64)]
    (axis,) = draw_cost_by_batch(path, [*rows, {"kind": "steps", "estimator": "nwj", "ratio": 0.9}]).get_axes()
    measured, slope = axis.lines
    assert list(measured.get_xdata()) == [16, 64]
    assert list(measured.get_ydata()) == pytest.approx([0.048, 0.192])
    assert slope.get_ydata()[1] / slope.get_ydata()[0] == pytest.approx(4)


def test_a_method_is_drawn_against_its_own_disparity_and_named_where_it_lies_too_low(path: Path) -> None:
    common = {"dataset": "adult", "attribute": "sex", "accuracy_std": 0.01}
    common |= {"demographic_parity_difference_std": None, "equalized_odds_difference_std": 0.1}
    measures = {"demographic_parity_difference": 0.1, "equalized_odds_difference": 0.2}
    entries = [
        common | measures | {"method": method, "setting": setting, "accuracy": accuracy}
        for method, setting, accuracy in (
            ("mlp", "", 0.86), ("logistic_regression", "usual columns", 0.85), ("reference", "independence", 0.84),
            ("adversarial", "separation", 0.5),
        )
    ]  # fmt: skip
    parity, odds = draw_front(path, entries).get_axes()
    points = [
        {(c.get_label(), float(c.lines[0].get_xdata()[0]), float(c.lines[0].get_ydata()[0])) for c in axis.containers}
        for axis in (parity, odds)
    ]
    plain = {("plain network", 0.1, 0.86), ("logistic regression, usual columns", 0.1, 0.85)}
    assert points[0] == plain | {("reference recipe", 0.1, 0.84)}
    assert points[1] == {(name, 0.2, accuracy) for name, _, accuracy in plain}
    assert texts(parity) == []
    assert texts(odds) == ["below this panel:\nAdversarialFairnessClassifier, separation: 0.50"]
    hollow = next(c for c in parity.containers if c.get_label().endswith("usual columns"))
    assert to_rgba(hollow.lines[0].get_markerfacecolor()) == to_rgba("white")
