"""Many test parts instead of one: what of a disparity is systematic, and what is the chance of the rows.

German credit in several shuffles of five folds, or random thirds of Adult's training file. A fold's disparity is the
size of a difference that rests on 38 young people, or on 390 women with a high income, and is never zero on average
even where nobody is treated differently. Signs tell the two apart: what is systematic stays in the mean of signed
differences.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from midebias.experiments.summary import summarize_runs
from midebias.experiments.tabular_methods import METHODS
from midebias.experiments.tabular_splits import load_split

from .script import Script, format_table

__all__ = ["SETTINGS", "compute_signed_differences", "measure_fold", "render_table", "summarize_folds"]

_PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "logistic regression": ("logistic_regression", {}),
    "plain network": ("mlp", {"mi_weight": 0.0}),
    "mib, independence": ("mib", {"criterion": "independence"}),
    "mib, separation": ("mib", {"criterion": "separation"}),
}
SETTINGS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "german": _PLAIN,
    "adult-thirds": _PLAIN
    | {
        f"mib, {criterion}, " + ", ".join(f"{k}={v:g}" for k, v in options.items()): (
            "mib",
            {"criterion": criterion, **options},
        )
        for criterion, options in (
            ("independence", {"mi_weight": 1.0, "decision_weight": 4.0}),
            ("independence", {"mi_weight": 1.0, "decision_weight": 6.0}),
            ("independence", {"mi_weight": 0.1, "decision_weight": 40.0}),
            ("separation", {"mi_weight": 1.0, "decision_weight": 5.0, "weight_decay": 10.0}),
            ("separation", {"mi_weight": 1.0, "decision_weight": 8.0, "weight_decay": 10.0}),
        )
    }
    | {
        f"ExponentiatedGradient, {criterion}": ("exponentiated_gradient", {"criterion": criterion, "eps": 0.01})
        for criterion in ("independence", "separation")
    },
}
"""Of each data set: method and options, defaults where none are named."""

_MEASURES = ("accuracy", "parity_difference", "odds_difference", "signed_parity_difference")


def compute_signed_differences(decided: Any, truth: Any, first: Any) -> tuple[float, list[float]]:
    """Rate of decision 1 where ``first`` holds, less the rate elsewhere: of all rows, and within each label."""

    def difference(rows: Any) -> float:
        return float(decided[rows & first].mean() - decided[rows & ~first].mean())

    return difference(np.ones(len(truth), bool)), [difference(truth == label) for label in (0, 1)]


def measure_fold(name: str, attribute: str, fold: int, dataset: str = "german") -> dict[str, Any]:
    """Train on one part and measure on the other, see `load_split`: one row of the record."""
    method, options = SETTINGS[dataset][name]
    split = load_split(dataset, attribute, fold)
    decided = METHODS[method](split, fold, **options).decisions
    first = split.c_test == np.unique(split.c)[0]
    parity, odds = compute_signed_differences(decided, split.y_test, first)
    return {
        "dataset": dataset, "attribute": attribute, "method": name, "fold": fold,
        "accuracy": float((decided == split.y_test).mean()),
        "parity_difference": abs(parity),
        "odds_difference": max(abs(v) for v in odds),
        "signed_parity_difference": parity,
    }  # fmt: skip


def summarize_folds(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over folds of each method."""
    return summarize_runs(rows, by=("dataset", "attribute", "method"), columns=_MEASURES)


def render_table(record: Mapping[str, Any]) -> str:
    """The table of a record."""
    lines = []
    for e in record["summary"]:
        cells = [f"{e[m]:{'+' if m.startswith('signed') else ''}.3f} ± {e[m + '_std']:.3f}" for m in _MEASURES]
        name = e["method"].replace("mib", "**MI backpropagation**")
        lines.append([e["attribute"], name, *cells])
    folds = record["seed"]
    of = "folds" if record["summary"][0]["dataset"] == "german" else "random thirds of the training file, seeds"
    header = (
        "attribute", "method", "accuracy", "parity difference", "odds difference", "parity difference, signed",
    )  # fmt: skip
    return (
        "\n".join(format_table(header, lines, left=2))
        + f"\n\nMean ± standard deviation over {of} {folds[0]} to {folds[-1]}. `{record['command']}`\n"
    )


if __name__ == "__main__":
    script = Script("repeated_folds", __doc__, dataset="german", shuffles=4, attributes=["age", "sex"])
    dataset, kept = script.given["dataset"], list[dict[str, Any]]()
    if script.output.is_file():  # goes on from what it holds
        kept = json.loads(script.output.read_text(encoding="utf-8"))["rows"]
    rows = {(r["attribute"], r["method"], r["fold"]): r for r in kept}
    for key in product(script.given["attributes"], SETTINGS[dataset], range(5 * script.given["shuffles"])):
        if key not in rows:
            attribute, name, fold = key
            rows[key] = measure_fold(name, attribute, fold, dataset)
            every = list(rows.values())
            script.write(every, sorted({r["fold"] for r in every}), summary=summarize_folds(every))
